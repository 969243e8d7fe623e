"""Experiments: in the workspace, with --temp and queued; each records its macro-F1."""

import csv
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import yaml

from goemotions import config
from goemotions.commands import serve
from goemotions.io import publish
from goemotions.serving.app import Models, SimilarTo


def compared(clone, *arguments):
    return json.loads(clone.goemotions("compare", "--json", *arguments))["runs"]


def test_every_kind_of_experiment_records_its_macro_f1(clone, shared_cache):
    # From a subfolder DVC looks for the settings there, unless their file is named.
    change = "../params.yaml:loss=bce"
    clone.dvc(
        "exp", "run", "-n", "here", "-S", change, "../dvc.yaml:evaluate", cwd=clone.folder / "src"
    )
    clone.git("stash", "-q", "--include-untracked")  # back to what was committed
    # Names that DVC makes up have no digit, so the prefix below is of this one alone.
    clone.dvc("exp", "run", "--temp", "-n", "t2", "-S", "train.seed=2", "evaluate")
    clone.dvc("exp", "run", "--queue", "-S", "loss=asl,combined_50", "evaluate")
    # DVC's queue starts its worker as `dvc`, which therefore must be on PATH.
    clone.env["PATH"] = f"{clone.folder / '.venv/bin'}:{clone.env['PATH']}"
    clone.dvc("exp", "run", "--run-all")
    assert clone.git("status", "--porcelain") == ""

    found = {(e["loss"], e["seed"]): e for e in compared(clone)}
    assert set(found) == {("bce", 1), ("asl", 2), ("asl", 1), ("combined_50", 1)}
    assert found["bce", 1]["name"] == "here"
    assert found["asl", 2]["name"] == "t2"
    for experiment in found.values():
        low, value, high = (experiment[f"macro_f1{end}"] for end in ("_low", "", "_high"))
        assert 0 <= low <= value <= high <= 1
    assert [e["name"] for e in compared(clone, "--only", "t2")] == ["t2"]
    output = clone.goemotions("compare", "--only", "nope", ok=False)
    assert "no evaluated experiment's name begins with 'nope'" in output

    clone.env["COLUMNS"] = "80"
    metrics = clone.dvc("metrics", "diff", "here", "t2")
    assert "macro_f1_ekman" in metrics
    rows = [line for line in metrics.splitlines() if line.startswith("metrics/evaluation.json")]
    assert 8 <= len(rows) <= 12
    assert max(map(len, metrics.splitlines())) <= 80
    shown = clone.dvc(
        "exp", "show", "--drop", ".*", "--keep", "^(Experiment|loss|train.seed|macro_f1)$"
    )
    assert "[t2]" in shown
    assert max(map(len, shown.splitlines())) <= 80
    params = clone.dvc("params", "diff", "here", "t2")
    assert "train.seed" in params
    assert "loss" in params
    plots = clone.dvc("plots", "diff", "here", "t2", "--json", "-o", "plots")
    drawn = json.loads(plots)["data"]
    assert set(drawn) == {
        "training loss", "validation macro-F1", "F1 by label", "precision and recall",
        "confused labels",
    }  # fmt: skip

    clone.dvc("exp", "apply", "t2")
    lock = yaml.safe_load(clone.git("show", f"{found['bce', 1]['revision']}:dvc.lock"))
    outs = {out["path"]: out["md5"] for out in lock["stages"]["evaluate"]["outs"]}
    digest = outs["metrics/predictions.parquet"]
    damaged = shared_cache / "files/md5" / digest[:2] / digest[2:]
    content = damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(content[:-1])
    output = clone.goemotions("export", "--output", "published")
    damaged.write_bytes(content)
    damaged.chmod(0o444)
    assert not re.search("torch.onnx|torchvision|WARN", output), output
    card = (clone.folder / "published/README.md").read_text()
    assert "precision auto, teacher_share 0.7, temperature 2, short_text True." in card
    assert " It is the DVC experiment `t2`.\n" in card
    again = card.split("To make it again:\n\n```sh\n")[1].split("\n```")[0]
    commit = clone.git("rev-parse", "--short=7", "HEAD").strip()
    assert again == f"git checkout {commit}\ndvc exp run -S train.seed=2"
    assert "at 95% confidence, over test rows and seeds" in card.split("## How it compares\n\n")[1]

    # The lock of another run, beside the model of this one.
    (clone.folder / "dvc.lock").write_text(
        clone.git("show", f"{found['asl', 1]['revision']}:dvc.lock")
    )
    said = clone.goemotions("export", "--output", "published", ok=False)
    assert "models/trained/asl is not from the run that dvc.lock records" in said


def test_experiments_of_other_commits_and_named_revisions_are_compared_on_one_page(
    new_clone, shared_cache, tmp_path
):
    cache = shutil.copytree(shared_cache, tmp_path / "cache")  # which this test damages
    clone = new_clone("a clone", cache)
    clone.dvc("exp", "run", "--temp", "-n", "old", "-S", "loss=bce", "evaluate")
    start = clone.git("rev-parse", "HEAD")[:7]
    clone.dvc("repro", "evaluate")
    clone.git("add", "-A")
    clone.git("commit", "-qm", "asl with seed 1")
    clone.git("tag", "v1")
    clone.params({"train.seed": 2})
    clone.dvc("repro", "evaluate")
    clone.git("commit", "-qam", "asl with seed 2")

    page = tmp_path / "reports" / "page.html"
    output = clone.goemotions("compare", "v1", "--html", str(page))
    assert str(page) in output
    text = page.read_text()
    assert f"git checkout {start}\ndvc exp run -S loss=bce</pre>" in text
    assert text.count("<details>") == 3

    found = {(e["loss"], e["seed"]): e for e in compared(clone, "v1")}
    assert set(found) == {("bce", 1), ("asl", 1), ("asl", 2)}
    commits = list(dict.fromkeys(e["commit"] for e in compared(clone, "v1")))
    history = clone.git("log", "--format=%H").split()
    assert commits == [commit[:7] for commit in history]  # the newest first
    assert found["bce", 1]["commit"] == start
    assert found["bce", 1]["command"] == "dvc exp run -S loss=bce"
    assert found["asl", 2]["command"] == "dvc exp run"
    for name, curve in found["asl", 2]["curves"].items():
        with (clone.folder / f"metrics/training/asl/{name}.csv").open(newline="") as file:
            points = [
                {key: float(value) for key, value in row.items()} for row in csv.DictReader(file)
            ]
        assert curve == points
    # One epoch of 5 steps.
    steps = [[point["step"] for point in curve] for curve in found["asl", 2]["curves"].values()]
    assert steps == [[5], [5]]
    assert ("asl", 1) not in {(e["loss"], e["seed"]) for e in compared(clone)}
    # A revision that is given counts whatever its name, as experiments whose name begins so.
    named = {(e["loss"], e["seed"]) for e in compared(clone, "v1", "--only", "old")}
    assert named == {("bce", 1), ("asl", 1)}
    assert {(e["loss"], e["seed"]) for e in compared(clone, "old", "--only", "x")} == {("bce", 1)}
    # What makes it again here, where params.yaml has another seed by now.
    assert found["bce", 1]["changes_from_workspace"] == {"loss": "bce", "train.seed": 1}
    output = clone.goemotions("compare", "v9", ok=False)
    assert "v9" in output
    assert "git log --oneline" in output

    lock = yaml.safe_load(clone.git("show", f"{found['bce', 1]['revision']}:dvc.lock"))
    (digest,) = [
        out["md5"]
        for out in lock["stages"]["evaluate"]["outs"]
        if out["path"] == "metrics/predictions.parquet"
    ]
    kept = cache / "files/md5" / digest[:2] / digest[2:]
    away = kept.rename(tmp_path / "away")
    output = clone.goemotions("compare")
    away.rename(kept)
    assert output.count("left out") == 1
    assert [
        line.split()[:2] for line in output.splitlines() if line.split()[:1] in (["asl"], ["bce"])
    ] == [["asl", "1"]]
    assert "left out: the predictions of old are not in DVC's cache" in output
    assert "fetch them with `dvc exp pull <git remote> old` if they were pushed" in output
    assert "make them again with `dvc exp run -S loss=bce -S train.seed=1`" in output
    # A setting that the workspace no longer has cannot be given with -S: DVC refuses it.
    settings = clone.folder / "params.yaml"
    written = settings.read_text()
    settings.write_text(written.replace("  weight_decay:", "  decay:"))
    away = kept.rename(tmp_path / "away")
    output = clone.goemotions("compare")
    away.rename(kept)
    settings.write_text(written)
    assert f"make them again with `git checkout {start} && dvc exp run -S loss=bce`" in output

    tested = (clone.folder / "data/sample/test.jsonl").read_bytes()
    digest = hashlib.md5(tested).hexdigest()
    texts = publish.unlinked(cache / "files/md5" / digest[:2] / digest[2:])
    count = (
        "from goemotions.comparison import experiments, predictions\n"
        "print(len(predictions.texts(experiments.named('old'))))"
    )
    for content, expected in ((tested[:-20], 0), (tested, len(tested.splitlines()))):
        texts.write_bytes(content)
        counted = clone.run(str(clone.folder / ".venv/bin/python"), "-c", count).stdout
        assert counted == f"{expected}\n"

    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    publish.unlinked(kept).write_bytes(content)
    output = clone.goemotions("compare", ok=False)
    assert "metrics/predictions.parquet of old is not what the run wrote" in output
    output = clone.goemotions("verify", "--cache", ok=False)
    assert f"rm -f {kept}" in output
    assert "Training can start, but DVC's cache is damaged" in output
    assert "run that experiment again" in output

    # An empty cache, which also has no lists of what is in the folders.
    clone.dvc("cache", "dir", "--local", str(tmp_path / "empty"))
    output = clone.goemotions("compare", "--only", "old", ok=False)
    assert "the predictions of old are not in DVC's cache" in output
    assert "no experiment's predictions: see above" in output
    assert "Traceback" not in output


def test_a_relative_mirror_reaches_temporary_experiments(clone, tmp_path):
    clone.env["GOEMOTIONS_MIRROR"] = os.path.relpath(tmp_path / "mirror", clone.folder)
    (tmp_path / "mirror").mkdir()
    arguments = ("exp", "run", "--temp", "-S", "dataset=goemotions", "fetch_dataset")
    output = clone.dvc(*arguments, ok=False)
    wanted = tmp_path / "mirror/datasets/google-research-datasets/go_emotions"
    assert (
        f"the mirror {wanted} is missing simplified/train-00000-of-00001.parquet"
        in output.replace(f"{clone.folder}/../", f"{tmp_path}/")
    )


def test_without_an_environment_the_command_says_what_to_do(new_clone, tmp_path):
    clone = new_clone("bare", tmp_path / "cache")
    dvc = (clone.folder / ".venv").resolve() / "bin/dvc"
    (clone.folder / ".venv").unlink()
    output = clone.run(str(dvc), "repro", "fetch_dataset", ok=False).stdout
    assert "goemotions is not installed here: run `make setup`" in output


def test_an_experiment_runs_its_own_copy_of_the_code(clone):
    code = clone.folder / "src/goemotions/data/fetch.py"
    code.write_text(code.read_text() + '\nprint("imported", __file__)\n')
    output = clone.dvc("exp", "run", "--temp", "fetch_dataset")
    (line,) = [line for line in output.splitlines() if line.startswith("imported ")]
    assert str(clone.folder / ".dvc/tmp/exps") in line


def test_after_a_failed_run_params_yaml_is_restored_by_the_documented_commands(clone):
    """DVC writes params.yaml in the instant of git's last look at it, with the same size."""
    shutil.copy(
        Path(__file__).parents[2] / "params.yaml", clone.folder / "params.yaml"
    )  # with its comments
    clone.git("commit", "-qam", "as it is published")
    before = (clone.folder / "params.yaml").read_text()
    for loss in ("nope", "bcf"):  # the second leaves the size of the file as it was
        output = clone.dvc("exp", "run", "-S", f"loss={loss}", "fetch_dataset", ok=False)
        assert loss in output
        assert f"loss: {loss}" in (clone.folder / "params.yaml").read_text()
        clone.run("touch", "params.yaml")
        clone.git("checkout", "params.yaml")
        assert (clone.folder / "params.yaml").read_text() == before
    clone.dvc("exp", "run", "-S", "dataset=sample", "fetch_dataset")


def test_predictions_of_another_run_in_the_workspace_do_not_count(made):
    clone = made
    clone.git("add", "-A")
    clone.git("commit", "-qm", "asl")
    before = {e["name"]: (e["loss"], e["macro_f1"]) for e in compared(clone)}
    assert len(before) == 2  # the workspace and its commit
    clone.dvc("exp", "run", "-n", "mine", "-S", "loss=bce", "evaluate")
    clone.run("touch", "params.yaml")
    clone.git("checkout", "params.yaml", "dvc.lock", "metrics")
    warning, written = clone.goemotions("compare", "--json").split("\n", 1)
    assert warning == (
        "warning: left out: metrics/predictions.parquet in the workspace is not that of dvc.lock; "
        "`dvc checkout metrics/predictions.parquet` restores that one, `dvc repro evaluate` makes "
        "it again"
    )
    found = {e["name"]: (e["loss"], e["macro_f1"]) for e in json.loads(written)["runs"]}
    mine = found.pop("mine")
    assert mine[0] == "bce"
    assert found == {name: one for name, one in before.items() if name != "workspace"}
    clone.dvc("checkout", "metrics/predictions.parquet", "metrics/per_label.csv")
    after = {e["name"]: (e["loss"], e["macro_f1"]) for e in compared(clone)}
    assert after == before | {"mine": mine}


def test_an_evaluation_that_was_changed_is_named_and_its_predictions_count(made):
    (right,) = compared(made)
    path = made.folder / "metrics" / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"macro_f1": 0.95}))
    warning, written = made.goemotions("compare", "--json").split("\n", 1)
    assert warning.startswith(
        "warning: metrics/evaluation.json of workspace has 0.9500 for macro_f1, but its "
        f"predictions give {right['macro_f1']:.4f}, which is what counts here"
    )
    found = json.loads(written)
    assert found["runs"] == [right]
    assert found["comparisons"][0]["rows"][0]["scores"] == [right["macro_f1"]]


def test_a_served_experiment_brings_its_training_texts(shared, monkeypatch, tmp_path):
    monkeypatch.chdir(shared.folder)
    train = Path("data/sample/train.jsonl").read_bytes()
    shutil.rmtree("data/sample")
    places = tmp_path / "one", tmp_path / "two"
    for place in places:
        place.mkdir()
    models, data = serve.load(config.load(), [], ["mine"], "fp32", places[0])
    assert list(models) == ["mine"]
    assert (data / "train.jsonl").read_bytes() == train
    similar = Models(models, data).similar(SimilarTo(text="thank you", model="mine"))
    assert 0 < similar.total <= len(train.splitlines())
    digest = hashlib.md5(train, usedforsecurity=False).hexdigest()
    for place in ("cache", "storage"):  # what the cache lacks, DVC takes from its remote
        (tmp_path / place / "files/md5" / digest[:2] / digest[2:]).unlink()
    _, data = serve.load(config.load(), [], ["mine"], "fp32", places[1])
    assert data == Path("data/sample")

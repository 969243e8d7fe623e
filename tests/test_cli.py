"""The command line as a user meets it: verify, predict and their help."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file

from goemotions import cli
from goemotions.commands import predict, verify
from goemotions.commands.predict import _key
from goemotions.data.labels import Labels
from goemotions.evaluation.trained import Classifier
from goemotions.io import digests
from goemotions.io.locks import take
from goemotions.network.inference import PRECISIONS

ROOT = Path(__file__).parents[1]


def report(capsys, status):
    assert cli.main(["verify", "--json"]) == status
    content = json.loads(capsys.readouterr().out)
    assert content["ok"] is (status == 0)
    return content


def failures(content):
    return {check["what"]: check for check in content["checks"] if not check["ok"]}


def test_the_version_is_that_of_the_project(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out == f"goemotions {project['version']}\n"


def test_what_only_experiments_need_is_a_warning(capsys):
    check = verify.Check("git", False, "is shallow", "git fetch --unshallow", False, True)
    report = verify.Report([check], {"python": "3.11"})
    assert report.ok
    verify.show(report, as_json=False)
    assert capsys.readouterr().out.endswith(
        "WARN git: is shallow\n\nTraining can start: dvc repro\n"
        "Experiments would fail or not be recorded. To fix it:\n  git fetch --unshallow\n"
    )
    assert not verify.Report([check], only_experiments=True).ok


def test_verify_passes_on_a_whole_cache(project, capsys):
    content = report(capsys, 0)
    found = {check["what"]: check["found"] for check in content["checks"]}
    assert found["data/sample/train.jsonl"].startswith("160 rows, ")
    assert "differ from spm.model's on 0 of 412 texts" in found["tokenizer loads"]
    assert found["model loads"].startswith("DebertaV2Model, ")
    assert content["environment"]["torch"].startswith("2.")
    assert set(content["environment"]) > {"python", "accelerators", "free disk", "files come from"}


def test_verify_says_why_deberta_v3_has_no_vocab_json(project, capsys):
    content = report(capsys, 0)
    (check,) = [c for c in content["checks"] if c["what"] == "vocab.json, merges.txt"]
    assert "byte-pair tokenizer of the first DeBERTa" in check["found"]


def test_verify_works_before_anything_was_fetched(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    failed = failures(report(capsys, 1))
    assert failed["data/goemotions"]["remedy"] == "dvc repro fetch_dataset"
    assert failed["models/deberta-v3-large"]["remedy"] == "dvc repro cache_model"
    assert failed["models/deberta-v3-large"]["found"] == "missing"
    assert list(tmp_path.iterdir()) == [tmp_path / "params.yaml"]


def test_verify_names_every_missing_file_of_a_half_deleted_folder(project, capsys):
    (project / "models/deberta-v3-tiny/spm.model").unlink()
    (project / "models/deberta-v3-tiny/model.safetensors").unlink()
    found = failures(report(capsys, 1))["models/deberta-v3-tiny"]["found"]
    assert found.startswith("is missing model.safetensors, spm.model; has config.json")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("data/sample/val.jsonl", "dvc repro fetch_dataset"),
        ("data/sample/labels.json", "dvc repro fetch_dataset"),
        ("models/deberta-v3-tiny/model.safetensors", "dvc repro cache_model"),
        ("models/deberta-v3-tiny/tokenizer.json", "dvc repro cache_model"),
    ],
)
def test_verify_notices_one_flipped_byte(project, capsys, name, remedy):
    content = bytearray((project / name).read_bytes())
    content[len(content) // 2] ^= 1
    (project / name).write_bytes(content)
    check = failures(report(capsys, 1))[name]
    assert "SHA-256 is" in check["found"]
    assert check["remedy"] == remedy


@pytest.mark.parametrize(
    ("changes", "what", "found", "remedy"),
    [
        (
            {"teacher": "typo"},
            "teachers/typo/logits.npz",
            "does not exist",
            "goemotions teach typo EXPERIMENT  # or set teacher: none",
        ),
        (
            {"teacher": "pushed"},
            "teachers/pushed/logits.npz",
            "does not exist",
            "dvc pull teachers/pushed/logits.npz",
        ),
        (
            {"train.max_length": 513},
            "train.max_length",
            "train.max_length is 513; deberta-v3-tiny takes at most 512 tokens: set it to 512 or "
            "less",
            "edit params.yaml",
        ),
    ],
)
def test_verify_looks_at_the_settings_of_training(project, capsys, changes, what, found, remedy):
    (project / "teachers").mkdir(exist_ok=True)
    (project / "teachers/pushed.dvc").touch()
    raw = yaml.safe_load((project / "params.yaml").read_text())
    for name, value in changes.items():
        *above, last = name.split(".")
        (raw[above[0]] if above else raw)[last] = value
    (project / "params.yaml").write_text(yaml.safe_dump(raw))
    (failed,) = failures(report(capsys, 1)).values()
    assert (failed["what"], failed["found"], failed["remedy"]) == (what, found, remedy)


def test_verify_prints_the_commands_that_fix_it_for_people(project, capsys):
    shutil.rmtree(project / "models/deberta-v3-tiny")
    assert cli.main(["verify"]) == 1
    out = capsys.readouterr().out
    assert "FAIL models/deberta-v3-tiny: missing" in out
    assert out.rstrip().endswith("Training cannot start yet. To fix it:\n  dvc repro cache_model")


def test_predict_uses_the_folders_own_thresholds(project, capsys):
    path = project / "models/trained/bce/thresholds.json"
    content = json.loads(path.read_text())
    for method in content["methods"].values():
        method["logits"] = dict.fromkeys(method["logits"], 9.0) | {"joy": -20.0}
    path.write_text(json.dumps(content))
    digests.write_manifest(path.parent)
    assert cli.main(["predict", "thank you", "so sad"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0::2] == ["thank you", "so sad"]
    assert all(line.startswith("  joy 0.") and "," not in line for line in lines[1::2])


def test_predict_uses_the_thresholds_that_it_is_asked_for(project, capsys):
    path = project / "models/trained/bce/thresholds.json"
    content = json.loads(path.read_text()) | {"preferred": "per_label"}
    only = {"per_label": "joy", "calibrated": "grief", "global": "fear"}
    for method, label in only.items():
        logits = content["methods"][method]["logits"]
        content["methods"][method]["logits"] = dict.fromkeys(logits, 9.0) | {label: -20.0}
    path.write_text(json.dumps(content))
    digests.write_manifest(path.parent)
    for method, label in only.items():
        assert cli.main(["predict", "--thresholds", method, "thank you"]) == 0
        listed = capsys.readouterr().out.splitlines()[1]
        assert listed.startswith(f"  {label} 0.")
        assert "," not in listed


def test_predict_writes_a_line_a_text_in_order(project, capsys):
    texts = ["thank you", "", "😂", "a" * 5000, "line\u2028separator", "x"]
    (project / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8-sig")
    assert cli.main(["predict", "--file", "texts.txt", "--output", "labels.jsonl"]) == 0
    lines = (project / "labels.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    results = [json.loads(line) for line in lines]
    assert [result["text"] for result in results] == texts
    for result in results:
        probabilities = list(result["probabilities"].values())
        assert set(result["probabilities"]) == set(Labels.read(project / "data/sample").names)
        assert probabilities == sorted(probabilities, reverse=True)
    assert not list(project.glob(".*.partial"))


def test_predict_takes_the_texts_of_a_column_with_their_line_ends(project, capsys):
    (project / "mine.csv").write_text('said,label\n"thank you,\nreally",joy\nso sad,grief\n')
    said = ["predict", "--file", "mine.csv"]
    assert cli.main([*said, "--column", "said", "--output", "labels.jsonl"]) == 0
    lines = (project / "labels.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["thank you,\nreally", "so sad"]
    for wrong, message in {
        (): "--file is 'mine.csv', a table; name the column of texts with --column",
        ("--column", "text"): "mine.csv has no column 'text'; it has 'said', 'label'",
    }.items():
        with pytest.raises(SystemExit, match="1"):
            cli.main([*said, *wrong])
        assert message in capsys.readouterr().err
    (project / "texts.txt").write_text("thank you\n")
    with pytest.raises(SystemExit, match="1"):
        cli.main(["predict", "--file", "texts.txt", "--column", "said"])
    assert "--column is for a --file that ends in .csv, .tsv," in capsys.readouterr().err


def test_a_missing_file_is_named_where_an_output_is_there(project, capsys):
    (project / "labels.jsonl").write_text("{}\n")
    with pytest.raises(SystemExit, match="1"):
        cli.main(["predict", "--file", "missing.txt", "--output", "labels.jsonl"])
    assert "missing.txt: No such file" in capsys.readouterr().err
    assert (project / "labels.jsonl").read_text() == "{}\n"


def _probabilities(capsys, *arguments):
    assert cli.main(["predict", "--file", "texts.txt", *arguments]) == 0
    lines = capsys.readouterr().out.split("\n")[:-1]
    return [json.loads(line)["probabilities"] for line in lines]


def test_predict_in_fewer_bits_is_near_and_not_equal(project, capsys):
    (project / "texts.txt").write_text("thank you so much\nthis is sad\n", encoding="utf-8")
    exact = _probabilities(capsys)
    for precision in ("bf16", "int8"):
        found = _probabilities(capsys, "--precision", precision)
        away = [
            abs(row[label] - expected[label])
            for row, expected in zip(found, exact, strict=True)
            for label in expected
        ]
        assert len(away) == 2 * 28
        assert 0 < max(away) < 0.02


def test_predict_does_not_go_on_with_lines_of_another_precision(project):
    folder = project / "models/trained/bce"
    keys = {_key(None, precision, folder, [], None) for precision in PRECISIONS}
    assert len(keys) == 3


def other_weights(folder):
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    digests.write_manifest(folder)


def other_length(folder):
    content = json.loads((folder / "thresholds.json").read_text())
    (folder / "thresholds.json").write_text(json.dumps(content | {"max_length": 32}))
    digests.write_manifest(folder)


def newer(_):
    os.utime("texts.txt", ns=(2, 2))


def longer(_):
    Path("texts.txt").write_text("thank you\nso sad\nwow\n", encoding="utf-8")
    os.utime("texts.txt", ns=(1, 1))


@pytest.mark.parametrize(
    ("change", "option", "goes_on"),
    [
        (None, (), True),
        (other_weights, (), False),
        (other_length, (), False),
        (newer, (), False),
        (longer, (), False),
        (None, ("--file", "same.txt"), False),
        (None, ("--thresholds", "global"), False),
    ],
)
def test_predict_goes_on_only_with_lines_of_the_same_model_thresholds_and_file(
    project, change, option, goes_on
):
    folder, texts = project / "models/trained/bce", Path("texts.txt")
    for name in (texts, Path("same.txt")):
        name.write_text("thank you\nso sad\n", encoding="utf-8")
        os.utime(name, ns=(1, 1))
    content = json.loads((folder / "thresholds.json").read_text())
    (folder / "thresholds.json").write_text(json.dumps(content | {"preferred": "per_label"}))
    digests.write_manifest(folder)
    classifier = Classifier.load(folder)
    key = _key(classifier.chosen(None), "fp32", folder, [], texts)
    partial = project / f".labels.{key}.partial"
    partial.write_text('{"marked": true}\n')
    if change:
        change(folder)
    assert cli.main(["predict", "--file", "texts.txt", "--output", "labels", *option]) == 0
    first, *others = (project / "labels").read_text().splitlines()
    assert (first == '{"marked": true}') is goes_on
    assert json.loads(others[0])["text"] == "so sad"
    assert not partial.exists()


def test_int8_is_refused_where_transformers_code_computes(project, capsys):
    folder = project / "models/trained/bce"
    content = json.loads((folder / "thresholds.json").read_text())
    (folder / "thresholds.json").write_text(json.dumps(content | {"short_text": False}))
    digests.write_manifest(folder)
    with pytest.raises(SystemExit, match="1"):
        cli.main(["predict", "--precision", "int8", "thank you"])
    assert "error: --precision is int8, which is for" in capsys.readouterr().err
    (project / "texts.txt").write_text("thank you so much\n", encoding="utf-8")
    (bf16,) = _probabilities(capsys, "--precision", "bf16")
    (fp32,) = _probabilities(capsys)
    assert 0 < max(abs(fp32[label] - bf16[label]) for label in fp32) < 0.02


def test_transformers_code_and_ours_predict_the_same(project, capsys):
    texts = ["thank you so much", "", "😂", "a" * 5000, "so sad " * 20]
    (project / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    ours = _probabilities(capsys)
    folder = project / "models/trained/bce"
    content = json.loads((folder / "thresholds.json").read_text())
    assert content["short_text"] is True
    (folder / "thresholds.json").write_text(json.dumps(content | {"short_text": False}))
    digests.write_manifest(folder)
    theirs = _probabilities(capsys)
    assert len(ours) == len(texts)
    for row, expected in zip(ours, theirs, strict=True):
        assert row == pytest.approx(expected, abs=1.5e-6)  # of six digits each


def written(project, process, size=1):
    """The file to which a running prediction has written so many bytes."""
    while True:
        for path in project.glob(".labels*.partial"):
            with contextlib.suppress(FileNotFoundError):  # it has become the output
                if path.stat().st_size >= size:
                    return path
        assert process.poll() is None, "it ended too early"
        time.sleep(0.01)


def test_predict_resumes_where_it_was_killed(project):
    """Killed for good, its last line cut: the next run keeps what was whole."""
    texts = [f"thank you {number}" for number in range(12_000)]
    (project / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    arguments = ["predict", "--file", "texts.txt", "--output"]
    assert cli.main([*arguments, "undisturbed.jsonl"]) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "goemotions.cli", *arguments, "labels.jsonl"], stderr=subprocess.PIPE
    )
    partial = written(project, process, 10**5)
    process.kill()
    process.communicate()
    assert not (project / "labels.jsonl").exists()
    kept = partial.read_bytes()[:-5].splitlines(keepends=True)
    assert 10 < len(kept) <= len(texts)
    kept[0] = b'{"marked": true}\n'
    partial.write_bytes(b"".join(kept))

    assert cli.main([*arguments, "labels.jsonl"]) == 0
    result = (project / "labels.jsonl").read_text().splitlines()
    expected = (project / "undisturbed.jsonl").read_text().splitlines()
    assert result[0] == '{"marked": true}'
    assert [json.loads(line)["text"] for line in result[1:]] == texts[1:]
    assert result[1 : len(kept) - 1] == expected[1 : len(kept) - 1]
    assert not list(project.glob(".labels.jsonl.*"))


def test_a_second_predict_stops_beside_the_first_and_leaves_others_work(project, capsys):
    texts = [f"thank you {number}" for number in range(30_000)]
    (project / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    others = project / ".labels.jsonl.0123456789ab.partial"
    others.touch()
    arguments = ["predict", "--file", "texts.txt", "--output", "labels"]
    first = subprocess.Popen(
        [sys.executable, "-m", "goemotions.cli", *arguments], stderr=subprocess.PIPE
    )
    written(project, first)
    first.send_signal(signal.SIGSTOP)  # or it might end before the second one looks
    with pytest.raises(SystemExit, match="1"):
        cli.main(arguments)
    assert "error: another process writes labels; wait for it" in capsys.readouterr().err
    first.send_signal(signal.SIGCONT)
    first.communicate()
    lines = (project / "labels").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == texts
    assert others.exists()


def test_a_predict_leaves_the_lines_of_another_one_that_still_writes(project):
    (project / "texts.txt").write_text("thank you\n", encoding="utf-8")
    others = [project / f".labels.{letter * 12}.partial" for letter in "ab"]
    for path in others:
        path.write_text("{}\n")
    with take(others[0]):
        assert cli.main(["predict", "--file", "texts.txt", "--output", "labels"]) == 0
    assert [path.exists() for path in others] == [True, False]


def test_predict_writes_through_a_link_and_leaves_what_another_user_left(project, monkeypatch):
    (project / "texts.txt").write_text("thank you\n", encoding="utf-8")
    (project / "labels").symlink_to(project / "elsewhere")
    others = project / f".elsewhere.{'a' * 12}.partial"
    others.touch()
    locked = predict.take

    @contextlib.contextmanager
    def refused(path):
        if path == others:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        with locked(path) as held:
            yield held

    monkeypatch.setattr(predict, "take", refused)
    assert cli.main(["predict", "--file", "texts.txt", "--output", "labels"]) == 0
    assert (project / "labels").is_symlink()
    assert json.loads((project / "elsewhere").read_text())["text"] == "thank you"
    assert others.exists()


def test_json_is_valid_also_where_the_output_is_not_unicode(project):
    (project / "texts.txt").write_text("café 🤬\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "goemotions.cli", "predict", "--file", "texts.txt"],
        env=os.environ | {"PYTHONIOENCODING": "latin-1"}, capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["text"] == "café 🤬"


def test_a_text_that_the_terminal_cannot_show_is_predicted(project):
    done = subprocess.run(
        [sys.executable, "-m", "goemotions.cli", "predict", b"caf\xe9"],
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("caf\\udce9\n")


def test_a_command_in_another_folder_says_where_to_run_it(project, monkeypatch, capsys):
    (project / "docs").mkdir()
    monkeypatch.chdir(project / "docs")
    with pytest.raises(SystemExit, match="1"):
        cli.main(["verify", "--experiments"])
    assert f"dvc.yaml is not in {project / 'docs'}: run this in" in capsys.readouterr().err


def test_predict_holds_its_output_also_where_the_file_system_has_no_flock(project, file_system):
    texts = [f"thank you {number}" for number in range(9_000)]
    (project / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")

    def start():
        arguments = ["predict", "--file", "texts.txt", "--output", "labels"]
        return subprocess.Popen(
            [sys.executable, "-m", "goemotions.cli", *arguments],
            env=os.environ | file_system(flock=errno.ENOSYS, exchange=errno.EINVAL),
            stderr=subprocess.PIPE,
            text=True,
        )

    first = start()
    written(project, first)
    first.send_signal(signal.SIGSTOP)  # or it might end before the second one looks
    second = start()
    _, error = second.communicate()
    assert second.returncode == 1
    assert "error: another process writes labels; wait for it; if process " in error
    assert f"if process {first.pid} no longer runs on " in error
    first.kill()
    first.communicate()
    assert not (project / "labels").exists()
    third = start()
    _, error = third.communicate()
    assert third.returncode == 0
    assert error.count("warning: this file system does not support flock") == 1
    lines = (project / "labels").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["text"] for line in lines] == texts
    assert not list(project.glob(".labels.*"))


def test_a_pipe_is_neither_read_twice_nor_replaced(project, capsys):
    os.mkfifo(project / "pipe")
    (project / "texts.txt").write_text("thank you\n", encoding="utf-8")
    for one, other in (("pipe", "labels"), ("texts.txt", "pipe")):
        with pytest.raises(SystemExit, match="1"):
            cli.main(["predict", "--file", one, "--output", other])
        assert "is 'pipe', which is not a regular file" in capsys.readouterr().err
    assert (project / "pipe").is_fifo()


def test_code_that_comes_with_a_trained_folder_does_not_run_whatever_is_answered(project):
    folder = shutil.copytree(project / "models/trained/bce", project / "evil")
    (folder / "evil.py").write_text("open('ran', 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}}
    (folder / "config.json").write_text(json.dumps(config))
    digests.write_manifest(folder)
    command = [sys.executable, "-m", "goemotions.cli", "predict", "--model", "evil", "hi"]
    done = subprocess.run(command, input="y\n" * 9, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error: evil does not load: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict"], "give either texts or --file"),
        (["predict", "--file", "none.txt"], "cannot read none.txt: No such file or directory"),
        (["predict", "--model", "nowhere", "x"], "nowhere does not exist; train that loss ("),
        (["predict", "--file", "latin.txt", "--output", "latin.txt"], "--output is 'latin"),
        (["predict", "--file", "latin.txt", "--output", "models"], "--output is 'models"),
        (["predict", "--file", "latin.txt", "--output", "o"], "latin.txt, line 2 is not UTF-8: "),
    ],
)
def test_a_mistake_ends_in_a_message_and_status_1(project, capsys, arguments, message):
    (project / "latin.txt").write_bytes("ok\ncaf\xe9\n".encode("latin-1"))
    with pytest.raises(SystemExit, match="1"):
        cli.main(arguments)
    error = capsys.readouterr().err
    assert f"error: {message}" in error
    assert "Traceback" not in error
    assert not (project / "o").exists()
    assert (project / "latin.txt").read_bytes() == b"ok\ncaf\xe9\n"


def test_a_workbook_to_predict_is_named(project, capsys):
    (project / "mine.xlsx").write_bytes(b"PK\x03\x04\xff\n")
    with pytest.raises(SystemExit, match="1"):
        cli.main(["predict", "--file", "mine.xlsx"])
    assert "mine.xlsx is a zip archive or an Excel workbook: unpack it" in capsys.readouterr().err


def test_help_does_not_wait_for_torch():
    code = "import sys; from goemotions import cli\ntry: cli.main(['predict', '--help'])\n"
    code += "finally: print(sorted({'torch', 'transformers', 'dvc', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--thresholds" in done.stdout

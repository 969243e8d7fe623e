"""`goemotions tune` in a clone: as many tries for each loss, queued, run and ranked."""

import json
import re


def test_each_loss_has_its_tries_and_the_best_is_repeated(clone, in_process):
    none = in_process(clone, "tune", "--best", ok=False)
    assert "no experiment whose name begins with tune- has been" in none
    queued = clone.goemotions("tune", "bce", "asl", "--draws", "2")
    starts = [f"tune-deberta-v3-tiny-{loss}-{n}" for loss in ("bce", "asl") for n in (1, 2)]
    names = re.findall("^queued (.*?):", queued, re.MULTILINE)
    assert [name.rpartition("-")[0] for name in names] == starts
    again = in_process(clone, "tune", "asl", "--draws", "2").splitlines()
    room = "already exists; to run it again, first run `dvc exp remove {0}`"
    assert again[:-1] == [f"{name} {room.format(name)}" for name in names[2:]]
    twice = ("tune", "asl", "asl", "--draws", "2", "--seed", "1")
    other = in_process(clone, *twice).splitlines()
    assert [line.startswith(f"{names[2]} already") for line in other[:4]] == [
        True,
        False,
        True,
        False,
    ]
    assert other[1].startswith(f"queued {starts[3]}-")
    assert other[3].startswith(f"{starts[3]}-")
    assert len(other) == 5
    clone.dvc("exp", "remove", other[1].removeprefix("queued ").split(":")[0])
    clone.env["PATH"] = f"{clone.folder / '.venv/bin'}:{clone.env['PATH']}"
    clone.dvc("exp", "run", "--run-all")

    runs = json.loads(in_process(clone, "compare", "--json"))["runs"]
    scores = {run["name"]: run["validation_average_precision"] for run in runs}
    assert sorted(scores) == sorted(names)
    (clone.folder / "docs/results.json").write_text("[]")
    results = ["docs/results.json", "docs/results.md", "--add", "tune-"]
    for _ in range(2):  # the second time replaces what the first one added
        python = str(clone.folder / ".venv/bin/python")
        said = clone.run(python, "-m", "tools.results_table", *results).stdout
        assert said == "docs/results.json: 4 experiment(s) added\n"
    added = json.loads((clone.folder / "docs/results.json").read_text())
    kept = {run["validation_average_precision"]: run["loss"] for run in added}
    assert kept == {run["validation_average_precision"]: run["loss"] for run in runs}
    assert {run["teacher"] for run in added} == {"none"}
    assert {run["command"] for run in added} == {run["command"] for run in runs}

    found = in_process(clone, "tune", "--best").splitlines()
    assert [line for line in found if not line.startswith("  ")] == [
        "asl on sample with deberta-v3-tiny: average precision on validation",
        "bce on sample with deberta-v3-tiny: average precision on validation",
    ]
    best = {}
    for place, loss in ((1, "asl"), (4, "bce")):
        shown = [line.split()[:2] for line in found[place : place + 2]]
        own = {name: score for name, score in scores.items() if f"-{loss}-" in name}
        ranked = sorted(own, key=own.get, reverse=True)
        assert shown == [[f"{own[name]:.4f}", name] for name in ranked]
        best[loss] = next(run for run in runs if run["name"] == ranked[0])
    assert in_process(clone, "tune", "bce", "--best").splitlines() == found[3:]
    none = in_process(clone, "tune", "bce", "combined_50", "--best", ok=False)
    assert "no experiment of loss 'combined_50' whose name begins with tune- has been" in none
    drawn = next(line for line in found if "-asl-2-" in line)
    assert "-S losses.asl.gamma_neg=" in drawn
    assert "-S recipes.deberta-v3-tiny.learning_rate=" in drawn

    # Where params.yaml has other settings now, what was tried is not what would be repeated.
    committed = (clone.folder / "params.yaml").read_text()
    clone.params({"train.max_length": 16})
    other = in_process(clone, "tune", "--repeat", "1", ok=False)
    assert "no experiment called tune-... fits params.yaml: the model (deberta-v3-tiny)" in other
    compared = ("compare", "--only", "tune-", "--own-recipes", "--json")
    (comparison,) = json.loads(in_process(clone, *compared))["comparisons"]
    assert "-S train.max_length=64 -S train.seed=2" in comparison["next_run"]
    (clone.folder / "params.yaml").write_text(committed)

    for loss in ("asl", "bce"):
        said = in_process(clone, "tune", loss, "--repeat", "1").splitlines()
        chosen = best[loss]["name"]
        queued = rf"queued best-deberta-v3-tiny-{loss}-2-[0-9a-f]{{6}}: the settings of {chosen}"
        assert re.fullmatch(queued, said[0])
        assert len(said) == 2
    clone.dvc("exp", "run", "--run-all")
    further = in_process(clone, "tune", "bce", "--repeat", "2").splitlines()
    assert re.match("best-deberta-v3-tiny-bce-2-.{6} already exists", further[0])
    assert further[1].startswith("queued best-deberta-v3-tiny-bce-3-")
    compare = ("compare", "--only", "best-", "--own-recipes", "--json")
    again = json.loads(in_process(clone, *compare))
    assert {run["loss"]: run["seed"] for run in again["runs"]} == {"asl": 2, "bce": 2}
    for run in again["runs"]:
        assert run["protocol"] == best[run["loss"]]["protocol"]
        assert run["settings"] == best[run["loss"]]["settings"]
    (comparison,) = again["comparisons"]
    assert {row["loss"] for row in comparison["rows"]} == {"asl", "bce"}
    same = best["asl"]["protocol"] == best["bce"]["protocol"]
    recipes = "All losses have the same recipe" if same else "Each loss has its own recipe: "
    assert recipes in comparison["conclusion"]

"""A model that learns from experiments' models, by the commands of docs/experiments.md."""

import json

import numpy as np


def test_a_student_learns_from_two_experiments(clone, in_process):
    for seed in (1, 2):
        name = f"teacher-{seed}"
        clone.dvc("exp", "run", "--temp", "-n", name, "-S", f"train.seed={seed}", "evaluate")
    clone.dvc("repro", "fetch_dataset")
    refused = in_process(clone, "teach", "both", "teacher-1", "teacher-3", ok=False)
    assert "no evaluated experiment is called 'teacher-3'" in refused
    refused = in_process(clone, "teach", "none", "teacher-1", ok=False)
    assert "the teacher's name is 'none'; that name selects no teacher" in refused
    refused = in_process(clone, "teach", "a/b", "teacher-1", ok=False)
    assert "the teacher's name is 'a/b'; it must be letters, digits, - and _" in refused
    assert not (clone.folder / "teachers/both").exists()

    for name, of in (("one", ["teacher-1"]), ("two", ["teacher-2"])):
        in_process(clone, "teach", name, *of)
    said = clone.goemotions("teach", "both", "teacher-1", "teacher-2")
    assert "teachers/both: the mean logits of 2 model(s) for 160 texts" in said
    assert "`git add teachers/both` or `dvc add teachers/both`" in said
    one, two, both = (
        np.load(clone.folder / f"teachers/{name}/logits.npz") for name in ("one", "two", "both")
    )
    assert (one["logits"] != two["logits"]).mean() > 0.9
    mean = (one["logits"].astype(float) + two["logits"].astype(float)) / 2
    np.testing.assert_allclose(both["logits"].astype(float), mean, atol=0.01)
    origin = json.loads((clone.folder / "teachers/both/teacher.json").read_text())
    assert [(e["name"], e["seed"]) for e in origin["experiments"]] == [
        ("teacher-1", 1), ("teacher-2", 2),
    ]  # fmt: skip

    clone.git("add", "teachers/both")
    clone.dvc("exp", "run", "--temp", "-n", "student", "-S", "teacher=both", "evaluate")
    runs = json.loads(in_process(clone, "compare", "--json"))["runs"]
    taught = {run["name"]: run["protocol"]["teacher"] for run in runs}
    assert taught == {"teacher-1": "none", "teacher-2": "none", "student": "both"}
    digests = {run["protocol"][f"teachers/{run['protocol']['teacher']}"] for run in runs}
    assert len(digests) == 2
    unknown = clone.dvc("exp", "run", "--temp", "-S", "teacher=three", "evaluate", ok=False)
    assert "teachers/three" in unknown

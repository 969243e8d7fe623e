"""What a pull request does to the scores, by the script and the workflows that run it."""

import json
import re

import pytest
import yaml
from test_repro import ran

from conftest import PROJECT

WORKFLOWS = PROJECT / ".github/workflows"


def scores(clone):
    return json.loads((clone.folder / "metrics/evaluation.json").read_text())


def test_the_comment_has_the_scores_of_the_base_and_of_the_branch(made):
    clone = made
    before = scores(clone)
    clone.params({"loss": "bce"})
    clone.git("commit", "-qam", "trained")
    clone.git("checkout", "-q", "-b", "gamma")
    clone.params({"losses.asl.gamma_neg": 2})
    clone.git("commit", "-qam", "asl with gamma_neg 2")
    script = str(clone.folder / "tools/pull_request.sh")
    assert "BASE must be a commit or a branch" in clone.run(script, "nope", ok=False).stdout
    clone.run(script, "main", "-S", "loss=asl", "-S", "dataset=goemotions", "-S", "dataset=sample")
    folder = clone.folder / "reports/pull-request"
    assert ran((folder / "before.log").read_text()) == []
    assert ran((folder / "after.log").read_text()) == ["train@asl", "evaluate"]
    assert clone.git("status", "--porcelain") == ""
    assert clone.dvc("exp", "list") == ""
    clone.params({"loss": "asl"})
    assert ran(clone.dvc("repro")) == []  # the cache has what the script ran
    after = scores(clone)
    assert after["macro_f1"] != before["macro_f1"]

    comment = (folder / "comment.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in comment.splitlines()]
    (row,) = (row for row in rows if row[:2] == ["metrics/evaluation.json", "macro_f1"])
    difference = after["macro_f1"] - before["macro_f1"]
    found = [float(cell) for cell in row[2:]]
    assert found == pytest.approx([before["macro_f1"], after["macro_f1"], difference], abs=1e-5)
    compared = {row[0]: row[2] for row in rows if row and row[0].startswith("asl (gamma_neg")}
    assert compared == {
        "asl (gamma_neg 4)": f"{before['macro_f1']:.4f}",
        "asl (gamma_neg 2)": f"{after['macro_f1']:.4f}",
    }
    assert "<svg" in (folder / "comparison.html").read_text()


def test_what_runs_a_pull_requests_code_may_write_nothing_and_the_other_runs_none_of_it():
    run, comment = (
        yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())
        for name in ("pull-request", "pull-request-comment")
    )
    assert run["permissions"] == {"contents": "read"}
    assert list(run[True]) == ["pull_request"]  # YAML takes `on` for true
    assert "secrets." not in (WORKFLOWS / "pull-request.yml").read_text()
    (job,) = run["jobs"].values()
    assert "permissions" not in job
    assert job["steps"][0]["with"]["persist-credentials"] is False
    for step in job["steps"]:
        assert re.fullmatch(
            r"actions/[a-z-]+@[0-9a-f]{40}", step.get("uses", f"actions/x@{40 * '0'}")
        )
        assert "${{" not in step.get("run", "")  # no text of others becomes a command
    assert list(comment[True]) == ["workflow_run"]
    assert comment[True]["workflow_run"]["workflows"] == [run["name"]]
    (job,) = comment["jobs"].values()
    assert job["permissions"] == {"actions": "read", "pull-requests": "write"}
    (step,) = job["steps"]
    assert "uses" not in step
    assert "${{" not in step["run"]

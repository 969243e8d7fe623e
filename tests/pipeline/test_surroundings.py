"""The place a project lies in: what DVC would fail at or lose there is said before it trains."""

import itertools
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

ROWS = itertools.count(200)
COMMIT = "git add -A && git commit -m start"


def recorded(clone):
    """The names of the experiments in git."""
    return set(
        clone.git("for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps/??/*/*").split()
    )


def cloned(clone, folder, *options):
    """A git clone of a clone, whose commit has its environment, with its cache."""
    subprocess.run(
        ["git", "clone", "-q", *options, f"file://{clone.folder}", str(folder)], check=True
    )
    shutil.copy(clone.folder / ".dvc/config.local", folder / ".dvc")
    return replace(clone, folder=folder, env=clone.env | {"PYTHONPATH": str(folder / "src")})


def fetch(clone, *options, ok=True):
    """Run the first stage as an experiment, with a setting for which DVC's cache has no result."""
    setting = f"datasets.sample.rows.train={next(ROWS)}"
    return clone.dvc("exp", "run", *options, "-S", setting, "fetch_dataset", ok=ok)


def demo(clone, ok=True):
    # The environment is newer than the copied requirements.txt, which make cannot know.
    make = ("make", "-o", ".venv/bin/goemotions", "demo", "LOSSES=bce")
    return clone.run(*make, ok=ok).stdout


def test_a_shallow_clone_runs_nothing_that_dvc_would_not_record(clone, tmp_path):
    clone.git("commit", "-q", "--allow-empty", "-m", "second")
    shallow = cloned(clone, tmp_path / "shallow", "--depth", "1")

    output = demo(shallow, ok=False)
    assert "git fetch --unshallow" in output
    assert "Running stage" not in output
    assert "git fetch --unshallow" in shallow.goemotions("verify", "--experiments", ok=False)
    output = fetch(shallow, "--temp", "-n", "temporary", ok=False)
    assert "stopped before running anything" in output
    assert "git fetch --unshallow" in output
    shallow.env["PATH"] = f"{shallow.folder / '.venv/bin'}:{shallow.env['PATH']}"
    fetch(shallow, "--queue", "-n", "queued")
    shallow.dvc("exp", "run", "--run-all")
    assert "Failed" in shallow.dvc("queue", "status")
    assert "git fetch --unshallow" in shallow.dvc("queue", "logs", "queued")
    assert recorded(shallow) == set()

    fetch(shallow, "-n", "workspace")
    shallow.git("checkout", "-q", ".")
    shallow.git("fetch", "-q", "--unshallow")
    shallow.goemotions("verify", "--experiments")
    fetch(shallow, "--temp", "-n", "temporary")
    assert recorded(shallow) == {"workspace", "temporary"}


def test_a_partial_clone_is_named_with_what_completes_it(clone, tmp_path):
    clone.git("config", "uploadpack.allowFilter", "true")
    clone.params({"train.seed": 2})
    clone.git("commit", "-qam", "second")
    partial = cloned(clone, tmp_path / "partial", "--filter=blob:none")
    assert "git fetch --refetch --no-filter" in partial.goemotions(
        "verify", "--experiments", ok=False
    )
    fetch(partial, "--temp", ok=False)
    partial.git("fetch", "-q", "--refetch", "--no-filter")
    partial.goemotions("verify", "--experiments")
    fetch(partial, "--temp", "-n", "temporary")
    assert recorded(partial) == {"temporary"}


@pytest.mark.parametrize("special", ["%20", "#", "?", "\t"])
def test_a_path_at_which_dvc_loses_experiments_is_named(special, new_clone, shared_cache):
    clone = new_clone(f"a{special}clone", shared_cache)
    output = clone.goemotions("verify", "--experiments", ok=False)
    assert f"has {special!a} in its path" in output
    output = fetch(clone, "--temp", ok=False)
    assert "stopped before running anything" in output or "Running stage" not in output
    assert recorded(clone) == set()


def test_other_special_characters_are_no_problem(new_clone, shared_cache):
    clone = new_clone("a+b&c'd;[e]=,f%2 (g)~$!@^ü", shared_cache)
    clone.goemotions("verify", "--experiments")
    fetch(clone, "--temp", "-n", "temporary")
    assert recorded(clone) == {"temporary"}


def test_letters_outside_ascii_are_named_where_dvc_fails_at_them(new_clone, shared_cache):
    clone = new_clone("日本", shared_cache)
    clone.dvc("cache", "dir", "--local", "--unset")
    output = clone.goemotions("verify", "--experiments", ok=False)
    assert f"{clone.folder}/.dvc/cache: is where DVC keeps its cache" in output
    assert "dvc cache dir --local FOLDER" in output
    assert "Running stage" not in demo(clone, ok=False)
    assert "'ascii' codec can't encode" in fetch(clone, "--temp", ok=False)

    clone.dvc("cache", "dir", "--local", str(shared_cache))
    clone.goemotions("verify", "--experiments")
    clone.git("config", "user.name", "Jörg")
    output = clone.goemotions("verify", "--experiments", ok=False)
    assert "/.git/config: has a line with non-ASCII characters" in output
    assert "name = Jörg" in output
    assert "'ascii' codec can't encode" in fetch(clone, "--temp", ok=False)


def test_nothing_runs_where_dvc_fails_at_the_path_of_its_cache(new_clone, tmp_path):
    clone = new_clone("clone", tmp_path / "{cache}")
    assert "Training cannot start yet" in clone.goemotions("verify", "--experiments", ok=False)
    output = clone.dvc("repro", "fetch_dataset", ok=False)
    assert "stopped before running anything" in output
    assert "dvc cache dir --local FOLDER" in output
    clone.dvc("cache", "dir", "--local", str(tmp_path / "cache"))
    clone.dvc("repro", "fetch_dataset")


def test_a_project_that_git_has_not_committed_is_named(clone):
    shutil.rmtree(clone.folder / ".git")
    clone.git("init", "-q")
    assert "has no commit yet" in clone.goemotions("verify", "--experiments", ok=False)
    assert COMMIT in clone.goemotions("compare", ok=False)
    clone.git("commit", "-q", "--allow-empty", "-m", "nothing")
    output = clone.goemotions("verify", "--experiments", ok=False)
    assert "has no dvc.yaml in its last commit" in output
    clone.run("sh", "-c", COMMIT)
    clone.goemotions("verify", "--experiments")


def test_a_project_in_a_larger_git_repository_is_compared(new_clone, shared_cache, tmp_path):
    (tmp_path / "large").mkdir()
    clone = new_clone("large/project", shared_cache)
    shutil.rmtree(clone.folder / ".git")
    clone.run("git", "init", "-q", cwd=tmp_path / "large")
    clone.run("sh", "-c", COMMIT)
    clone.goemotions("verify", "--experiments")
    clone.dvc("exp", "run", "--temp", "-n", "temporary", "-S", "loss=bce", "evaluate", "baseline")
    (run,) = json.loads(clone.goemotions("compare", "--json"))["runs"]
    assert (run["name"], run["loss"]) == ("temporary", "bce")
    assert run["command"] == "dvc exp run -S loss=bce"
    assert run["seconds"] > 0  # of the training's summary, which lies in DVC's cache

    def committed(name):
        return json.loads(clone.git("show", f"{run['revision']}:./metrics/{name}.json"))

    assert run["macro_f1"] == committed("evaluation")["macro_f1"]
    assert run["baseline"] == committed("baseline")["baseline"]


def test_another_metrics_file_with_the_same_keys_is_not_mixed_up(clone):
    path = clone.folder / "dvc.yaml"
    pipeline = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**pipeline, "metrics": ["other.json"]}, sort_keys=False))
    (clone.folder / "other.json").write_text('{"macro_f1": 0.987, "baseline": {"macro_f1": 0.9}}')
    clone.run("sh", "-c", COMMIT)
    clone.dvc("exp", "run", "--temp", "-n", "temporary", "evaluate")
    (run,) = json.loads(clone.goemotions("compare", "--json"))["runs"]
    assert run["name"] == "temporary"
    assert 0 <= run["macro_f1_low"] <= run["macro_f1"] <= run["macro_f1_high"] < 0.9


def test_a_file_that_a_merge_left_unreadable_is_named_by_compare(clone):
    for name in ("dvc.lock", "metrics/evaluation.json"):
        path = clone.folder / name
        content = path.read_text() if path.exists() else None
        path.write_text(f"<<<<<<< HEAD\n{content}")
        output = clone.goemotions("compare", ok=False)
        assert f"{name} of workspace is unreadable" in output
        assert f"`git checkout {name}`" in output
        path.unlink() if content is None else path.write_text(content)


def test_without_git_everything_works_that_needs_none(made):
    clone = made
    shutil.rmtree(clone.folder / ".git")
    start = f"git init && {COMMIT}"
    output = clone.goemotions("verify", ok=False)
    assert output.endswith(f"Training cannot start yet. To fix it:\n  {start}\n")
    assert start in clone.goemotions("compare", ok=False)
    assert clone.goemotions("predict", "thank you").startswith("thank you\n")
    assert "is not a git repository" in clone.dvc("repro", ok=False)

    clone.dvc("config", "--local", "core.no_scm", "true")
    assert "Training can start: dvc repro" in clone.goemotions("verify")
    clone.dvc("repro", "evaluate")
    output = clone.goemotions("compare", ok=False)
    commands = f"{start} && dvc config --local core.no_scm false"
    assert commands in output
    path = f"{clone.folder / '.venv/bin'}:{clone.env['PATH']}"
    clone.run("sh", "-c", f'PATH="{path}"; {commands}')
    (run, _) = json.loads(clone.goemotions("compare", "--json"))["runs"]
    assert run["name"] == "workspace"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_clone_of_another_user_is_named_with_gits_remedy(made):
    clone = made
    for path in (clone.folder, clone.folder / ".git"):
        os.chown(path, 4242, 4242)
    clone.env.pop("GIT_CONFIG_GLOBAL")  # which DVC's git does not read; HOME is the test's own
    remedy = f"git config --global --add safe.directory '{clone.folder}'"
    output = clone.goemotions("compare", ok=False)
    assert "belongs to another user" in output
    assert remedy in output
    assert remedy in clone.goemotions("verify")
    clone.run("sh", "-c", remedy)
    assert json.loads(clone.goemotions("compare", "--json"))["runs"]


def test_a_user_id_without_a_name_is_named_where_dvc_fails_at_it(made):
    clone = made
    probe = shutil.which("unshare")
    if not probe:
        pytest.skip("there is no unshare to make a user id without a name")
    nameless = (probe, "--user", "--map-user=4242", "--map-group=4242")
    if subprocess.run([*nameless, "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this machine does not let unshare make a user namespace")
    goemotions = str(clone.folder / ".venv/bin/goemotions")
    dvc = str(clone.folder / ".venv/bin/dvc")
    assert "getpwuid" in clone.run(*nameless, dvc, "status", ok=False).stdout
    output = clone.run(*nameless, goemotions, "verify", ok=False).stdout
    assert output.endswith("To fix it:\n  export USER=me\n")
    runs = clone.run(*nameless, goemotions, "compare", "--json").stdout
    assert json.loads(runs)["runs"][0]["name"] == "workspace"
    make = ("make", "-o", ".venv/bin/goemotions", "demo", "LOSSES=bce")
    assert "reports/comparison.html: open it" in clone.run(*nameless, *make).stdout
    assert recorded(clone) == {"demo-bce"}
    assert Path(clone.folder, "reports/comparison.html").is_file()

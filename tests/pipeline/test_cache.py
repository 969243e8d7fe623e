"""DVC's cache on shared and small disks, by docs/cache.md's commands."""

from pathlib import Path

import pytest

from conftest import files, make_clone, runs

SAFE = ("gc", "--force", "--workspace", "--all-commits", "--all-experiments")
CHANGED = ("-S", "evaluate.thresholds=global")


@pytest.fixture
def cache(tmp_path):
    """Where the cache of `shared` has its objects."""
    return tmp_path / "cache/files/md5"


def test_gc_with_all_commits_and_experiments_deletes_what_belongs_to_none(shared, cache):
    shared.dvc(*SAFE)
    before, compared = files(cache), runs(shared)
    assert ("mine", "bce") in compared
    shared.dvc("exp", "run", "--temp", "-n", "other", *CHANGED, "evaluate")
    made = set(files(cache)) - set(before)
    shared.dvc(*SAFE)
    kept = set(files(cache)) - set(before)
    assert kept < made
    assert len(made - kept) == 1  # metrics/evaluation.json, which git has
    shared.dvc("exp", "apply", "other")
    shared.git("reset", "-q", "--hard")
    shared.dvc("checkout")
    shared.dvc("exp", "remove", "other")
    assert f"Removed {len(kept)} objects from repo cache" in shared.dvc(*SAFE, "--dry")
    assert set(files(cache)) - set(before) == kept
    shared.dvc(*SAFE)
    assert files(cache) == before
    assert runs(shared) == compared
    shared.dvc("exp", "apply", "mine")
    assert (shared.folder / "models/trained/bce/model.safetensors").is_file()
    size, total = shared.run("du", "-scL", "models/trained/bce", "metrics").stdout.split()[-2:]
    assert total == "total"
    parts = (shared.folder / "models/trained/bce", shared.folder / "metrics")
    assert int(size) * 1024 >= sum(len(one) for part in parts for one in files(part).values())
    assert "Data and pipelines are up to date." in shared.dvc("status")


def test_gc_of_the_workspace_alone_loses_experiments_that_were_not_pushed(shared, cache, tmp_path):
    compared = runs(shared)
    shared.dvc("gc", "--force", "--workspace")
    (tmp_path / "storage").rename(tmp_path / "away")
    output = shared.goemotions("compare")
    assert "left out: the predictions of mine are not in DVC's cache" in output
    output = shared.dvc("exp", "apply", "mine", ok=False)
    assert "models/trained/bce" in output
    shared.git("reset", "-q", "--hard")
    (tmp_path / "away").rename(tmp_path / "storage")
    shared.dvc("exp", "pull", "origin", "mine")
    assert runs(shared) == compared


def test_gc_of_what_is_in_the_remote_empties_the_cache_until_a_pull(shared, cache):
    shared.dvc(*SAFE)
    before, compared = files(cache), runs(shared)
    shared.dvc("gc", "--force", "--workspace", "--not-in-remote")
    assert files(cache) == {}
    shared.dvc("pull")
    shared.dvc("exp", "pull", "origin", "mine")
    assert files(cache) == before
    assert runs(shared) == compared


def test_stages_replace_symbolic_links_to_a_moved_cache_and_leave_it_as_it_is(
    shared, cache, tmp_path
):
    trained = shared.folder / "models/trained/asl/model.safetensors"
    (tmp_path / "cache").rename(tmp_path / "large")
    cache = tmp_path / "large/files/md5"
    shared.dvc("cache", "dir", "--local", str(tmp_path / "large"))
    shared.dvc("config", "--local", "cache.type", "symlink")
    shared.dvc("checkout", "--relink")
    assert trained.is_symlink()
    before = files(cache)
    shared.params({"train.seed": 7})
    shared.dvc("repro")
    assert files(cache).items() > before.items()
    assert trained.is_symlink()
    assert trained.resolve().is_relative_to(cache)
    assert shared.goemotions("predict", "thank you").startswith("thank you\n")
    assert shared.goemotions("verify", "--cache").endswith("dvc repro\n")


def test_clones_that_share_a_cache_make_nothing_twice_and_gc_needs_their_names(
    shared, cache, tmp_path
):
    (tmp_path / "second").mkdir()
    second = make_clone(tmp_path / "second", tmp_path / "cache", tmp_path)
    second.dvc("config", "--local", "cache.shared", "group")
    assert "Running stage" not in second.dvc("repro")
    second.params({"evaluate.thresholds": "global"})
    before = set(files(cache))
    second.dvc("repro", "evaluate")
    new = set(files(cache)) - before
    folders = {Path(name).parent for name in new} - {Path(name).parent for name in before}
    assert folders  # of objects whose digests begin as no older one's
    assert {(cache / name).stat().st_mode & 0o777 for name in new} == {0o444}
    assert {(cache / folder).stat().st_mode & 0o777 for folder in folders} == {0o775}
    shared.dvc(*SAFE, "--projects", str(second.folder))
    assert len(new - set(files(cache))) == 1  # as above
    shared.dvc(*SAFE)
    assert not new & set(files(cache))

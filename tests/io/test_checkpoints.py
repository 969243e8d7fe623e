"""Where checkpoints are."""

import contextlib
import os
import tempfile
import threading
from pathlib import Path

import pytest

from goemotions.errors import UserError
from goemotions.io.checkpoints import run_checkpoints
from goemotions.io.locks import take


def test_they_are_in_the_project_or_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GOEMOTIONS_CHECKPOINTS", raising=False)
    with run_checkpoints("bce", {"seed": 1}, is_main=True) as kept:
        in_project = kept.folder
    assert in_project.parent == tmp_path / ".dvc/tmp/goemotions"
    monkeypatch.setenv("GOEMOTIONS_CHECKPOINTS", str(tmp_path / "shared/sweep-bce-1"))
    with run_checkpoints("bce", {"seed": 1}, is_main=True) as kept:
        assert kept.folder == tmp_path / "shared/sweep-bce-1" / in_project.name
    shared = tmp_path / "shared"
    for name in ("thesis", "results-2024", "photos"):  # of the user's, not of runs
        (shared / name).mkdir()
    monkeypatch.setenv("GOEMOTIONS_CHECKPOINTS", str(shared))
    with run_checkpoints("bce", {"seed": 1}, is_main=True):
        assert {"thesis", "results-2024", "photos"} < {path.name for path in shared.iterdir()}
    copy = tmp_path / ".dvc/tmp/exps/abc"  # of `dvc exp run --temp`, which deletes it
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("GOEMOTIONS_CHECKPOINTS", "checkpoints")
    with run_checkpoints("bce", {"seed": 1}, is_main=True) as kept:
        assert kept.folder == tmp_path / "checkpoints" / in_project.name
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GOEMOTIONS_CHECKPOINTS", "~/checkpoints")
    with run_checkpoints("bce", {"seed": 1}, is_main=True) as kept:
        assert kept.folder == tmp_path / "home/checkpoints" / in_project.name


def test_a_folder_of_an_unknown_user_is_an_error(monkeypatch):
    monkeypatch.setenv("GOEMOTIONS_CHECKPOINTS", "~nobody-of-this-name/x")
    with (
        pytest.raises(UserError, match="CHECKPOINTS is '~nobody-of-this-name/x': there is no such"),
        run_checkpoints("bce", {"seed": 1}, is_main=True),
    ):
        pass


def test_a_finished_runs_is_kept_until_another_run_has_made_one(tmp_path, monkeypatch):
    monkeypatch.setenv("GOEMOTIONS_CHECKPOINTS", str(tmp_path))
    with run_checkpoints("bce", {"seed": 1}, is_main=True) as first:
        first.complete.mkdir(parents=True)
        first.finish()
    with contextlib.suppress(MemoryError), run_checkpoints("bce", {"seed": 2}, is_main=True):
        raise MemoryError  # as where a GPU is too small, before a start with smaller parts
    assert first.complete.is_dir()
    with run_checkpoints("bce", {"seed": 2}, is_main=True) as second:
        (second.draft / "checkpoint-20").mkdir(parents=True)
        second.publish(second.draft / "checkpoint-20")
        assert not first.folder.exists()
        second.finish()
    with run_checkpoints("bce", {"seed": 3}, is_main=True) as third:
        third.finish()
    assert not second.folder.exists()


def test_a_run_that_trains_now_does_not_count_as_abandoned(tmp_path, monkeypatch):
    monkeypatch.setenv("GOEMOTIONS_CHECKPOINTS", str(tmp_path))

    def save(run):
        (run.draft / "checkpoint-20").mkdir(parents=True)
        run.publish(run.draft / "checkpoint-20")

    folders = []
    for seed in (1, 2):
        with run_checkpoints("bce", {"seed": seed}, is_main=True) as run:
            save(run)
        folders.append(run.folder)
        os.utime(run.folder, (seed, seed))
    with contextlib.ExitStack() as trained:
        for seed in (3, 4):
            run = trained.enter_context(run_checkpoints("bce", {"seed": seed}, is_main=True))
            save(run)
        assert [folder.exists() for folder in folders] == [False, True]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_runs_in_the_same_folder_are_left_alone(monkeypatch):
    with tempfile.TemporaryDirectory() as place:  # pytest's folders are closed to others
        Path(place).chmod(0o777)
        monkeypatch.setenv("GOEMOTIONS_CHECKPOINTS", place)
        with run_checkpoints("bce", {"seed": 1}, is_main=True) as theirs:
            theirs.complete.mkdir(parents=True)
            theirs.finish()
        os.seteuid(65534)
        try:
            with run_checkpoints("bce", {"seed": 2}, is_main=True) as ours:
                ours.complete.mkdir(parents=True)
                ours.finish()
        finally:
            os.seteuid(0)
        assert theirs.complete.is_dir()
        assert (ours.folder / "finished").is_file()


def test_a_run_waits_while_another_one_removes_its_old_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("GOEMOTIONS_CHECKPOINTS", str(tmp_path))
    with run_checkpoints("bce", {"seed": 1}, is_main=True) as run:
        lock = run.folder.with_name(f"{run.folder.name}.lock")
    removing = contextlib.ExitStack()
    removing.enter_context(take(lock))
    threading.Timer(0.2, removing.close).start()
    with run_checkpoints("bce", {"seed": 1}, is_main=True):
        assert lock.read_text() == str(os.getpid())

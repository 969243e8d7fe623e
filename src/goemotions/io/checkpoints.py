"""Checkpoints: a killed training goes on where it was, and ends as if it had not been killed.

A run's checkpoint lies in `.dvc/tmp/goemotions/<loss>-<key>` of the project, also for temporary and
queued experiments, whose own folder DVC deletes. The key is the digest of all that determines the
run, so no other run ever uses it. GOEMOTIONS_FRESH=1 starts over; GOEMOTIONS_CHECKPOINT_SECONDS is
the shortest time between two (60).
"""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from goemotions.errors import UserError
from goemotions.io import digests, project, publish
from goemotions.io.locks import only_one, orphaned

COST = 1 / 40  # of the training time, at most
KEPT = 2  # folders of runs, this one among them
_FINISHED = "finished"


class Checkpoints:
    """The checkpoint of one run, of which there is at most one whole one.

    Attributes:
        draft: where the next one is written.
        whole: where it is put, in one step, when it is complete.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.draft, self.whole = folder, folder / "draft", folder / "whole"
        self._saved_at = time.monotonic()
        self._shortest = _shortest()
        self._interval = self._shortest

    def due(self) -> bool:
        """Whether it is time for another, or for the last one of an orphan."""
        return time.monotonic() - self._saved_at >= self._interval or orphaned()

    def latest(self) -> Path | None:
        """The whole checkpoint; one whose files changed since is removed."""
        if not (self.whole / "digests.json").is_file():
            return None
        with suppress(ValueError, OSError):
            digests = json.loads((self.whole / "digests.json").read_text(encoding="utf-8"))
            if digests == _digests(self.whole):
                return self.whole
        print(f"{self.whole} is damaged: training starts over", file=sys.stderr)
        shutil.rmtree(self.whole, ignore_errors=True)
        return None

    def publish(self, made: Path, started: float) -> None:
        """Put a complete folder in place of the last checkpoint.

        Args:
            made: the folder, inside `draft`.
            started: when saving began, by `time.monotonic`; saving takes COST of the time at most.
        """
        digests.write_json(made / "digests.json", _digests(made))
        publish.sync(*made.iterdir(), made)
        old = self.folder / "old"
        shutil.rmtree(old, ignore_errors=True)
        with suppress(FileNotFoundError):
            self.whole.replace(old)
        made.replace(self.whole)
        publish.sync(self.folder)
        shutil.rmtree(old, ignore_errors=True)
        self._saved_at = time.monotonic()
        self._interval = max(self._shortest, (self._saved_at - started) / COST)

    def clear(self) -> None:
        """Remove the checkpoint."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self) -> None:
        """Mark the run as done. `forget_finished` removes the checkpoint once DVC recorded it.

        Until then DVC may be killed, or its cache full, and would run all of it again.
        """
        if self.whole.is_dir():
            (self.folder / _FINISHED).touch()


@contextmanager
def run_checkpoints(loss: str, determined_by: Any, *, is_main: bool) -> Iterator[Checkpoints]:
    """A run's checkpoints, which no other process uses until the block ends.

    Args:
        loss: for the folder's name.
        determined_by: all that determines the run, as JSON.
        is_main: whether this process is the one that writes.

    Raises:
        UserError: another process trains this very run, or the environment's setting is wrong.
    """
    text = json.dumps(determined_by, sort_keys=True)
    place = _place()
    folder = place / f"{loss}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    kept = Checkpoints(folder)
    if not is_main:
        yield kept
        return
    with only_one(_lock(folder), "this very run"):
        old = folder / "old"
        if old.is_dir() and not kept.whole.is_dir():  # ended between two renames
            old.replace(kept.whole)
        (folder / _FINISHED).unlink(missing_ok=True)
        if os.environ.get("GOEMOTIONS_FRESH", "0") not in ("", "0"):
            kept.clear()
        _forget_others(place, folder)
        try:
            yield kept
        finally:
            shutil.rmtree(kept.draft, ignore_errors=True)
            with suppress(OSError):  # not empty: there is a checkpoint to go on from
                folder.rmdir()


def forget_finished(loss: str) -> None:
    """Remove the checkpoints of a loss's runs that are done."""
    for mark in _place().glob(f"{loss}-{'[0-9a-f]' * 16}/{_FINISHED}"):
        with suppress(UserError), only_one(_lock(mark.parent), ""):  # it may be in use again
            shutil.rmtree(mark.parent, ignore_errors=True)


def _shortest() -> float:
    given = os.environ.get("GOEMOTIONS_CHECKPOINT_SECONDS", "60")
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise UserError(
            f"GOEMOTIONS_CHECKPOINT_SECONDS is {given!r}; it must be seconds, at least 0"
        )
    return seconds


def _place() -> Path:
    return project.project_folder() / ".dvc" / "tmp" / "goemotions"


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _forget_others(place: Path, own: Path) -> None:
    """Remove the oldest folders of other runs, beyond KEPT."""
    ages = {}
    for path in place.iterdir():
        with suppress(FileNotFoundError):  # another training removed it
            if path.is_dir() and path != own:
                ages[path] = path.stat().st_mtime
    for path in sorted(ages, key=lambda path: -ages[path])[KEPT - 1 :]:
        with suppress(UserError), only_one(_lock(path), ""):  # it may be in use
            shutil.rmtree(path, ignore_errors=True)


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.name: digests.sha256(path)
        for path in sorted(folder.iterdir())
        if path.name != "digests.json"
    }

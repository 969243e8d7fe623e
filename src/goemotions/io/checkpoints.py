"""Checkpoints: a killed training resumes where it was, and ends as if it had not been killed.

A run's checkpoint is in `.dvc/tmp/goemotions/<loss>-<key>` of the project, also for temporary and
queued experiments, whose own folder DVC deletes. The key is the digest of all that determines the
run, so no other run ever uses it. A finished run keeps its checkpoint until another one saves its
own or finishes: until DVC has recorded the run, it may be killed or its cache full, and would run
it again.
GOEMOTIONS_FRESH=1 starts over; GOEMOTIONS_CHECKPOINT_SECONDS is the shortest time between two (60);
GOEMOTIONS_CHECKPOINTS is another folder for them.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from goemotions.errors import UserError
from goemotions.io import digests, project, publish
from goemotions.io.locks import HeldError, only_one, orphaned, take

MAXIMUM_SHARE_OF_TIME = 1 / 40  # that saving checkpoints may take
RUNS_KEPT = 2  # unfinished ones, the present one included
_FINISHED = "finished"
_RUN = re.compile(r".+-[0-9a-f]{16}")  # the name of a run's folder


class Checkpoints:
    """The checkpoint of one run, of which at most one is complete.

    Attributes:
        draft: where the next one is written.
        complete: where it is moved, in one step, when it is complete.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.draft, self.complete = folder, folder / "draft", folder / "complete"
        self._saved_at = time.monotonic()
        self._shortest = _shortest()
        self._interval = self._shortest

    def due(self) -> bool:
        """Whether it is time for another, or for the last one of an orphaned process."""
        return time.monotonic() - self._saved_at >= self._interval or orphaned()

    def latest(self) -> Path | None:
        """The complete checkpoint; one whose files have changed since is removed."""
        if not (self.complete / "digests.json").is_file():
            return None
        with suppress(ValueError, OSError):
            digests = json.loads((self.complete / "digests.json").read_text(encoding="utf-8"))
            if digests == _digests(self.complete):
                return self.complete
        print(f"{self.complete} is corrupted: training starts over", file=sys.stderr)
        shutil.rmtree(self.complete, ignore_errors=True)
        return None

    def publish(self, made: Path) -> None:
        """Put a complete folder, inside `draft`, in place of the last checkpoint."""
        digests.write_json(made / "digests.json", _digests(made))
        publish.sync(*made.iterdir(), made)
        old = self.folder / "old"
        shutil.rmtree(old, ignore_errors=True)
        with suppress(FileNotFoundError):
            self.complete.replace(old)
        made.replace(self.complete)
        publish.sync(self.folder)
        shutil.rmtree(old, ignore_errors=True)
        _remove_stale_runs(self.folder.parent, self.folder)

    def plan_next(self, started: float) -> None:
        """Decide when the next checkpoint is due, also after one that could not be saved.

        Args:
            started: when saving began, by `time.monotonic`; how long it took decides when that is.
        """
        self._saved_at = time.monotonic()
        self._interval = max(self._shortest, (self._saved_at - started) / MAXIMUM_SHARE_OF_TIME)

    def finish(self) -> None:
        """Mark the run as finished; another run that saves or finishes removes the checkpoint."""
        if self.complete.is_dir():
            (self.folder / _FINISHED).touch()
        _remove_stale_runs(self.folder.parent, self.folder)


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
        if old.is_dir() and not kept.complete.is_dir():  # it was killed between two renames
            old.replace(kept.complete)
        (folder / _FINISHED).unlink(missing_ok=True)
        if os.environ.get("GOEMOTIONS_FRESH", "0") not in ("", "0"):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            yield kept
        finally:
            shutil.rmtree(kept.draft, ignore_errors=True)
            with suppress(OSError):  # not empty: there is a checkpoint to resume from
                folder.rmdir()


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
    given = Path(os.environ.get("GOEMOTIONS_CHECKPOINTS") or ".dvc/tmp/goemotions")
    try:
        return project.project_folder() / given.expanduser()
    except RuntimeError:
        raise UserError(
            f"GOEMOTIONS_CHECKPOINTS is {str(given)!r}: there is no such user; name a folder"
        ) from None


def _lock(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _remove_stale_runs(place: Path, current: Path) -> None:
    """Remove the folders of other runs: the finished ones, and the oldest beyond RUNS_KEPT."""
    ages, kept = {}, 1
    for path in place.iterdir():
        if path == current or not _RUN.fullmatch(path.name) or not path.is_dir():
            continue  # the folder that the user chose may hold anything
        with suppress(FileNotFoundError):  # another training has removed it
            ages[path] = path.stat().st_mtime
    for path in sorted(ages, key=lambda path: -ages[path]):
        # Who holds it trains now; and another user's can neither be locked nor removed.
        with suppress(HeldError, PermissionError), take(_lock(path)):
            if (path / _FINISHED).exists() or kept == RUNS_KEPT:
                shutil.rmtree(path, ignore_errors=True)
            else:
                kept += 1


def _digests(folder: Path) -> dict[str, str]:
    return {
        path.name: digests.sha256(path)
        for path in sorted(folder.iterdir())
        if path.name != "digests.json"
    }

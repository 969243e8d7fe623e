"""The files of a commit, from git and DVC's cache.

DVC's own view of a commit, `Repo.dvcfs`, parses its dvc.yaml, params.yaml and dvc.lock again, which
takes most of a second for each of a thousand experiments. Here an output is found by its digest in
dvc.lock; what is not there is left to DVC.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from goemotions.io.dvc_cache import digest_in, object_path, parsed

WORKSPACE = "workspace"  # so DVC calls it, too


class Committed:
    """The files of a project at a revision.

    Args:
        repo: of DVC.
    """

    def __init__(self, repo: Any, revision: str) -> None:
        self._repo, self._revision = repo, revision
        folder = Path(repo.root_dir).resolve().relative_to(Path(repo.scm.root_dir).resolve())
        self._folder = PurePosixPath(*folder.parts)
        self._cache = Path(repo.cache.local.path)

    def cat_file(self, path: str) -> bytes:
        """A file's content.

        Raises:
            OSError, DvcException: neither git nor DVC's cache has it.
        """
        content = self._git(path)
        if content is None and (md5 := self._digest(path)):
            found = object_path(self._cache, md5)
            content = found.read_bytes() if found.is_file() else None
        if content is None:
            with self._repo.switch(self._revision):
                content = self._repo.dvcfs.cat_file(path)
        return content

    def info(self, path: str) -> dict[str, Any]:
        """The digest of an output, as "md5"; nothing of other files."""
        md5 = None if self._git(path) is not None else self._digest(path)
        return {"md5": md5} if md5 else {}

    def _git(self, path: str) -> bytes | None:
        try:
            found = self._repo.scm.pygit2.repo.revparse_single(
                f"{self._revision}:{self._folder / path}"
            )
        except KeyError:
            return None
        content: bytes = found.data
        return content

    def _digest(self, path: str) -> str | None:
        """Of the output `path`, or of the file `path` in an output that is a folder."""
        if md5 := self._outputs.get(path):
            return md5
        for folder in map(str, PurePosixPath(path).parents):
            if listing := self._outputs.get(folder):
                return digest_in(self._cache, listing, path.removeprefix(f"{folder}/"))
        return None

    @cached_property
    def _outputs(self) -> dict[str, str]:
        """The digests that dvc.lock has of outputs, by path; empty where there is no dvc.lock."""
        lock = parsed((self._git("dvc.lock") or b"").decode(errors="replace"))
        stages = lock.get("stages", {}) if isinstance(lock, dict) else {}
        outs = [out for stage in stages.values() for out in stage.get("outs", [])]
        return {out["path"]: out["md5"] for out in outs if "md5" in out}


@contextmanager
def reading(repo: Any, revision: str | None) -> Iterator[Any]:
    """What reads the files of a project at a revision, or in the workspace.

    Args:
        repo: of DVC.
    """
    if revision is None:
        with repo.switch(WORKSPACE):
            yield repo.dvcfs
    else:
        yield Committed(repo, revision)

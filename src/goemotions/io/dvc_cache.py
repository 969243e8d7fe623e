"""What dvc.lock records of data/ and models/, against the bytes that lie there and in DVC's cache.

DVC compares a file's size, inode and time with what it knew, and takes an object of its cache for
what its name says; it does not read them again. So a byte that was changed in the cache, also
through one of its hard links in the workspace, comes back at every `dvc repro`. Here every byte is
read.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

FOLDERS = ("data/", "models/")
# YAML 1.2.2, section 10.3.2: the type of a word, its form, and how it begins.
_CORE_SCHEMA = (
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?\d+|0o[0-7]+|0x[\da-fA-F]+", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
)


@dataclass(frozen=True)
class Difference:
    """A file that is not what dvc.lock says.

    Attributes:
        path: the file, in the workspace or in DVC's cache.
        output: the output of the pipeline that it belongs to.
        stage: the stage that makes it.
        in_cache: whether it is in DVC's cache.
    """

    path: Path
    output: Path
    stage: str
    in_cache: bool


def differences(folder: Path) -> Iterator[Difference]:
    """The files of a project's data/ and models/, and of their copies in DVC's cache, that differ.

    What is missing is no difference: `dvc repro` notices that. Without a dvc.lock there is none.
    """
    lock = folder / "dvc.lock"
    if not lock.is_file():
        return
    repo = _repository(folder)
    cache = Path(repo.cache.local.path)
    # dvc.lock keeps the train stages of other losses, too, whose outputs no stage reads now.
    defined = {getattr(stage, "name", None) for stage in repo.index.stages}
    stages = parsed(lock.read_text(encoding="utf-8"))["stages"]
    for stage in (name for name in stages if name in defined):
        for out in stages[stage].get("outs", []):
            if out["path"].startswith(FOLDERS):
                for path, in_cache in _differing(cache, folder / out["path"], out["md5"]):
                    yield Difference(path, Path(out["path"]), stage, in_cache)


def damaged(folder: Path) -> Iterator[Path]:
    """The objects of a project's DVC cache, of any commit, that are not what their names say."""
    for path in sorted(Path(_repository(folder).cache.local.path).glob("??/*")):
        if path.suffix == ".tmp":  # which a dvc is writing, or was when it was killed
            continue
        if _md5(path) != path.parent.name + path.name.removesuffix(".dir"):
            yield path


def missing_objects(folder: Path, lock: str, loss: str, in_git: set[str]) -> list[tuple[str, str]]:
    """What DVC's cache lacks of an experiment: an output, and the name of its object.

    `dvc exp pull` says nothing where the remote has an object that is corrupted.

    Args:
        folder: the project's.
        lock: the content of the experiment's dvc.lock, which may also have other losses' stages.
        loss: the experiment's.
        in_git: the paths that git has of it, outputs that DVC does not cache among them.
    """
    cache = cache_folder(folder) / "files" / "md5"
    stages = parsed(lock)["stages"]
    found = []
    for name, stage in stages.items():
        if name.startswith("train@") and name != f"train@{loss}":
            continue
        for out in (out for out in stage.get("outs", []) if out["path"] not in in_git):
            digests, listing = [out["md5"]], object_path(cache, out["md5"])
            if out["md5"].endswith(".dir") and listing.is_file():
                digests = [*_listed(listing).values()]
            missing = [md5 for md5 in digests if not object_path(cache, md5).is_file()]
            found += [(out["path"], md5) for md5 in missing]
    return found


@lru_cache(maxsize=4096)  # `compare` needs the dvc.lock of each experiment three times
def parsed(text: str) -> Any:
    """The content of a YAML file that DVC wrote, not to be changed."""
    import yaml

    return yaml.load(text, _loader())  # noqa: S506


@lru_cache
def _loader() -> Any:
    """PyYAML's safe loader, which is 13 times as fast as ruamel's, for what ruamel writes for DVC.

    That is YAML 1.2 and PyYAML reads 1.1, where `1e-05` is a text and `no` is false.
    """
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    for tag, pattern, first in _CORE_SCHEMA:
        whole = re.compile(f"(?:{pattern})$")
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", whole, first)
    return Loader


def cache_folder(folder: Path) -> Path:
    """Where a project's DVC cache is."""
    return Path(_repository(folder).cache.legacy.path)


def digest_in(cache: Path, folder: str, name: str) -> str | None:
    """The digest of a file in a folder, by the folder's; None where the cache has no list of it."""
    try:
        return _listed(object_path(cache, folder)).get(name)
    except (OSError, ValueError, KeyError, TypeError):  # damaged: `goemotions verify` says so
        return None


@lru_cache  # not of a list that is missing, which a pull may bring
def _listed(listing: Path) -> dict[str, str]:
    """The files of a folder, with their digests, by its list in the cache."""
    entries = json.loads(listing.read_text(encoding="utf-8"))
    return {one["relpath"]: str(one["md5"]) for one in entries}


def has_changed(folder: Path, recorded: str, file: Path) -> bool:
    """Whether a file of an output is not the one that the output had when it was recorded.

    Args:
        folder: the project's.
        recorded: the output's digest in dvc.lock, or "". False where nothing is recorded or the
            cache has no list of its files.
    """
    if not recorded:
        return False
    digest = digest_in(cache_folder(folder) / "files" / "md5", recorded, file.name)
    return digest is not None and _md5(file) != digest


def relative_remote(folder: Path) -> str:
    """The name of a project's DVC remote, where its URL is a relative path; empty otherwise."""
    from dvc.config_schema import RelPath

    config = _repository(folder).config
    name = config["core"].get("remote", "")
    url = config["remote"].get(name, {}).get("url")
    return name if isinstance(url, RelPath) else ""


def uses_flock(folder: Path) -> bool:
    """Whether a project's DVC locks itself with flock."""
    return not _repository(folder).config["core"].get("hardlink_lock", False)


def empty_runs(folder: Path) -> Iterator[Path]:
    """Folders of DVC's run cache without an entry, where DVC expects one.

    It makes the folder before the entry; one that was killed between leaves every later
    `dvc repro` of that stage with "join() argument must be str, bytes, or os.PathLike object".
    """
    for path in sorted((cache_folder(folder) / "runs").glob("*/*")):
        if not any(path.iterdir()):
            yield path


def _repository(folder: Path) -> Any:
    """DVC's view of a project, without git, which may be missing or another user's."""
    from dvc.repo import Repo

    return Repo(str(folder), config={"core": {"no_scm": True}})


def _differing(cache: Path, output: Path, md5: str) -> Iterator[tuple[Path, bool]]:
    listing = object_path(cache, md5)
    if not listing.is_file():
        return
    if _md5(listing) != md5.removesuffix(".dir"):
        yield listing, True
        return
    for name, digest in _listed(listing).items():
        read: dict[tuple[int, int], str] = {}  # a hard link is read once
        for path in (object_path(cache, digest), output / name):
            if path.is_file():
                file = path.stat().st_dev, path.stat().st_ino
                read[file] = read.get(file) or _md5(path)
                if read[file] != digest:
                    yield path, path.is_relative_to(cache)


def object_path(cache: Path, md5: str) -> Path:
    return cache / md5[:2] / md5[2:]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

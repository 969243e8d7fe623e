"""Where the project is, what `dvc add` tracks in it, and which of its code determines an output."""

import hashlib
import shlex
from pathlib import Path

from goemotions.io.digests import sha256


def project_folder() -> Path:
    """The project the user works in, also from one of DVC's temporary copies of it.

    `dvc exp run --temp` and queued experiments run in <project>/.dvc/tmp/exps/<name>, from where
    a relative GOEMOTIONS_MIRROR would lead nowhere, and which DVC deletes.
    """
    here = Path.cwd()
    copies = (folder.parents[2] for folder in here.parents if folder.parts[-3:] == _EXPERIMENTS)
    return next(copies, here)


_EXPERIMENTS = (".dvc", "tmp", "exps")


def links_out_of_the_project() -> dict[Path, Path]:
    """The folders of the stages' outputs that are links out of the project -> where they lead.

    DVC runs a stage whose output is behind such a link, and then refuses to record it.
    """
    folders = ("data", "models", "models/trained", "metrics", "metrics/training", "export")
    links = {path: path.resolve() for path in map(Path, folders) if path.is_symlink()}
    return {path: to for path, to in links.items() if not to.is_relative_to(Path.cwd())}


def code_digest(stage: str) -> str:
    """The digest of the Python files that dvc.yaml declares as a stage's dependencies."""
    import yaml

    root = Path(__file__).parents[3]
    content = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))
    declared = [
        root / path
        for path in content["stages"][stage]["deps"]
        if path.startswith(("src/", "stages/"))
    ]
    code = {path for part in declared for path in (part.rglob("*.py") if part.is_dir() else [part])}
    return hashlib.sha256("".join(sha256(path) for path in sorted(code)).encode()).hexdigest()


def dvc_files(file: Path) -> list[str]:
    """The files that say, where there is one, that `dvc add` tracks a file or a folder it is in."""
    return [f"{path}.dvc" for path in (file, *file.parents)]


def pulled_by(file: Path) -> str | None:
    """The command that brings a missing file that DVC tracks so; None for other files."""
    if any(Path(name).is_file() for name in dvc_files(file)):
        return f"dvc pull {shlex.quote(str(file))}"
    return None

"""Pinned files that installed Python packages carry, verified; no package is ever imported."""

import shutil
import tempfile
import zipfile
import zlib
from importlib import metadata
from pathlib import Path

from goemotions.errors import UserError
from goemotions.io.hub import verify


def from_package(distribution: str, folder: str, files: dict[str, str | None]) -> dict[str, Path]:
    """The files in a folder of an installed Python package.

    Args:
        distribution: the package's name on PyPI.
        folder: as the package's list of files has it.
        files: name -> SHA-256, or None where none is pinned.

    Raises:
        UserError: the package is not installed, or a file is missing or differs.
    """
    try:
        root = Path(str(metadata.distribution(distribution).locate_file(folder)))
    except metadata.PackageNotFoundError:
        raise UserError(f"the package {distribution} is not installed; run `make setup`") from None
    paths = {name: root / name for name in files}
    if missing := [name for name, path in paths.items() if not path.is_file()]:
        raise UserError(
            f"{distribution} is missing {', '.join(missing)} in {root}; run "
            f"`pip install --force-reinstall --no-deps {distribution}` at the pinned version"
        )
    verify(paths, files, distribution)
    return paths


def from_archive(
    distributions: list[str], setup: str, folder: str, files: dict[str, str | None], target: Path
) -> dict[str, Path]:
    """Unpack files of a zip archive whose parts are in several installed packages.

    Args:
        distributions: the packages, in the order of the parts. Each holds one file whose name
            ends in .zip and the number of the part, such as model.zip.001.
        setup: what `make setup MODELS=` calls them.
        folder: where the files are in the archive.
        files: name -> SHA-256, or None where none is pinned.
        target: an empty folder, to which they are written.

    Raises:
        UserError: a package is not installed, or a file is missing or differs.
    """
    again = f"run `pip install --force-reinstall --no-deps -r requirements-{setup}.txt`"
    origin = f"the archive in {distributions[0]} and {len(distributions) - 1} more packages"
    with tempfile.TemporaryFile(dir=target) as joined:
        for distribution in distributions:
            try:
                with _part(distribution).open("rb") as part:
                    shutil.copyfileobj(part, joined)
            except metadata.PackageNotFoundError:
                raise UserError(
                    f"the package {distribution} is not installed; run `make setup MODELS={setup}`"
                ) from None
            except FileNotFoundError:
                raise UserError(
                    f"{distribution} is missing its part of the archive; {again}"
                ) from None
        try:
            archive = zipfile.ZipFile(joined)
            if missing := [n for n in files if f"{folder}/{n}" not in archive.namelist()]:
                raise UserError(f"{origin} is missing {', '.join(missing)} in {folder}; {again}")
            for name in files:
                with archive.open(f"{folder}/{name}") as source, (target / name).open("wb") as out:
                    shutil.copyfileobj(source, out)
        except (zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{origin} is damaged ({error}); {again}") from None
    paths = {name: target / name for name in files}
    verify(paths, files, origin)
    return paths


def _part(distribution: str) -> Path:
    """The part of an archive in a package."""
    for file in metadata.files(distribution) or ():
        if Path(file.name).stem.endswith(".zip") and file.suffix[1:].isdecimal():
            return Path(file.locate())
    raise FileNotFoundError(distribution)

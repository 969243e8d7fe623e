"""Look at a file of labelled texts and print the entry of `datasets` that reads it.

Every guess is visible in the entry and can be corrected; the entry is then tried on the file.
"""

import io
import itertools
import json
import re
import shlex
import sys
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from goemotions.config import load, parse_dataset
from goemotions.config.dataset_settings import FORMATS, TEXTS, Table
from goemotions.data.notes import some
from goemotions.data.table import word_in
from goemotions.data.texts import Texts, read_texts
from goemotions.errors import UserError
from goemotions.guessing import columns, glance
from goemotions.guessing.glance import SPLIT, Look

_SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "devel"),
    "test": ("test", "testing", "eval"),
}
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")  # how the Hub calls the parts of a file
_ID = re.compile(r"(.*[_ -])?(id|key|uuid|guid)$", re.IGNORECASE)


def show(path: Path) -> bool:
    """Print the entry that reads a file, and what reading the file with it gives.

    Returns:
        whether the file can be read with the entry.

    Raises:
        UserError: the file is no table, or no column looks like texts or like labels.
    """
    if not path.is_file():
        what = "is a folder; name one of its files" if path.is_dir() else "does not exist"
        raise UserError(f"--entry: {path} {what}")
    look = glance.look(path)
    name, files = _files(path)
    name = _free(name, path, look)
    try:
        entry = _entry(name, path, look, files)
    except UserError:
        _print_notes(look)
        raise
    texts, problem = None, None
    try:
        texts = _try(name, entry, path.parent)
    except UserError as error:
        problem = error
    if texts and parse_dataset(entry).kind is None:  # so that a loss is refused before training
        entry["task"] = texts.labels.task
    print(textwrap.indent(_yaml({name: entry}), "  "), flush=True)
    _print_notes(look)
    if texts is None:
        print(f"# Reading the file with this entry fails: {problem}", file=sys.stderr)
        return False
    _print_result(texts)
    folder = f"{TEXTS}/{name}"
    paths = [one for parts in files.values() for one in parts]
    outside = [str(one) for one in paths if one.parent.resolve() != Path(folder).resolve()]
    copy = f"mkdir -p {folder} && cp {shlex.join(outside)} {folder} && " if outside else ""
    loss = "cross_entropy" if texts.labels.single else "bce"
    print(
        "# To use it, paste the entry below the line `datasets:` of params.yaml; then\n"
        f"# {copy}git add {folder} params.yaml && git commit -m {name}\n"
        "# To train on it:\n"
        f"# dvc exp run --temp -n {name}-1 -S dataset={name} -S model=minilm-l6 -S loss={loss}",
        file=sys.stderr,
    )
    return True


def _yaml(content: Any) -> str:
    writer = YAML(typ="safe")
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.width = 86
    written = io.StringIO()
    writer.dump(content, written)
    return written.getvalue()


def _print_notes(look: Look) -> None:
    for note in look.notes:
        print(f"# note: {note}", file=sys.stderr)


def _print_result(texts: Texts) -> None:
    rows = ", ".join(f"{len(part):,} {split}" for split, part in texts.rows.items())
    names = texts.labels.names
    print(
        f"# Read with this entry: {rows}; {len(names)} labels, "
        f"{texts.labels.task.replace('_', '-')}: {some(names)}",
        file=sys.stderr,
    )
    for warning in texts.warnings:
        print(f"# warning: {warning}", file=sys.stderr)
        if warning.startswith("texts that have other labels"):
            print(
                "# note: If a text with several labels has a row for each of them, set `id` to a "
                "column with the same value in all of these rows (the column of texts will do), "
                "and add `same_id: union` and `task: multi_label`.",
                file=sys.stderr,
            )


def _try(name: str, entry: dict[str, Any], folder: Path) -> Texts:
    settings = parse_dataset(entry)
    assert isinstance(settings, Table)  # noqa: S101 - which `source: files` makes
    return read_texts(name, settings, lambda file: (folder / Path(file).name).read_bytes())


def _files(path: Path) -> tuple[str, dict[str, list[Path]]]:
    """A name for the dataset, and the files of the splits that lie beside a file."""
    whole = _SHARD.sub("", path.stem)
    stem, found = whole.lower(), {"train": _parts(path, whole)}
    for words in _SPLIT_WORDS.values():
        if word := re.search(rf"(?<![a-z])({'|'.join(words)})(?![a-z])", stem):
            found = _siblings(path, whole, *word.span()) or found
            stem = stem[: word.start()] + stem[word.end() :]
            break
    parts = path.resolve().parent.parts
    name = parts[-1] if len(parts) > 1 and parts[-2] == TEXTS else stem
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-") or "mine", found


def _free(name: str, path: Path, look: Look) -> str:
    """A name like this that is text for YAML, and that no entry of params.yaml has."""
    found = f"data_{name}"
    with suppress(ValueError, YAMLError):  # such as a 13th month
        found = name if isinstance(YAML(typ="safe").load(name), str) else found
    known: set[str] = set()
    with suppress(UserError):
        known = set(load(any_loss=True).datasets)
    if found in known and path.resolve().parent.parts[-2:] == (TEXTS, found):
        look.notes.append(f"params.yaml already has an entry {found}; replace it with this one.")
        return found
    free, number = found, 1
    while free in known:
        number += 1
        free = f"{found}_{number}"
    if free != name:
        why = "is in params.yaml already" if found == name else "is not text for YAML"
        look.notes.append(f"The entry is called {free}, because {name} {why}.")
    return free


def _siblings(path: Path, stem: str, start: int, end: int) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for split, words in _SPLIT_WORDS.items():
        for word in words:
            for spelled in (word, word.capitalize(), word.upper()):
                others = _parts(path, stem[:start] + spelled + stem[end:])
                if others and split not in found:
                    found[split] = others
    return found if "train" in found else {}


def _parts(path: Path, stem: str) -> list[Path]:
    """The file of this stem beside `path`, or all of its parts where `path` is a part of a file."""
    if _SHARD.search(path.stem):
        every = path.parent.glob(f"*{path.suffix}")
        return sorted(
            one for one in every if re.fullmatch(re.escape(stem) + _SHARD.pattern, one.stem)
        )
    other = path.with_name(stem + path.suffix)
    return [other] if other.is_file() else []


def _entry(name: str, path: Path, look: Look, files: dict[str, list[Path]]) -> dict[str, Any]:
    """The entry, in the order in which a person reads it.

    Args:
        files: of the splits; those without the columns of labels are left out.
    """
    entry: dict[str, Any] = {"source": "files", "files": None}
    if FORMATS.get(path.suffix.lower()) != look.form:
        entry["format"] = look.form
    if look.csv:
        entry["csv"] = look.csv
    if look.form == "fasttext":
        entry |= {"text": "text", "labels": {"column": "labels"}}
        return entry | _paths(name, files) | _division(None, look, files)
    left = [column for column in look.names if column and look.names.count(column) == 1]
    named = [c for c in left if c.lower() in SPLIT and columns.few(look, c)]
    division = next((c for c in left if _names_splits(look, c)), next(iter(named), None))
    identity = next((c for c in left if _ID.fullmatch(c) and _unique(look, c)), None)
    left = [column for column in left if column not in (division, identity)]
    labels, used = columns.labels(look, left)
    for split in ("val", "test") if look.csv.get("header", True) else ():
        file = files.get(split, [path])[0]
        if file != path and not _has_columns(file, used):
            look.notes.append(f"{file.name} has no labels, so this entry leaves it out.")
            del files[split]
    texts = columns.texts(look, [column for column in left if column not in used])
    if identity is not None:
        entry["id"] = columns.shown(identity, look)
    entry["text"] = (
        [columns.shown(t, look) for t in texts] if len(texts) > 1 else columns.shown(texts[0], look)
    )
    entry["labels"] = labels
    return entry | _paths(name, files) | _division(division, look, files)


def _has_columns(file: Path, wanted: list[str]) -> bool:
    try:
        return set(wanted) <= set(glance.look(file).names)
    except glance.OneColumnError:
        return False
    except UserError:  # which reading the file with the entry says
        return True


def _paths(name: str, files: dict[str, list[Path]]) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for split, parts in files.items():
        listed = [f"{TEXTS}/{name}/{part.name}" for part in parts]
        paths[split] = listed if len(listed) > 1 else listed[0]
    return {"files": paths if len(paths) > 1 else paths["train"]}


def _names_splits(look: Look, column: str) -> bool:
    """Whether all cells are words for splits, of two splits at least."""
    cells = {str(cell).strip().lower() for cell in look.column(column)}
    used = [words for words in _SPLIT_WORDS.values() if cells.intersection(words)]
    return len(used) > 1 and all(any(cell in words for words in used) for cell in cells)


def _unique(look: Look, column: str) -> bool:
    cells = look.column(column)
    return all(isinstance(cell, str | int) for cell in cells) and len(set(cells)) == len(cells)


def _division(column: str | None, look: Look, files: dict[str, list[Path]]) -> dict[str, Any]:
    """How the rows that the files do not divide are divided."""
    needed = [split for split in ("val", "test") if split not in files]
    if not needed:
        return {}
    shares: dict[str, Any] = dict.fromkeys(needed, 0.1)
    if column is None or len(files) > 1:
        return {"split": {**shares, "seed": 0}}
    found: dict[str, Any] = {"column": columns.shown(column, look)}
    for split, words in _SPLIT_WORDS.items():
        values = sorted({cell for cell in look.words(column) if cell.lower() in words})
        if (values and values != [split]) or (split in shares and values):
            found[split] = values[0] if len(values) == 1 else values
        elif split in shares:
            found[split] = 0.1
    if any(isinstance(found.get(split), str | list) for split in ("val", "test")):
        return {"split": found}
    values = sorted({word_in(cell) for cell in look.column(column)})
    if len(values) > 1:
        look.notes.append(
            f"The column {column!r} may say which rows are for what, but its values are not "
            f"names of splits such as train, val and test ({', '.join(values)}), so this entry "
            f"divides the rows by shares. To use the column, set split: {{column: {column}, "
            f"train: {json.dumps(values[:-1])}, val: 0.1, test: {json.dumps(values[-1])}}}, "
            "and correct which values belong to which split."
        )
    elif values[0].lower() in itertools.chain(*_SPLIT_WORDS.values()):
        look.notes.append(
            f"The column {column!r} is {values[0]!r} in all rows looked at, so this entry divides "
            "the rows by shares."
        )
    return {"split": {**shares, "seed": 0}}

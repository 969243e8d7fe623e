"""What to know about a dataset before training: labels, lengths, repeated texts and examples."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from scipy.sparse import csr_array

from goemotions.config import Params
from goemotions.config.dataset_settings import FilesDataset
from goemotions.data import fetch, splits
from goemotions.data.labels import Labels
from goemotions.data.notes import repeats
from goemotions.data.splits import SPLITS, Row
from goemotions.data.texts import Texts
from goemotions.errors import UserError, shows_unicode

_EXAMPLES = 3  # texts of each label
_SHOWN = 120  # characters of a text
_TABLE = 60  # labels of the printed table; the page has all
_MATRIX = 40  # labels whose co-occurrence is counted
_UNKNOWN = 0.1  # share of unknown tokens above which there is a warning
QUANTILES = (0.5, 0.9, 0.99, 1.0)


@dataclass
class LabelDescription:
    """One label.

    Attributes:
        label: its name.
        rows: split -> rows that have it.
        share: of train's rows.
        often_with: the label that train's rows with this one have most often as well, and the
            share of them that have it; None where no row has another.
        examples: texts of train, those with this label alone first.
    """

    label: str
    rows: dict[str, int]
    share: float
    often_with: tuple[str, float] | None
    examples: list[str]


@dataclass
class Description:
    """A dataset.

    Attributes:
        rows: split -> number of rows.
        labels_per_row: split -> number of labels -> rows.
        together: of the most frequent labels, train's rows that have both; the diagonal has all
            rows of a label. Labels are in the order of `frequent`.
        unit: of lengths: tokens, or words where the model's tokenizer is not there yet.
        lengths: split -> the quantiles in QUANTILES.
        cut: split -> rows longer than max_length; empty where lengths are in words.
        within, across: rows with a text that is there before, in a split and over two of them.
        other_labels: texts that are there several times with different labels.
        differing: examples of those, with the labels of their rows.
    """

    dataset: str
    task: str
    rows: dict[str, int]
    labels: list[LabelDescription]
    labels_per_row: dict[str, dict[int, int]]
    frequent: list[str]
    together: list[list[int]]
    unit: str
    max_length: int
    lengths: dict[str, list[int]]
    cut: dict[str, int]
    within: dict[str, int]
    across: dict[str, int]
    other_labels: int
    differing: list[tuple[str, list[list[str]]]]
    warnings: list[str]


def read(params: Params) -> Texts:
    """The selected dataset: the user's own files as they are now, others from data/<dataset>.

    Raises:
        UserError: there is no such dataset yet, or it breaks a rule.
    """
    settings, folder = params.datasets[params.dataset], params.data_folder
    if not isinstance(settings, FilesDataset) and folder.is_dir():
        found = splits.load(folder, *SPLITS)
        rows = {
            name: [
                Row(i, text, np.flatnonzero(targets).tolist())
                for i, text, targets in zip(part.ids, part.texts, part.targets, strict=True)
            ]
            for name, part in found.items()
        }
        metadata = json.loads((folder / splits.METADATA).read_text(encoding="utf-8"))
        return Texts(rows, found["train"].labels, list(metadata.get("warnings", [])))
    return fetch.read(params.dataset, settings)


def description(params: Params, texts: Texts) -> Description:
    """Count what there is to know.

    Args:
        params: give the dataset's name, and the model whose tokenizer counts tokens.
        texts: the dataset.
    """
    names, train = texts.labels.names, texts.rows["train"]
    together = _together(train, len(names))
    frequent = np.argsort(-together.diagonal(), kind="stable")[:_MATRIX]
    unit, lengths, unknown = _lengths(params, texts)
    warnings = list(texts.warnings)
    if unknown > _UNKNOWN:
        warnings.append(
            f"{unknown:.0%} of the tokens are unknown to {params.model}, which cannot tell these "
            "words apart; choose a model for the language of the texts"
        )
    repeated = repeats(texts.rows)
    most = params.train.max_length
    return Description(
        dataset=params.dataset,
        task=texts.labels.task,
        rows={split: len(rows) for split, rows in texts.rows.items()},
        labels=_labels(texts.rows, texts.labels, together),
        labels_per_row={
            split: dict(sorted(Counter(len(row.labels) for row in rows).items()))
            for split, rows in texts.rows.items()
        },
        frequent=[names[index] for index in frequent],
        together=together[frequent][:, frequent].toarray().tolist(),
        unit=unit,
        max_length=most,
        lengths={
            split: np.quantile(one, QUANTILES, method="higher").astype(int).tolist()
            for split, one in lengths.items()
        },
        cut={split: int((one > most).sum()) for split, one in lengths.items()}
        if unit == "tokens"
        else {},
        within=repeated.within,
        across={f"{one} and {other}": count for (one, other), count in repeated.across.items()},
        other_labels=repeated.other_labels,
        differing=[
            (_short(text), [[names[label] for label in row] for row in rows])
            for text, rows in repeated.examples
        ],
        warnings=warnings,
    )


def _together(rows: list[Row], count: int) -> csr_array:
    """How many rows have both labels, sparse, [labels, labels]."""
    columns = np.array([label for row in rows for label in row.labels], dtype=np.int64)
    bounds = np.cumsum([0, *(len(row.labels) for row in rows)])
    ones = np.ones(len(columns), dtype=np.int64)
    targets = csr_array((ones, columns, bounds), shape=(len(rows), count))
    return csr_array(targets.T @ targets)


def _labels(
    rows: dict[str, list[Row]], labels: Labels, together: csr_array
) -> list[LabelDescription]:
    counts = {
        split: Counter(label for row in part for label in row.labels)
        for split, part in rows.items()
    }
    alone: dict[int, list[str]] = {index: [] for index in range(len(labels))}
    beside: dict[int, list[str]] = {index: [] for index in range(len(labels))}
    for row in rows["train"]:
        for label in row.labels:
            examples = (alone if len(row.labels) == 1 else beside)[label]
            if len(examples) < _EXAMPLES:
                examples.append(_short(row.text))
    found = []
    for index, name in enumerate(labels.names):
        start, end = together.indptr[index : index + 2]
        shared = zip(together.data[start:end], together.indices[start:end], strict=True)
        count, most = max(((n, -other) for n, other in shared if other != index), default=(0, 0))
        often = None
        if count:
            share = float(count / counts["train"][index])
            often = labels.names[-most], round(share, 4)
        found.append(
            LabelDescription(
                label=name,
                rows={split: counts[split][index] for split in rows},
                share=round(counts["train"][index] / len(rows["train"]), 6),
                often_with=often,
                examples=[*alone[index], *beside[index]][:_EXAMPLES],
            )
        )
    return found


def _lengths(params: Params, texts: Texts) -> tuple[str, dict[str, NDArray[np.int64]], float]:
    """The unit of lengths, split -> the length of each row, and the share of unknown tokens."""
    folder = params.model_folder
    if not (folder / "tokenizer.json").is_file():
        return "words", {
            split: np.array([len(row.text.split()) for row in rows])
            for split, rows in texts.rows.items()
        }, 0.0  # fmt: skip
    from goemotions.models.prepare import load_tokenizer
    from goemotions.network.batching import CHUNK

    tokenizer = load_tokenizer(folder)
    found, unknown = {}, 0
    for split, rows in texts.rows.items():
        lengths: list[int] = []
        for start in range(0, len(rows), CHUNK):
            chunk = [row.text for row in rows[start : start + CHUNK]]
            encoded = tokenizer(chunk, verbose=False)["input_ids"]
            lengths += map(len, encoded)
            unknown += sum(ids.count(tokenizer.unk_token_id) for ids in encoded)
        found[split] = np.array(lengths)
    return "tokens", found, unknown / max(sum(int(one.sum()) for one in found.values()), 1)


def _short(text: str) -> str:
    folded = " ".join(text.split())
    return folded if len(folded) <= _SHOWN else folded[: _SHOWN - 1] + "…"


def show(found: Description, *, as_json: bool) -> None:
    """Print a description, as tables or as JSON."""
    if as_json:
        print(json.dumps(asdict(found), indent=1, ensure_ascii=not shows_unicode()))
        return
    console = Console(highlight=False, emoji=False)  # a text may hold `:joy:`
    rows = ", ".join(f"{count:,} {split}" for split, count in found.rows.items())
    task = found.task.replace("_", "-")
    console.print(f"{found.dataset}: {rows}; {len(found.labels)} labels, {task}\n")
    _show_labels(console, found)
    _show_rows(console, found)
    _show_examples(console, found)
    for warning in found.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}", soft_wrap=True)


def _show_labels(console: Console, found: Description) -> None:
    table = Table(box=None, pad_edge=False, title="Labels", title_justify="left")
    table.add_column("label")
    for split in found.rows:
        table.add_column(split, justify="right")
    table.add_column("share of train", justify="right")
    table.add_column("most often together with")
    ordered = sorted(found.labels, key=lambda one: -one.rows["train"])
    shown = ordered if len(ordered) <= _TABLE else ordered[: _TABLE - 20] + ordered[-20:]
    for label in shown:
        often = f"{label.often_with[0]} {label.often_with[1]:.0%}" if label.often_with else ""
        counts = [f"{count:,}" for count in label.rows.values()]
        table.add_row(escape(label.label), *counts, f"{label.share:.2%}", escape(often))
    console.print(table)
    if len(shown) < len(ordered):
        console.print(
            f"The {_TABLE - 20} most frequent labels and the 20 rarest; --html shows all "
            f"{len(ordered)}."
        )
    console.print()


def _show_rows(console: Console, found: Description) -> None:
    """Labels per row, lengths and repeated texts."""
    for split, counts in found.labels_per_row.items():
        shown = ", ".join(f"{rows:,} with {labels}" for labels, rows in counts.items())
        console.print(f"labels per row, {split}: {shown}", soft_wrap=True)
    console.print()
    for split, (half, most, nearly, longest) in found.lengths.items():
        console.print(
            f"{found.unit} per text, {split}: median {half}, 90% have at most {most}, 99% at most "
            f"{nearly}, the longest {longest}"
            + (f"; {found.cut[split]:,} rows are cut at {found.max_length}" if found.cut else ""),
            soft_wrap=True,
        )
    if found.unit == "words":
        console.print(
            "To count tokens instead, first set `model` in params.yaml and run "
            "`dvc repro cache_model`."
        )
    console.print()
    within = sum(found.within.values())
    console.print(f"rows with a text that an earlier row of their split has: {within:,}")
    for pair, count in found.across.items():
        console.print(f"rows with a text that is in {pair}: {count:,}")
    console.print(f"texts with different labels in different rows: {found.other_labels:,}")
    for text, rows in found.differing[:3]:
        labels = " | ".join(", ".join(row) or "none" for row in rows[:4])
        console.print(f"  {escape(text)}  [dim]{escape(labels)}[/]", soft_wrap=True)
    console.print()


def _show_examples(console: Console, found: Description) -> None:
    for label in found.labels[: _TABLE - 20]:
        console.print(f"[bold]{escape(label.label)}[/]")
        for text in label.examples:
            console.print(f"  {escape(text)}", soft_wrap=True)
    console.print()


def write_page(path: Path, found: Description) -> None:
    """Write the description as a page, in the style of the comparison's.

    Raises:
        UserError: the file cannot be written.
    """
    from goemotions.pages.render import write

    rows = [
        (name, [(count, min(9, 10 * count // max(1, row[index]))) for count in row])
        for index, (name, row) in enumerate(zip(found.frequent, found.together, strict=True))
    ]
    labels = sorted(found.labels, key=lambda label: -label.rows["train"])
    write(path, "dataset.html", found=found, labels=labels, matrix=rows)


def with_dataset(params: Params, name: str | None) -> Params:
    """The params with another dataset selected.

    Raises:
        UserError: there is no such entry.
    """
    if name is None:
        return params
    if name not in params.datasets:
        raise UserError(f"dataset {name!r} is unknown; known: {', '.join(params.datasets)}")
    return params.model_copy(update={"dataset": name})

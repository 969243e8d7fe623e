"""predictions.parquet: each row's id, targets and logits; in its schema labels and thresholds."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from goemotions.data.labels import Labels
from goemotions.data.splits import Split

if TYPE_CHECKING:
    from pyarrow import Schema

_LABELS, _THRESHOLDS = b"goemotions", b"goemotions.thresholds"  # in the schema's metadata


def write(
    path: Path,
    read: dict[str, Split],
    logits: dict[str, NDArray[np.float32]],
    thresholds: NDArray[np.float64] | None,
) -> None:
    """Write splits of one dataset, by name, with their logits, [rows, labels].

    Args:
        thresholds: those that decide, as logits, [labels]; None in single-label data.
    """
    import pyarrow
    from pyarrow import parquet

    columns: dict[str, list[Any]] = {"split": [], "id": [], "targets": [], "logits": []}
    for name, split in read.items():
        columns["split"] += [name] * len(split.ids)
        columns["id"] += split.ids
        columns["targets"] += [np.flatnonzero(row) for row in split.targets]
        columns["logits"] += list(logits[name])
    labels = json.dumps(next(iter(read.values())).labels.content(), ensure_ascii=False)
    metadata = {_LABELS: labels.encode()}
    if thresholds is not None:
        metadata[_THRESHOLDS] = json.dumps(thresholds.tolist()).encode()
    table = pyarrow.table(columns).replace_schema_metadata(metadata)
    parquet.write_table(table, path)


def read_metadata(schema: "Schema") -> tuple[Labels, NDArray[np.float64] | None]:
    """The labels, and the thresholds that decided, as logits, [labels]; None in single-label data.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: no run wrote this.
    """
    written = schema.metadata or {}
    labels = Labels.parse(json.loads(written[_LABELS]))
    if labels.single:
        return labels, None
    thresholds = np.array(json.loads(written[_THRESHOLDS]), dtype=float)
    if thresholds.shape != (len(labels),):
        raise ValueError(f"there are no thresholds for {len(labels)} labels")
    return labels, thresholds

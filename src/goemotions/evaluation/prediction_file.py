"""predictions.parquet: each row's id, targets and logits, and in its schema the labels."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from goemotions.data.labels import Labels
from goemotions.data.splits import Split

if TYPE_CHECKING:
    from pyarrow import Schema

_KEY = b"goemotions"  # of the labels, in the schema's metadata


def write(path: Path, read: dict[str, Split], logits: dict[str, NDArray[np.float32]]) -> None:
    """Write splits of one dataset, by name, with their logits, [rows, labels]."""
    import pyarrow
    from pyarrow import parquet

    columns: dict[str, list[Any]] = {"split": [], "id": [], "targets": [], "logits": []}
    for name, split in read.items():
        columns["split"] += [name] * len(split.ids)
        columns["id"] += split.ids
        columns["targets"] += [np.flatnonzero(row) for row in split.targets]
        columns["logits"] += list(logits[name])
    labels = json.dumps(next(iter(read.values())).labels.content(), ensure_ascii=False)
    table = pyarrow.table(columns).replace_schema_metadata({_KEY: labels.encode()})
    parquet.write_table(table, path)


def read_labels(schema: "Schema") -> Labels | None:
    """The labels that were written with the rows; None in a file that older code wrote.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: these are no labels.
    """
    written = (schema.metadata or {}).get(_KEY)
    return None if written is None else Labels.parse(json.loads(written))

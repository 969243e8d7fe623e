"""teachers/<name>: the logits of other models for the training split, to learn from.

It holds logits.npz (`digests` of the texts, `labels` and `task`, text, and `logits`, float16
[rows, labels]), and teacher.json, which says where they came from.
"""

import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goemotions.data.splits import Split
from goemotions.errors import UserError, first_line
from goemotions.io import digests, publish
from goemotions.io.project import pulled_by

LOGITS = "logits.npz"
NONE = "none"  # the name that selects no teacher


def write(folder: Path, split: Split, logits: NDArray[np.floating], origin: dict[str, Any]) -> None:
    """Write a teacher's folder, completely or not at all.

    Args:
        split: the training split.
        logits: of its rows, [rows, labels].
        origin: what teacher.json holds.
    """
    with publish.published(folder) as draft:
        np.savez_compressed(
            draft / LOGITS,
            digests=np.array(_digests(split)),
            labels=np.array(split.labels.names),
            task=np.array(split.labels.task),
            logits=logits.astype(np.float16),
        )
        digests.write_json(draft / "teacher.json", origin)


def read(folder: Path, split: Split) -> NDArray[np.float32]:
    """The teacher's logits for rows of the training split, [rows, labels], in the rows' order.

    Raises:
        UserError: there is no such teacher, or it knows other labels or another task, or lacks
            some of the texts.
    """
    path = folder / LOGITS
    if not path.is_file():
        if pull := pulled_by(path):
            raise UserError(f"{path} does not exist; DVC tracks it, so `{pull}` brings it")
        known = sorted(file.parent.name for file in folder.parent.glob(f"*/{LOGITS}"))
        raise UserError(
            f"teacher is {folder.name!r}, and {path} does not exist; make it with `goemotions "
            f"teach {folder.name} EXPERIMENT`, or choose one of {', '.join([NONE, *known])}"
        )
    try:
        with np.load(io.BytesIO(path.read_bytes())) as content:
            parts = ("digests", "labels", "task", "logits")
            known, labels, task, logits = (content[part] for part in parts)
        if logits.shape != (len(known), len(labels)) or not np.isfinite(logits).all():
            raise ValueError(f"its logits are not {len(known)} x {len(labels)} finite numbers")
    except Exception as error:  # whatever damaged bytes make numpy and zipfile raise
        raise UserError(
            f"{path} is damaged ({first_line(error)}); make it again with `goemotions teach "
            f"{folder.name} EXPERIMENT`"
        ) from None
    if tuple(labels.tolist()) != split.labels.names:
        raise UserError(
            f"{path} is for the labels {', '.join(labels[:5].tolist())}..., and the training split "
            "has others; make a teacher from experiments on the selected dataset"
        )
    if task.item() != split.labels.task:
        raise UserError(
            f"{path} was made from {task.item()} data, and the training split is "
            f"{split.labels.task}; make a teacher from experiments on the selected dataset"
        )
    places = {digest: place for place, digest in enumerate(known.tolist())}
    texts = _digests(split)
    missing = [row for row, text in zip(split.ids, texts, strict=True) if text not in places]
    if missing:
        raise UserError(
            f"{path} is missing the texts of {len(missing)} of {len(texts)} training rows, such as "
            f"{missing[0]!r}; make it again with `goemotions teach {folder.name} EXPERIMENT`"
        )
    return np.asarray(logits[[places[text] for text in texts]], dtype=np.float32)


def _digests(split: Split) -> list[str]:
    """Of each row's text, which is all that its logits depend on."""
    return [sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16] for text in split.texts]

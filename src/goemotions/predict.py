"""Labels and probabilities of texts, streamed from a file or given one by one."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from goemotions.errors import UserError
from goemotions.evaluation.inference import Classifier
from goemotions.thresholds import sigmoid

CHUNK = 10_000  # texts in memory at a time


def predict(
    texts: list[str], file: Path | None, output: Path | None, folder: Path, method: str | None
) -> None:
    """Classify the texts, or the lines of `file`, and write JSON Lines to `output` or a listing.

    An output file appears only once it is whole.

    Args:
        method: per_label, shrunk or global; None takes the one that the folder prefers.

    Raises:
        UserError: the folder or the file cannot be read, or the output cannot be written.
    """
    classifier = Classifier.load(folder)
    thresholds = classifier.thresholds[method or classifier.preferred]
    needed = dict(zip(classifier.labels, thresholds, strict=True))
    source: Iterable[str] = texts if file is None else _lines(file)
    results = _classify(classifier, thresholds, source, show=file is not None)
    if output is None:
        for result in results:
            line = json.dumps(result, ensure_ascii=False)
            print(_listing(result, needed) if file is None else line)
        return
    partial = output.with_name(f"{output.name}.partial")
    try:
        with partial.open("w", encoding="utf-8", errors="surrogatepass") as lines:
            for result in results:
                lines.write(json.dumps(result, ensure_ascii=False) + "\n")
        partial.replace(output)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)


def _classify(
    classifier: Classifier, thresholds: Any, texts: Iterable[str], *, show: bool
) -> Iterator[dict[str, Any]]:
    done = 0
    remaining = iter(texts)
    while chunk := list(islice(remaining, CHUNK)):
        caption = f"from text {done + 1:,}" if show else None
        probabilities = sigmoid(classifier.logits(chunk, progress=caption))
        done += len(chunk)
        for text, row in zip(chunk, probabilities, strict=True):
            by_label = zip(classifier.labels, row, row >= thresholds, strict=True)
            scored = sorted(((p, label, on) for label, p, on in by_label), reverse=True)
            yield {
                "text": text,
                "labels": [label for _, label, on in scored if on],
                "probabilities": {label: round(float(p), 6) for p, label, _ in scored},
            }


def _listing(result: dict[str, Any], needed: dict[str, float]) -> str:
    """The text, and below it each of its labels with its probability and the threshold."""
    chosen = result["labels"]
    listed = ", ".join(
        f"{label} {result['probabilities'][label]:.2f} (of {needed[label]:.2f} needed)"
        for label in chosen or list(result["probabilities"])[:2]
    )
    text = result["text"] or "(empty text)"
    return f"{text}\n  " + (listed if chosen else f"no label; nearest: {listed}")


def _lines(path: Path) -> Iterator[str]:
    number = 0
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for line in file:
                number += 1
                yield line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not UTF-8 after line {number}: {error.reason}; convert it, for example "
            f"with `iconv -t utf-8`"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if not number:
        print(f"{path} is empty: nothing to predict", file=sys.stderr)

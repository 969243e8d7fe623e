"""Labels and probabilities of texts, streamed from a file or given one by one."""

import glob
import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from goemotions.config.dataset_settings import FORMATS
from goemotions.data import table_files
from goemotions.errors import UserError, shows_unicode
from goemotions.evaluation.trained import Classifier
from goemotions.io import digests
from goemotions.io.locks import HeldError, take
from goemotions.metrics.f1 import sigmoid
from goemotions.network.inference import Precision

CHUNK = 4096  # texts in memory at a time; they are sorted by length among themselves


def run(
    texts: list[str],
    file: Path | None,
    output: Path | None,
    folder: Path,
    *,
    column: str | None = None,
    method: str | None = None,
    precision: Precision = "fp32",
) -> None:
    """Classify the texts, or those in `file`, and write JSON Lines to `output` or a listing.

    An output file appears only once it is complete. Until then its lines are beside it in a hidden
    file, named after all that determines them; the same command resumes from there.

    Args:
        file: with a text on each line, or a table of which `column` has the texts.
        method: per_label, calibrated or global; None takes the one that the folder prefers, and
            is all that a folder for single-label data takes.
        precision: of the computation.

    Raises:
        UserError: the folder or the file cannot be read, or the output cannot be written.
    """
    _check_files(file, output, column)
    classifier = Classifier.load(folder, precision)
    if classifier.single and method is not None:
        raise UserError(
            f"--thresholds is {method!r}, and {folder} gives each text exactly one label, the most "
            "probable one, without thresholds; leave --thresholds out"
        )
    thresholds = classifier.chosen(method)
    if file is not None and column is not None:
        texts = table_files.texts_in(str(file), _bytes(file), column)
    if file is not None and column is None:
        source, total = _lines(file), sum(1 for _ in _lines(file))
    else:
        source, total = iter(texts), len(texts)
    if not total:
        print(f"{file} is empty: nothing to predict", file=sys.stderr)
    with tqdm(total=total, unit="text", disable=file is None or not total) as bar:
        results = _classify(classifier, thresholds, source, bar)
        if output is not None:
            key = _key(thresholds, precision, folder, texts, file)
            output = output.resolve() if output.is_symlink() else output  # the link stays
            partial = output.with_name(f".{output.name}.{key}.partial")
            _write(output, partial, source, bar, results)
        elif file is not None:
            for result in results:
                print(json.dumps(result, ensure_ascii=not shows_unicode()))
        else:
            needed: dict[str, float] = {}
            if thresholds is not None:
                needed = dict(zip(classifier.labels, sigmoid(thresholds), strict=True))
            for result in results:
                print(_listing(result, needed))


def _write(
    output: Path,
    partial: Path,
    source: Iterator[str],
    bar: Any,
    results: Iterator[dict[str, Any]],
) -> None:
    """Write results to an output, from where `partial` ends.

    Args:
        output: appears once it is complete.
        partial: has the lines until then, and those of an interrupted run.
        source: the texts that `results` reads; those that are done are skipped.
        bar: counts them.
        results: of the texts that `source` has left.

    Raises:
        UserError: another process writes the same, or the output cannot be written.
    """
    try:
        with (  # locked first: until then, another process may rename the file
            take(partial),
            partial.open("a", encoding="utf-8", errors="surrogatepass", newline="\n") as lines,
        ):
            bar.update(sum(1 for _ in islice(source, _whole_lines(partial))))
            for result in results:
                lines.write(json.dumps(result, ensure_ascii=False) + "\n")
            lines.flush()
            partial.replace(output)
        every = f".{glob.escape(output.name)}.{'[0-9a-f]' * 12}.partial"
        for stale in output.parent.glob(every):
            # Another process may still write it, or it is another user's.
            with suppress(HeldError, OSError), take(stale):
                stale.unlink()
    except KeyboardInterrupt:
        continued = "has the results so far; run the same command to continue"
        print(f"\n{partial} {continued}", file=sys.stderr)
        raise
    except HeldError as held:
        raise UserError(f"another process writes {output}; wait for it{held}") from None
    except OSError as error:
        raise UserError(f"cannot write {error.filename or output}: {error.strerror}") from None


def _check_files(file: Path | None, output: Path | None, column: str | None) -> None:
    """Raise UserError where the texts could not be read twice or the output not be written."""
    if column is not None and (file is None or file.suffix.lower() not in FORMATS):
        raise UserError(f"--column is for a --file that ends in {', '.join(FORMATS)}")
    if file is not None and column is None and file.suffix.lower() in FORMATS:
        raise UserError(f"--file is {str(file)!r}, a table; name the column of texts with --column")
    if output is not None and output.exists() and not output.is_file():
        raise UserError(f"--output is {str(output)!r}, which is not a regular file; name a file")
    if file is not None and file.exists() and not file.is_file():  # it is read twice
        raise UserError(
            f"--file is {str(file)!r}, which is not a regular file; save the texts in a file"
        )
    if output and file and output.exists() and file.exists() and output.samefile(file):
        raise UserError(f"--output is {str(output)!r}, which --file reads; name another file")


def _key(
    thresholds: Any,
    precision: Precision,
    folder: Path,
    texts: list[str],
    file: Path | None,
) -> str:
    """What determines an output, in twelve characters."""
    state = file.stat() if file else None
    of_input = (str(file), state.st_size, state.st_mtime_ns, texts) if state else texts
    # The model was checked against its manifest, which has the digest of every file.
    content = ((folder / digests.MANIFEST).read_bytes(), precision, of_input)
    return hashlib.sha256(
        repr(content).encode("utf-8", "replace")
        + (b"" if thresholds is None else thresholds.tobytes())
    ).hexdigest()[:12]


def _whole_lines(partial: Path) -> int:
    """How many lines an unfinished output has, after a last one that was cut is removed."""
    count, size = 0, 0
    with suppress(FileNotFoundError), partial.open("r+b") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                count, size = count + 1, size + len(line)
        lines.truncate(size)
    return count


def _classify(
    classifier: Classifier, thresholds: Any, texts: Iterator[str], bar: Any
) -> Iterator[dict[str, Any]]:
    while chunk := list(islice(texts, CHUNK)):
        logits = classifier.logits(chunk, advance=bar.update)
        answers = classifier.answers(logits, thresholds)
        for text, answer in zip(chunk, answers, strict=True):
            yield {"text": text, **answer}


def _listing(result: dict[str, Any], needed: dict[str, float]) -> str:
    """The text, and below it each of its labels with its probability and any threshold."""
    chosen = result["labels"]
    listed = ", ".join(
        f"{label} {result['probabilities'][label]:.3f}"
        + (f" (threshold {needed[label]:.3f})" if needed else "")
        for label in chosen or list(result["probabilities"])[:2]
    )
    text = result["text"] or "(empty text)"
    return f"{text}\n  " + (listed if chosen else f"no label; nearest: {listed}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _lines(path: Path) -> Iterator[str]:
    number = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        with path.open("rb") as file:
            table_files.refuse_what_is_no_table(str(path), file.read(1000), "csv")
        raise UserError(
            f"{path}, line {number} is not UTF-8: {error.reason}; convert the file, for example "
            "with `iconv -f cp1252 -t utf-8` if it was written on Windows"
        ) from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None

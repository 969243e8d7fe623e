"""How the time and memory of reading own texts grow with rows and labels."""

import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from goemotions.config import parse_dataset
from goemotions.config.dataset_settings import Table as Entry
from goemotions.data import splits
from goemotions.data.texts import read_texts
from goemotions.errors import UserError

GRID = (
    (10, 2), (1_000, 28), (10_000, 28), (100_000, 28), (1_000_000, 28),
    (100_000, 2), (100_000, 500), (100_000, 5_000),
)  # fmt: skip


def run() -> None:
    """Print, for each size, the time beside a plain pass of Python's csv reader, and the memory."""
    table = Table("rows", "labels", "seconds", "times a csv pass", "peak memory, MiB")
    for rows, labels in GRID:
        done = subprocess.run(  # this very module, so that each peak is its own
            [sys.executable, "-m", "benchmarks.reading", str(rows), str(labels)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise UserError(f"{rows} rows, {labels} labels failed:\n{done.stderr[-2000:]}")
        found = json.loads(done.stdout)
        table.add_row(
            f"{rows:,}",
            f"{labels:,}",
            f"{found['seconds']:.2f}",
            f"{found['ratio']:.1f}",
            f"{found['peak']:.0f}",
        )
        Console(stderr=True).print(f"{rows:,} rows, {labels:,} labels: done")
    Console().print(table)


def measure(rows: int, labels: int) -> dict[str, float]:
    """Read a made-up CSV file of texts of about 80 characters with one to three labels each."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "all.csv")
        _make(path, rows, labels)
        start = time.perf_counter()
        with path.open(newline="", encoding="utf-8") as file:
            passed = sum(1 for _ in csv.reader(file, strict=True))
        plain = time.perf_counter() - start
        assert passed == rows + 1
        entry = parse_dataset(
            {
                "source": "files",
                "files": "all.csv",
                "id": "id",
                "text": "text",
                "labels": {"column": "labels", "separator": "|"},
                "split": {"val": 0.1, "test": 0.1},
            }
        )
        assert isinstance(entry, Entry)
        start = time.perf_counter()
        texts = read_texts("made", entry, lambda file: path.read_bytes())
        for part in texts.rows.values():
            splits.encode(part)
        seconds = time.perf_counter() - start
    # Linux's own count: getrusage's begins with the peak of the parent, which has imported torch.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 2**10
    return {"seconds": seconds, "ratio": seconds / plain, "peak": peak}


def _make(path: Path, rows: int, labels: int) -> None:
    rng = random.Random(0)
    words = [f"word{n}" for n in range(5000)]
    # Few labels are frequent and many are rare; each has three rows at least where there is room.
    weights = [1 / (n + 1) for n in range(labels)]
    names = [f"label{n}" for n in range(labels)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "labels"])
        for number in range(rows):
            chosen = rng.choices(names, weights, k=rng.choice((1, 1, 2, 3)))
            chosen.append(names[number % labels]) if number < 3 * labels else None
            text = " ".join(rng.choices(words, k=11))
            writer.writerow([number, text, "|".join(dict.fromkeys(chosen))])


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))

"""Measure this project's training and inference beside transformers' usual ones.

Every measurement is a process of its own, on the same rows with the same seed and threads. The
contenders take turns, round after round, so that what else the machine does meets all of them;
the table shows medians. What is done is written at once, so an interrupt loses one measurement.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import contenders, distributed, models, reading, report, scaling
from benchmarks.contenders import INFERENCE, REFERENCE, TRAINING, Task
from goemotions import config
from goemotions.errors import UserError, reported
from goemotions.io import digests


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--models", default="minilm-l6,deberta-v3-6x768", help=f"of {', '.join(models.NAMES)}"
    )
    parser.add_argument("--rounds", type=int, default=3, help="default %(default)s")
    parser.add_argument("--rows", type=int, default=512, help="to train on; thrice that to predict")
    parser.add_argument(
        "--only", action="append", metavar="CONTENDER", help="and what ratios are to; repeatable"
    )
    parser.add_argument("--scaling", action="store_true", help="only how cost grows with work")
    parser.add_argument("--no-scaling", action="store_true", help="without it")
    parser.add_argument("--output", type=Path, default=Path("metrics/bench.json"))
    parser.add_argument("--distributed", action="store_true", help="1 against 2 processes instead")
    parser.add_argument("--reading", action="store_true", help="only reading texts of your own")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a Task as JSON: measure, print, end
    options = parser.parse_args()
    if options.one:
        print(json.dumps(contenders.measure(Task(**json.loads(options.one)))))
        return
    if options.reading:
        reading.run()
        return
    settings = config.load()
    data = Path("data/goemotions/train.jsonl")
    if not data.is_file():
        raise UserError(f"{data} does not exist; run `dvc repro fetch_dataset`")
    if unknown := set(options.models.split(",")) - set(models.NAMES):
        known = ", ".join(models.NAMES)
        raise UserError(f"--models has {', '.join(sorted(unknown))}; known: {known}")
    if unknown := set(options.only or ()) - {*TRAINING, *INFERENCE}:
        known = ", ".join([*TRAINING, *INFERENCE])
        raise UserError(f"--only has {', '.join(sorted(unknown))}; known: {known}")
    if options.distributed:
        distributed.run(settings, data, options.rows, options.rounds)
        return
    found: dict[str, Any] = _kept(options.output) if options.scaling else {}
    found.setdefault("contenders", {})
    found["machine"] = report.machine()
    if not options.scaling:
        found["rows"], found["rounds"] = options.rows, options.rounds
        with tempfile.TemporaryDirectory() as temporary:
            for name in options.models.split(","):
                folder = models.folder(name, settings, Path(temporary))
                for kind, every in (("training", TRAINING), ("inference", INFERENCE)):
                    rows = options.rows * (1 if kind == "training" else 3)
                    chosen = options.only or every
                    tasks = [
                        Task(kind, contender, str(folder), str(data), rows)
                        for contender in every
                        if contender in (*REFERENCE.values(), *chosen)
                    ]
                    found["contenders"][f"{kind}, {name}"] = _take_turns(options.rounds, tasks)
                    digests.write_json(options.output, found)
                    report.plot(found, options.output.with_suffix(".svg"))
    if not options.no_scaling:
        found["scaling"] = scaling.run(settings)
        digests.write_json(options.output, found)
    report.show(found)


def _kept(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return content


def _take_turns(rounds: int, tasks: list[Task]) -> dict[str, dict[str, float]]:
    """The contenders' medians over the rounds.

    With `ratio`, the speed against the reference, and `share_of_peak`, against the highest of the
    matrix-product rates that the processes measured, since a single one is mostly noise.
    """
    runs: dict[str, list[dict[str, float]]] = {task.contender: [] for task in tasks}
    for number in range(rounds):
        for task in tasks:
            done = subprocess.run(  # this very program
                [sys.executable, "-m", "benchmarks", "--one", json.dumps(task.__dict__)],
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise UserError(f"{task.contender} failed:\n{done.stderr[-2000:]}")
            measured = json.loads(done.stdout.splitlines()[-1])
            runs[task.contender].append(measured)
            print(
                f"round {number + 1} of {rounds}: {task.kind}, {Path(task.folder).name}, "
                f"{task.contender}: {measured['examples_per_second']:.1f} examples/s",
                flush=True,
            )
    medians = {
        contender: {key: statistics.median(run[key] for run in measured) for key in measured[0]}
        for contender, measured in runs.items()
    }
    reference = medians[REFERENCE[tasks[0].kind]]["examples_per_second"]
    peak = max(run["peak_flops"] for measured in runs.values() for run in measured)
    for row in medians.values():
        del row["peak_flops"]
        row["share_of_peak"] = row.pop("flops") / peak
        row["ratio"] = row["examples_per_second"] / reference
    return medians


if __name__ == "__main__":
    with reported():
        main()

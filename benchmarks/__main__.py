"""Compare this project's speed in training and prediction with the usual alternatives.

Each measurement is a process of its own, on the same rows with the same seed and threads. The
contenders take turns, so that other load on the machine affects all of them; tables show medians.
Each result is saved at once, so an interrupt loses one measurement. At the end the tables of
docs/performance.md are rewritten.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import (
    commands,
    distributed,
    inference,
    load,
    machine,
    models,
    reading,
    report,
    scaling,
    training,
)
from goemotions import config
from goemotions.errors import UserError, reported
from goemotions.io import digests
from goemotions.training.trainer import uses_bf16

# Seconds that a training is watched for, and texts that are predicted: more where a step is long.
SECONDS = {"minilm-l6": 6.0, "deberta-v3-6x768": 8.0, "mpnet-12x768": 10.0}
TEXTS = {"minilm-l6": 1536, "deberta-v3-6x768": 512}
PARTS = {
    "minilm-l6": ("fp32", "bf16"),
    "deberta-v3-6x768": ("fp32", "bf16"),
    "mpnet-12x768": ("bf16",),
}
DOCUMENT = Path("docs/performance.md")


@dataclass(frozen=True)
class Task:
    """One measurement.

    Attributes:
        kind: "training", "inference" or "parts", of a training step.
        contender: of the kind; of parts, the precision.
        folder: a base model, or for inference what training would write.
        data: the training split.
        amount: seconds to train for, or texts to predict.
        seed: of the rows.
    """

    kind: str
    contender: str
    folder: str
    data: str
    amount: float
    seed: int

    def measure(self) -> Any:
        folder, data = Path(self.folder), Path(self.data)
        if self.kind == "training":
            return training.measure(self.contender, folder, data, self.amount, self.seed)
        if self.kind == "parts":
            return training.parts(folder, data, self.amount, self.contender, self.seed)
        return inference.measure(self.contender, folder, data, int(self.amount), self.seed)

    def run(self) -> Any:
        """`measure` in a process of its own."""
        command = [sys.executable, "-m", "benchmarks", "--one", json.dumps(asdict(self))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"{self.kind}, {self.contender} failed:\n{done.stderr[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    options = _options()
    if options.one:
        print(json.dumps(Task(**json.loads(options.one)).measure()))
        return
    if options.tables:
        report.write(json.loads(options.output.read_text(encoding="utf-8")), DOCUMENT)
        return
    if options.reading:
        reading.run()
        return
    data = Path("data/goemotions/train.jsonl")
    if not data.is_file():
        raise UserError(f"{data} does not exist; run `dvc repro fetch_dataset`")
    if options.load:
        load.run(config.load(), data, options.rounds, options.trained)
        return
    if options.distributed:
        distributed.run(config.load(), data, rows=512, rounds=options.rounds)
        return
    start = time.monotonic()
    found: dict[str, Any] = {"machine": machine.name(), "rounds": options.rounds}
    with tempfile.TemporaryDirectory() as temporary:
        for section in _sections(options, data, Path(temporary)):
            found |= section
            found["minutes"] = round((time.monotonic() - start) / 60, 1)
            digests.write_json(options.output, found)
    report.plot(found, options.output.with_suffix(".svg"))
    report.show(found)
    if options.output == Path("metrics/bench.json"):
        report.write(found, DOCUMENT)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--models",
        default=",".join(SECONDS),
        help=f"of {', '.join(models.NAMES)} (default: %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=3, help="default %(default)s")
    parser.add_argument("--output", type=Path, default=Path("metrics/bench.json"))
    parser.add_argument(
        "--trained", type=Path, metavar="FOLDER", help="also score this model in each precision"
    )
    others = parser.add_mutually_exclusive_group()
    others.add_argument(
        "--tables", action="store_true", help=f"only write {DOCUMENT}'s tables from the file"
    )
    others.add_argument(
        "--distributed", action="store_true", help="only 1 process against 2, for training"
    )
    others.add_argument("--load", action="store_true", help="only `goemotions serve` under load")
    others.add_argument("--reading", action="store_true", help="only reading texts of your own")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a Task as JSON: measure, print, end
    options = parser.parse_args()
    if unknown := set(options.models.split(",")) - set(models.NAMES):
        known = ", ".join(models.NAMES)
        raise UserError(f"--models has {', '.join(sorted(unknown))}; known: {known}")
    if options.rounds < 1:
        raise UserError(f"--rounds is {options.rounds}; it must be at least 1")
    return options


def _sections(options: argparse.Namespace, data: Path, here: Path) -> Any:
    """What the bench finds, one part of its file after the other, each as often as it grows."""
    settings, chosen, rounds = config.load(), options.models.split(","), options.rounds
    bases = {name: models.folder(name, settings, here) for name in chosen}
    contenders: dict[str, Any] = {}
    for name, base in bases.items():
        tasks = [
            Task("training", contender, str(base), str(data), SECONDS.get(name, 10.0), 0)
            for contender in training.CONTENDERS
            if _worth_it(contender, name)
        ]
        contenders[f"training, {name}"] = _take_turns(tasks, training.REFERENCE, rounds)
        yield {"contenders": contenders}
    for name, texts in TEXTS.items():
        if name not in bases:
            continue
        folder = models.trained(bases[name], models.some(data, 1000), here / f"trained-{name}")
        if not torch.cuda.is_available():
            inference.export(folder)
        tasks = [
            Task("inference", contender, str(folder), str(data), texts, 0)
            for contender in inference.CONTENDERS
            if _worth_it(contender, name)
        ]
        contenders[f"inference, {name}"] = _take_turns(tasks, inference.REFERENCE, rounds)
        yield {"contenders": contenders}
    if options.trained:
        yield {"scores": inference.scores(options.trained, data.with_name("test.jsonl"))}
    yield {
        "parts": {
            f"{name}, {precision}": Task("parts", precision, str(base), str(data), 6.0, 1).run()
            for name, base in bases.items()
            for precision in PARTS.get(name, ("bf16",))
            # The profiler measures CPUs only.
            if (precision != "bf16" or uses_bf16("auto")) and not torch.cuda.is_available()
        }
    }
    if "minilm-l6" in bases:
        trained = here / "trained-minilm-l6"
        yield {
            "start-up, seconds": {
                command: statistics.median(commands.seconds(command, trained) for _ in range(5))
                for command in commands.COMMANDS
            }
        }
        ours = "ours, bf16" if uses_bf16("auto") else "ours"
        task = Task("training", ours, str(bases["minilm-l6"]), str(data), 6.0, 1)
        rates: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for trainings, measured in rates.items():
                measured.append(sum(commands.side_by_side(trainings, json.dumps(asdict(task)))))
        one, two = map(statistics.median, rates.values())
        yield {"two trainings side by side, throughput against one": two / one}
    yield {"scaling": scaling.run(settings)}


def _precision(contender: str) -> str:
    return contender[-4:] if contender.endswith(("bf16", "int8")) else "fp32"


def _worth_it(contender: str, model: str) -> bool:
    if "bf16" in contender and not uses_bf16("auto"):
        return False  # it would be emulated
    if torch.cuda.is_available() and ("ONNX" in contender or "int8" in contender):
        return False  # they are for CPUs here
    if "sentence-transformers" in contender or "gradient checkpointing" in contender:
        return model == "minilm-l6"  # which the one was made for, and the other matters to
    if model == "mpnet-12x768":  # its steps are long
        return "bf16" in contender or contender in ("ours", training.REFERENCE)
    return True


def _take_turns(tasks: list[Task], reference: str, rounds: int) -> dict[str, dict[str, float]]:
    """The contenders' medians over the rounds.

    With `ratio`, the speed in real tokens against the reference, and `share_of_peak`, against the
    highest of the matrix-product rates that the processes measured in the same precision, since a
    single one is mostly noise; 0 for 8 bits, where it is not known.
    """
    runs: dict[str, list[dict[str, float]]] = {task.contender: [] for task in tasks}
    for number in range(rounds):
        for task in tasks:
            measured = Task(**asdict(task) | {"seed": number}).run()
            runs[task.contender].append(measured)
            print(
                f"round {number + 1} of {rounds}: {task.kind}, {Path(task.folder).name}, "
                f"{task.contender}: {measured['tokens_per_second']:,.0f} tokens/s",
                flush=True,
            )
    medians = {
        contender: {key: statistics.median(run[key] for run in measured) for key in measured[0]}
        for contender, measured in runs.items()
    }
    for contender, row in medians.items():
        same = [other for other in runs if _precision(other) == _precision(contender)]
        peak = max(run["product_rate"] for other in same for run in runs[other])
        row["ratio"] = row["tokens_per_second"] / medians[reference]["tokens_per_second"]
        row["share_of_peak"] = row["operations_per_second"] / peak if peak else 0.0
        del row["operations_per_second"], row["product_rate"]
    return medians


if __name__ == "__main__":
    with reported():
        main()

"""`make bench`: this project's training and inference beside transformers' usual ones.

Every measurement is a process of its own, on the same rows with the same seed and threads. The
contenders take turns, round after round, so that what else the machine does meets all of them;
the table shows medians. Numbers of real tokens only are counted, never padding.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import TrainerCallback

from goemotions import files, params
from goemotions.base_model import cache, scratch
from goemotions.dataset import sample, splits
from goemotions.errors import UserError, reported
from goemotions.evaluation.inference import Classifier
from goemotions.labels import LABELS
from goemotions.quiet import quiet
from goemotions.training import batching, losses, model, short_text, trainer
from goemotions.training.batching import Collator, Rows
from goemotions.training.vocabulary import Vocabulary

REFERENCE = "Trainer, dynamic"  # what ratios are to
TRAINING: dict[str, dict[str, Any]] = {
    "Trainer, to 128": {"padding": 128},
    REFERENCE: {},
    "Trainer, grouped": {"grouped": True},
    "ours": {"ours": True},
    "ours, plain attention": {"ours": True, "short_text": False},
    "ours, ungrouped": {"ours": True, "grouped": False},
    "ours, whole vocabulary": {"ours": True, "vocabulary": False},
    "ours, no average": {"ours": True, "average": False},
}
BATCHED = "pipeline, 32"
INFERENCE = {"pipeline, 1": 1, BATCHED: 32, "ours": 0}
MODELS = ("minilm-l6", "deberta-v3-6x768", "deberta-v3-large")


@dataclass(frozen=True)
class Task:
    """One measurement: a contender on a model folder and a number of rows."""

    kind: str
    contender: str
    folder: str
    data: str
    rows: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m goemotions.bench", description=__doc__)
    parser.add_argument("--models", default="minilm-l6,deberta-v3-6x768", help=f"of {MODELS}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=640, help="rows that each one trains on")
    parser.add_argument(
        "--only", action="append", metavar="CONTENDER", help="and what ratios are to; repeatable"
    )
    parser.add_argument("--output", type=Path, default=Path("metrics/bench.json"))
    parser.add_argument("--distributed", action="store_true", help="1 against 2 processes instead")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # a Task as JSON: measure, print, end
    options = parser.parse_args()
    if options.one:
        print(json.dumps(_measure(Task(**json.loads(options.one)))))
        return
    settings = params.load()
    data = Path("data/goemotions/train.jsonl")
    if not data.is_file():
        raise UserError(f"{data} is not there; run `dvc repro fetch_dataset`")
    if options.distributed:
        _distributed(options, settings, data)
        return
    report: dict[str, Any] = {
        "machine": _machine(),
        "rows": options.rows,
        "rounds": options.rounds,
    }

    def keep(title: str, content: Any) -> None:  # at once, so that an interrupt leaves the rest
        report[title] = content
        files.write_json(options.output, report)
        _plot(report, options.output.with_suffix(".svg"))

    with tempfile.TemporaryDirectory() as temporary:
        for name in options.models.split(","):
            folder = _model_folder(name, settings, Path(temporary))
            for kind, contenders in (("training", TRAINING), ("inference", INFERENCE)):
                rows = options.rows * (1 if kind == "training" else 2)
                tasks = [
                    Task(kind, contender, str(folder), str(data), rows)
                    for contender in contenders
                    if contender in (REFERENCE, BATCHED, *(options.only or contenders))
                ]
                keep(f"{kind}, {name}", _take_turns(options.rounds, tasks))
    keep("scaling", _scaling(settings))
    _show(report)


def _distributed(options: argparse.Namespace, settings: params.Params, data: Path) -> None:
    """Throughput of stages/train.py with one process and with two that share the cores or GPUs."""
    stage = Path("stages/train.py").resolve()
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        cache.cache("minilm-l6", settings.models["minilm-l6"], here / "models/minilm-l6")
        raw = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        raw.update(loss="bce", model="minilm-l6", dataset="goemotions")
        (here / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        (here / "data/goemotions").mkdir(parents=True)
        lines = data.read_text(encoding="utf-8").splitlines(keepends=True)
        for split, part in (("train", lines[: options.rows]), ("val", lines[-100:])):
            (here / f"data/goemotions/{split}.jsonl").write_text("".join(part), encoding="utf-8")
        runs: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(options.rounds):
            for processes, found in runs.items():
                threads = max(1, (os.cpu_count() or 1) // processes)
                command = (
                    f"-m torch.distributed.run --nproc_per_node={processes} {stage} --loss bce"
                )
                done = subprocess.run(  # noqa: S603
                    [sys.executable, *command.split()],
                    cwd=here,
                    env=os.environ | {"OMP_NUM_THREADS": str(threads)},
                    capture_output=True,
                    text=True,
                )
                if done.returncode:
                    raise UserError(f"{processes} processes failed:\n{done.stderr[-2000:]}")
                summary = json.loads((here / "metrics/training/bce/summary.json").read_text())
                found.append(summary["examples_per_second"])
                print(f"{processes} process(es), {threads} threads each: {found[-1]:.1f} rows/s")
    one, two = (statistics.median(found) for found in runs.values())
    print(f"{_machine()}: two processes have {two / one:.2f} times the throughput of one")


def _scaling(settings: params.Params) -> dict[str, dict[int, float]]:
    """How cost grows with work, on the two-layer model: seconds, or tokens a second by length.

    A line that is straight through the origin has the same figure a unit everywhere.
    """
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    found: dict[str, dict[int, float]] = {
        "training, rows/s by rows": {},
        "prediction, texts/s by texts": {},
        "training, tokens/s by length, transformers": {},
        "training, tokens/s by length, ours": {},
    }
    recipe = settings.recipes["deberta-v3-tiny"]
    with tempfile.TemporaryDirectory() as temporary, quiet():
        folder = Path(temporary, "tiny")
        cache.cache("deberta-v3-tiny", settings.models["deberta-v3-tiny"], folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        generated = sample.generate(0, {"train": 43_410, "val": 1, "test": 1})["train"]
        texts = [row.text for row in generated]
        targets = np.zeros((len(texts), len(LABELS)), dtype=bool)
        for index, row in enumerate(generated):
            targets[index, row.labels] = True
        for count in (5_000, 10_000, 20_000, 43_410):
            rows = Rows(tokenizer, texts[:count], targets[:count], 64)
            arguments = trainer.arguments(settings.train, recipe, Path(temporary), 1, 1)
            arguments.num_train_epochs, arguments.eval_strategy = 1, "no"
            arguments.disable_tqdm = True
            classifier = model.load(folder, recipe, targets)
            short_text.enable(classifier)
            loss = losses.build("bce", settings.losses["bce"], torch.ones(len(LABELS) + 1))
            collate = Collator(tokenizer.pad_token_id)
            loop = trainer.LossTrainer(
                classifier, arguments, loss, recipe, settings.train.batch_size, collate, rows, rows
            )
            start = time.perf_counter()
            loop.train()
            found["training, rows/s by rows"][count] = count / (time.perf_counter() - start)
        ours = Classifier(classifier.eval(), tokenizer, list(LABELS), {}, "", 64)
        for count in (10_000, 100_000, 1_000_000):
            start = time.perf_counter()
            for first in range(0, count, 4096):  # as `goemotions predict` reads a file
                ours.logits([texts[i % len(texts)] for i in range(first, min(count, first + 4096))])
            found["prediction, texts/s by texts"][count] = count / (time.perf_counter() - start)
        base = _model_folder("deberta-v3-6x768", settings, Path(temporary))
        for name in ("transformers", "ours"):
            classifier = AutoModelForSequenceClassification.from_pretrained(base, num_labels=28)
            if name == "ours":
                short_text.enable(classifier)
            by_length = found[f"training, tokens/s by length, {name}"]
            for length in (8, 16, 32, 64, 128, 256, 512):
                ids = torch.randint(5, 30_000, (1024 // length, length))
                mask = torch.ones_like(ids)
                seconds = []
                for _ in range(3):
                    start = time.perf_counter()
                    classifier(input_ids=ids, attention_mask=mask).logits.sum().backward()
                    seconds.append(time.perf_counter() - start)
                by_length[length] = 1024 / statistics.median(seconds)
    return found


def _plot(report: dict[str, Any], path: Path) -> None:
    """The ratios as bars, in SVG."""
    bars = [
        (f"{title}: {contender}", row["ratio"])
        for title, rows in report.items()
        if isinstance(rows, dict) and title != "scaling"
        for contender, row in rows.items()
    ]
    widest = max(ratio for _, ratio in bars)
    lines = [
        f'<text x="330" y="{24 * n + 17}" text-anchor="end">{name}</text>'
        f'<rect x="340" y="{24 * n + 4}" width="{400 * ratio / widest:.1f}" height="16" '
        f'fill="{"#0b6e4f" if ": ours" in name else "#8a8f98"}"/>'
        f'<text x="{346 + 400 * ratio / widest:.1f}" y="{24 * n + 17}">{ratio:.2f}</text>'
        for n, (name, ratio) in enumerate(bars)
    ]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {24 * len(bars) + 8}" '
        'font-family="sans-serif" font-size="12" role="img" aria-label="speed against the '
        'reference">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(lines)
        + "\n</svg>\n",
        encoding="utf-8",
    )


def _take_turns(rounds: int, tasks: list[Task]) -> dict[str, dict[str, float]]:
    """The contenders' medians over the rounds, with `ratio`, the speed against the reference."""
    runs: dict[str, list[dict[str, float]]] = {task.contender: [] for task in tasks}
    for number in range(rounds):
        for task in tasks:
            done = subprocess.run(  # noqa: S603  # this very program
                [sys.executable, "-m", __spec__.name, "--one", json.dumps(task.__dict__)],
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
    reference = medians[REFERENCE if REFERENCE in medians else BATCHED]["examples_per_second"]
    for row in medians.values():
        row["ratio"] = row["examples_per_second"] / reference
    return medians


def _model_folder(name: str, settings: params.Params, parent: Path) -> Path:
    """A base model: MiniLM, or a DeBERTa-v3 with fresh weights and MiniLM's tokenizer."""
    from transformers import AutoTokenizer, DebertaV2Config, DebertaV2Model

    minilm = parent / "minilm-l6"
    if not minilm.is_dir():
        cache.cache("minilm-l6", settings.models["minilm-l6"], minilm)
    if name == "minilm-l6":
        return minilm
    layers, width, heads = {"deberta-v3-6x768": (6, 768, 12), "deberta-v3-large": (24, 1024, 16)}[
        name
    ]
    config = DebertaV2Config(
        vocab_size=128100,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        **scratch.DEBERTA_V3,
    )
    torch.manual_seed(0)
    with quiet():
        DebertaV2Model(config).save_pretrained(parent / name)
        AutoTokenizer.from_pretrained(minilm).save_pretrained(parent / name)
    return parent / name


def _measure(task: Task) -> dict[str, float]:
    split = splits.read(Path(task.data))
    chosen = np.random.default_rng(0).permutation(len(split.ids))[: task.rows]
    texts, targets = [split.texts[row] for row in chosen], split.targets[chosen]
    peak = _matmul_flops()
    cuda = torch.cuda.is_available()
    if task.kind == "training":
        seconds, work, padding, lengths = _train(task, texts, targets)
    else:
        seconds, work, padding, lengths = _predict(task, texts)
    memory = (
        torch.cuda.max_memory_allocated()
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    return {
        "examples_per_second": len(texts) / seconds,
        "tokens_per_second": int(lengths.sum()) / seconds,
        "share_of_peak": work / seconds / peak,
        "peak_memory_gb": memory / 1e9,
        "padding": padding,
    }


class _Clock(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """The seconds from before the first step to after the last."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.start = time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self.start


def _train(task: Task, texts: list[str], targets: Any) -> tuple[float, float, float, Any]:
    from transformers import AutoTokenizer, set_seed

    settings = params.load()
    options = TRAINING[task.contender]
    name = Path(task.folder).name
    recipe = settings.recipes["minilm-l6" if name == "minilm-l6" else "deberta-v3-base"]
    tokenizer = AutoTokenizer.from_pretrained(task.folder)
    rows = Rows(tokenizer, texts, targets, settings.train.max_length)
    size = settings.train.batch_size
    counts = torch.tensor([*targets.sum(0), len(texts)])
    loss = losses.build("bce", settings.losses["bce"], counts)
    with tempfile.TemporaryDirectory() as temporary:
        arguments = trainer.arguments(settings.train, recipe, Path(temporary), 1, 1)
        arguments.num_train_epochs, arguments.eval_strategy = 1, "no"
        arguments.disable_tqdm = True
        set_seed(settings.train.seed)
        lengths = rows.lengths
        if options.get("ours"):
            classifier = model.load(Path(task.folder), recipe, targets)
            padding_id = tokenizer.pad_token_id
            if options.get("vocabulary", True):
                vocabulary = Vocabulary([rows], padding_id)
                vocabulary.shrink(classifier)
                padding_id = vocabulary.padding
            if options.get("short_text", True):
                short_text.enable(classifier)
            if not options.get("grouped", True):
                batching.POOL = 1  # sorts within a batch only
            if not options.get("average", True):
                recipe = params.Recipe(**(recipe.__dict__ | {"ema_decay": 0.0}))
            collate: Any = Collator(padding_id)
            loop: Any = trainer.LossTrainer(
                classifier, arguments, loss, recipe, size, collate, rows, rows
            )
        else:
            loop, collate = _plain_trainer(task, options, tokenizer, rows, arguments, size)
            classifier = loop.model
        padded = sum(batch["input_ids"].numel() for batch in loop.get_train_dataloader())
        clock = _Clock()
        loop.add_callback(clock)
        loop.train()
    return clock.seconds, 3 * _work(classifier.config, lengths), 1 - lengths.sum() / padded, lengths


def _plain_trainer(
    task: Task, options: dict[str, Any], tokenizer: Any, rows: Rows, arguments: Any, size: int
) -> tuple[Any, Any]:
    """transformers' text-classification recipe: its model, its collator, its Trainer."""
    from transformers import (
        AutoModelForSequenceClassification,
        DataCollatorWithPadding,
        Trainer,
    )

    with quiet():
        classifier = AutoModelForSequenceClassification.from_pretrained(
            task.folder,
            num_labels=len(LABELS),
            problem_type="multi_label_classification",
            dtype=torch.float32,
        )
    whole = options.get("padding")
    collate = DataCollatorWithPadding(
        tokenizer, padding="max_length" if whole else True, max_length=whole
    )
    arguments.per_device_train_batch_size = size
    if options.get("grouped"):
        arguments.train_sampling_strategy = "group_by_length"
    features = [
        {"input_ids": ids.tolist(), "attention_mask": [1] * len(ids), "labels": target.tolist()}
        for ids, target in zip(rows.input_ids, rows.targets, strict=True)  # type: ignore[arg-type]
    ]
    return Trainer(classifier, arguments, collate, train_dataset=features), collate


def _predict(task: Task, texts: list[str]) -> tuple[float, float, float, Any]:
    from transformers import AutoTokenizer, pipeline

    size = INFERENCE[task.contender]
    tokenizer = AutoTokenizer.from_pretrained(task.folder)
    lengths = Rows(tokenizer, texts, None, 64).lengths
    with quiet():
        classifier = model.load(
            Path(task.folder),
            params.load().recipes["deberta-v3-base"],  # no further layer for either side
            np.zeros((1, len(LABELS)), dtype=bool),
        ).eval()
    classifier.to("cuda" if torch.cuda.is_available() else "cpu")
    if size:
        usual = pipeline("text-classification", model=classifier, tokenizer=tokenizer, top_k=None)
        cut = {"truncation": True, "max_length": 64}
        start = time.perf_counter()
        usual(texts, batch_size=size, **cut)
        seconds = time.perf_counter() - start
        padded = sum(
            len(lengths[i : i + size]) * lengths[i : i + size].max()
            for i in range(0, len(texts), size)
        )
    else:
        short_text.enable(classifier)
        ours = Classifier(classifier, tokenizer, list(LABELS), {}, "", 64)
        start = time.perf_counter()
        ours.logits(texts)
        seconds = time.perf_counter() - start
        padded = sum(len(b) * lengths[b].max() for b in batching.by_tokens(lengths))
    return seconds, _work(classifier.config, lengths), 1 - lengths.sum() / padded, lengths


def _work(config: Any, lengths: Any) -> float:
    """Floating-point operations of a forward pass that the task needs, in matrix products.

    Products with weights and between tokens, for real tokens; of the last layer only what the
    first token's output needs. Embeddings, relative positions, norms and activations are left out.
    """
    width, inner = config.hidden_size, config.intermediate_size
    tokens = float(lengths.sum())
    weights = (config.num_hidden_layers - 1) * (4 * width + 2 * inner) + 2 * width
    between = (config.num_hidden_layers - 1) * 2 * width * float((lengths**2).sum())
    return float(2 * (weights * width * tokens + between))


def _matmul_flops() -> float:
    """The machine's matrix-product peak at this moment, in operations a second."""
    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if trainer.uses_bf16("auto") else torch.float32
    size = 8192 if cuda else 2048
    a = torch.randn(size, size, device="cuda" if cuda else "cpu", dtype=dtype)
    best = float("inf")
    for _ in range(6):
        start = time.perf_counter()
        a @ a
        if cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return float(2 * size**3 / best)


def _machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"CPU, {torch.get_num_threads()} threads, {capability}, torch {torch.__version__}"


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, rows in report.items():
        if not isinstance(rows, dict):
            continue
        if title == "scaling":
            for curve, points in rows.items():
                listed = ", ".join(f"{x:,}: {y:,.0f}" for x, y in points.items())
                console.print(f"{curve}: {listed}", soft_wrap=True)
            continue
        table = Table(title=f"{title}: {report['machine']}", title_justify="left")
        table.add_column("contender")
        for column in ("ratio", "rows/s", "tokens/s", "of peak", "GB", "padding"):
            table.add_column(column, justify="right")
        for contender, row in rows.items():
            table.add_row(
                contender,
                f"{row['ratio']:.2f}",
                f"{row['examples_per_second']:.1f}",
                f"{row['tokens_per_second']:,.0f}",
                f"{row['share_of_peak']:.2f}",
                f"{row['peak_memory_gb']:.2f}",
                f"{row['padding']:.1%}",
            )
        console.print(table)


if __name__ == "__main__":
    with reported():
        main()

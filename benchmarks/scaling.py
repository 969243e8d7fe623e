"""How cost grows with work: rows that are trained on, texts that are predicted, tokens per text.

A cost that is a straight line through the origin has the same rate everywhere.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import torch

from benchmarks import contenders, models
from goemotions import config
from goemotions.data import splits
from goemotions.data.fetch import fetch
from goemotions.data.splits import Split
from goemotions.errors import UserError
from goemotions.io import digests
from goemotions.io.silence import silenced
from goemotions.models import prepare
from goemotions.network import short_text
from goemotions.network.classifier import build_classifier

ROWS = (5_000, 10_000, 20_000, 43_410)
TEXTS = (10_000, 100_000, 1_000_000)
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
TOKENS = 1024  # of each batch, whatever its length

Rates = dict[int, float]


def run(settings: config.Params) -> dict[str, Rates]:
    """Rates by amount of work, and the memory that predicting takes."""
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        tiny = here / "deberta-v3-tiny"
        prepare.cache(tiny.name, settings.models[tiny.name], tiny)
        rows = {"train": max(ROWS), "val": 1, "test": 1}
        dataset = config.GeneratedDataset.model_validate(
            {"source": "generated", "seed": 0, "rows": rows}
        )
        fetch("sample", dataset, here / "sample")
        data = here / "sample" / "train.jsonl"
        split = splits.read(data)
        by_rows = {
            count: contenders.measure(
                contenders.Task("training", "ours", str(tiny), str(data), count)
            )["examples_per_second"]
            for count in ROWS
        }
        by_texts, memory = _predict(settings, tiny, split, here)
        base = models.fresh("deberta-v3-6x768", here)
        return {
            "training the two-layer model, rows/s by rows": by_rows,
            "`goemotions predict` with it, texts/s by texts": by_texts,
            "`goemotions predict` with it, peak GB by texts": memory,
            "a step of deberta-v3-6x768, tokens/s by length, transformers": _lengths(base, False),
            "a step of deberta-v3-6x768, tokens/s by length, ours": _lengths(base, True),
        }


def _predict(settings: config.Params, base: Path, split: Split, here: Path) -> tuple[Rates, Rates]:
    """The command itself, from a file to a file: texts a second and peak memory in GB."""
    folder = here / "trained"
    with silenced():
        build_classifier(base, settings.recipes[base.name], split).save_pretrained(folder)
    for path in base.glob("token*"):
        (folder / path.name).write_bytes(path.read_bytes())
    digests.write_json(
        folder / "thresholds.json",
        {
            "preferred": "global",
            "max_length": settings.train.max_length,
            "methods": {"global": {"probabilities": dict.fromkeys(split.labels.names, 0.5)}},
        },
    )
    digests.write_manifest(folder)
    rates, memory = {}, {}
    for count in TEXTS:
        source, output = here / "texts.txt", here / "predictions.jsonl"
        source.write_text("".join(f"{text}\n" for text in islice(cycle(split.texts), count)))
        command = ["-m", "goemotions.cli", "predict", "--model", str(folder)]
        start = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, *command, "--file", str(source), "--output", str(output)],
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if status:
            raise UserError(f"goemotions predict failed with {count} texts")
        rates[count] = count / (time.perf_counter() - start)
        memory[count] = used.ru_maxrss * contenders.MAXRSS / 1e9
    return rates, memory


def _lengths(base: Path, ours: bool) -> Rates:
    """Tokens per second of a forward and backward pass over TOKENS tokens, by tokens per text."""
    from transformers import AutoModelForSequenceClassification

    with silenced():
        classifier = AutoModelForSequenceClassification.from_pretrained(base)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    classifier.to(device)
    if ours:
        short_text.enable(classifier)
    rates = {}
    for length in LENGTHS:
        ids = torch.randint(5, 30_000, (TOKENS // length, length), device=device)
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            logits = classifier(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            logits.sum().backward()
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        rates[length] = TOKENS / statistics.median(seconds)
    return rates

"""How cost grows with work: rows that are trained on, texts that are predicted, tokens per text.

A cost that is a straight line through the origin has the same rate everywhere.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import torch

from benchmarks import machine, models
from goemotions import config
from goemotions.config.dataset_settings import GeneratedDataset
from goemotions.data import splits
from goemotions.data.fetch import fetch_dataset
from goemotions.data.splits import Split
from goemotions.errors import UserError
from goemotions.io.silence import silenced
from goemotions.models import prepare
from goemotions.network import short_text

TEXTS = (1_000, 10_000, 100_000, 400_000)
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
TOKENS = 1024  # of each batch, whatever its length

Rates = dict[int, float]


def run(settings: config.Params) -> dict[str, Rates]:
    """Rates by amount of work, and the memory that predicting takes."""
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        tiny = here / "deberta-v3-tiny"
        prepare.cache(tiny.name, settings.models[tiny.name], tiny)
        sample = {"source": "generated", "seed": 0, "rows": {"train": 5_000, "val": 1, "test": 1}}
        fetch_dataset("sample", GeneratedDataset.model_validate(sample), here / "sample")
        split = splits.read(here / "sample" / "train.jsonl")
        by_texts, memory = _predict(models.trained(tiny, split, here / "trained"), split, here)
        base = models.fresh("deberta-v3-6x768", here)
        return {
            "`goemotions predict` with the two-layer model, texts/s by texts": by_texts,
            "`goemotions predict` with the two-layer model, peak GB by texts": memory,
            "a step of deberta-v3-6x768, tokens/s by length, transformers": _lengths(base, False),
            "a step of deberta-v3-6x768, tokens/s by length, ours": _lengths(base, True),
        }


def _predict(folder: Path, split: Split, here: Path) -> tuple[Rates, Rates]:
    """The command itself, from a file to a file: texts a second and peak memory in GB."""
    rates, memory = {}, {}
    for count in TEXTS:
        source, output = here / "texts.txt", here / "predictions.jsonl"
        source.write_text("".join(f"{text}\n" for text in islice(cycle(split.texts), count)))
        command = ["-m", "goemotions.cli", "predict", "--model", str(folder)]
        start = time.perf_counter()
        command += ["--file", str(source), "--output", str(output)]
        done = subprocess.run(
            # Started from a small process, since a child's peak begins with its parent's.
            [sys.executable, "-c", _PEAK, *command],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise UserError(f"goemotions predict failed with {count} texts:\n{done.stderr}")
        rates[count] = count / (time.perf_counter() - start)
        memory[count] = int(done.stdout) * machine.MAXRSS / 1e9
    return rates, memory


_PEAK = """
import resource, subprocess, sys
subprocess.run([sys.executable, *sys.argv[1:]], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


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

        def step(ids: torch.Tensor = ids) -> None:
            logits = classifier(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            logits.sum().backward()

        rates[length] = TOKENS / statistics.median(machine.seconds(step, 3))
    return rates

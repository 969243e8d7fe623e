"""What is measured: one contender, on one model folder and a number of rows, in one process."""

import resource
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from goemotions import config
from goemotions.data import splits
from goemotions.data.splits import Split
from goemotions.evaluation.trained import Classifier
from goemotions.io.silence import silenced
from goemotions.network import batching, dropout, short_text
from goemotions.network.batching import Collator, Rows
from goemotions.network.classifier import build_classifier
from goemotions.network.vocabulary import Vocabulary
from goemotions.training import losses, trainer

TRAINING: dict[str, dict[str, Any]] = {
    "Trainer, to 128": {"padding": 128},
    "Trainer, dynamic": {},
    "Trainer, grouped": {"grouped": True},
    "ours": {"ours": True},
    "ours, transformers' attention": {"ours": True, "short_text": False},
    "ours, torch's dropout": {"ours": True, "dropout": False},
    "ours, ungrouped": {"ours": True, "grouped": False},
    "ours, whole vocabulary": {"ours": True, "vocabulary": False},
    "ours, no average": {"ours": True, "average": False},
}
INFERENCE = {"pipeline, 1": 1, "pipeline, 32": 32, "ours": 0}
MAXRSS = 1 if sys.platform == "darwin" else 1024  # bytes in the unit of ru_maxrss
REFERENCE = {"training": "Trainer, dynamic", "inference": "pipeline, 32"}  # what ratios are to


@dataclass(frozen=True)
class Task:
    """One measurement: a contender on a model folder and a number of rows."""

    kind: str
    contender: str
    folder: str
    data: str
    rows: int


def measure(task: Task) -> dict[str, float]:
    """Rates, the matrix products needed and possible a second, peak memory and padding.

    Only real tokens count, never padding.
    """
    split = splits.read(Path(task.data))
    chosen = np.random.default_rng(0).permutation(len(split.ids))[: task.rows]
    ids, texts = ([values[row] for row in chosen] for values in (split.ids, split.texts))
    part = replace(split, ids=ids, texts=texts, targets=split.targets[chosen])
    peak = matmul_flops()
    cuda = torch.cuda.is_available()
    if task.kind == "training":
        seconds, needed, padding, lengths = _train(task, part, split.texts)
    else:
        seconds, needed, padding, lengths = _predict(task, part)
    memory = (
        torch.cuda.max_memory_allocated()
        if cuda
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS
    )
    return {
        "examples_per_second": len(texts) / seconds,
        "tokens_per_second": int(lengths.sum()) / seconds,
        "flops": needed / seconds,
        "peak_flops": peak,
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


def _train(task: Task, split: Split, every_text: list[str]) -> tuple[float, float, float, Any]:
    from transformers import AutoTokenizer, set_seed

    settings = config.load()
    options = TRAINING[task.contender]
    name = Path(task.folder).name
    recipe = settings.recipes["minilm-l6" if name == "minilm-l6" else "deberta-v3-base"]
    tokenizer = AutoTokenizer.from_pretrained(task.folder)
    rows = Rows(tokenizer, split.texts, split.targets, settings.train.max_length)
    size = settings.train.batch_size
    counts = torch.tensor([*split.targets.sum(0), len(split.texts)])
    loss = losses.build(settings.losses["bce"], counts)
    with tempfile.TemporaryDirectory() as temporary:
        arguments = trainer.arguments(settings.train, recipe, 1)
        arguments.output_dir = temporary
        arguments.num_train_epochs, arguments.eval_strategy = 1, "no"
        arguments.disable_tqdm = True
        set_seed(settings.train.seed)
        lengths = rows.lengths
        if options.get("ours"):
            classifier = build_classifier(Path(task.folder), recipe, split)
            padding_id = tokenizer.pad_token_id
            if options.get("vocabulary", True):
                # As large as in a whole epoch: what it saves is a cost of every step.
                every_row = Rows(tokenizer, every_text, None, settings.train.max_length)
                vocabulary = Vocabulary([rows, every_row], padding_id)
                del every_row
                vocabulary.shrink(classifier)
                padding_id = vocabulary.padding
            if options.get("short_text", True):
                short_text.enable(classifier)
            if options.get("dropout", True):
                dropout.enable(classifier)
            if not options.get("grouped", True):
                batching.POOL = 1  # sorts within a batch only
            if not options.get("average", True):
                recipe = recipe.model_copy(update={"ema_decay": 0.0})
            collate: Any = Collator(padding_id)
            batches = trainer.training_batches(rows, size, collate, arguments)
            loop: Any = trainer.LossTrainer(classifier, arguments, loss, recipe, batches, rows)
        else:
            loop, collate = _plain_trainer(task, options, tokenizer, rows, arguments, size)
            classifier = loop.model
        padded = sum(batch["input_ids"].numel() for batch in loop.get_train_dataloader())
        clock = _Clock()
        loop.add_callback(clock)
        loop.train()
    return clock.seconds, 3 * work(classifier.config, lengths), 1 - lengths.sum() / padded, lengths


def _plain_trainer(
    task: Task, options: dict[str, Any], tokenizer: Any, rows: Rows, arguments: Any, size: int
) -> tuple[Any, Any]:
    """transformers' text-classification recipe: its model, its collator, its Trainer."""
    from transformers import (
        AutoModelForSequenceClassification,
        DataCollatorWithPadding,
        Trainer,
    )

    with silenced():
        classifier = AutoModelForSequenceClassification.from_pretrained(
            task.folder,
            num_labels=rows.targets.shape[1],
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


def _predict(task: Task, split: Split) -> tuple[float, float, float, Any]:
    from transformers import AutoTokenizer, pipeline

    size, texts = INFERENCE[task.contender], split.texts
    tokenizer = AutoTokenizer.from_pretrained(task.folder)
    lengths = Rows(tokenizer, texts, None, 64).lengths
    with silenced():
        classifier = build_classifier(
            Path(task.folder),
            config.load().recipes["deberta-v3-base"],  # no further layer for either side
            split,
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
        ours = Classifier(classifier, tokenizer, list(split.labels.names), {}, None, 64)
        start = time.perf_counter()
        ours.logits(texts)
        seconds = time.perf_counter() - start
        padded = sum(len(b) * lengths[b].max() for b in batching.by_tokens(lengths))
    return seconds, work(classifier.config, lengths), 1 - lengths.sum() / padded, lengths


def work(config: Any, lengths: Any) -> float:
    """Floating-point operations of a forward pass that the task needs, in matrix products.

    Products with weights and between tokens, for real tokens; of the last layer only what the
    first token's output needs. Embeddings, relative positions, norms and activations are left out.
    """
    width, inner = config.hidden_size, config.intermediate_size
    tokens = float(lengths.sum())
    weights = (config.num_hidden_layers - 1) * (4 * width + 2 * inner) + 2 * width
    between = (config.num_hidden_layers - 1) * 2 * width * float((lengths**2).sum())
    return float(2 * (weights * width * tokens + between))


def matmul_flops() -> float:
    """The machine's matrix-product rate at this moment, in operations a second."""
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

"""Those that train: transformers' Trainer and ours, also with one technique left out."""

import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.data import Dataset
from transformers import TrainerCallback

from benchmarks import machine, models
from goemotions import config
from goemotions.data import splits
from goemotions.data.splits import Split
from goemotions.io.silence import silenced
from goemotions.network import batching, dropout, short_text
from goemotions.network.batching import Collator, Rows
from goemotions.network.classifier import build_classifier
from goemotions.network.vocabulary import Vocabulary
from goemotions.training import losses, trainer


@dataclass(frozen=True)
class Contender:
    """How to train.

    Attributes:
        ours: this project's training, or else transformers' Trainer.
        precision: fp32 or bf16.
        padded_to: tokens; None pads a batch to its longest text.
        grouped: Trainer's own grouping by length.
        without: the technique that ours leaves out.
    """

    ours: bool = False
    precision: str = "fp32"
    padded_to: int | None = None
    grouped: bool = False
    without: str = ""


TECHNIQUES = (
    "attention for short texts",
    "batches of similar length",
    "trimmed vocabulary",
    "cheap dropout masks",
    "gradient checkpointing",
)
CONTENDERS = {
    "Trainer, padded to 128": Contender(padded_to=128),
    "Trainer, dynamic padding": Contender(),
    "Trainer, grouped by length": Contender(grouped=True),
    "Trainer, dynamic padding, bf16": Contender(precision="bf16"),
    "ours": Contender(ours=True),
    "ours, bf16": Contender(ours=True, precision="bf16"),
    **{f"ours without {name}": Contender(ours=True, without=name) for name in TECHNIQUES},
}
REFERENCE = "Trainer, dynamic padding"

UPDATE, OTHER = "clipping, AdamW and the average", "all else"
# The operators of each part of a step, by how their names begin; all others are the last part.
PARTS = {
    "products with weights": ("aten::mm", "aten::addmm"),
    "attention between tokens": ("aten::bmm", "aten::baddbmm", "aten::_softmax", "aten::_scaled"),
    "GELU and layer norms": ("aten::gelu", "aten::native_layer_norm"),
    "drawing dropout masks": ("aten::random_", "aten::lt"),
    UPDATE: ("aten::_foreach", "aten::_fused_adam", "aten::lerp", "aten::linalg_vector_norm"),
    "sums, conversions and copies": (
        "aten::copy_",
        "aten::add",
        "aten::mul",
        "aten::sum",
        "aten::cat",
    ),
    OTHER: ("",),
}
# Each parameter's float32 numbers that an update reads or writes: the gradient for its norm (1),
# scaled (2), AdamW's gradient, weight and two moments (7), the average (3).
UPDATED = 13


def measure(name: str, folder: Path, data: Path, seconds: float, seed: int) -> dict[str, float]:
    """Train for some seconds, a step at least, and say how fast that was."""
    contender = CONTENDERS[name]
    peak = machine.product_rate(contender.precision)
    clock, seen, loop = _train(contender, folder, data, seconds, seed)
    real, padded = (
        np.concatenate(part[1 : 1 + clock.steps]) for part in (seen.lengths, seen.padded)
    )
    return {
        "examples_per_second": len(real) / clock.seconds,
        "tokens_per_second": int(real.sum()) / clock.seconds,
        "operations_per_second": 3 * machine.operations(loop.model.config, real) / clock.seconds,
        "product_rate": peak,
        "peak_memory_gb": machine.peak_memory() / 1e9,
        "padding": 1 - int(real.sum()) / int(padded.sum()),
    }


def parts(
    folder: Path, data: Path, seconds: float, precision: str, seed: int
) -> dict[str, dict[str, float]]:
    """What a step of ours consists of.

    Returns:
        For each of PARTS, of a step: `seconds`, `operations` of products, `bytes` that its
        operators read and write, and `least_seconds`, which those would take at the rate of a
        large product and of a large copy.
    """
    contender = Contender(ours=True, precision=precision)
    rates = machine.product_rate(precision), machine.copy_rate()
    found = profile(activities=[ProfilerActivity.CPU], record_shapes=True, with_flops=True)
    clock, _, loop = _train(contender, folder, data, seconds, seed, found)
    result = {part: dict.fromkeys(("seconds", "operations", "bytes"), 0.0) for part in PARTS}
    for event in found.events():
        row = result[_part(event.name)]
        row["seconds"] += event.self_cpu_time_total / clock.steps / 1e6
        row["operations"] += (event.flops or 0) / clock.steps
        if row is not result[OTHER]:
            sizes = [math.prod(shape) for shape in event.input_shapes or () if shape]
            row["bytes"] += 4 * (sum(sizes) + max(sizes, default=0)) / clock.steps
    weights = sum(parameter.numel() for parameter in loop.model.parameters())
    result[UPDATE]["bytes"] = 4.0 * UPDATED * weights
    for part, row in result.items():
        if part.startswith(("products", "attention")):
            row["bytes"] = 0.0  # what bounds them is the arithmetic
        row["least_seconds"] = row["operations"] / rates[0] + row["bytes"] / rates[1]
    return result


def _part(operator: str) -> str:
    return next(part for part, names in PARTS.items() if operator.startswith(names))


def _train(
    contender: Contender,
    folder: Path,
    data: Path,
    seconds: float,
    seed: int,
    profiler: Any = None,
) -> tuple["_Clock", "_Seen", Any]:
    """Train for some seconds after a first step, and for a step at least.

    Before that is a batch with the longest text, which every epoch has and with which ours begin,
    so the peak of memory is that of an epoch.
    """
    train = config.load().train.model_copy(update={"precision": contender.precision, "seed": seed})
    split = splits.read(data)
    with tempfile.TemporaryDirectory() as temporary:
        arguments = trainer.arguments(train, models.recipe(folder.name), 1)
        arguments.output_dir = temporary
        arguments.num_train_epochs, arguments.eval_strategy = 1, "no"
        arguments.disable_tqdm = True
        from transformers import set_seed

        set_seed(seed)
        make = _ours if contender.ours else _plain
        loop, rows = make(contender, folder, split, arguments, train)
        clock = _Clock(
            loop, None if contender.ours else _longest(rows, loop, seed), seconds, profiler
        )
        loop.add_callback(clock)
        seen = _Seen(loop.data_collator)
        loop.data_collator = seen
        if contender.ours:
            loop.batches.collate_fn = seen
        loop.train()
    return clock, seen, loop


def _longest(rows: Rows, loop: Any, seed: int) -> Any:
    """A batch of the longest row and others drawn at random."""
    others = np.random.default_rng(seed).permutation(len(rows))
    chosen = [int(rows.lengths.argmax()), *others[: loop.args.per_device_train_batch_size - 1]]
    return loop.data_collator([loop.train_dataset[index] for index in chosen])


class _Clock(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Times the steps after the first one, and ends the training in time.

    Args:
        before: a batch that goes forward and backward before the first step, if any.
        limit: seconds.
        profiler: watches the steps that are timed, if any.
    """

    def __init__(self, loop: Any, before: Any, limit: float, profiler: Any) -> None:
        self.loop, self.before, self.limit, self.profiler = loop, before, limit, profiler
        self.steps = 0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        if self.before is not None:
            self.loop.current_gradient_accumulation_steps = 1  # which it sets only later
            self.loop.training_step(self.loop.model_wrapped, self.before)
            self.loop.model.zero_grad()

    def on_step_end(self, _arguments: Any, state: Any, control: Any, **__: Any) -> None:
        machine.synchronize()
        now = time.perf_counter()
        self.steps = state.global_step - 1
        if self.steps == 0:
            self.start = now
            if self.profiler:
                self.profiler.start()
        self.seconds = now - self.start
        if self.steps > 0 and self.seconds > self.limit:
            control.should_training_stop = True
            if self.profiler:
                self.profiler.stop()


class _Seen:
    """A collator that notes the lengths of the batches that it makes."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate
        self.lengths: list[Any] = []
        self.padded: list[Any] = []

    def __call__(self, rows: list[dict[str, Any]]) -> Any:
        batch = self.collate(rows)
        mask = batch["attention_mask"]
        self.lengths.append(mask.sum(1).numpy())
        self.padded.append(np.full(len(mask), mask.shape[1]))
        return batch


def _ours(
    contender: Contender, folder: Path, split: Split, arguments: Any, train: config.Train
) -> tuple[Any, Rows]:
    recipe, counts = models.recipe(folder.name), [*split.targets.sum(0), len(split.texts)]
    loss = losses.build(config.load().losses["bce"], torch.tensor(counts))
    tokenizer = models.tokenizer(folder)
    rows = Rows(tokenizer.backend_tokenizer, split.texts, split.targets, train.max_length)
    with silenced():
        classifier = build_classifier(folder, recipe, split)
    padding_id = tokenizer.pad_token_id
    attention, similar, words, masks, twice = TECHNIQUES
    if contender.without != words:
        vocabulary = Vocabulary([rows], padding_id)
        vocabulary.shrink(classifier)
        padding_id = vocabulary.padding
    if contender.without != attention:
        short_text.enable(classifier)
    if contender.without != masks:
        dropout.enable(classifier)
    if contender.without == similar:
        batching.POOL = 1  # sorts within a batch only
    if contender.without == twice:
        short_text.RECOMPUTED = 2**63
    collator = Collator(padding_id)
    loop = trainer.LossTrainer(classifier, arguments, loss, recipe, train, rows, rows, collator)
    return loop, rows


def _plain(
    contender: Contender, folder: Path, split: Split, arguments: Any, train: config.Train
) -> tuple[Any, Rows]:
    """transformers' text-classification recipe: its model, its collator, its Trainer."""
    from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer

    tokenizer = models.tokenizer(folder)
    rows = Rows(tokenizer.backend_tokenizer, split.texts, split.targets, train.max_length)
    with silenced():
        classifier = AutoModelForSequenceClassification.from_pretrained(
            folder,
            num_labels=len(split.labels),
            problem_type="multi_label_classification",
            dtype=torch.float32,
        )
    collate = DataCollatorWithPadding(
        tokenizer,
        padding="max_length" if contender.padded_to else True,
        max_length=contender.padded_to,
    )
    arguments.per_device_train_batch_size = train.batch_size
    # By accelerate, since only our own training loop does it itself.
    arguments.mixed_precision = "bf16" if arguments.bf16 else "no"
    if contender.grouped:
        arguments.train_sampling_strategy = "group_by_length"

    class Shuffled(Trainer):  # type: ignore[misc]  # transformers is untyped
        """With an epoch's batches in random order, so that the first of them are like the rest.

        Those that are grouped by length come by falling length.
        """

        def _get_train_sampler(self, *arguments: Any) -> list[int]:
            order = list(super()._get_train_sampler(*arguments))
            size = train.batch_size
            batches = [order[start : start + size] for start in range(0, len(order) - size, size)]
            np.random.default_rng(train.seed).shuffle(batches)
            return [index for batch in batches for index in batch]

    return Shuffled(classifier, arguments, collate, train_dataset=_Features(rows)), rows


class _Features(Dataset[dict[str, Any]]):
    """What `datasets` would give transformers' collator."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids = self.rows[index]["input_ids"].tolist()
        labels = self.rows[index]["labels"].tolist()
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}

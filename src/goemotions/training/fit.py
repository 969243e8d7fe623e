"""Train one loss: from data/<dataset> and models/<model> to models/trained/<loss>."""

import gc
import json
import math
import sys
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import TrainingArguments

from goemotions.config import Params, Train, check_loss
from goemotions.data import splits
from goemotions.data.labels import Labels
from goemotions.data.splits import Split
from goemotions.errors import UserError, warn_once
from goemotions.io import digests, launch, publish
from goemotions.io.checkpoints import Checkpoints, run_checkpoints
from goemotions.io.locks import ORPHAN, only_one, orphaned
from goemotions.io.project import code_digest
from goemotions.io.silence import silenced
from goemotions.metrics import thresholds
from goemotions.metrics.f1 import label_mean, sigmoid
from goemotions.network import dropout, short_text
from goemotions.network.batching import Collator, Rows
from goemotions.network.classifier import build_classifier, check_max_length
from goemotions.network.vocabulary import Vocabulary
from goemotions.training import losses, teacher, trainer
from goemotions.training.clock import Clock
from goemotions.training.curves import Curves
from goemotions.training.resuming import Resuming

_NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
# A GPU's memory that is full after more steps than this was large enough: something else filled it.
_FIRST_STEPS = 50
# A model whose average precision is closer to a constant prediction's than this share of the way
# to 1 has learned almost nothing.
_LEARNED_SHARE = 0.05
# The base model's files that the trained folder replaces; the tokenizer's are copied.
_REPLACED = {"config.json", "model.safetensors", "tokenizer.json", digests.MANIFEST}


@dataclass(frozen=True)
class _Run:
    """One training: its settings and what it reads.

    Attributes:
        train: the rows that it trains on.
        available: how many rows the training split has.
        base: the digests of the base model's files.
        taught: the teacher's logits for the rows of `train`; None without a teacher.
    """

    params: Params
    loss: str
    train: Split
    val: Split
    available: int
    base: dict[str, str]
    taught: NDArray[np.float32] | None

    @property
    def folder(self) -> Path:
        return self.params.trained_folder(self.loss)

    @property
    def curves(self) -> Path:
        return Path("metrics", "training", self.loss)


def train(params: Params, loss: str) -> None:
    """Fine-tune the selected model with one loss and write models/trained/<loss>.

    The folder loads with AutoModelForSequenceClassification and holds thresholds.json. The curves
    and a summary go to metrics/training/<loss>.

    Raises:
        UserError: a setting is wrong, an input is missing or another process trains this loss;
            or the loss became infinite. models/trained/<loss> is then what it was.
    """
    launch.check_environment()
    base = _check_base_model(params)
    check_max_length(params)
    check_loss(params, loss, Labels.read(params.data_folder).task)
    data = splits.load(params.data_folder, "train", "val")
    available = len(data["train"].ids)
    rows = _limited(data["train"], params)
    taught = None
    if params.teacher != teacher.NONE:
        taught = teacher.read(params.teacher_folder, rows)
    run = _Run(params, loss, rows, data["val"], available, base, taught)
    accumulation = launch.gradient_accumulation()
    arguments = trainer.arguments(params.train, params.recipes[params.model], accumulation)
    launch.check_processes(arguments.world_size)
    parts = arguments.world_size * accumulation
    if parts > 1 and params.losses[loss].function in losses.COMPARING_ROWS:
        raise UserError(
            f"losses.{loss}.function compares the rows of a batch, so splitting a batch over "
            f"{arguments.world_size} process(es) and {accumulation} part(s) would change the loss; "
            "use one process (`accelerate config`, or CUDA_VISIBLE_DEVICES=0 for one GPU) and "
            "unset ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
        )
    lock = only_one(run.folder.parent / f".{run.folder.name}.lock", str(run.folder))
    with lock if arguments.process_index == 0 else nullcontext():
        while not _train_if_memory_allows(run, arguments):
            arguments = _with_smaller_parts(run, arguments)
        # A process that ends with its group open can abort, and its launcher then kills the one
        # that is still saving.
        PartialState().destroy_process_group()


def _limited(split: Split, params: Params) -> Split:
    """The rows of the training split that `train.rows` asks for, in their order.

    They are the first ones of one fixed shuffle: every loss and seed trains on the same rows, as on
    a smaller dataset, and fewer rows are a part of more.
    """
    rows, available = params.train.rows, len(split.ids)
    if rows is None:
        return split
    if rows > available:
        raise UserError(
            f"train.rows is {rows}; {params.data_folder} has {available} training rows: ask for "
            f"at most {available}, or give `-S train.rows=null` for all of them"
        )
    chosen = np.sort(np.random.default_rng(0).permutation(available)[:rows])
    ids, texts = ([values[index] for index in chosen] for values in (split.ids, split.texts))
    return replace(split, ids=ids, texts=texts, targets=split.targets[chosen])


def _train_if_memory_allows(run: _Run, arguments: TrainingArguments) -> bool:
    """Train; False where the GPU's memory is too small for that, as the first steps show."""
    with suppress(torch.OutOfMemoryError):
        _train(run, arguments)
        return True
    return False


def _with_smaller_parts(run: _Run, arguments: TrainingArguments) -> TrainingArguments:
    """The same training with batches in twice as many parts."""
    params, accumulation = run.params, arguments.gradient_accumulation_steps
    whole = params.losses[run.loss].function in losses.COMPARING_ROWS
    rows = params.train.batch_size // (arguments.world_size * accumulation)
    batches = math.ceil(len(run.train.ids) / params.train.batch_size)
    smallest = len(run.train.ids) // batches  # whose parts must not be empty
    several = arguments.world_size > 1
    # Another process would wait for ever for the one whose memory was full.
    if whole or several or 2 * accumulation > smallest:
        remedy = f"lower train.max_length, or choose a smaller model than {params.model}"
        if whole:
            remedy = f"lower train.batch_size, since {run.loss} cannot be computed in parts"
        elif several and rows > 1:
            remedy = (
                f"set ACCELERATE_GRADIENT_ACCUMULATION_STEPS={2 * accumulation} for the command, "
                "or lower train.max_length"
            )
        raise UserError(f"the GPU's memory is too small for {rows} row(s) at a time; {remedy}")
    print(
        f"the GPU's memory is too small for {rows} rows at a time: starting again with "
        f"{2 * accumulation} parts of a batch of {params.train.batch_size}",
        file=sys.stderr,
        flush=True,
    )
    gc.collect()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()
    return trainer.arguments(params.train, params.recipes[params.model], 2 * accumulation)


def _train(run: _Run, arguments: TrainingArguments) -> None:
    is_main = arguments.process_index == 0
    with run_checkpoints(run.loss, _determined_by(run, arguments), is_main=is_main) as saved:
        arguments.output_dir = str(saved.draft)
        if is_main:
            _announce(run, arguments)
        loop, vocabulary = _build(run, arguments)
        clock = Clock(run.params.train.max_minutes)
        loop.add_callback(clock)
        curves = {}
        if is_main:
            curves["curves"] = Curves(run.curves)
            loop.add_callback(curves["curves"])
        resuming = Resuming(
            saved, clock, average=loop.average, best=loop.best, clipping=loop.clipping, **curves
        )
        loop.save_with(resuming)
        latest = _latest(saved, is_main=is_main)
        if latest:
            resuming.restore(latest)
        try:
            loop.train(resume_from_checkpoint=str(latest) if latest else None)
        except torch.OutOfMemoryError:
            if (step := loop.state.global_step) <= _FIRST_STEPS:
                raise
            raise UserError(
                f"the GPU's memory is full after step {step}; end what else uses it and run the "
                "same command again, which resumes from the last checkpoint. If nothing else uses "
                "it, lower train.max_length or train.batch_size, which starts over"
            ) from None
        loop.check_finite()
        seconds = clock.seconds
        if is_main:
            if orphaned():
                raise UserError(ORPHAN)
            vocabulary.restore(loop.model, loop.best.weights)
            _save(run, loop)
            _warn_if_nothing_was_learned(run, loop)
            summary = publish.unlinked(run.curves / "summary.json")
            digests.write_json(summary, _summary(run, loop, seconds))
            saved.finish()


def _announce(run: _Run, arguments: TrainingArguments) -> None:
    settings, recipe = run.params.train, run.params.recipes[run.params.model]
    rows = f"{len(run.train.ids):,} rows"
    if settings.rows is not None:
        rows = f"only {len(run.train.ids):,} of {run.available:,} rows"
    epochs = f"{recipe.epochs} epoch(s)"
    if settings.max_minutes is not None:
        epochs = f"{epochs}, none started after {settings.max_minutes:g} minute(s)"
    taught = "" if run.taught is None else f", taught by {run.params.teacher}"
    print(
        f"training {run.params.model} with {run.loss} on {rows} of {run.params.dataset}{taught}: "
        f"{epochs}, "
        f"{arguments.world_size} process(es) on {arguments.device.type}, "
        f"{'bf16' if arguments.bf16 else 'fp32'}",
        flush=True,
    )


def _build(run: _Run, arguments: TrainingArguments) -> tuple[trainer.LossTrainer, Vocabulary]:
    from transformers import set_seed

    params, recipe = run.params, run.params.recipes[run.params.model]
    counts = torch.tensor([*run.train.targets.sum(0), len(run.train.ids)])
    loss = losses.build(params.losses[run.loss], counts)
    tokenizer = _tokenizer(params.model_folder)
    train_rows, val_rows = (
        Rows(tokenizer, split.texts, split.targets, params.train.max_length, taught)
        for split, taught in ((run.train, run.taught), (run.val, None))
    )
    set_seed(params.train.seed)
    classifier = build_classifier(params.model_folder, recipe, run.train)
    padding = classifier.config.pad_token_id or 0
    vocabulary = Vocabulary([train_rows, val_rows], padding)
    vocabulary.shrink(classifier)
    if params.train.short_text:
        short_text.enable(classifier)
        dropout.enable(classifier)
    collator = Collator(vocabulary.padding)
    loop = trainer.LossTrainer(
        classifier, arguments, loss, recipe, params.train, train_rows, val_rows, collator
    )
    if arguments.process_index > 0:  # dropout masks of its own, now that all models are the same
        torch.manual_seed(params.train.seed + arguments.process_index)
    return loop, vocabulary


def _tokenizer(base: Path) -> Tokenizer:
    """The base model's tokenizer as transformers makes it, which can differ from the file."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    backend: Tokenizer = tokenizer.backend_tokenizer
    return backend


def _latest(saved: Checkpoints, *, is_main: bool) -> Path | None:
    """The checkpoint to resume from. One process decides: it may be removing a corrupted one."""
    latest: Path | None = broadcast_object_list([saved.latest() if is_main else None])[0]
    if latest and is_main:
        step = json.loads((latest / "trainer_state.json").read_text())["global_step"]
        print(f"resuming from step {step}; GOEMOTIONS_FRESH=1 starts over", flush=True)
    return latest


# Other versions of these may give other weights.
PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "numpy")


def _determined_by(run: _Run, arguments: TrainingArguments) -> dict[str, Any]:
    """All that determines a training, for the key of its checkpoint."""
    params = run.params
    data = [params.data_folder / name for name in ("labels.json", "train.jsonl", "val.jsonl")]
    return {
        "train": params.train.model_dump(),
        "recipe": params.recipes[params.model].model_dump(),
        "loss": params.losses[run.loss].model_dump(),
        "processes": [arguments.world_size, arguments.gradient_accumulation_steps],
        "device": arguments.device.type,
        "bf16": arguments.bf16,
        "versions": [version(name) for name in PACKAGES],
        "data": [digests.sha256(path) for path in data],
        "taught": None if run.taught is None else sha256(run.taught.tobytes()).hexdigest(),
        "base model": run.base,
        "code": code_digest("train"),
    }


def limits(settings: Train) -> dict[str, float]:
    """The limits of a training that is small on purpose, by their names in its results."""
    named = {"limited_rows": settings.rows, "limited_minutes": settings.max_minutes}
    return {name: value for name, value in named.items() if value is not None}


def _save(run: _Run, loop: trainer.LossTrainer) -> None:
    """Write the model, its tokenizer and the thresholds, completely or not at all."""
    settings, base = run.params.train, run.params.model_folder
    # Single-label data needs none: the highest logit decides.
    fits = {} if run.val.labels.single else thresholds.fit(loop.best.logits, run.val.targets)
    labels = loop.model.config.id2label.values()
    with publish.published(run.folder) as draft:
        with silenced():
            loop.model.save_pretrained(draft)
        for path in sorted(base.iterdir()):
            if path.name not in _REPLACED:
                (draft / path.name).write_bytes(path.read_bytes())
        _tokenizer(base).save(str(draft / "tokenizer.json"))
        digests.write_json(
            draft / "thresholds.json",
            {
                "preferred": thresholds.preferred(fits) if fits else None,
                "max_length": settings.max_length,
                "short_text": settings.short_text,
                "limits": limits(settings),
                "methods": {
                    method: {
                        "validation_macro_f1": fit.macro_f1,
                        "logits": dict(zip(labels, fit.logits, strict=True)),
                        "probabilities": dict(
                            zip(labels, sigmoid(np.array(fit.logits)).tolist(), strict=True)
                        ),
                    }
                    for method, fit in fits.items()
                },
            },
        )
        digests.write_manifest(draft)


def _warn_if_nothing_was_learned(run: _Run, loop: trainer.LossTrainer) -> None:
    """Say that a model is no better than a constant prediction, as after a divergence."""
    targets, found = run.val.targets, loop.best.average_precision
    guessed = label_mean(targets.mean(0), targets)  # of a constant: each label's share of the rows
    if found - guessed < _LEARNED_SHARE * (1 - guessed):
        warn_once(
            "this model has learned almost nothing: its average precision on validation is "
            f"{found:.3f}, and that of a constant prediction {guessed:.3f}. If the loss rose "
            f"during training (see {run.curves / 'training.csv'}), lower learning_rate in "
            f"recipes.{run.params.model}; otherwise train for longer"
        )


def _summary(run: _Run, loop: trainer.LossTrainer, seconds: float) -> dict[str, Any]:
    device = loop.args.device.type
    if device == "cuda":
        device = torch.cuda.get_device_name()
    elif device == "cpu":
        device = f"CPU, {torch.get_num_threads()} threads"
    return {
        **limits(run.params.train),
        "seconds": round(seconds, 1),
        "examples_per_second": round(len(run.train.ids) * loop.state.epoch / seconds, 1),
        "steps": loop.state.global_step,
        "best_epoch": loop.best.epoch,
        "validation_macro_f1": loop.best.macro_f1,
        "validation_average_precision": loop.best.average_precision,
        "processes": loop.args.world_size,
        "device": device,
        "precision": "bf16" if loop.args.bf16 else "fp32",
        "torch": torch.__version__,
    }


def _check_base_model(params: Params) -> dict[str, str]:
    """The digests of the base model's files, which they still have."""
    folder = params.model_folder
    if missing := [name for name in _NEEDED if not (folder / name).is_file()]:
        raise UserError(f"{folder} is missing {', '.join(missing)}; run `dvc repro cache_model`")
    written = digests.read_manifest(folder, "dvc repro cache_model")
    digests.check(folder, written)
    return written

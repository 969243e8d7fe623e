"""The one training loop: transformers' Trainer with our loss, rates and averaged weights."""

import csv
import math
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm
from transformers import ProgressCallback, Trainer, TrainerCallback, TrainingArguments

from goemotions.config import Recipe, Train
from goemotions.errors import UserError
from goemotions.io import publish
from goemotions.io.checkpoints import Checkpoints
from goemotions.io.locks import ORPHAN, orphaned
from goemotions.io.silence import quiet
from goemotions.metrics import thresholds
from goemotions.network import classifier as models
from goemotions.network.batching import Collator, EpochLoader, MicroBatches, Rows, logits
from goemotions.training.losses import Loss

LOG_EVERY = 20  # steps between two points of the training curve
_FURTHER = "further.pt"  # of a checkpoint: what the Trainer does not save


class LossTrainer(Trainer):  # type: ignore[misc]  # transformers is untyped
    """Trains on `loss`; validates and keeps the exponential moving average of the weights.

    Attributes:
        best: the averaged weights of the epoch with the highest validation macro-F1, on the CPU.
        best_macro_f1: that macro-F1, cross-validated over thresholds.
        best_logits, best_targets: that epoch's validation logits and targets, [rows, 28].
    """

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        loss: Loss,
        recipe: Recipe,
        batch_size: int,
        collator: Collator,
        train: Rows,
        val: Rows,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        self.loss, self.recipe, self.batch_size = loss, recipe, batch_size
        self.checkpoints = checkpoints
        self.curves: Curves | None = None
        self.seconds_before = 0.0  # of training, before the checkpoint that this one goes on from
        self.started = time.perf_counter()
        self.best: dict[str, torch.Tensor] = {}
        self.best_macro_f1 = -1.0
        self.best_epoch = 0
        self.best_logits: NDArray[np.float32] = np.empty(0, dtype=np.float32)
        self.best_targets: NDArray[np.bool_] = np.empty(0, dtype=bool)
        super().__init__(
            model,
            arguments,
            data_collator=collator,
            train_dataset=train,
            eval_dataset=val,
        )
        self.loss_is_scaled_for_ga = True  # by compute_loss, over the global batch
        self.average = _average(self.model, recipe.ema_decay)
        # The first step with a non-finite loss; a tensor, so that a GPU is not waited for.
        self.broken_step = torch.full((), torch.inf, device=self.args.device)
        self.add_callback(_AfterEachStep(self))
        if self.pop_callback(ProgressCallback):
            self.add_callback(_Progress())

    @property
    def seconds(self) -> float:
        """The training's time so far, without what was lost to interruptions."""
        return self.seconds_before + time.perf_counter() - self.started

    def write_curves(self, folder: Path) -> None:
        """Write the curves to `folder` as they grow."""
        self.curves = Curves(folder)
        self.add_callback(self.curves)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        groups = models.parameter_groups(self.model, self.recipe, self.args.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        return self.optimizer

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        inputs = dict(inputs)
        targets = inputs.pop("labels")
        outputs = model(**inputs)
        loss = self.loss(outputs.logits, targets)
        if num_items_in_batch is not None:
            # The mean over the global batch: this micro-batch's share of its entries, times the
            # processes, over which DDP averages. Right also where the last batch is uneven.
            loss = loss * (targets.numel() / num_items_in_batch) * self.args.world_size
        step = torch.full_like(self.broken_step, self.state.global_step + 1)
        self.broken_step = torch.where(
            loss.detach().isfinite(), self.broken_step, torch.minimum(self.broken_step, step)
        )
        return (loss, outputs) if return_outputs else loss

    def get_train_dataloader(self) -> EpochLoader:
        # Not accelerate's: that would repeat rows where processes cannot share a batch evenly.
        return EpochLoader(
            self.train_dataset,
            batch_sampler=MicroBatches(
                self.train_dataset.lengths,
                self.batch_size,
                self.args.seed,
                micro_batches=self.args.gradient_accumulation_steps,
                process=self.args.process_index,
                processes=self.args.world_size,
            ),
            collate_fn=self.data_collator,
            pin_memory=torch.cuda.is_available(),
        )

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validation loss and macro-F1; when it is the best so far, keep the weights and logits."""
        self.check_finite()
        rank, processes = self.args.process_index, self.args.world_size
        with (
            self._averaged(),
            tqdm(
                total=len(self.eval_dataset) // processes,
                desc="validation",
                unit="text",
                disable=rank > 0,
                leave=False,
            ) as bar,
        ):
            self.model.eval()
            mine = logits(
                self.model,
                self.eval_dataset,
                self.data_collator,
                advance=bar.update,
                process=rank,
                processes=processes,
            )
            scores = np.fmax.reduce(gather_object([mine]))  # NaN where another process was
            if not np.isfinite(scores).all():  # the last step's update, which no loss has seen
                raise _not_finite("prediction", self.state.global_step)
            targets = self.eval_dataset.targets
            loss = float(self.loss(torch.from_numpy(scores), targets))
            measured = {"eval_loss": loss, "eval_macro_f1": self._keep_best(scores, targets)}
        self.log(measured)
        return measured

    def checkpoint_is_due(self, *, validated: bool) -> bool:
        """Whether to save now; all processes are told the same.

        Only where the log has just been written, since the Trainer does not save what it has
        gathered for the next entry; at the end of training there is none. The last step of an
        epoch is saved after its validation.

        Args:
            validated: whether this is asked after an epoch's validation, not after a step.
        """
        step, steps = self.state.global_step, self.state.max_steps
        ends_epoch = step % round(steps / self.state.num_train_epochs) == 0
        logged = step % LOG_EVERY == 0 or (validated and step >= steps)
        if self.checkpoints is None or not logged or ends_epoch is not validated:
            return False
        return bool(broadcast_object_list([self.checkpoints.due()])[0])

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """The Trainer's checkpoint and what it does not know of, whole or not at all."""
        assert self.checkpoints is not None  # noqa: S101  # for mypy: only then it is due
        self.check_finite()
        begun = time.monotonic()
        made = self.checkpoints.draft / f"checkpoint-{self.state.global_step}"
        written = False
        try:
            with quiet():
                super()._save_checkpoint(model, trial)
            if self.is_world_process_zero():
                torch.save(self._further_state(), made / _FURTHER)
            written = True
        except (OSError, RuntimeError, SafetensorError) as error:  # torch's own is a RuntimeError
            print(f"no checkpoint could be saved: {error}", file=sys.stderr)
        written = all(gather_object([written]))  # which also waits for every process
        if self.is_world_process_zero():
            try:
                if written:
                    self.checkpoints.publish(made, begun)
            except OSError as error:
                print(f"no checkpoint could be saved: {error}", file=sys.stderr)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        if broadcast_object_list([orphaned()])[0]:  # one process decides
            raise UserError(ORPHAN)

    def _further_state(self) -> dict[str, Any]:
        return {
            "average": None if self.average is None else self.average.state_dict(),
            "best": self.best,
            "best_macro_f1": self.best_macro_f1,
            "best_epoch": self.best_epoch,
            "best_logits": torch.from_numpy(self.best_logits),
            "best_targets": torch.from_numpy(self.best_targets),
            "curves": {} if self.curves is None else self.curves.points,
            "seconds": self.seconds,
        }

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        state = torch.load(Path(resume_from_checkpoint, _FURTHER), weights_only=True)
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.best, self.best_macro_f1 = state["best"], state["best_macro_f1"]
        self.best_epoch = state["best_epoch"]
        self.best_logits, self.best_targets = (
            state[name].numpy() for name in ("best_logits", "best_targets")
        )
        self.seconds_before = state["seconds"]
        if self.curves is not None:
            self.curves.restore(state["curves"])

    def check_finite(self) -> None:
        """Raise UserError when a loss was infinite or not a number, naming the step."""
        step = float(self.broken_step)
        if math.isfinite(step):
            raise _not_finite("loss", int(step))

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Within the block the model has the averaged weights, where there is an average."""
        if self.average is None or not int(self.average.n_averaged):
            yield
            return
        now = [parameter.detach().clone() for parameter in self.model.parameters()]
        with torch.no_grad():
            torch._foreach_copy_(
                list(self.model.parameters()), list(self.average.module.parameters())
            )
            yield
            torch._foreach_copy_(list(self.model.parameters()), now)

    def _keep_best(self, scores: NDArray[np.float32], targets: torch.Tensor) -> float:
        decisions = targets.numpy() > 0.5
        fits = thresholds.fit(scores, decisions)
        macro_f1 = fits[thresholds.preferred(fits)].macro_f1
        if macro_f1 > self.best_macro_f1:
            self.best_macro_f1, self.best_epoch = macro_f1, round(self.state.epoch or 0)
            self.best_logits, self.best_targets = scores, decisions
            self.best = {
                name: value.detach().to("cpu", copy=True).contiguous()
                for name, value in self.model.state_dict().items()
            }
        return macro_f1


class _AfterEachStep(TrainerCallback):  # type: ignore[misc]
    def __init__(self, trainer: LossTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.average is not None:
            self.trainer.average.update_parameters(self.trainer.model)
        control.should_save = self.trainer.checkpoint_is_due(validated=False)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_save = self.trainer.checkpoint_is_due(validated=True)

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.check_finite()


class _Progress(ProgressCallback):  # type: ignore[misc]
    """The Trainer's bar, which would count the steps before a checkpoint as made in no time."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        self.current_step = state.global_step
        if self.training_bar is not None:
            self.training_bar.initial = self.training_bar.n = state.global_step


class Curves(TrainerCallback):  # type: ignore[misc]
    """Writes training.csv and validation.csv against the step, for `dvc plots`, as they grow.

    All points stay in memory: the next `dvc repro` removes the files of a run whose own
    `dvc repro` was killed, while that run still trains towards its last checkpoint.
    """

    _COLUMNS: ClassVar[dict[str, tuple[str, ...]]] = {
        "training": ("step", "loss", "learning_rate", "grad_norm"),
        "validation": ("step", "epoch", "macro_f1", "loss"),
    }

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.points: dict[str, list[list[float]]] = {name: [] for name in self._COLUMNS}
        for name in self._COLUMNS:
            self._write(name)

    def restore(self, points: dict[str, list[list[float]]]) -> None:
        """Continue from the `points` of a checkpoint."""
        self.points = points
        for name in self._COLUMNS:
            self._write(name)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs:
            return
        if "loss" in logs:
            row = [state.global_step, logs["loss"], logs["learning_rate"], logs["grad_norm"]]
            self.points["training"].append(row)
            self._write("training")
        elif "eval_macro_f1" in logs:
            row = [state.global_step, state.epoch, logs["eval_macro_f1"], logs["eval_loss"]]
            self.points["validation"].append(row)
            self._write("validation")

    def _write(self, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with publish.fresh(self.folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                [self._COLUMNS[name], *self.points[name]]
            )


def arguments(
    train: Train, recipe: Recipe, scratch: Path, processes: int, accumulation: int
) -> TrainingArguments:
    """What the Trainer is told, for one of `processes` processes.

    Raises:
        UserError: the processes do not find each other.
    """
    told = TrainingArguments(
        output_dir=str(scratch),
        # Without this the processes that torchrun starts on CPUs never find each other.
        use_cpu=not torch.accelerator.is_available(),
        seed=train.seed,
        num_train_epochs=recipe.epochs,
        gradient_accumulation_steps=accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=train.warmup_ratio,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        bf16=uses_bf16(train.precision),
        eval_strategy="epoch",
        save_strategy="no",
        logging_steps=LOG_EVERY,
        logging_nan_inf_filter=False,  # it would hide NaN from the log
        report_to="none",
        remove_unused_columns=False,
    )
    # Or transformers takes it from `accelerate config`, whatever train.precision says.
    told.mixed_precision = "bf16" if told.bf16 else "no"
    if told.world_size != processes:
        raise UserError(
            f"{processes} processes were started, and {told.world_size} train together; start "
            "them with `accelerate launch` on GPUs or `torchrun` on CPUs"
        )
    return told


def uses_bf16(precision: str) -> bool:
    """Whether matrix products are autocast to bfloat16.

    "auto" does so where the hardware computes in it: on GPUs, and on CPUs with AVX512-BF16 or AMX.

    Raises:
        UserError: bf16 was asked for and the GPU lacks it.
    """
    if torch.cuda.is_available():
        supported = torch.cuda.is_bf16_supported()
    else:  # torch has no public question for it
        supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if precision == "bf16" and torch.cuda.is_available() and not supported:
        raise UserError("train.precision is bf16, and this GPU has no bfloat16; use auto or fp32")
    return precision == "bf16" or (precision == "auto" and supported)


def _not_finite(what: str, step: int) -> UserError:
    return UserError(
        f"the {what} is not finite at step {step}; nothing was saved. Try a lower learning_rate "
        "in the model's recipe, train.precision=fp32 or a longer train.warmup_ratio"
    )


def _average(model: Any, decay: float) -> AveragedModel | None:
    """The moving average of the weights, whose memory grows with the steps up to `decay`."""
    if decay == 0:
        return None

    @torch.no_grad()
    def update(averaged: Any, current: Any, count: Any) -> None:
        # At step n the decay is at most (1+n)/(10+n): the random head is forgotten quickly.
        seen = float(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + seen) / (10 + seen)))

    return AveragedModel(model, multi_avg_fn=update)

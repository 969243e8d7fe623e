"""The one training loop: transformers' Trainer with our loss, batches and averaged weights."""

import math
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import ProgressCallback, Trainer, TrainingArguments

from goemotions.config import Recipe, Train
from goemotions.errors import UserError
from goemotions.network import classifier
from goemotions.network.batching import Collator, EpochLoader, MicroBatches, Rows, logits
from goemotions.network.classifier import is_single_label
from goemotions.training.averaging import WeightAverage
from goemotions.training.best_epoch import BestEpoch
from goemotions.training.clipping import Clipping
from goemotions.training.losses import Loss, distillation
from goemotions.training.resuming import Progress, Resuming

LOG_EVERY = 20  # steps between two points of the training curve


class LossTrainer(Trainer):  # type: ignore[misc]  # transformers is untyped
    """Trains on `loss`; validates the moving average of the weights and keeps the best epoch.

    Args:
        model: a sequence classifier, which is moved to the arguments' device.
        recipe: gives the learning rates and the average's decay.
        settings: give the teacher's share of the loss, the temperature and the clipping.
        train: the training split.
        val: the validation split.
        collator: makes batches of either.

    Raises:
        UserError: a batch has fewer rows than there are processes and micro-batches.
    """

    def __init__(
        self,
        model: Any,
        arguments: TrainingArguments,
        loss: Loss,
        recipe: Recipe,
        settings: Train,
        train: Rows,
        val: Rows,
        collator: Collator,
    ) -> None:
        batches = MicroBatches(
            train.lengths,
            settings.batch_size,
            arguments.seed,
            micro_batches=arguments.gradient_accumulation_steps,
            process=arguments.process_index,
            processes=arguments.world_size,
        )
        self.batches = EpochLoader(
            train,
            batch_sampler=batches,
            collate_fn=collator,
            pin_memory=torch.cuda.is_available(),
        )
        super().__init__(
            model, arguments, data_collator=collator, train_dataset=train, eval_dataset=val
        )
        # compute_loss scales the loss over the global batch, whatever the model's forward takes.
        self.model_accepts_loss_kwargs = self.loss_is_scaled_for_ga = True
        self.loss, self.recipe, self.settings = loss, recipe, settings
        self.average, self.best = WeightAverage(self.model, recipe.ema_decay), BestEpoch()
        self.clipping = Clipping(settings.gradient_clipping)
        self.resuming: Resuming | None = None
        # The first step with a non-finite loss; a tensor, so that a GPU is not waited for.
        self.broken_step = torch.full((), torch.inf, device=self.args.device)
        self.add_callback(self.average)
        if self.pop_callback(ProgressCallback):
            self.add_callback(Progress())

    def save_with(self, resuming: Resuming) -> None:
        """Save checkpoints when `resuming` says so, as it says."""
        self.resuming = resuming
        self.add_callback(resuming)

    def _prepare_input(self, data: Any) -> Any:
        # The loader is not accelerate's, so the Trainer would wait for every batch's copy.
        if isinstance(data, torch.Tensor) and self.args.device.type == "cuda":
            return data.to(self.args.device, non_blocking=True)
        return super()._prepare_input(data)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        groups = classifier.parameter_groups(self.model, self.recipe, self.args.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, fused=True)
        return self.optimizer

    def get_train_dataloader(self) -> EpochLoader:
        # Not accelerate's: that would repeat rows where processes cannot share a batch evenly.
        return self.batches

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, torch.Tensor],
        *,
        num_items_in_batch: torch.Tensor,
    ) -> torch.Tensor:
        inputs = dict(inputs)
        targets, taught = inputs.pop("labels"), inputs.pop("taught", None)
        # Here and not by accelerate, whose autocast would be on in validation, too.
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.args.bf16):
            predicted = model(**inputs).logits
        predicted = predicted.float()
        loss = self.loss(predicted, targets)
        if taught is not None:
            share, single = self.settings.teacher_share, is_single_label(self.model)
            temperature = self.settings.temperature
            divergence = distillation(predicted, taught, temperature=temperature, single=single)
            loss = (1 - share) * loss + share * divergence
        # The mean over the global batch: this micro-batch's share of its entries, times the
        # processes, over which DDP averages. Right also where the last batch is uneven.
        part: torch.Tensor = loss * (targets.numel() / num_items_in_batch) * self.args.world_size
        step = torch.full_like(self.broken_step, self.state.global_step + 1)
        self.broken_step = torch.where(
            part.detach().isfinite(), self.broken_step, torch.minimum(self.broken_step, step)
        )
        return part

    def _clip_grad_norm(self, model: Any) -> torch.Tensor:  # instead of the Trainer's fixed limit
        found = [parameter.grad for parameter in model.parameters()]
        return self.clipping.clip([gradient for gradient in found if gradient is not None])

    def check_finite(self) -> None:
        """Raise UserError when a loss was infinite or not a number, naming the step."""
        step = float(self.broken_step)
        if math.isfinite(step):
            raise _not_finite("loss", int(step))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        self.check_finite()
        super().log(logs, start_time)

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Validation loss, macro-F1 and average precision; the best epoch so far is kept."""
        self.check_finite()
        with self.average.applied():
            scores = self._validation_logits()
            if not np.isfinite(scores).all():  # the last step's update, which no loss has seen
                raise _not_finite("prediction", self.state.global_step)
            targets = self.eval_dataset.targets
            epoch = round(self.state.epoch or 0)
            found = self.best.update(self.model, scores, targets.numpy() > 0.5, epoch)
        loss = float(self.loss(torch.from_numpy(scores), targets))
        measured = {"eval_loss": loss} | {f"eval_{name}": value for name, value in found.items()}
        self.log(measured)
        return measured

    def _validation_logits(self) -> NDArray[np.float32]:
        """Of the whole validation split, which the processes share; the same in all of them.

        In float32, as the trained model predicts, since thresholds are fitted to them.
        """
        rank, processes = self.args.process_index, self.args.world_size
        self.model.eval()
        with tqdm(
            total=len(self.eval_dataset) // processes,
            desc="validation",
            unit="text",
            disable=rank > 0,
            leave=False,
        ) as bar:
            part = logits(
                lambda ids, mask: self.model(input_ids=ids, attention_mask=mask).logits,
                self.eval_dataset,
                self.data_collator,
                labels=self.eval_dataset.targets.shape[1],
                device=self.args.device,
                advance=bar.update,
                process=rank,
                processes=processes,
            )
        # A process has NaN where another one computed the logits.
        scores: NDArray[np.float32] = np.fmax.reduce(gather_object([part]))
        return scores

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.check_finite()
        assert self.resuming is not None  # noqa: S101  # for mypy: only then it is due
        write = partial(super()._save_checkpoint, model, trial)
        self.resuming.save(write, self.state.global_step, is_main=self.is_world_process_zero())


def arguments(train: Train, recipe: Recipe, accumulation: int) -> TrainingArguments:
    """The Trainer's arguments; making them connects the processes that train together.

    Args:
        accumulation: micro-batches per optimizer step.
    """
    made = TrainingArguments(
        # Without this the processes that torchrun starts on CPUs never find each other.
        use_cpu=not torch.accelerator.is_available(),
        seed=train.seed,
        num_train_epochs=recipe.epochs,
        gradient_accumulation_steps=accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=train.warmup_ratio,
        weight_decay=train.weight_decay,
        max_grad_norm=train.gradient_clipping,  # above 0, Trainer calls _clip_grad_norm
        bf16=uses_bf16(train.precision),
        eval_strategy="epoch",
        save_strategy="no",
        logging_steps=LOG_EVERY,
        logging_nan_inf_filter=False,  # it would hide NaN from the log
        report_to="none",
        remove_unused_columns=False,
    )
    # Or transformers shares batches among all GPUs that one process sees, by DataParallel.
    made._n_gpu = min(made.n_gpu, 1)
    # compute_loss does it, as train.precision says, whatever `accelerate config` says.
    made.mixed_precision = "no"
    return made


def uses_bf16(precision: str) -> bool:
    """Whether matrix products are autocast to bfloat16.

    "auto" does so where the hardware computes in it: on NVIDIA's GPUs, and on CPUs with AVX512-BF16
    or AMX. On other accelerators it was never tried, so there "auto" is float32.

    Raises:
        UserError: bf16 was asked for and the GPU does not have it.
    """
    if torch.cuda.is_available():
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    elif torch.accelerator.is_available():
        supported = False
    else:  # torch has no public function for it
        supported = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    if precision == "bf16" and torch.cuda.is_available() and not supported:
        raise UserError("train.precision is bf16, and this GPU has no bfloat16; use auto or fp32")
    return precision == "bf16" or (precision == "auto" and supported)


def _not_finite(what: str, step: int) -> UserError:
    return UserError(
        f"the {what} is not finite at step {step}; nothing was saved. Try a lower learning_rate "
        "in the model's recipe, train.precision=fp32 or a longer train.warmup_ratio"
    )

"""When a training saves a checkpoint, what it holds, and how a training resumes from it."""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list, gather_object
from safetensors import SafetensorError
from transformers import ProgressCallback, TrainerCallback

from goemotions.errors import UserError
from goemotions.io.checkpoints import Checkpoints
from goemotions.io.locks import ORPHAN, orphaned
from goemotions.io.silence import silenced
from goemotions.training.clock import Clock

_PARTS = "parts.pt"  # of a checkpoint: what the Trainer does not save


class Resuming(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Saves checkpoints during a training and restores what the Trainer does not.

    Args:
        checkpoints: where they are kept.
        clock: of this training.
        parts: what the Trainer does not save, by name; each has `state_dict` and
            `load_state_dict`.
    """

    def __init__(self, checkpoints: Checkpoints, clock: Clock, **parts: Any) -> None:
        self.checkpoints, self.clock, self.parts = checkpoints, clock, {"clock": clock, **parts}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == state.max_steps:  # or a short training would have no curve
            control.should_log = True
        control.should_save = self._is_due(args, state, validated=False)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_save = self._is_due(args, state, validated=True)

    def _is_due(self, args: Any, state: Any, *, validated: bool) -> bool:
        """Whether to save now; the same in all processes.

        Only where the log has just been written, since the Trainer does not save what it has
        gathered for the next entry; at the end of training there is none. The last step of an
        epoch is saved after its validation. An epoch that ends the training early is not: the
        Trainer would resume with the next one.

        Args:
            validated: whether this is asked after an epoch's validation, not after a step.
        """
        step, steps = state.global_step, state.max_steps
        ends_epoch = step % round(steps / state.num_train_epochs) == 0
        logged = step % args.logging_steps == 0 or (validated and step >= steps)
        ends_early = validated and self.clock.expired and step < steps
        if not logged or ends_epoch is not validated or ends_early:
            return False
        return bool(broadcast_object_list([self.checkpoints.due()])[0])

    def save(self, write: Callable[[], None], step: int, *, is_main: bool) -> None:
        """Save a checkpoint of the Trainer's files and of the parts, complete or not at all.

        Args:
            write: writes the Trainer's files into `checkpoint-<step>` of the checkpoints' draft.
        """
        started = time.monotonic()
        made = self.checkpoints.draft / f"checkpoint-{step}"
        written = False
        try:
            with silenced():
                write()
            if is_main:
                states = {name: part.state_dict() for name, part in self.parts.items()}
                torch.save(states, made / _PARTS)
            written = True
        except (OSError, RuntimeError, SafetensorError) as error:  # torch's own is a RuntimeError
            print(f"no checkpoint could be saved: {error}", file=sys.stderr)
        written = all(gather_object([written]))  # which also waits for every process
        if is_main:
            try:
                if written:
                    self.checkpoints.publish(made)
            except OSError as error:
                print(f"no checkpoint could be saved: {error}", file=sys.stderr)
            finally:
                shutil.rmtree(made, ignore_errors=True)
                self.checkpoints.plan_next(started)
        if broadcast_object_list([orphaned()])[0]:  # one process decides
            raise UserError(ORPHAN)

    def restore(self, checkpoint: Path) -> None:
        """Give the parts the state that they had at a checkpoint."""
        states = torch.load(checkpoint / _PARTS, map_location="cpu", weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(states[name])


class Progress(ProgressCallback):  # type: ignore[misc]
    """The Trainer's bar, which would count the steps before a checkpoint as made in no time."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_train_begin(args, state, control, **kwargs)
        self.current_step = state.global_step
        if self.training_bar is not None:
            self.training_bar.initial = self.training_bar.n = state.global_step

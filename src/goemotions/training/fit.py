"""Train one loss: from data/<dataset> and models/<model> to models/trained/<loss>."""

import gc
import json
import os
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list

from goemotions.config import Params
from goemotions.data import splits
from goemotions.errors import UserError
from goemotions.io import digests, publish
from goemotions.io.checkpoints import run_checkpoints
from goemotions.io.locks import ORPHAN, only_one, orphaned
from goemotions.io.project import code_digest
from goemotions.io.silence import quiet
from goemotions.metrics import thresholds
from goemotions.network import dropout, short_text
from goemotions.network.batching import Collator, Rows
from goemotions.network.classifier import build_classifier
from goemotions.network.vocabulary import Vocabulary
from goemotions.training import losses, trainer

_NEEDED = ("config.json", "model.safetensors", "tokenizer.json")
# The base model's files that the trained folder replaces; the tokenizer's are taken over.
_REPLACED = {"config.json", "model.safetensors", digests.MANIFEST}
# What launchers set for each of their processes, and the value that asks for none beside this one.
_OF_LAUNCHERS = {
    "WORLD_SIZE": "1",
    "RANK": "0",
    "LOCAL_RANK": "-1",
    "PMI_SIZE": "1",
    "OMPI_COMM_WORLD_SIZE": "1",
    "MV2_COMM_WORLD_SIZE": "1",
}


def train(params: Params, loss_name: str) -> None:
    """Fine-tune the selected model with one loss and write models/trained/<loss>.

    The folder loads with AutoModelForSequenceClassification and holds thresholds.json. The curves
    and a summary go to metrics/training/<loss>.

    Raises:
        UserError: a setting is wrong, an input is missing or another process trains this loss;
            or the loss became infinite. models/trained/<loss> is then what it was.
    """
    if loss_name not in params.losses:
        raise UserError(f"loss {loss_name!r} is unknown; known: {', '.join(params.losses)}")
    processes = _processes()
    accumulation = int(os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", 1))
    is_main = int(os.environ.get("RANK", 0)) == 0
    base = _check_base_model(params)
    data = splits.load(params.data_folder, "train", "val")
    folder = params.trained_folder(loss_name)
    whole = params.losses[loss_name].function in losses.OF_BATCHES
    if whole and processes * accumulation > 1:
        raise UserError(
            f"losses.{loss_name}.function compares the rows of a batch, so dealing a batch out to "
            f"{processes} process(es) in {accumulation} part(s) would make it another loss; train "
            "with one process, without gradient accumulation"
        )
    lock = only_one(folder.parent / f".{folder.name}.lock", str(folder))
    with lock if is_main else nullcontext():
        while True:
            with suppress(torch.OutOfMemoryError):
                _train(params, loss_name, data, base, processes, accumulation)
                return
            rows = params.train.batch_size // (processes * accumulation)
            # Another process would wait for ever for the one whose memory was full.
            if rows < 2 or processes > 1 or whole:
                raise UserError(
                    f"the GPU's memory is too small for {rows} row(s) at a time; "
                    + (
                        f"lower train.batch_size, since {loss_name} cannot be computed in parts"
                        if whole
                        else "set more gradient accumulation steps in `accelerate config`, or "
                        "lower train.max_length"
                    )
                )
            accumulation *= 2
            print(
                f"the GPU's memory is too small for {rows} rows at a time: starting again with "
                f"{accumulation} parts of a batch of {params.train.batch_size}",
                file=sys.stderr,
                flush=True,
            )
            gc.collect()
            if torch.accelerator.is_available():
                torch.accelerator.empty_cache()


def _train(
    params: Params,
    loss_name: str,
    data: dict[str, splits.Split],
    base: dict[str, str],
    processes: int,
    accumulation: int,
) -> None:
    from transformers import AutoTokenizer, set_seed

    folder, curves = params.trained_folder(loss_name), Path("metrics", "training", loss_name)
    recipe = params.recipes[params.model]
    is_main = int(os.environ.get("RANK", 0)) == 0
    determined_by = _determined_by(params, loss_name, base, processes, accumulation)
    with run_checkpoints(loss_name, determined_by, is_main=is_main) as saved:
        scratch = saved.draft
        arguments = trainer.arguments(params.train, recipe, scratch, processes, accumulation)
        train_split, val_split = data["train"], data["val"]
        counts = torch.tensor([*train_split.targets.sum(0), len(train_split.ids)])
        loss = losses.build(params.losses[loss_name], counts)
        if is_main:
            print(
                f"training {params.model} with {loss_name} on {len(train_split.ids):,} rows of "
                f"{params.dataset}: {recipe.epochs} epoch(s), {processes} process(es) on "
                f"{arguments.device.type}, {'bf16' if arguments.bf16 else 'fp32'}",
                flush=True,
            )
        tokenizer = AutoTokenizer.from_pretrained(params.model_folder, trust_remote_code=False)
        length = params.train.max_length
        train_rows, val_rows = (
            Rows(tokenizer, split.texts, split.targets, length)
            for split in (train_split, val_split)
        )
        set_seed(params.train.seed)
        classifier = build_classifier(params.model_folder, recipe, train_split.targets)
        vocabulary = Vocabulary([train_rows, val_rows], tokenizer.pad_token_id)
        vocabulary.shrink(classifier)
        if params.train.short_text:
            short_text.enable(classifier)
            dropout.enable(classifier)
        loop = trainer.LossTrainer(
            classifier,
            arguments,
            loss,
            recipe,
            params.train.batch_size,
            Collator(vocabulary.padding),
            train_rows,
            val_rows,
            saved,
        )
        if is_main:
            loop.write_curves(curves)
        # One process decides: it may be removing a damaged one.
        if latest := broadcast_object_list([saved.latest() if is_main else None])[0]:
            if is_main:
                step = json.loads((latest / "trainer_state.json").read_text())["global_step"]
                print(f"going on from step {step}; GOEMOTIONS_FRESH=1 starts over", flush=True)
            loop.train(resume_from_checkpoint=str(latest))
        else:
            loop.train()
        loop.check_finite()
        seconds = loop.seconds
        if is_main:
            if orphaned():
                raise UserError(ORPHAN)
            vocabulary.restore(classifier, loop.best)
            _save(loop, params.model_folder, folder, length)
            digests.write_json(publish.fresh(curves / "summary.json"), _summary(loop, seconds))
            saved.finish()


def _determined_by(
    params: Params, loss_name: str, base: dict[str, str], processes: int, accumulation: int
) -> dict[str, Any]:
    """All that determines a training, for the key of its checkpoint."""
    import transformers

    data = [params.data_folder / "train.jsonl", params.data_folder / "val.jsonl"]
    return {
        "train": params.train.model_dump(),
        "recipe": params.recipes[params.model].model_dump(),
        "loss": params.losses[loss_name].model_dump(),
        "processes": [processes, accumulation],
        "device": str(torch.accelerator.current_accelerator()),
        "bf16": trainer.uses_bf16(params.train.precision),
        "versions": [torch.__version__, transformers.__version__],
        "data": [digests.sha256(path) for path in data],
        "base model": base,
        "code": code_digest("train"),
    }


def _save(loop: trainer.LossTrainer, base: Path, folder: Path, max_length: int) -> None:
    """Write the model, its tokenizer and the thresholds, whole or not at all."""
    fits = thresholds.fit(loop.best_logits, loop.best_targets)
    with publish.published(folder) as draft:
        with quiet():
            loop.model.save_pretrained(draft)
        for path in sorted(base.iterdir()):
            if path.name not in _REPLACED:
                (draft / path.name).write_bytes(path.read_bytes())
        digests.write_json(
            draft / "thresholds.json",
            {
                "preferred": thresholds.preferred(fits),
                "max_length": max_length,
                "methods": {
                    method: {
                        "validation_macro_f1": fit.macro_f1,
                        "shrinkage": fit.shrinkage,
                        "probabilities": dict(
                            zip(loop.model.config.id2label.values(), fit.probabilities, strict=True)
                        ),
                    }
                    for method, fit in fits.items()
                },
            },
        )
        digests.write_manifest(draft)


def _summary(loop: trainer.LossTrainer, seconds: float) -> dict[str, Any]:
    steps, epochs = loop.state.global_step, loop.state.num_train_epochs
    cuda = torch.cuda.is_available()
    return {
        "seconds": round(seconds, 1),
        "examples_per_second": round(len(loop.train_dataset) * epochs / seconds, 1),
        "steps": steps,
        "best_epoch": loop.best_epoch,
        "validation_macro_f1": loop.best_macro_f1,
        "processes": loop.args.world_size,
        "device": torch.cuda.get_device_name()
        if cuda
        else f"CPU, {torch.get_num_threads()} threads",
        "precision": "bf16" if loop.args.bf16 else "fp32",
        "torch": torch.__version__,
    }


def _processes() -> int:
    """How many processes train together.

    Raises:
        UserError: `accelerate config` asks for another number, for a compiler, or for a model that
            is split over GPUs; or variables of a launcher are left over. On CPUs `accelerate
            launch` can start one process where several were asked for, and says nothing.
    """
    started = _started()
    for way in ("FSDP", "DEEPSPEED"):
        if os.environ.get(f"ACCELERATE_USE_{way}", "false").lower() == "true":
            raise UserError(
                f"`accelerate config` asks for {way}; every model here fits on one GPU, and each "
                "process trains a whole one (DDP): run `accelerate config` again and say no to it"
            )
    if (compiler := os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no")).lower() not in ("", "no"):
        raise UserError(
            f"`accelerate config` asks for torch dynamo ({compiler}), which was not tried here: "
            "run `accelerate config` again and say no to it"
        )
    from accelerate.commands.config import config_args

    path = Path(config_args.default_config_file)
    asked = config_args.load_config_from_file(None).num_processes if path.is_file() else None
    # torchrun sets TORCHELASTIC_RUN_ID: who starts the processes by hand means that number.
    by_hand = "TORCHELASTIC_RUN_ID" in os.environ and "ACCELERATE_MIXED_PRECISION" not in os.environ
    if asked and asked != started and not by_hand:
        raise UserError(
            f"{path} asks for num_processes {asked}, and {started} started; run `accelerate "
            f"config` again, or on CPUs start them with `torchrun --nproc_per_node {asked} "
            "stages/train.py`"
        )
    return started


def _started() -> int:
    """How many processes a launcher started, by the variables that it sets for each of them.

    Raises:
        UserError: no launcher set them so. Those that a shell still has from another run would make
            accelerate wait for processes that nobody started; RANK alone would keep this one from
            writing what it trained.
    """
    env = os.environ
    numbers = [env.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")]
    # `accelerate launch` starts several processes by torchrun, which sets TORCHELASTIC_RUN_ID.
    alone = "ACCELERATE_MIXED_PRECISION" in env and "TORCHELASTIC_RUN_ID" not in env
    if env.get("MASTER_ADDR") and all(map(str.isdecimal, numbers)):
        rank, started, *_ = map(int, numbers)
        if rank < started and (started == 1 or not alone):
            return started
    left = {name: env[name] for name, one in _OF_LAUNCHERS.items() if env.get(name, one) != one}
    if left:
        found = ", ".join(f"{name} is {value!r}" for name, value in left.items())
        raise UserError(
            f"{found}: a launcher sets that for each of several processes, but none started this "
            f"one. Run `unset {' '.join(left)}` and the same command again; several processes are "
            "started by `torchrun`, or by `accelerate launch` after `accelerate config`"
        )
    return 1


def _check_base_model(params: Params) -> dict[str, str]:
    """The digests of the base model's files, which they still have."""
    folder = params.model_folder
    if missing := [name for name in _NEEDED if not (folder / name).is_file()]:
        raise UserError(f"{folder} lacks {', '.join(missing)}; run `dvc repro cache_model`")
    written = digests.read_manifest(folder, "dvc repro cache_model")
    digests.check(folder, written)
    return written

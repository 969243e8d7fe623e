"""How the processes of a training are started.

`python -m goemotions.io.launch SCRIPT` is `accelerate launch`, except that an interrupt ends it
without a traceback.
"""

import os
import sys
from pathlib import Path

import psutil

from goemotions.errors import UserError

# What launchers set for each of their processes, and the value that says that there is only one.
_LAUNCHER_VARIABLES = {
    "WORLD_SIZE": "1",
    "RANK": "0",
    "LOCAL_RANK": "-1",
    "PMI_SIZE": "1",
    "OMPI_COMM_WORLD_SIZE": "1",
    "MV2_COMM_WORLD_SIZE": "1",
}


def check_environment() -> None:
    """Check how a launcher started this process, before accelerate reads the same variables.

    Raises:
        UserError: variables of a launcher are left over, or `accelerate config` asks for a compiler
            or for a model that is split over GPUs.
    """
    _check_launcher_variables()
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


def gradient_accumulation() -> int:
    """How many parts each batch is computed in, as ACCELERATE_GRADIENT_ACCUMULATION_STEPS says.

    Raises:
        UserError: the variable is no whole number of at least 1.
    """
    given = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if not given.isdecimal() or int(given) < 1:
        raise UserError(
            f"ACCELERATE_GRADIENT_ACCUMULATION_STEPS is {given!r}; set it to a whole number of at "
            "least 1, or unset it"
        )
    return int(given)


def check_processes(started: int) -> None:
    """Check that as many processes train together as `accelerate config` asks for.

    On CPUs `accelerate launch` can start one process where several were asked for, silently; on
    GPUs it can start more than there are GPUs to see, and NCCL then ends with a traceback.

    Raises:
        UserError: there are more or fewer.
    """
    import torch
    from accelerate.commands.config import config_args

    here, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.accelerator.device_count()
    if here > gpus > 0:
        raise UserError(
            f"{here} processes started for {gpus} visible GPU(s); run `accelerate config` again, "
            "or change CUDA_VISIBLE_DEVICES"
        )
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


def _check_launcher_variables() -> None:
    """Refuse variables that a shell still has from another run.

    They would make accelerate wait for processes that nobody started; RANK alone would keep this
    one from writing what it trained.
    """
    env = os.environ
    numbers = [env.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_PORT")]
    # `accelerate launch` starts several processes by torchrun, which sets TORCHELASTIC_RUN_ID.
    alone = "ACCELERATE_MIXED_PRECISION" in env and "TORCHELASTIC_RUN_ID" not in env
    if env.get("MASTER_ADDR") and all(map(str.isdecimal, numbers)):
        rank, started, *_ = map(int, numbers)
        if rank < started and (started == 1 or not alone):
            return
    left = {n: env[n] for n, one in _LAUNCHER_VARIABLES.items() if env.get(n, one) != one}
    if left:
        listed = ", ".join(f"{name} is {value!r}" for name, value in left.items())
        raise UserError(
            f"{listed}: launchers such as torchrun set that, but this process was not started by "
            f"one. Run `unset {' '.join(left)}` and the same command again; several processes are "
            "started by `torchrun`, or by `accelerate launch` after `accelerate config`"
        )


def main() -> None:
    """Run `accelerate launch`; an interrupt waits for the script, which says what it means."""
    try:
        from accelerate.commands import launch
        from torch.distributed.elastic.multiprocessing import SignalException
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        try:
            launch.main()
        except SignalException as stopped:  # from torchrun, which has stopped its processes
            sys.exit(128 + stopped.sigval)
        except ChildFailedError as failed:  # also from torchrun; the process has said why
            for rank, failure in failed.failures.items():
                if failure.exitcode < 0:  # a signal's number
                    ended = f"process {rank} was ended by {failure.signal_name()}"
                    print(f"error: {ended}", file=sys.stderr)
            sys.exit(1)
    except KeyboardInterrupt:
        psutil.wait_procs(psutil.Process().children())
        sys.exit(130)


if __name__ == "__main__":
    main()

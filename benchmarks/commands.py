"""What a user waits for or queues: start-up times, and trainings side by side."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from goemotions.errors import UserError
from goemotions.io import cores

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "goemotions --help": ["-m", "goemotions.cli", "--help"],
    'goemotions predict "a text", MiniLM': ["-m", "goemotions.cli", "predict", "a text", "--model"],
}


def seconds(command: str, folder: Path) -> float:
    """How long one of COMMANDS takes, with the trained folder that predicts."""
    arguments = COMMANDS[command]
    arguments = [*arguments, str(folder)] if arguments[-1] == "--model" else arguments
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def side_by_side(trainings: int, task: str) -> list[float]:
    """Real tokens a second of each of several trainings at once that share the cores.

    Args:
        task: what `python -m benchmarks --one` measures, in JSON.
    """
    threads = max(1, cores.usable() // trainings)
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks", "--one", task],
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(trainings)
    ]
    outputs = [child.communicate()[0] for child in children]
    if any(child.returncode for child in children):
        raise UserError(f"one of {trainings} trainings side by side failed")
    return [json.loads(output.splitlines()[-1])["tokens_per_second"] for output in outputs]

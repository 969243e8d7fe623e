"""Throughput of stages/train.py with one process and with two that share the cores or GPUs."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks import machine
from goemotions import config
from goemotions.data import splits
from goemotions.data.labels import Labels
from goemotions.errors import UserError
from goemotions.io import cores
from goemotions.models import prepare


def run(settings: config.Params, data: Path, rows: int, rounds: int) -> None:
    """Train MiniLM with one and with two processes in turn, and print rows a second.

    Raises:
        UserError: a training failed; with the end of what it printed.
    """
    stage = Path("stages/train.py").resolve()
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        prepare.cache("minilm-l6", settings.models["minilm-l6"], here / "models/minilm-l6")
        raw = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        raw.update(loss="bce", model="minilm-l6", dataset="goemotions")
        (here / "params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        (here / "data/goemotions").mkdir(parents=True)
        lines = data.read_bytes().splitlines(keepends=True)
        parts = {"train": lines[:rows], "val": lines[-100:]}
        splits.write(
            here / "data/goemotions",
            {split: b"".join(part) for split, part in parts.items()},
            {split: len(part) for split, part in parts.items()},
            Labels.read(data.parent),
        )
        runs: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for processes, found in runs.items():
                threads = max(1, cores.usable() // processes)
                command = f"-m torch.distributed.run --nproc_per_node={processes} {stage}"
                done = subprocess.run(
                    [sys.executable, *command.split()],
                    cwd=here,
                    env=os.environ | {"OMP_NUM_THREADS": str(threads)},
                    capture_output=True,
                    text=True,
                )
                if done.returncode:
                    raise UserError(f"{processes} processes failed:\n{done.stderr[-2000:]}")
                summary = json.loads((here / "metrics/training/bce/summary.json").read_text())
                found.append(summary["examples_per_second"])
                print(
                    f"{processes} process(es), {threads} threads each: {found[-1]:.1f} rows/s",
                    flush=True,
                )
    one, two = (statistics.median(found) for found in runs.values())
    print(f"{machine.name()}: two processes have {two / one:.2f} times the throughput of one")

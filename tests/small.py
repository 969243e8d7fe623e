"""Settings for training in seconds, and training in processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def settings(**changes):
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw.update(loss="bce", dataset="sample", model="deberta-v3-tiny")
    raw["datasets"]["sample"]["rows"] = {"train": 160, "val": 120, "test": 120}
    raw["models"]["deberta-v3-tiny"].update(hidden_size=16, intermediate_size=16)
    raw["recipes"]["deberta-v3-tiny"].update({"epochs": 2} | changes)
    raw["train"]["precision"] = "fp32"  # auto is bf16 on some CPUs, whose results differ more
    return raw


def launch(workspace, raw, *launcher, **env):
    """stages/train.py as a launcher starts it, here with `python -m LAUNCHER`."""
    (workspace / "params.yaml").write_text(yaml.safe_dump(raw))
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, str(ROOT / "stages/train.py")],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | env,
        cwd=workspace,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

"""The stages' scripts: `--help` says what each does and starts nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STAGES = sorted((ROOT / "stages").glob("*.py"))


def run(script, folder, *arguments):
    command = [sys.executable, str(script), *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)


def test_there_is_a_script_for_every_stage():
    names = [path.stem for path in STAGES]
    assert names == ["baseline", "cache_model", "evaluate", "export", "fetch_dataset", "train"]


@pytest.mark.parametrize("script", STAGES, ids=lambda path: path.stem)
def test_help_describes_the_stage_without_starting_it(script, tmp_path):
    done = run(script, tmp_path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    first_sentence = script.read_text(encoding="utf-8").split('"""')[1].split(".")[0]
    assert re.sub(r"\s+", " ", first_sentence) in re.sub(r"\s+", " ", done.stdout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", STAGES, ids=lambda path: path.stem)
def test_an_unknown_argument_is_refused(script, tmp_path):
    done = run(script, tmp_path, "--no-such-option")
    assert done.returncode == 2
    assert "unrecognized arguments: --no-such-option" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_soak_starts(tmp_path):
    """Its kills take an hour, so that only `make soak` runs them."""
    done = run(ROOT / "tools/soak.py", tmp_path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Kill the four stages of a small pipeline" in done.stdout

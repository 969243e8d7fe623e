"""A second run beside a live one, and beside an orphan that a killed `dvc repro` left."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest


def wait_for(event: Callable[[], object], process: subprocess.Popen) -> None:
    """Return once `event` has happened; the process must be running until then."""
    deadline = time.monotonic() + 400
    while not event():
        assert process.poll() is None, "the process ended too early"
        assert time.monotonic() < deadline, "nothing happened for too long"
        time.sleep(0.01)


@pytest.fixture
def training(clone):
    """A clone, and its `dvc repro` while the model is being trained; both end with the test."""
    clone.params({"train.batch_size": 4, "recipes.deberta-v3-tiny.epochs": 500})
    lock = clone.folder / "models/trained/.asl.lock"
    process = subprocess.Popen(
        [str(clone.folder / ".venv/bin/dvc"), "repro", "train"],
        cwd=clone.folder,
        env=clone.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: lock.exists() and lock.read_text(), process)
    owner = int(lock.read_text())
    yield clone, process, owner
    for pid in (process.pid, owner):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def test_nothing_trains_beside_a_live_run_or_an_orphan_which_ends_with_a_checkpoint(training):
    clone, process, owner = training
    assert str(process.pid) in clone.dvc("repro", "train", ok=False)
    assert process.poll() is None
    curve = clone.folder / "metrics/training/asl/validation.csv"
    wait_for(curve.exists, process)  # which the next repro removes while the orphan still trains
    os.kill(owner, signal.SIGSTOP)  # or it might end before the next one looks
    process.kill()
    process.wait()
    output = clone.dvc("repro", "train", ok=False)
    assert f"models/trained/asl is being trained by process {owner}" in output
    assert f"`kill {owner}`" in output
    assert not list(clone.folder.glob(".dvc/tmp/goemotions/asl-*/complete"))
    os.kill(owner, signal.SIGCONT)
    psutil.wait_procs([psutil.Process(owner)], timeout=400)
    assert not psutil.pid_exists(owner), "the orphan is still training"
    assert list(clone.folder.glob(".dvc/tmp/goemotions/asl-*/complete/digests.json"))
    assert not (clone.folder / "models/trained/asl").exists()


def test_a_temporary_experiment_that_was_killed_resumes_in_the_next_one(clone):
    clone.params({"train.batch_size": 4, "recipes.deberta-v3-tiny.epochs": 12})
    clone.env["GOEMOTIONS_CHECKPOINT_SECONDS"] = "0"
    dvc = str(clone.folder / ".venv/bin/dvc")
    process = subprocess.Popen(
        [dvc, "exp", "run", "--temp", "train"],
        cwd=clone.folder,
        env=clone.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    checkpoints = ".dvc/tmp/goemotions/asl-*/complete/digests.json"
    wait_for(lambda: list(clone.folder.glob(checkpoints)), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    output = clone.dvc("exp", "run", "--temp", "-n", "again", "evaluate")
    assert "resuming from step " in output
    (kept,) = clone.folder.glob(".dvc/tmp/goemotions/asl-*/")
    assert (kept / "finished").exists()
    assert "again" in clone.dvc("exp", "list")


@pytest.mark.parametrize(
    ("command", "status", "last"),
    [
        ("stages/run.sh accelerate launch --quiet stages/train.py", 130, ""),
        (".venv/bin/dvc repro train", 255, "exited with 130"),
    ],
)
def test_an_interrupt_ends_a_training_with_one_line(clone, command, status, last):
    clone.params({"train.batch_size": 4, "recipes.deberta-v3-tiny.epochs": 500})
    clone.dvc("repro", "fetch_dataset", "cache_model")
    output = clone.folder / "output.txt"
    with output.open("w") as file:
        process = subprocess.Popen(
            command.split(), cwd=clone.folder, env=clone.env, stdout=file, stderr=file,
            start_new_session=True,
            # A job that a script runs in the background ignores SIGINT, and so would all it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    wait_for((clone.folder / "metrics/training/asl/validation.csv").exists, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does at Ctrl-C
    assert process.wait(timeout=400) == status
    text = output.read_text()
    assert text.count("interrupted; the same command resumes from the last checkpoint") == 1
    assert "Traceback" not in text
    assert last in text.splitlines()[-1]


def test_no_setting_reaches_a_shell(clone):
    evil = "asl; touch ran"
    asl = {"function": "asl", "gamma_neg": 4, "gamma_pos": 1, "clip": 0.05}
    clone.dvc("repro", "fetch_dataset", "cache_model")
    clone.params({"loss": evil, "losses": {evil: asl, "bce": {"function": "bce", "smoothing": 0}}})
    clone.dvc("repro", "train", ok=False)
    clone.dvc("exp", "run", "-S", "loss=asl; touch ran", "train", ok=False)
    clone.params({"loss": "bce", "export": ["; touch ran #/../bce"]})
    (clone.folder / "models/trained/bce").mkdir(parents=True)
    (clone.folder / "metrics/predictions.parquet").touch()
    clone.dvc("repro", "--single-item", "--glob", "export@*", ok=False)
    assert not list(clone.folder.rglob("ran"))

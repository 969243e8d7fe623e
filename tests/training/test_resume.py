"""A training that is killed resumes, and ends as if nothing had happened."""

import contextlib
import errno
import json
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from goemotions import config
from goemotions.data import splits
from goemotions.data.labels import Labels
from goemotions.errors import UserError
from goemotions.io import checkpoints
from goemotions.io.checkpoints import digests, run_checkpoints
from goemotions.io.digests import sha256
from goemotions.training import fit
from tests.small import launch, settings

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")


@pytest.fixture(scope="module")
def raw():
    """Three epochs of 40 steps, which are saved after 20 steps each."""
    chosen = settings(epochs=3, head_dropout=0.3)
    chosen["train"].update(batch_size=4, gradient_clipping=0.3)  # more steps are clipped than not
    return chosen


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setenv("GOEMOTIONS_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr(checkpoints, "MAXIMUM_SHARE_OF_TIME", 1e9)


@pytest.fixture(scope="module")
def undisturbed(raw, inputs, tmp_path_factory):
    """What a run that nobody disturbs leaves: its files' digests and its curves."""
    folder = shutil.copytree(inputs, tmp_path_factory.mktemp("undisturbed"), dirs_exist_ok=True)
    with contextlib.chdir(folder):
        fit.train(config.parse(raw), "bce")
    return outputs(folder)


@pytest.fixture(scope="module")
def undisturbed_process(raw, inputs, tmp_path_factory):
    """The same of a process of its own, whose number of threads differs from the tests'."""
    folder = shutil.copytree(inputs, tmp_path_factory.mktemp("process"), dirs_exist_ok=True)
    finish(launch(folder, raw, *ONE))
    return outputs(folder)


ONE = ("torch.distributed.run", "--nproc_per_node=1")
OFTEN = {"GOEMOTIONS_CHECKPOINT_SECONDS": "0"}


def outputs(folder):
    curves = folder / "metrics/training/bce"
    trained = {p.name: sha256(p) for p in (folder / "models/trained/bce").iterdir()}
    return trained | {name: (curves / name).read_text() for name in CURVES}


CURVES = ("training.csv", "validation.csv")


def places(folder):
    """The checkpoints of runs that are not done."""
    every = (folder / ".dvc/tmp/goemotions").glob("*")
    return [p for p in every if p.is_dir() and not (p / "finished").exists()]


class Killed(BaseException):
    """Ends a training in process at once, as far as Python can."""


def train_until(monkeypatch, raw, step):
    """Train and end right after `step` steps."""
    from goemotions.training import resuming

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(resuming.Resuming, "on_step_begin", on_step_begin)
        with pytest.raises(Killed):
            fit.train(config.parse(raw), "bce")


def test_a_gpu_whose_memory_fills_up_later_ends_the_training_which_resumes(
    workspace, raw, often, undisturbed, monkeypatch
):
    forward = fit.trainer.LossTrainer.compute_loss

    def compute_loss(self, *arguments, **options):
        if self.state.global_step == 70:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(fit.trainer.LossTrainer, "compute_loss", compute_loss)
        for _ in range(2):  # from the start, and resumed ten steps before
            with pytest.raises(UserError, match="GPU's memory is full after step 70; end what"):
                fit.train(config.parse(raw), "bce")
    assert first_step(monkeypatch, raw) == 61
    fit.train(config.parse(raw), "bce")
    assert outputs(workspace) == undisturbed


def first_step(monkeypatch, raw):
    """The step that a training begins with; it ends there."""
    from goemotions.training import resuming

    made = []

    def on_step_begin(self, args, state, control, **kwargs):
        made.append(state.global_step + 1)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(resuming.Resuming, "on_step_begin", on_step_begin)
        with pytest.raises(Killed):
            fit.train(config.parse(raw), "bce")
    return made[0]


def steps_trained(monkeypatch, raw):
    """Train to the end; the steps that were really made."""
    from goemotions.training import resuming

    made = []

    def on_step_begin(self, args, state, control, **kwargs):
        made.append(state.global_step + 1)

    with monkeypatch.context() as patched:
        patched.setattr(resuming.Resuming, "on_step_begin", on_step_begin)
        fit.train(config.parse(raw), "bce")
    return made


@pytest.mark.parametrize(
    ("killed_after", "goes_on_with"), [(20, 21), (39, 21), (47, 41), (65, 61), (119, 101)]
)
def test_it_resumes_where_it_was_and_ends_with_the_same_bytes(
    workspace, monkeypatch, raw, often, undisturbed, killed_after, goes_on_with
):
    train_until(monkeypatch, raw, killed_after)
    assert not (workspace / "models/trained/bce").exists()
    (place,) = places(workspace)
    assert [path.name for path in place.iterdir()] == ["complete"]
    assert steps_trained(monkeypatch, raw) == list(range(goes_on_with, 121))
    assert outputs(workspace) == undisturbed
    assert places(workspace) == []


def test_a_run_that_dvc_could_not_record_is_not_made_again(
    workspace, monkeypatch, raw, often, undisturbed
):
    fit.train(config.parse(raw), "bce")
    shutil.rmtree(workspace / "models/trained/bce")  # as DVC does before it runs the stage again
    assert steps_trained(monkeypatch, raw) == []
    assert outputs(workspace) == undisturbed


def test_a_finished_run_keeps_its_checkpoint_until_another_run_saves_one(
    workspace, monkeypatch, raw, often
):
    fit.train(config.parse(raw), "bce")
    (finished,) = (workspace / ".dvc/tmp/goemotions").glob("bce-*/")
    assert (finished / "complete/digests.json").is_file()
    other = json.loads(json.dumps(raw))
    other["train"]["seed"] = 9
    train_until(monkeypatch, other, 30)
    (left,) = (workspace / ".dvc/tmp/goemotions").glob("bce-*/")
    assert left != finished
    assert places(workspace) == [left]


def test_a_finished_run_in_use_is_not_removed(workspace):
    for seed in (1, 2):
        with run_checkpoints("bce", {"seed": seed}, is_main=True) as kept:
            kept.complete.mkdir(parents=True)
            kept.finish()
            if seed == 1:
                with run_checkpoints("asl", {}, is_main=True) as other:
                    other.finish()
                    assert kept.complete.is_dir()
    assert kept.complete.is_dir()
    assert len(list((workspace / ".dvc/tmp/goemotions").glob("*/"))) == 1


def test_it_can_be_killed_again_and_again(workspace, monkeypatch, raw, often, undisturbed):
    for step in (25, 50, 62, 90):
        train_until(monkeypatch, raw, step)
    assert steps_trained(monkeypatch, raw)[0] == 81
    assert outputs(workspace) == undisturbed


def test_a_time_limit_counts_the_minutes_before_an_interruption(workspace, monkeypatch, raw, often):
    """Every step takes a second; an epoch has 40, and the limit is 50."""
    from goemotions.training import averaging, clock

    now = [0.0]

    def on_step_begin(self, args, state, control, **kwargs):
        now[0] += 1

    monkeypatch.setattr(averaging.WeightAverage, "on_step_begin", on_step_begin)
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])
    limited = json.loads(json.dumps(raw))
    limited["train"]["max_minutes"] = 50 / 60
    train_until(monkeypatch, limited, 47)
    assert steps_trained(monkeypatch, limited) == list(range(41, 81))
    # The early end itself has no checkpoint, from which the Trainer would train another epoch.
    assert steps_trained(monkeypatch, limited) == list(range(61, 81))
    validation = (workspace / "metrics/training/bce/validation.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in validation[1:]] == ["40", "80"]


@pytest.mark.parametrize(("gone_at", "resumes_with"), [(0, 21), (47, 61), (62, 81), (115, 121)])
def test_a_run_whose_starter_is_gone_ends_and_the_next_one_goes_on(
    workspace, monkeypatch, raw, often, undisturbed, gone_at, resumes_with
):
    from goemotions.training import resuming

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == gone_at:
            patched.setenv("GOEMOTIONS_STARTER", "none of this process's parents")
            shutil.rmtree(workspace / "metrics/training/bce")  # as the next `dvc repro` does

    with monkeypatch.context() as patched:
        patched.setenv("GOEMOTIONS_STARTER", str(os.getppid()))
        patched.setattr(resuming.Resuming, "on_step_begin", on_step_begin)
        with pytest.raises(UserError, match="the command that started this training run has ended"):
            fit.train(config.parse(raw), "bce")
    assert not (workspace / "models/trained/bce").exists()
    assert steps_trained(monkeypatch, raw) == list(range(resumes_with, 121))
    assert outputs(workspace) == undisturbed


def test_the_bar_counts_no_steps_that_were_made_before():
    from transformers import TrainerState

    from goemotions.training import resuming

    bar = resuming.Progress()
    state = TrainerState(global_step=40, max_steps=100, is_world_process_zero=True)
    bar.on_train_begin(None, state, None)
    state.global_step = 41
    bar.on_step_end(None, state, None)
    assert (bar.training_bar.initial, bar.training_bar.n) == (40, 41)
    bar.training_bar.close()


def wait_for_a_checkpoint(workspace, process):
    deadline = time.monotonic() + 120
    while not any((place / "complete/digests.json").is_file() for place in places(workspace)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def lines(path):
    """Of a file that a training writes anew each time."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text().splitlines()
    return []


def kill(launched):
    family = psutil.Process(launched.pid)
    for one in [*family.children(recursive=True), family]:
        with contextlib.suppress(psutil.NoSuchProcess):  # one of the others has ended it
            one.kill()
    launched.communicate()


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def test_sigkill_of_the_process_itself(workspace, raw, undisturbed_process):
    process = launch(workspace, raw, *ONE, **OFTEN)
    wait_for_a_checkpoint(workspace, process)
    kill(process)
    assert not (workspace / "models/trained/bce").exists()
    assert "resuming from step " in finish(launch(workspace, raw, *ONE))
    assert outputs(workspace) == undisturbed_process
    assert places(workspace) == []


def test_a_power_cut(disk, inputs, raw, undisturbed_process):
    workspace = shutil.copytree(inputs, disk.folder / "run")
    os.sync()
    process = launch(workspace, raw, *ONE, **OFTEN)
    wait_for_a_checkpoint(workspace, process)
    curve = workspace / "metrics/training/bce/training.csv"
    # Seen is not yet on the disk; it is when the next part of the curve is written.
    rows = len(lines(curve))
    while len(lines(curve)) <= rows:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    disk.cut()
    kill(process)
    disk.restart()
    assert not (workspace / "models/trained/bce").exists()
    assert "resuming from step " in finish(launch(workspace, raw, *ONE))
    assert outputs(workspace) == undisturbed_process


def test_a_file_system_that_can_do_little_costs_warnings_and_no_output(
    workspace, raw, undisturbed_process, file_system
):
    """It syncs no folder, no file that is open for reading, and has no flock; killed on the way."""
    little = file_system(
        fsync_of_folders=errno.EINVAL, fsync_of_read_only=errno.EACCES, flock=errno.ENOSYS
    )
    process = launch(workspace, raw, *ONE, **OFTEN, **little)
    wait_for_a_checkpoint(workspace, process)
    kill(process)
    process = launch(workspace, raw, *ONE, **OFTEN, **little)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "resuming from step " in out
    assert err.count("warning: this file system cannot confirm that files have reached") == 1
    assert err.count("warning: this file system does not support flock") == 1
    assert "no checkpoint could be saved" not in err
    assert outputs(workspace) == undisturbed_process
    assert places(workspace) == []
    left = {path.name for path in (workspace / "models/trained").iterdir()}
    assert left == {"bce", ".bce.lock"}


def test_the_precision_in_accelerates_config_does_not_count(workspace, raw, undisturbed_process):
    finish(launch(workspace, raw, *ONE, ACCELERATE_MIXED_PRECISION="bf16"))
    assert outputs(workspace) == undisturbed_process


def test_two_orphaned_processes_end_together_with_a_checkpoint(workspace, raw, tmp_path):
    two = ("torch.distributed.run", "--nproc_per_node=2")
    orphaned = {"GOEMOTIONS_STARTER": "no process", "HF_HOME": str(tmp_path / "none")}
    process = launch(workspace, raw, *two, **orphaned)
    _, error = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "the command that started this training run has ended" in error
    (place,) = places(workspace)
    # Beside it there may be a draft, if the launcher ended the first process before it tidied up.
    assert "complete" in {path.name for path in place.iterdir()}
    assert not (workspace / "models/trained/bce").exists()


def test_two_processes_resume_together(workspace, raw, tmp_path):
    two = ("torch.distributed.run", "--nproc_per_node=2")
    often = {**OFTEN, "HF_HOME": str(tmp_path / "none")}
    process = launch(workspace, raw, *two, **often)
    wait_for_a_checkpoint(workspace, process)
    kill(process)
    (place,) = places(workspace)
    states = [place / "complete" / f"rng_state_{rank}.pth" for rank in (0, 1)]
    first, second = (torch.load(state, weights_only=False)["cpu"] for state in states)
    assert not first.equal(second)  # or both would draw the same dropout masks
    assert "resuming from step " in finish(launch(workspace, raw, *two, **often))
    resumed = load_file(workspace / "models/trained/bce/model.safetensors")

    (workspace / "models/trained/bce").rename(workspace / "resumed")
    anew = launch(workspace, raw, *two, **often, GOEMOTIONS_FRESH="1")
    assert "resuming from step " not in finish(anew)
    whole = load_file(workspace / "models/trained/bce/model.safetensors")
    assert all(resumed[name].equal(whole[name]) for name in whole)
    assert places(workspace) == []


@pytest.mark.parametrize("change", ["setting", "loss", "data", "model", "code"])
def test_a_checkpoint_is_used_by_the_run_that_made_it_only(
    workspace, monkeypatch, raw, often, change
):
    train_until(monkeypatch, raw, 30)
    other = json.loads(json.dumps(raw))
    if change == "setting":
        other["train"]["seed"] = 9
    if change == "loss":
        other["losses"]["bce"]["smoothing"] = 0.1
    if change == "data":
        folder = workspace / "data/sample"
        parts = {name: (folder / f"{name}.jsonl").read_bytes() for name in ("train", "val")}
        parts["val"] = b"".join(parts["val"].splitlines(keepends=True)[:-1])
        splits.write(folder, parts, {}, Labels.read(folder))
    if change == "model":
        path = workspace / "models/deberta-v3-tiny/config.json"
        path.write_text(path.read_text() + "\n")
        digests.write_manifest(path.parent)
    if change == "code":
        monkeypatch.setattr(fit, "code_digest", lambda stage: "other")
    assert first_step(monkeypatch, other) == 1
    monkeypatch.undo()
    assert len(places(workspace)) == 1  # that of the run that was given up


def test_fresh_starts_over(workspace, monkeypatch, raw, often):
    train_until(monkeypatch, raw, 30)
    monkeypatch.setenv("GOEMOTIONS_FRESH", "0")
    assert first_step(monkeypatch, raw) == 21
    monkeypatch.setenv("GOEMOTIONS_FRESH", "1")
    assert first_step(monkeypatch, raw) == 1


@pytest.mark.parametrize("name", ["model.safetensors", "parts.pt", "digests.json"])
def test_a_damaged_checkpoint_is_not_used(workspace, monkeypatch, raw, often, capfd, name):
    train_until(monkeypatch, raw, 30)
    (place,) = places(workspace)
    path = place / "complete" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 128
    path.write_bytes(content)
    assert first_step(monkeypatch, raw) == 1
    assert "is corrupted: training starts over" in capfd.readouterr().err


def test_a_run_that_ended_between_two_renames_goes_on(workspace, monkeypatch, raw, often):
    train_until(monkeypatch, raw, 30)
    (place,) = places(workspace)
    (place / "complete").rename(place / "old")
    assert first_step(monkeypatch, raw) == 21


def half_of_it(content, path):
    """What torch leaves and raises where the disk is full."""
    Path(path).write_bytes(b"PK")
    raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")


def no_room(*args):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("place", "name", "failure"),
    [(torch, "save", half_of_it), (checkpoints.Checkpoints, "publish", no_room)],
)
def test_a_disk_that_is_full_costs_the_checkpoint_and_not_the_training(
    workspace, monkeypatch, raw, often, undisturbed, capfd, place, name, failure
):
    monkeypatch.setattr(place, name, failure)
    waits = []
    monkeypatch.setattr(checkpoints.Checkpoints, "plan_next", lambda _, began: waits.append(began))
    train_until(monkeypatch, raw, 45)
    assert capfd.readouterr().err.count("no checkpoint could be saved: ") == len(waits) == 2
    assert places(workspace) == []  # what is not whole does not stay
    assert steps_trained(monkeypatch, raw) == list(range(1, 121))
    assert outputs(workspace) == undisturbed


def test_only_one_process_trains_a_run(workspace):
    with (
        run_checkpoints("bce", {"seed": 1}, is_main=True),
        pytest.raises(UserError, match=f"being trained by process {os.getpid()}; wait"),
        run_checkpoints("bce", {"seed": 1}, is_main=True),
    ):
        pass


def test_folders_of_runs_that_were_given_up_do_not_pile_up(workspace):
    for seed in range(5):
        with run_checkpoints("bce", {"seed": seed}, is_main=True) as kept:
            (kept.draft / "checkpoint-20").mkdir(parents=True)
            kept.publish(kept.draft / "checkpoint-20")
            assert len(places(workspace)) == min(seed + 1, checkpoints.RUNS_KEPT)


def test_temporary_experiments_use_the_projects_folder(tmp_path, monkeypatch):
    inside = tmp_path / ".dvc/tmp/exps/standalone/tmpabc"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert checkpoints._place() == tmp_path / ".dvc/tmp/goemotions"


def test_a_checkpoint_is_due_when_it_costs_little(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    kept = checkpoints.Checkpoints(tmp_path)
    assert not kept.due()
    now[0] += 60
    assert kept.due()
    kept.plan_next(now[0] - 5)  # it took 5 seconds, so the next may come after 200
    now[0] += 199
    assert not kept.due()
    now[0] += 1
    assert kept.due()


@pytest.mark.parametrize("given", ["often", "-1", "nan", ""])
def test_a_wrong_interval_is_named(tmp_path, monkeypatch, given):
    monkeypatch.setenv("GOEMOTIONS_CHECKPOINT_SECONDS", given)
    with pytest.raises(UserError, match=f"GOEMOTIONS_CHECKPOINT_SECONDS is '{given}'; it must"):
        checkpoints.Checkpoints(tmp_path)


def of_version_1(package):
    """A change after which the package has that version."""
    found = fit.version
    return lambda patch: patch.setattr(
        fit, "version", lambda name: "1.0" if name == package else found(name)
    )


CHANGES = {
    **{name: of_version_1(name) for name in ("torch", "transformers", "tokenizers", "numpy")},
    "device": {"device": torch.device("cuda")},
    "code": lambda patch: patch.setattr(fit, "code_digest", lambda stage: f"another {stage}"),
    "precision": {"bf16": True},
    "processes": {"world_size": 2},
    "accumulation": {"gradient_accumulation_steps": 2},
    "seed": {"train": {"seed": 2}},
    "recipe": {"recipe": {"epochs": 4}},
    "loss": {"loss": "focal"},
    "base model": {"base": {"config.json": "other"}},
    "teacher": {"taught": np.zeros((160, 28), dtype=np.float32)},
}


def test_whatever_determines_the_weights_is_part_of_a_checkpoints_key(workspace, monkeypatch):
    p = config.parse(settings())
    data = splits.load(p.data_folder, "train", "val")

    def key(changed):
        raw = settings(**changed.get("recipe", {}))
        raw["train"].update(changed.get("train", {}))
        run = fit._Run(
            config.parse(raw), changed.get("loss", "bce"), data["train"], data["val"], 160,
            changed.get("base", {}), changed.get("taught"),
        )  # fmt: skip
        launched = {"world_size": 1, "gradient_accumulation_steps": 1, "bf16": False}
        launched |= {"device": torch.device("cpu")}
        arguments = {name: changed.get(name, value) for name, value in launched.items()}
        return json.dumps(fit._determined_by(run, SimpleNamespace(**arguments)))

    first = key({})
    assert key({}) == first
    same = []
    for name, change in CHANGES.items():
        with monkeypatch.context() as patch:
            if callable(change):
                change(patch)
            if key({} if callable(change) else change) == first:
                same.append(name)
    assert same == []
    for name in ("labels.json", "train.jsonl", "val.jsonl"):
        path = workspace / p.data_folder / name
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        assert key({}) != first, name
        path.write_bytes(content)

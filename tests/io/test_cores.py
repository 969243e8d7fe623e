"""The threads that stages and commands start with, where a process may not use every core."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from goemotions.io import cores

ROOT = Path(__file__).parents[2]
GROUPS = Path("/sys/fs/cgroup")
THREADS = ("stages/run.sh", "sh", "-c", "echo $OMP_NUM_THREADS")


def run(*command, **environment):
    """What a command prints in the project's folder, with this environment on PATH."""
    env = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=env | {"PYTHONPATH": "src"} | environment,
        capture_output=True,
        text=True,
    )
    assert not done.stderr, done.stderr
    return done.stdout.strip()


def needs(command):
    if shutil.which(command) is None:
        pytest.skip(f"there is no {command} here")


@pytest.fixture
def half_a_core():
    """A real control group of half a core's time; a shell's words for moving itself into it."""
    first_version = (GROUPS / "cpu/cpu.cfs_quota_us").exists()
    group = GROUPS / ("cpu" if first_version else "") / f"goemotions-test-{os.getpid()}"
    try:
        group.mkdir()
        if first_version:
            (group / "cpu.cfs_quota_us").write_text("50000")
            (group / "cpu.cfs_period_us").write_text("100000")
        else:
            with suppress(OSError):  # it may be on already
                (GROUPS / "cgroup.subtree_control").write_text("+cpu")
            (group / "cpu.max").write_text("50000 100000")
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"no control group with a CPU quota can be made here: {error}")
    yield f"echo $$ > {group}/cgroup.procs && exec "
    group.rmdir()


def test_a_stage_has_a_thread_for_each_core_that_it_may_use():
    assert run(*THREADS) == str(cores.usable())


def test_a_stage_on_one_core_of_the_machine_has_one_thread():
    needs("taskset")
    one = str(min(os.sched_getaffinity(0)))
    assert run("taskset", "--cpu-list", one, *THREADS) == "1"


def test_the_users_own_number_of_threads_stays():
    needs("taskset")
    one = str(min(os.sched_getaffinity(0)))
    assert run("taskset", "--cpu-list", one, *THREADS, OMP_NUM_THREADS="7") == "7"


def test_a_stage_with_a_quota_of_half_a_core_has_one_thread(half_a_core):
    assert run("sh", "-c", f'{half_a_core} "$@"', "sh", *THREADS) == "1"


def test_verify_says_how_many_threads_training_would_have(half_a_core, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("verify names the GPU here")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    verify = [sys.executable, "-m", "goemotions.cli", "verify", "--json"]
    command = ("sh", "-c", f'cd {tmp_path} && {half_a_core} "$@"', "sh", *verify)
    found = json.loads(run(*command, PYTHONPATH=str(ROOT / "src")))
    assert found["environment"]["accelerators"] == "none; 1 CPU threads"


@pytest.mark.parametrize(
    ("files", "threads"),
    [
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "20000 100000"}, 1),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
    ids=["v2", "v2 a fifth", "v2 none", "v1", "v1 none", "no groups"],
)
def test_a_containers_own_quota_is_at_the_root(tmp_path, files, threads):
    """As a container sees it: /sys/fs/cgroup holds its own group, here with these files."""
    needs("unshare")
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    mount = f'mount --bind {tmp_path} {GROUPS} && exec "$@"'
    unshare = ("unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no mount of its own can be made here")
    groups = Path("/proc/self/cgroup").read_text().splitlines()
    controllers = {name for line in groups for name in line.split(":")[1].split(",")}
    if not {"cpu" if "/" in name else "" for name in files} <= controllers:
        pytest.skip("this kernel has no control groups of that version")
    assert run(*unshare, *THREADS) == str(threads or len(os.sched_getaffinity(0)))

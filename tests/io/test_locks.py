"""One process at a time, on file systems with locks and without."""

import errno
import os
import re
import socket
import subprocess
import sys

import pytest

from goemotions.io.locks import take

HOLD = """
import sys
from pathlib import Path
from goemotions.errors import reported
from goemotions.io.locks import only_one
with reported(), only_one(Path(sys.argv[1]), "the model"):
    print("held", flush=True)
    sys.stdin.read()
"""
NO_FLOCK = (
    "warning: this file system does not support flock, so a lock file is used instead. If a "
    "process on another machine or in another container was killed, remove its lock file by hand\n"
)
ANSWERS = [
    {},
    {"flock": errno.ENOSYS},
    {"flock": errno.ENOLCK},
    {"flock": errno.EOPNOTSUPP},
    {"flock": errno.ENOSYS, "exchange": errno.EINVAL},
]


@pytest.fixture(params=ANSWERS, ids=str)
def answers(request):
    """What the file system answers."""
    return request.param


@pytest.fixture
def hold(file_system, answers, tmp_path):
    """Start a process that holds the lock until it is told to end, or ends with an error."""
    environment = os.environ | (file_system(**answers) if answers else {})
    started = []

    def start():
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", HOLD, str(tmp_path / "a folder/.lock")],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def end(process):
    """Let a process end; what it printed, its errors and its status."""
    out, err = process.communicate("", timeout=60)
    return out, err, process.returncode


def test_a_second_process_stops_and_names_the_first(hold, answers, tmp_path):
    first = hold()
    assert first.stdout.readline() == "held\n"
    out, err, status = end(hold())
    assert (out, status) == ("", 1)
    assert err.removeprefix(NO_FLOCK).startswith(
        f"error: the model is being trained by process {first.pid}; wait for it, or end it with "
        f"`kill {first.pid}`, and run this again"
    )
    assert end(first) == ("", NO_FLOCK if answers else "", 0)
    out, _, status = end(hold())
    assert (out, status) == ("held\n", 0)
    # The lock file stays, since another process may hold it; the one that is made instead does not.
    assert [path.name for path in (tmp_path / "a folder").iterdir()] == [".lock"]


def test_the_lock_of_a_killed_process_stops_nobody(hold):
    first = hold()
    assert first.stdout.readline() == "held\n"
    first.kill()
    first.wait()
    second = hold()
    assert second.stdout.readline() == "held\n"
    assert f"process {second.pid};" in end(hold())[1]
    assert end(second)[2] == 0


@pytest.mark.parametrize("before", ["", "4", "4\n"])
def test_the_file_of_an_earlier_lock_stops_nobody(hold, tmp_path, before):
    """As it comes with a project that was copied from a file system with flock."""
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a folder/.lock").write_text(before)
    assert end(hold())[0] == "held\n"


@pytest.mark.parametrize("answers", ANSWERS[1::3], ids=str, indirect=True)
def test_the_lock_of_another_machine_stops_until_it_is_removed_as_the_error_says(hold, tmp_path):
    first = hold()
    assert first.stdout.readline() == "held\n"
    first.kill()
    first.wait()
    marker = tmp_path / "a folder/.lock.soft"
    text = marker.read_text()
    assert text.count(socket.gethostname()) == 1
    marker.write_text(text.replace(socket.gethostname(), "elsewhere"))
    _, err, status = end(hold())
    assert status == 1
    (host, command) = re.search(
        rf"; if process {first.pid} no longer runs on (\w+), `(rm .*)` first$", err.strip()
    ).groups()
    assert host == "elsewhere"
    subprocess.run(command, shell=True, check=True)
    assert end(hold())[0] == "held\n"


def test_other_errors_of_the_file_system_are_not_taken_for_a_held_lock(tmp_path):
    (tmp_path / "lock").mkdir()
    with pytest.raises(IsADirectoryError):
        take(tmp_path / "lock")

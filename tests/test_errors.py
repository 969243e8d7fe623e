import subprocess
import sys
from pathlib import Path

import pytest
import torch

from goemotions.errors import UserError, reported


def test_a_user_error_ends_in_its_message_on_stderr_and_status_1(capsys):
    with pytest.raises(SystemExit) as ended, reported():
        raise UserError("train.seed is -1")
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", "error: train.seed is -1\n")


def test_any_other_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), reported():
        1 / 0  # noqa: B018


def test_a_full_gpu_is_said_without_a_traceback(capsys):
    with pytest.raises(SystemExit) as ended, reported():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    assert ended.value.code == 1
    assert "error: the GPU's memory is full; end what uses it" in capsys.readouterr().err


def test_an_interrupt_ends_without_a_traceback(capsys):
    with pytest.raises(SystemExit) as ended, reported():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\ninterrupted\n"
    with pytest.raises(SystemExit), reported(interrupted="stopped; it resumes"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "\nstopped; it resumes\n"


def test_a_reader_that_goes_away_ends_the_program_quietly():
    code = "from goemotions.errors import reported\nwith reported():\n"
    code += "    for number in range(10**6): print(number)"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_ends_in_a_message(capsys):
    with pytest.raises(SystemExit) as ended, reported():
        Path("/dev/full").write_text("x")
    assert ended.value.code == 1
    message = "error: [Errno 28] No space left on device; fix that and run the same command again\n"
    assert capsys.readouterr().err == message


def test_other_errors_of_the_system_keep_their_traceback(tmp_path):
    with pytest.raises(FileNotFoundError), reported():
        (tmp_path / "missing").read_text()


@pytest.mark.parametrize("allocate", [bytearray, torch.empty])
def test_too_little_memory_ends_in_a_message(capsys, allocate):
    with pytest.raises(SystemExit) as ended, reported():
        allocate(2**60)
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: out of memory; close other programs, or ")


def test_a_missing_package_is_named_with_the_remedy(capsys):
    with pytest.raises(SystemExit) as ended, reported():
        import no_such_package.part  # noqa: F401
    assert ended.value.code == 1
    message = "error: the package no_such_package is missing; run `make setup`\n"
    assert capsys.readouterr().err == message


def test_a_missing_module_of_ours_is_a_bug_with_its_traceback():
    with pytest.raises(ModuleNotFoundError), reported():
        import goemotions.no_such_module  # noqa: F401

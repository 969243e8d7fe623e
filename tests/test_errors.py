import pytest

from goemotions.errors import UserError, reported


def test_a_user_error_ends_in_its_message_on_stderr_and_status_1(capsys):
    with pytest.raises(SystemExit) as ended, reported():
        raise UserError("train.seed is -1")
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", "error: train.seed is -1\n")


def test_any_other_error_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), reported():
        1 / 0  # noqa: B018

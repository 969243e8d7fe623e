"""`goemotions compare` on made-up experiments: its exit status and what it prints."""

import pytest
from runs import run

from goemotions import cli
from goemotions.commands import compare


@pytest.fixture
def made(monkeypatch):
    """Three seeds of two losses, of which asl is much better, in place of DVC's experiments."""
    runs = [run(loss, s, error=e) for loss, e in (("asl", 0.05), ("bce", 0.2)) for s in (1, 2, 3)]
    scored = {experiment.key: one for experiment, one in runs}
    read = [experiment for experiment, _ in runs], scored
    monkeypatch.setattr(compare, "_read", lambda prefix, revisions: read)


@pytest.mark.parametrize(
    ("required", "status", "said"),
    [
        ("asl>bce", 0, "required: asl is better than bce (one-sided p "),
        ("bce>asl", 1, "required: bce is not significantly better than asl (one-sided p "),
        (
            "asl>bce+0.9",
            1,
            "required: asl is not significantly better than bce by more than 0.9 ",
        ),
    ],
)
def test_the_exit_status_says_whether_the_requirement_holds(made, capsys, required, status, said):
    assert cli.main(["compare", "--require", required]) == status
    out, err = capsys.readouterr()
    assert "asl is the best loss" in " ".join(out.split())
    assert err.startswith(said)


def test_without_a_requirement_the_exit_status_is_0(made, capsys):
    assert cli.main(["compare", "--baseline", "asl"]) == 0
    assert "required" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--metric", "f2"], "--metric is 'f2'; choose one of: macro_f1, "),
        (["--margin", "0"], "--margin is 0; it must be above 0"),
        (["--require", ""], "--require is ''; write for example"),
        (["--html", "/"], "--html is '/', which is a folder; name a file"),
    ],
)
def test_what_is_wrong_is_said_before_the_experiments_are_read(wrong, said, capsys, monkeypatch):
    monkeypatch.setattr(compare.experiments, "evaluated", None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", *wrong])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"error: {said}")


def test_a_requirement_that_does_not_read_is_an_error(made, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", "--require", "zlpr>bce"])
    assert ended.value.code == 1
    said = "error: --require names 'zlpr'; choose one of: asl, bce"
    assert said in capsys.readouterr().err

"""The live table of a sweep."""

from goemotions.sweeps.cluster import View


def test_square_brackets_in_errors_are_shown_as_they_are(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setenv("COLUMNS", "120")
    view = View(1)
    said = "tries again after: cannot read [/mnt/remote/files]"
    with view.live:
        view.show({"trial-1": {"machine": "m", "doing": said}})
    assert said in capsys.readouterr().err

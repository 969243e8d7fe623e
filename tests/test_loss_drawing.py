"""docs/losses.svg, as `make losses` draws it."""

import re
from xml.etree import ElementTree

from goemotions import config
from goemotions.data import fetch
from tools import loss_curves


def test_the_drawing_has_every_loss(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(config, "load", lambda: settings)
    monkeypatch.chdir(tmp_path)
    fetch.fetch_dataset("sample", settings.datasets["sample"], tmp_path / "data/goemotions")
    loss_curves.draw(tmp_path / "losses.svg")
    svg = (tmp_path / "losses.svg").read_text()
    for name in settings.losses:
        assert f">{name}: value</text>" in svg
    lines = re.findall(r'style="fill: none;[^"]*stroke: var\(--c[01]\)', svg)
    assert len(lines) == 8 * len(settings.losses)
    assert "prefers-color-scheme: dark" in svg
    ElementTree.fromstring(svg)

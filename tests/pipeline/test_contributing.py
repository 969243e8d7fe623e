"""The example of CONTRIBUTING.md: a new loss."""

import re
import sys

import yaml


def insert(path, text, before):
    content = path.read_text()
    assert content.count(before) == 1
    path.write_text(content.replace(before, text + before))


def test_the_loss_of_the_example_trains(clone):
    text = (clone.folder / "CONTRIBUTING.md").read_text()
    function, settings = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (entry,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    source = clone.folder / "src/goemotions"
    losses = source / "training/losses.py"
    insert(losses, f"{function}\n\n", "FUNCTIONS: dict")
    insert(losses, "        squared,\n", "        bce,\n        asl,\n")
    kinds = source / "config/loss_settings.py"
    insert(kinds, f"{settings}\n\n", "LossSettings = (")
    insert(kinds, "Squared | ", "Bce | Asl | ")
    clone.params({f"losses.{name}": value for name, value in yaml.safe_load(entry).items()})
    clone.run(sys.executable, "tools/write_schema.py")
    assert '"squared"' in (clone.folder / "params.schema.json").read_text()
    commands = re.findall(r"^\.venv/bin/dvc (exp run --temp .*)$", text, re.MULTILINE)
    assert len(commands) == 1
    assert "squared: test macro-F1" in clone.dvc(*commands[0].split())

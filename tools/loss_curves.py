"""docs/losses.svg, every loss's value and gradient: `make losses`."""

import sys
from pathlib import Path

from goemotions import config
from goemotions.comparison.drawing import HERE, template
from goemotions.comparison.loss_curves import figure
from goemotions.data import splits
from goemotions.errors import reported


def draw(path: Path) -> None:
    """Draw every loss of params.yaml with GoEmotions' class counts.

    Raises:
        UserError: the dataset is not there.
    """
    train = splits.read(Path("data/goemotions/train.jsonl"))
    counts = [*map(int, train.targets.sum(0)), len(train.ids)]
    catalogue = config.load().losses
    figures = {name: figure(settings, counts) for name, settings in catalogue.items()}
    style = (HERE / "page.css").read_text(encoding="utf-8")
    path.write_text(template("losses.svg").render(figures=figures, style=style), encoding="utf-8")


if __name__ == "__main__":
    with reported():
        draw(Path(sys.argv[1]))

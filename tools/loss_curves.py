"""docs/losses.svg, every loss's value and gradient: `make losses`."""

import sys
from pathlib import Path

from goemotions import config
from goemotions.comparison import loss_curves, plots
from goemotions.data import splits
from goemotions.errors import reported
from goemotions.pages.render import HERE

CAPTION = (
    "Value and gradient by logit. Circle: the label is present; square: it is absent.\n"
    "Thick: neutral, the most frequent label; thin: grief, the rarest."
)


def draw(path: Path) -> None:
    """Draw every loss of params.yaml with GoEmotions' class counts.

    Raises:
        UserError: the dataset is missing.
    """
    train = splits.read(Path("data/goemotions/train.jsonl"))
    counts = [*map(int, train.targets.sum(0)), len(train.ids)]
    curves = {
        name: loss_curves.curves(settings, counts)
        for name, settings in config.load().losses.items()
    }
    svg = plots.functions(curves, "Value and gradient of every loss", caption=CAPTION, columns=2)
    style = (HERE / "page.css").read_text(encoding="utf-8") + "svg { max-width: none; }\n"
    paper = '<rect width="100%" height="100%" style="fill: var(--paper)"/>'
    root, content = svg.split(">", 1)
    path.write_text(f"{root}>\n<style>\n{style}</style>\n{paper}{content}", encoding="utf-8")


if __name__ == "__main__":
    with reported():
        draw(Path(sys.argv[1]))

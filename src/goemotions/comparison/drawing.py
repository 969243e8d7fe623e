"""What plots need: axes with round ticks, and the templates that draw them as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` laid out from `start` to `end` pixels, with round ticks."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[float]:
        rough = (self.high - self.low) / 7
        power = 10.0 ** np.floor(np.log10(rough))
        step = float(min(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999))
        first = int(np.ceil(self.low / step - 1e-9))
        last = int(np.floor(self.high / step + 1e-9))
        return [round(i * step, 10) for i in range(first, last + 1)]


def axis(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis that holds all values, with a little room on both sides."""
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05
    return Axis(low - room, high + room, start, end)


def template(name: str) -> Any:
    """A Jinja template of this folder, which escapes what it is given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)

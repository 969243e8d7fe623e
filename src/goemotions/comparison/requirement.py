"""`goemotions compare --require "asl>bce+0.005"`: an exit status for a pull request's checks."""

import re
from dataclasses import dataclass

from goemotions.comparison.analysis import Comparison
from goemotions.comparison.statistics import LEVEL
from goemotions.errors import UserError

_FORM = re.compile(r"^(?:(?P<loss>.+?)?\s*>\s*)?(?P<other>.+?)\s*(?P<by>[+-]\s*\d*\.?\d+)?$")


@dataclass(frozen=True)
class Answer:
    """Whether a requirement holds, and the sentence that says why."""

    holds: bool
    sentence: str


def parse(requirement: str) -> re.Match[str]:
    """The parts of a requirement: loss, other and by.

    Raises:
        UserError: it cannot be parsed.
    """
    if read := _FORM.match(requirement.strip()):
        return read
    raise UserError(f'--require is {requirement!r}; write for example "asl>bce+0.005"')


def answer(requirement: str, comparisons: list[Comparison]) -> Answer:
    """Whether a loss is better than another one by more than a difference, at 95% confidence.

    Without a loss on the left any loss may be it; each is then tested at 0.05 over their number.
    A negative difference asks that the loss is not worse by more than that.

    Raises:
        UserError: the requirement cannot be parsed, a loss is unknown, or there are several
            comparisons.
    """
    read = parse(requirement)
    if len(comparisons) != 1:
        raise UserError(
            f"--require is for one comparison, and there are {len(comparisons)}; choose one with "
            "--only"
        )
    (comparison,) = comparisons
    losses = [row.loss for row in comparison.rows]
    other, by = read["other"], float((read["by"] or "0").replace(" ", ""))
    if (name := requirement.rpartition(">")[2].strip()) in losses:  # such as focal-2
        other, by = name, 0.0
    chosen = [read["loss"]] if read["loss"] else [loss for loss in losses if loss != other]
    for loss in [other, *chosen]:
        if loss not in losses:
            raise UserError(f"--require names {loss!r}; choose one of: {', '.join(losses)}")
    tested = {loss: _one_sided(comparison, loss, other, by) for loss in chosen if loss != other}
    wanted = f"better than {other}" + (f" by more than {by:g}" if by else "")
    if by < 0:
        wanted = f"at most {-by:g} worse than {other}"
    required = f"required: {read['loss'] or 'a loss'} {wanted}"
    if not tested:
        return Answer(False, f"{required}; there is no other loss")
    if None in tested.values():
        few = "one seed per loss cannot show it; run at least two more seeds of each"
        return Answer(False, f"{required}; {few}")
    best = min(tested, key=lambda loss: (tested[loss] or 0.0, loss))
    p, level = tested[best] or 0.0, LEVEL / len(tested)
    holds = p < level
    verb = "is" if holds else "is not shown to be" if by < 0 else "is not significantly"
    return Answer(
        holds, f"required: {best} {verb} {wanted} (one-sided p {p:.3g}, needed below {level:g})"
    )


def _one_sided(comparison: Comparison, loss: str, other: str, by: float) -> float | None:
    """The p of the hypothesis that a loss is better by at most `by`; None without a verdict."""
    for pair in comparison.pairs:
        if {pair.loss, pair.other} == {loss, other} and pair.p is not None:
            if not pair.known:
                return 1.0
            sign = 1 if pair.loss == loss else -1
            return pair.difference.tail(sign * pair.difference.value - by)
    return None

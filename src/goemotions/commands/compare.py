"""Which loss is best, and how sure we are: what `goemotions compare` reads and prints."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from goemotions.comparison import analysis, experiments, measures, predictions, tables
from goemotions.comparison.analysis import Comparison
from goemotions.comparison.experiments import Experiment
from goemotions.comparison.predictions import Scored
from goemotions.errors import UserError
from goemotions.io import preflight
from goemotions.pages import render


def run(
    prefix: str,
    revisions: Sequence[str],
    baseline: str | None,
    *,
    metric: str,
    margin: float,
    own_recipes: bool,
    form: str,
    page: Path | None,
) -> list[Comparison]:
    """Print the comparisons of experiments, and write a page of them.

    Args:
        prefix: with which the experiments' names begin.
        revisions: further commits, branches or tags.
        baseline: the loss that the others are compared with; None for bce, or else the best one.
        metric: of `measures.names`.
        margin: losses whose difference is significantly smaller are equivalent.
        own_recipes: also compare runs whose recipes differ.
        form: tables, markdown, latex or json.
        page: an HTML file to write, if any.

    Raises:
        UserError: there is nothing to compare, an argument is not allowed, or a run's files are
            not what it wrote.
    """
    # Reading a thousand experiments takes a minute, so first what can be wrong with the rest.
    measures.check(metric)
    measures.check_margin(margin)
    if page:
        render.check(page)
    found, scored = _read(prefix, revisions)
    comparisons = analysis.analyse(
        found, scored, baseline, metric=metric, margin=margin, own_recipes=own_recipes
    )
    tables.show(found, comparisons, scored, form=form)
    if page:
        from goemotions.comparison import report

        by_key = {one.key: one for one in found}
        texts = [predictions.texts(by_key[one.rows[0].runs[0]]) for one in comparisons]
        report.write(page, found, comparisons, scored, texts)
        print(f"{page}: open it in a browser", file=sys.stderr)
    return comparisons


def _read(prefix: str, revisions: Sequence[str]) -> tuple[list[Experiment], dict[str, Scored]]:
    """The experiments whose predictions are in DVC's cache, and the predictions by their keys."""
    found = experiments.evaluated(prefix, revisions)
    if not found:
        preflight.require_project()
        lost = "".join(f"; {problem}" for problem in preflight.problems(Path()))
        if prefix:
            none = f"no evaluated experiment's name begins with {prefix!r}"
            raise UserError(f"{none}; see `dvc exp list --all-commits`{lost}")
        raise UserError(f"no experiment has an evaluation yet; run `dvc exp run`{lost}")
    kept, scored = [], {}
    with predictions.reader() as read:
        for experiment in tqdm(found, desc="predictions", unit="run", leave=False, disable=None):
            try:
                one = scored[experiment.key] = read(experiment)
            except predictions.NotCachedError as error:
                print(f"warning: left out: {error}", file=sys.stderr)
                continue
            corrected, warning = measures.corrected(experiment, one)
            kept.append(corrected)
            if warning:
                print(f"warning: {warning}", file=sys.stderr)
    if not kept:
        raise UserError("DVC's cache has no experiment's predictions: see above")
    return kept, scored

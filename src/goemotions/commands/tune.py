"""The same small search for every loss: drawn settings, queued as DVC experiments.

A recipe that was tuned with one loss measures which loss fits that recipe (Bouthillier et al. 2021,
arXiv 2103.03098), so each loss gets as many tries as any other, at its own settings too.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from goemotions.comparison import experiments
from goemotions.comparison.analysis import differing_settings
from goemotions.comparison.conclusion import described
from goemotions.comparison.experiments import Experiment
from goemotions.config import Params, check_loss
from goemotions.config.messages import choose
from goemotions.errors import UserError

PREFIX = "tune-"
REPEATED = "best-"
_RATES = ("learning_rate", "head_learning_rate")
_DRAWN = ("loss", "recipes.")  # what may differ between tries, besides the seed
_FACTOR = 2.0  # a drawn value is the present one, times or over this much at most


def draws(params: Params, loss: str, count: int, seed: int) -> Iterator[dict[str, float]]:
    """Settings to try, by their dotted names in params.yaml; first none, for the present ones.

    The recipe's two rates and each number of the loss are multiplied by a factor between 1/2 and 2,
    drawn log-uniformly; a label smoothing of 0 becomes one of up to 0.1. What tells entries of
    `losses` apart, the ratio of the combined ones, stays.

    Args:
        params: the present settings.
        loss: an entry of `losses`.
        count: how many to draw, the present ones included.
        seed: of the draws; another loss's draws are independent of these.
    """
    rng = np.random.default_rng([seed, *loss.encode()])
    recipe, settings = params.recipes[params.model], params.losses[loss]
    present = {f"recipes.{params.model}.{name}": getattr(recipe, name) for name in _RATES}
    present |= {
        f"losses.{loss}.{name}": value
        for name, value in settings.model_dump().items()
        if isinstance(value, int | float) and name != "ratio"
    }
    yield {}
    for _ in range(count - 1):
        yield {name: _drawn(name, value, rng) for name, value in present.items()}


def _drawn(name: str, value: float, rng: np.random.Generator) -> float:
    setting, factor = name.rpartition(".")[2], _FACTOR ** rng.uniform(-1, 1)
    if setting == "smoothing" and value == 0:
        drawn = rng.uniform(0, 0.1)
    elif setting == "beta":  # what counts is its distance from 1
        return 1 - float(f"{min((1 - value) * factor, 1):.2g}")
    else:
        drawn = value * factor
    if setting in ("alpha", "power", "smoothing", "clip"):
        drawn = min(drawn, 0.99)
    if setting.startswith("gamma") and drawn < 1:
        drawn = round(drawn)  # in between the gradient is infinite
    return float(f"{drawn:.2g}")


def queue(params: Params, losses: list[str], count: int, seed: int) -> None:
    """Queue `count` experiments for each loss on the selected model and dataset.

    What is queued, or has run, from the same commit is left out.

    Raises:
        UserError: a loss is unknown or not for the dataset, or dvc refuses.
    """
    for loss in losses:
        if loss not in params.losses:
            raise UserError(f"loss {loss!r} is unknown; {choose(loss, params.losses)}")
        if task := params.datasets[params.dataset].kind:
            check_loss(params, loss, task)
    known = experiments.names_at_head()
    for loss in losses:
        for number, changes in enumerate(draws(params, loss, count, seed), start=1):
            given = {"loss": loss, "model": params.model, "dataset": params.dataset} | changes
            name = _name(f"{PREFIX}{params.model}-{loss}-{number}", params, given)
            settings = " ".join(f"{key}={value}" for key, value in given.items())
            _queue(name, given, settings, known)
    print("to run them: dvc queue start; to see the best: goemotions tune --best")


def _name(start: str, params: Params, given: Mapping[str, Any]) -> str:
    """An experiment's name, which follows from all its settings, so that others have another."""
    settings = json.dumps({**params.model_dump(mode="json"), **given}, sort_keys=True)
    return f"{start}-{hashlib.sha256(settings.encode()).hexdigest()[:6]}"


def _queue(name: str, settings: Mapping[str, Any], shown: str, known: set[str]) -> None:
    """Queue an experiment, unless there is one of its name, and say so; DVC would take it twice."""
    if name in known:
        print(f"{name} already exists; to run it again, first run `dvc exp remove {name}`")
        return
    options = [
        part
        for key, value in settings.items()
        for part in ("-S", f"{key}={value if isinstance(value, str) else json.dumps(value)}")
    ]
    command = [sys.executable, "-m", "dvc", "exp", "run", "--queue", "-n", name, *options]
    done = subprocess.run([*command, "evaluate"], capture_output=True, text=True)  # noqa: S603 - this Python's dvc
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UserError(f"dvc cannot queue {name}: {said[-1] if said else 'no answer'}")
    known.add(name)
    print(f"queued {name}: {shown}", flush=True)


def best(losses: list[str]) -> None:
    """Print each loss's tried settings, those with the highest validation average precision first.

    Args:
        losses: show these; with none, all.

    Raises:
        UserError: no such experiment has run.
    """
    tries = _tries(losses)
    apart = differing_settings([runs[0].protocol for runs in tries], own_recipes=True)
    for runs in tries:
        (first, *_) = runs
        other = described({key: first.protocol.get(key) for key in apart})
        place = f"{first.dataset} with {first.model}{f' ({other})' if other else ''}"
        print(f"{first.loss} on {place}: average precision on validation")
        for run in runs:
            changes = run.command.removeprefix("dvc exp run").strip()
            changes = changes or "(the settings as they are)"
            print(f"  {run.validation_average_precision:.4f}  {run.name}  {changes}")


def repeat(params: Params, losses: list[str], seeds: int) -> None:
    """Queue each loss's best settings, on the selected model and dataset, with further seeds.

    Only tries count whose other settings are those of params.yaml. The seed that chose them is not
    among these: the best of several tries was also lucky, so its own score is too high. What is
    queued, or has run, from the same commit is left out.

    Args:
        params: the present settings.
        losses: repeat these; with none, all.
        seeds: how many of each loss.

    Raises:
        UserError: no such experiment has run, or dvc refuses.
    """
    chosen: dict[str, Experiment] = {}
    for best_first in _tries(losses):
        run = best_first[0]
        changes = run.changes_from_workspace  # None where it had a setting that is gone
        if changes is not None and all(
            key == "train.seed" or key.startswith(_DRAWN) for key in changes
        ):
            chosen.setdefault(run.loss, run)
    if not chosen:
        raise UserError(
            f"no experiment called {PREFIX}... fits params.yaml: the model ({params.model}), the "
            f"dataset ({params.dataset}) and all settings that are not drawn must be the same. "
            "`goemotions tune --best` shows what was tried; select that model and dataset in "
            "params.yaml, or run `goemotions tune LOSS ...`"
        )
    known = experiments.names_at_head()
    for run in chosen.values():
        given: dict[str, Any] = {"loss": run.loss, "model": run.model, "dataset": run.dataset}
        given |= {f"recipes.{run.model}.{key}": value for key, value in run.recipe.items()}
        given |= {f"losses.{run.loss}.{key}": value for key, value in run.settings.items()}
        for seed in range(run.seed + 1, run.seed + 1 + seeds):
            given["train.seed"] = seed
            name = _name(f"{REPEATED}{run.model}-{run.loss}-{seed}", params, given)
            _queue(name, given, f"the settings of {run.name}", known)
    print(
        "to run them: dvc queue start; to compare them: "
        f"goemotions compare --only {REPEATED} --own-recipes"
    )


def _tries(losses: list[str]) -> list[list[Experiment]]:
    """The tries of each loss that differ in nothing but what is drawn, the best ones first.

    Raises:
        UserError: there are none, or none of one of `losses`.
    """
    found: dict[tuple[str, ...], list[Experiment]] = {}
    for run in experiments.evaluated(PREFIX):
        wanted = not losses or run.loss in losses
        if wanted and run.validation_average_precision is not None:
            group = run.dataset, run.model, run.loss, run.comparable(own_recipes=True)
            found.setdefault(group, []).append(run)
    missing = set(losses) - {loss for _, _, loss, _ in found}
    if missing or not found:
        of = f" of loss {min(missing)!r}" if missing else ""
        raise UserError(
            f"no experiment{of} whose name begins with {PREFIX} has been evaluated yet; queue some "
            "with `goemotions tune LOSS ...`, and run them with `dvc queue start`"
        )
    for runs in found.values():
        runs.sort(key=lambda run: -(run.validation_average_precision or 0))
    return [runs for _, runs in sorted(found.items(), key=lambda one: one[0][:3])]

"""The trials of a sweep: every combination of some settings, under names that follow from them."""

import hashlib
import json
import random
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from goemotions import config
from goemotions.config import Params
from goemotions.errors import UserError, first_line

PREFIX = "sweep-"
SEED = "train.seed="


@dataclass(frozen=True)
class Planned:
    """A trial.

    Attributes:
        name: the experiment's.
        settings: as `dvc exp run -S` takes them.
        inputs: a digest of the commit and of all settings but the loss and the seed.
    """

    name: str
    loss: str
    seed: int
    settings: tuple[str, ...]
    inputs: str


def plan(settings: Sequence[str], commit: str) -> list[Planned]:
    """The trials of a sweep, one seed of each loss before the next seed.

    Args:
        settings: as `dvc exp run --queue -S` takes them; also `1..20` for whole numbers.
        commit: that the experiments are of.

    Raises:
        UserError: a setting is unknown, out of range or given twice.
    """
    from dvc.utils.hydra import get_hydra_sweeps

    names = [one.partition("=")[0] for one in settings]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"-S {twice[0]} is given twice; separate its values by commas")
    listed = [_listed(one) for one in settings]
    try:
        combinations = get_hydra_sweeps({"params.yaml": listed})
    except Exception as error:  # of DVC, or of Hydra, which DVC brings
        raise _refused(settings, error) from None
    trials = {}
    for combination in combinations:
        given = tuple(combination["params.yaml"])
        params = _params(tuple(one for one in given if not one.startswith(SEED)))
        seed = next((one.removeprefix(SEED) for one in given if one.startswith(SEED)), None)
        if seed is not None and not (seed.isdecimal() and int(seed) < 2**32):
            raise UserError(
                f"train.seed is {seed!r}; it must be a whole number from 0 to {2**32 - 1}"
            )
        number = params.train.seed if seed is None else int(seed)
        rest = params.model_dump(mode="json")
        rest.pop("loss")
        rest["train"].pop("seed")
        text = json.dumps([commit, rest], sort_keys=True)
        inputs = hashlib.sha256(text.encode()).hexdigest()[:16]
        name = f"{PREFIX}{params.loss}-{number}-{inputs[:8]}"
        trials[name] = Planned(name, params.loss, number, given, inputs)
    # Two sweeps at once that take the same order would do everything twice.
    mixed = random.sample(list(trials.values()), len(trials))
    return sorted(mixed, key=lambda one: one.seed)


def _listed(setting: str) -> str:
    """A setting whose value `1..3` is written as `1,2,3`."""
    key, _, value = setting.partition("=")
    if not (found := re.fullmatch(r"(\d+)\.\.(\d+)", value)):
        return setting
    first, last = map(int, found.groups())
    if first > last:
        raise UserError(f"{key} is {value!r}; the first number must not be above the last")
    return f"{key}={','.join(map(str, range(first, last + 1)))}"


@cache
def _params(settings: tuple[str, ...]) -> Params:
    """params.yaml with other settings, which DVC applies as `dvc exp run -S` does."""
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        shutil.copy("params.yaml", path)
        try:
            apply_overrides(path, list(settings))
        except DvcException as error:
            raise _refused(settings, error) from None
        return config.load(path)


def _refused(settings: Sequence[str], error: Exception) -> UserError:
    said = first_line(error.__cause__ or error).rstrip(".")
    return UserError(f"-S is {' '.join(settings)}: {said}; params.yaml has all settings")

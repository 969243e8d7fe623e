"""A teacher from experiments: the mean of their logits for the training split."""

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from goemotions.comparison import experiments
from goemotions.comparison.experiments import Experiment
from goemotions.config import Params
from goemotions.config.base import Entry
from goemotions.data import splits
from goemotions.data.splits import Split
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.io.tracked import untracked
from goemotions.training import teacher
from goemotions.training.trainer import uses_bf16


def run(name: str, chosen: list[str], params: Params) -> None:
    """Write teachers/<name> from experiments' trained models.

    Args:
        name: the teacher's name.
        chosen: the experiments' names; their logits are averaged.
        params: selects the dataset.

    Raises:
        UserError: the name is "none" or cannot be a folder's, an experiment is unknown,
            its model is not in DVC's cache, or it was trained on other data.
    """
    try:
        TypeAdapter(Entry).validate_python(name)
    except ValidationError:
        name_problem = "it must be letters, digits, - and _"
    else:
        name_problem = "that name selects no teacher" if name == teacher.NONE else ""
    if name_problem:
        raise UserError(f"the teacher's name is {name!r}; {name_problem}")
    split = splits.load(params.data_folder, "train")["train"]
    found = [experiments.named(experiment) for experiment in chosen]
    if other := next((one for one in found if one.dataset != params.dataset), None):
        raise UserError(
            f"{other.name} was trained on {other.dataset}, and the selected dataset is "
            f"{params.dataset}; name experiments on {params.dataset}"
        )
    logits = np.mean([_logits(one, split, params.train.precision) for one in found], axis=0)
    folder = Path("teachers", name)
    fields = ("name", "model", "loss", "seed", "validation_average_precision", "commit")
    origin = {
        "dataset": params.dataset,
        "experiments": [{key: getattr(one, key) for key in fields} for one in found],
    }
    teacher.write(folder, split, logits, origin)
    print(f"{folder}: the mean logits of {len(found)} model(s) for {len(split.ids):,} texts")
    if untracked([folder / teacher.LOGITS]):
        print(f"experiments use what is tracked: `git add {folder}` or `dvc add {folder}`")
    print(f"to learn from it: dvc exp run -S teacher={name} -S model=minilm-l6")


def _logits(experiment: Experiment, split: Split, precision: str) -> NDArray[np.float32]:
    """An experiment's logits for a split, [rows, labels], in bfloat16 where `precision` says so."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        experiments.bring_model(experiment, folder)
        classifier = Classifier.load(folder, "bf16" if uses_bf16(precision) else "fp32")
        classifier.check_labels(split.labels, experiment.name, Path("data", experiment.dataset))
        bar = tqdm(total=len(split.ids), unit="text", desc=experiment.name, file=sys.stderr)
        with bar:
            return classifier.logits(split.texts, advance=bar.update)

"""What the mean of several runs' weights scores: python -m tools.soup EXPERIMENT EXPERIMENT ...

Such a "model soup" (Wortsman et al. 2022, arXiv 2203.05482) costs no more to run than one model.
For the selected dataset this prints the average precision on validation of each run, of the mean of
their logits and of the mean of their weights. The experiments must have the same base model.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from goemotions import config
from goemotions.comparison import experiments
from goemotions.data import splits
from goemotions.errors import reported
from goemotions.evaluation.trained import Classifier
from goemotions.io import digests, publish
from goemotions.metrics.f1 import macro_average_precision

WEIGHTS = "model.safetensors"


def mean_weights(folders: Sequence[Path]) -> dict[str, torch.Tensor]:
    """The mean of the weights of trained folders, by name."""
    total: dict[str, torch.Tensor] = {}
    for folder in folders:
        for name, weight in load_file(folder / WEIGHTS).items():
            total[name] = total.get(name, 0) + weight.double() / len(folders)
    return {name: weight.float() for name, weight in total.items()}


def put(weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Replace the weights of a trained folder, and what its manifest says of them."""
    save_file(weights, publish.unlinked(folder / WEIGHTS), metadata={"format": "pt"})
    publish.unlinked(folder / digests.MANIFEST)
    digests.write_manifest(folder)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.soup", description=__doc__)
    parser.add_argument("experiments", nargs="+", metavar="EXPERIMENT")
    names = parser.parse_args().experiments
    split = splits.load(config.load(any_loss=True).data_folder, "val")["val"]

    def show(what: str, logits: np.ndarray) -> None:
        score = macro_average_precision(logits, split.targets, single=split.labels.single)
        print(f"{score:.4f}  {what}", flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary, name) for name in names]
        logits = []
        for name, folder in zip(names, folders, strict=True):
            experiments.bring_model(experiments.named(name), folder)
            logits.append(Classifier.load(folder, "fp32").logits(split.texts))
            show(name, logits[-1])
        show("mean of the logits", np.mean(logits, axis=0))
        put(mean_weights(folders), folders[0])
        show("mean of the weights", Classifier.load(folders[0], "fp32").logits(split.texts))


if __name__ == "__main__":
    with reported():
        main()

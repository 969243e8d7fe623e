import os
import shutil

import pytest
import torch
from safetensors.torch import load_file

from goemotions.evaluation.trained import Classifier
from tools import soup


def test_the_mean_of_weights_is_of_each_number_and_is_a_model(made, tmp_path):
    trained = made / "models/trained/bce"
    weights = load_file(trained / soup.WEIGHTS)
    folders = []
    for name, number in (("a", 1.0), ("b", 2.0), ("c", 6.0)):
        folders.append(shutil.copytree(trained, tmp_path / name))
        bias = torch.full_like(weights["classifier.bias"], number)
        soup.put(weights | {"classifier.bias": bias}, folders[-1])
    mean = soup.mean_weights(folders)
    for name, weight in weights.items():
        if name != "classifier.bias":
            assert torch.allclose(mean[name], weight), name
    assert mean["classifier.bias"].tolist() == pytest.approx([3.0] * len(mean["classifier.bias"]))

    cached = tmp_path / "cached"  # DVC's cache, to which files that it gives out may be linked
    cached.mkdir()
    for name in (soup.WEIGHTS, "manifest.json"):
        os.link(folders[0] / name, cached / name)
    before = {path: path.read_bytes() for path in cached.iterdir()}
    first = Classifier.load(folders[0]).logits(["thank you"])
    soup.put(mean, folders[0])
    found = Classifier.load(folders[0]).logits(["thank you"])
    assert found == pytest.approx(first + 2.0, abs=1e-5)
    assert {path: path.read_bytes() for path in cached.iterdir()} == before

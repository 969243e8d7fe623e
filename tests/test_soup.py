import torch
from safetensors.torch import save_file

from tools import soup


def test_the_mean_of_weights_is_of_each_number(tmp_path):
    folders = [tmp_path / name for name in "abc"]
    for folder, number in zip(folders, (1.0, 2.0, 6.0), strict=True):
        folder.mkdir()
        save_file({"w": torch.tensor([number, -number]), "b": torch.ones(1)}, folder / soup.WEIGHTS)
    mean = soup.mean_weights(folders)
    assert mean["w"].tolist() == [3.0, -3.0]
    assert mean["b"].tolist() == [1.0]
    assert mean["w"].dtype == torch.float32

import os
import pickle
import re

import pytest
import torch
from safetensors.torch import load_file
from transformers import DebertaV2Model

from goemotions.errors import UserError
from goemotions.models import weights

SMALL = {"b.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([0.1, -7])}


def convert(tmp_path, state, **options):
    torch.save(state, tmp_path / "pytorch_model.bin", **options)
    weights.convert(tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors")
    return load_file(tmp_path / "model.safetensors")


def bits(tensor):
    return tensor.view(torch.int16 if tensor.dtype == torch.float16 else torch.int32).tolist()


def test_a_half_precision_deberta_keeps_its_dtype_and_every_bit(tiny, tmp_path):
    state = DebertaV2Model.from_pretrained(tiny).half().state_dict()
    found = convert(tmp_path, state)
    assert found.keys() == state.keys()
    assert {tensor.dtype for tensor in found.values()} == {torch.float16}
    for name, tensor in state.items():
        assert bits(found[name]) == bits(tensor), name


@pytest.mark.parametrize("zipped", [True, False])
def test_old_and_new_checkpoints_are_read(tmp_path, zipped):
    found = convert(tmp_path, SMALL, _use_new_zipfile_serialization=zipped)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "a.bias": SMALL["a.bias"].tolist(),
        "b.weight": [[0, 1, 2], [3, 4, 5]],
    }


def test_values_that_are_no_numbers_keep_their_bits(tmp_path):
    odd = torch.tensor([float("nan"), float("-inf"), -0.0])
    assert bits(convert(tmp_path, {"odd": odd})["odd"]) == bits(odd)


def test_shared_and_transposed_tensors_are_written_in_full(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    found = convert(tmp_path, {"a": shared, "b": shared, "t": shared.T})
    assert found["a"].tolist() == found["b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["t"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_the_order_of_the_entries_does_not_change_the_file(tmp_path):
    convert(tmp_path, SMALL)
    first = (tmp_path / "model.safetensors").read_bytes()
    convert(tmp_path, dict(reversed(SMALL.items())))
    assert (tmp_path / "model.safetensors").read_bytes() == first


class Touch:
    """Unpickled, it runs code: it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_does_not_run(tmp_path, zipped):
    state = {**SMALL, "evil": Touch(tmp_path / "owned")}
    with pytest.raises(
        UserError, match="holds more than tensors, or is damaged; it was not executed"
    ):
        convert(tmp_path, state, _use_new_zipfile_serialization=zipped)
    assert [path.name for path in tmp_path.iterdir()] == ["pytorch_model.bin"]


def test_code_in_a_plain_pickle_does_not_run(tmp_path):
    content = pickle.dumps(Touch(tmp_path / "owned"), protocol=2)
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(
        UserError, match="holds more than tensors, or is damaged; it was not executed"
    ):
        weights.convert(tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["pytorch_model.bin"]


def test_the_trap_of_these_tests_does_spring(tmp_path):
    pickle.loads(pickle.dumps(Touch(tmp_path / "owned")))
    assert (tmp_path / "owned").is_dir()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([torch.ones(1)], "pytorch_model.bin holds a list; a checkpoint is a dict of tensors"),
        (torch.ones(1), "pytorch_model.bin holds a Tensor; a checkpoint is a dict of tensors"),
        ({}, "pytorch_model.bin holds an empty state dict"),
        ({**SMALL, "step": 3, "note": "x"}, "holds entries that are not tensors: step, note"),
        ({"model": SMALL}, "holds entries that are not tensors: model"),
    ],
)
def test_anything_but_a_state_dict_is_named(tmp_path, state, message):
    with pytest.raises(UserError, match=re.escape(message)):
        convert(tmp_path, state)
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("state", [{1: torch.ones(1)}, {"a": torch.ones(1), 1: torch.ones(1)}])
def test_a_state_dict_has_names_for_keys(tmp_path, state):
    with pytest.raises(UserError, match=r"pytorch_model\.bin"):
        convert(tmp_path, state)


def saved(tmp_path, *, zipped):
    path = tmp_path / "whole.bin"
    torch.save(SMALL, path, _use_new_zipfile_serialization=zipped)
    return path.read_bytes()


def damaged(tmp_path, content):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(content)
    message = r"(cannot be read as a checkpoint \(.+\)|holds more than tensors, or is damaged)"
    with pytest.raises(UserError, match=re.escape(str(path)) + " " + message):
        weights.convert(path, tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint_is_named(tmp_path, share):
    whole = saved(tmp_path, zipped=True)
    damaged(tmp_path, whole[: int(share * len(whole))])


def test_an_old_checkpoint_that_is_truncated_anywhere_is_named(tmp_path):
    whole = saved(tmp_path, zipped=False)
    for size in range(0, len(whole), 5):
        damaged(tmp_path, whole[:size])


@pytest.mark.parametrize(
    "content",
    [
        b"version https://git-lfs.github.com/spec/v1\noid sha256:dd5b5d93\nsize 873673253\n",
        b"<!doctype html><title>404</title>",
        b"\x00" * 100,
    ],
    ids=["git-lfs pointer", "web page", "zeros"],
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    damaged(tmp_path, content)


def test_an_empty_file_is_named(tmp_path):
    damaged(tmp_path, b"")

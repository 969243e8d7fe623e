"""From a pickled checkpoint to safetensors: the same tensors, bit for bit."""

import pickle
from pathlib import Path

import torch
from safetensors.torch import save_file

from goemotions.errors import UserError


def convert(source: Path, target: Path) -> None:
    """Write the tensors of a `pytorch_model.bin` as safetensors, in their own dtype.

    The pickle is read with `weights_only=True`: it can hold tensors and plain containers, and
    nothing in it is executed.

    Raises:
        UserError: the file is no such checkpoint, or holds anything but tensors.
    """
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise UserError(
            f"{source} is not a checkpoint that can be read without executing it: "
            f"{str(error).splitlines()[0]}. Fetch it again from a source that you trust"
        ) from None
    if not isinstance(state, dict) or not state:
        raise UserError(f"{source} holds a {type(state).__name__}, not a state dict")
    if wrong := [key for key, value in state.items() if not isinstance(value, torch.Tensor)]:
        raise UserError(f"{source} holds entries that are no tensors: {', '.join(map(str, wrong))}")
    # Sorted and cloned: safetensors refuses shared storage, and order decides the file's bytes.
    tensors = {key: state[key].contiguous().clone() for key in sorted(state)}
    save_file(tensors, target, metadata={"format": "pt"})

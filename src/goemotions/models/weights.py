"""From a pickled checkpoint to safetensors: the same tensors, bit for bit."""

import pickle
from pathlib import Path

import torch
from safetensors.torch import save_file

from goemotions.errors import UserError, first_line


def convert(source: Path, target: Path) -> None:
    """Write the tensors of a `pytorch_model.bin` as safetensors, in their own dtype.

    The pickle is read with `weights_only=True`: it can hold tensors and plain containers, and
    nothing in it is executed.

    Raises:
        UserError: the file is no such checkpoint, or holds anything but tensors.
    """
    try:
        state = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # torch's own message advises to execute it
        raise UserError(
            f"{source} holds more than tensors, or is damaged; it was not executed. Fetch it again "
            "from a source that you trust"
        ) from None
    except Exception as error:  # damaged files make torch raise errors of many types
        raise UserError(
            f"{source} cannot be read as a checkpoint ({first_line(error)}); fetch it again"
        ) from None
    if not isinstance(state, dict) or not state:
        kind = "an empty state dict" if state == {} else f"a {type(state).__name__}"
        raise UserError(f"{source} holds {kind}; a checkpoint is a dict of tensors")
    if wrong := [
        key
        for key, value in state.items()
        if not (isinstance(key, str) and isinstance(value, torch.Tensor))
    ]:
        raise UserError(
            f"{source} holds entries that are not tensors: {', '.join(map(str, wrong))}"
        )
    if odd := [key for key, value in state.items() if value.layout != torch.strided]:
        raise UserError(f"{source} holds sparse tensors, such as {odd[0]}; they must be dense")
    # Cloned, because safetensors refuses tensors that share their storage.
    tensors = {key: value.contiguous().clone() for key, value in state.items()}
    save_file(tensors, target, metadata={"format": "pt"})

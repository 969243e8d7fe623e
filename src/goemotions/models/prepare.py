"""Make models/<model>: a folder that transformers loads without conversion, network or pickle.

It holds config.json, model.safetensors, tokenizer.json, tokenizer_config.json, the tokenizer's
other files, spm.model where the model has one, and manifest.json: the source, and size and SHA-256
of every source file (`files`) and of every file here (`written`).
"""

import itertools
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goemotions.config.model_settings import HubModel, Model, PackageModel, ScratchModel
from goemotions.errors import UserError, first_line
from goemotions.io import digests, hub, packages, publish
from goemotions.io.silence import silenced
from goemotions.models import tiny, tokenizer, weights

PICKLE = "pytorch_model.bin"
SAFETENSORS = "model.safetensors"
SPM = "spm.model"
LARGEST_SIZE = 2**20  # the largest vocabularies have 900,000 tokens
# What every models/<model> holds, whatever its source; `goemotions verify` looks for these.
REQUIRED = ("config.json", SAFETENSORS, "tokenizer.json", "tokenizer_config.json", digests.MANIFEST)


def cache(name: str, settings: Model, folder: Path) -> None:
    """Write models/<model>, completely or not at all; the same inputs give byte-identical files.

    Args:
        name: the entry in params.yaml's `models`.
        settings: that entry.
        folder: where to write; what was there before stays until the new folder is complete.

    Raises:
        UserError: a source file is missing, is not the pinned one, or cannot be converted.
    """
    origin = settings.model_dump(
        include={"source", "repo", "revision", "distribution", "distributions"}
    )
    with publish.published(folder) as draft:
        paths: dict[str, Path] = {}
        if isinstance(settings, ScratchModel):
            tiny.write(settings, draft)
        elif isinstance(settings, HubModel):
            paths = hub.from_hub("model", settings.repo, settings.revision, settings.files)
        elif isinstance(settings, PackageModel):
            paths = packages.from_package(settings.distribution, settings.folder, settings.files)
        else:
            paths = packages.from_archive(
                settings.distributions, settings.setup, settings.folder, settings.files, draft
            )
        for file, path in paths.items():
            if file != PICKLE and path != draft / file:
                shutil.copyfile(path, draft / file)
        if PICKLE in paths:
            weights.convert(paths[PICKLE], draft / SAFETENSORS)
        if SPM in paths:
            tokenizer.convert(draft)
        elif "tokenizer_config.json" in paths:
            tokenizer.use_shared_name(draft)
        sources = digests.of_files(paths)
        (draft / PICKLE).unlink(missing_ok=True)  # from an archive
        digests.write_manifest(draft, model=name, **origin, files=sources)
        if missing := [file for file in REQUIRED if not (draft / file).is_file()]:
            raise UserError(
                f"models.{name}.files makes no {', '.join(missing)}; list config.json, "
                f"tokenizer_config.json, {PICKLE} or {SAFETENSORS}, and {SPM} or tokenizer.json"
            )
        try:
            encoder(draft)
            load_tokenizer(draft)
        except UserError as error:
            raise UserError(
                f"models.{name}: {error}; check the files and the revision of this entry of "
                "params.yaml, or choose another model"
            ) from None


def encoder(folder: Path) -> Any:
    """The model in a folder without a head, in the dtype that it was saved in.

    Raises:
        UserError: transformers cannot load it, or some of its tensors are missing from the weights.
    """
    from transformers import AutoModel

    try:
        _check_sizes(folder)
        with silenced():
            model, info = AutoModel.from_pretrained(
                folder, dtype="auto", output_loading_info=True, trust_remote_code=False
            )
    except UserError:
        raise
    except Exception as error:  # whatever a wrong or damaged file makes transformers raise
        raise UserError(f"config.json and {SAFETENSORS} do not load: {first_line(error)}") from None
    # A pooler is the one part that need not be there: fine-tuning starts with a fresh one.
    if missing := sorted(key for key in info["missing_keys"] if "pooler" not in key):
        raise UserError(f"{SAFETENSORS} is missing {len(missing)} tensors, such as {missing[0]}")
    return model


def _check_sizes(folder: Path) -> None:
    """Refuse a config.json whose sizes the weights do not have, before memory is taken for them.

    The model is built on torch's meta device, where tensors have shapes and take no memory.

    Raises:
        UserError: names the setting, or the tensor and its two shapes.
    """
    import torch
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModel

    with safe_open(folder / SAFETENSORS, "pt") as file:
        shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    _check_integers(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    settings = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    with torch.device("meta"), _limited_parameters(2 * len(shapes) + 100):
        model = AutoModel.from_config(settings, trust_remote_code=False)
    extra = sum(buffer.numel() for buffer in model.buffers())
    for name, parameter in model.named_parameters():
        shape = shapes.get(name) or shapes.get(f"{model.base_model_prefix}.{name}")
        if shape is None:  # a pooler, or a name that transformers translates as it loads
            extra += parameter.numel()
        elif shape != list(parameter.shape):
            raise UserError(
                f"config.json makes {name} a tensor of {list(parameter.shape)}, but in "
                f"{SAFETENSORS} it is one of {shape}"
            )
    if extra > sum(math.prod(shape) for shape in shapes.values()) + 2**24:
        raise UserError(f"config.json asks for {extra:,} numbers that {SAFETENSORS} does not hold")


def _check_integers(settings: dict[str, Any]) -> None:
    """Refuse integers that no model has as a size, since some sizes become lists in Python."""
    for key, value in settings.items():
        if isinstance(value, dict):
            _check_integers(value)
        elif isinstance(value, int) and abs(value) > LARGEST_SIZE and "theta" not in key:
            raise UserError(f"config.json: {key} is {value}; no size may be above {LARGEST_SIZE}")


@contextmanager
def _limited_parameters(limit: int) -> Iterator[None]:
    """Refuse to build more parameters than this, as a million layers would."""
    from torch.nn.modules.module import register_module_parameter_registration_hook

    count = itertools.count(1)

    def check(*_: Any) -> None:
        if next(count) > limit:
            raise UserError(f"config.json asks for many more tensors than {SAFETENSORS} holds")

    hook = register_module_parameter_registration_hook(check)
    try:
        yield
    finally:
        hook.remove()


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder.

    Raises:
        UserError: transformers cannot load it, or it has no token for padding.
    """
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        loaded(["a text"], truncation=True, max_length=8)
    except BaseException as error:  # the Rust tokenizer panics, which is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        raise UserError(f"tokenizer.json does not load: {first_line(error)}") from None
    if loaded.pad_token_id is None:
        raise UserError("tokenizer_config.json names no pad_token")
    return loaded

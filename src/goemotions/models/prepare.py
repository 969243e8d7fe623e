"""Make models/<model>: a folder that transformers loads without conversion, network or pickle.

It holds config.json, model.safetensors, tokenizer.json, tokenizer_config.json, the tokenizer's
other files, spm.model where the model has one, and manifest.json: the source, and size and SHA-256
of every source file (`files`) and of every file here (`written`).
"""

import json
import shutil
from pathlib import Path
from typing import Any

from goemotions import config
from goemotions.errors import UserError, first_line
from goemotions.io import digests, hub, publish
from goemotions.io.silence import quiet
from goemotions.models import tiny, tokenizer, weights

PICKLE = "pytorch_model.bin"
SAFETENSORS = "model.safetensors"
SPM = "spm.model"
# What every models/<model> holds, whatever its source; `goemotions verify` looks for these.
REQUIRED = ("config.json", SAFETENSORS, "tokenizer.json", "tokenizer_config.json", digests.MANIFEST)


def cache(name: str, settings: config.Model, folder: Path) -> dict[str, Any]:
    """Write models/<model>, whole or not at all; the same inputs give byte-identical files.

    Args:
        name: the entry in params.yaml's `models`.
        settings: that entry.
        folder: where to write; what was there before stays until the new folder is whole.

    Returns:
        the manifest.

    Raises:
        UserError: a source file is missing, is not the pinned one, or cannot be converted.
    """
    with publish.published(folder) as draft:
        origin: dict[str, Any] = {"model": name, "source": settings.source}
        if isinstance(settings, config.ScratchModel):
            tiny.write(settings, draft)
            paths: dict[str, Path] = {}
        else:
            if isinstance(settings, config.HubModel):
                origin |= {"repo": settings.repo, "revision": settings.revision}
                paths = hub.from_hub("model", settings.repo, settings.revision, settings.files)
            else:
                origin |= {"distribution": settings.distribution}
                paths = hub.from_package(
                    settings.distribution, settings.package, settings.folder, settings.files
                )
            for file, path in paths.items():
                if file != PICKLE:
                    shutil.copyfile(path, draft / file)
            if PICKLE in paths:
                weights.convert(paths[PICKLE], draft / SAFETENSORS)
            if SPM in paths:
                tokenizer.convert(draft)
            elif "tokenizer_config.json" in paths:
                tokenizer.use_shared_name(draft)
        manifest = digests.write_manifest(draft, **origin, files=digests.digests(paths))
        if missing := [file for file in REQUIRED if not (draft / file).is_file()]:
            raise UserError(
                f"models.{name}.files makes no {', '.join(missing)}; list the source files that "
                f"do: {PICKLE} or {SAFETENSORS}, and {SPM} or tokenizer.json"
            )
        encoder(draft)
        load_tokenizer(draft)
    return manifest


def encoder(folder: Path) -> Any:
    """The model in a folder without a head, in the dtype that it was saved in.

    Raises:
        UserError: transformers cannot load it, or the weights lack some of its tensors.
    """
    from transformers import AutoModel

    try:
        _check_sizes(folder)
        with quiet():
            model, info = AutoModel.from_pretrained(
                folder, dtype="auto", output_loading_info=True, trust_remote_code=False
            )
    except UserError:
        raise
    except Exception as error:  # whatever a wrong or damaged file makes transformers raise
        raise UserError(f"config.json and {SAFETENSORS} do not load: {first_line(error)}") from None
    # A pooler is the one part that an encoder may lack: fine-tuning starts with a fresh one.
    if missing := sorted(key for key in info["missing_keys"] if "pooler" not in key):
        raise UserError(f"{SAFETENSORS} lacks {len(missing)} tensors, such as {missing[0]}")
    return model


def _check_sizes(folder: Path) -> None:
    """Refuse a config.json whose sizes the weights cannot have, before memory is taken for them."""
    from safetensors import safe_open

    with safe_open(folder / SAFETENSORS, "pt") as weights:
        names = weights.keys()
        largest = max(size for name in names for size in weights.get_slice(name).get_shape())
        limits = {"num_hidden_layers": len(names)}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for key, value in config.items():
        limit = limits.get(key, largest)
        if isinstance(value, int | float) and abs(value) > limit:
            raise UserError(
                f"config.json: {key} is {value}, where {SAFETENSORS} has {limit} at most"
            )


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

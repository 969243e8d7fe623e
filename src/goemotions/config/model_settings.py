"""The entries of `models`: where a base model comes from."""

from typing import Annotated, Literal

from annotated_types import Ge, Le
from pydantic import AfterValidator, Field

from goemotions.config.base import Commit, Count, Seed, Settings, allowed


def _file_name(value: str) -> str:
    if "/" in value or value in ("", ".", ".."):
        raise allowed("a file name without folders")
    return value


def _one_format(files: dict[str, str | None]) -> dict[str, str | None]:
    for one, other in (("pytorch_model.bin", "model.safetensors"), ("spm.model", "tokenizer.json")):
        if one in files and other in files:
            raise allowed(f"without one of {one} and {other}, which hold the same")
    return files


Files = Annotated[
    dict[Annotated[str, AfterValidator(_file_name)], str | None],
    Field(min_length=1),
    AfterValidator(_one_format),
]


class HubModel(Settings):
    """A model on the Hugging Face Hub."""

    source: Literal["hub"]
    repo: str
    revision: Commit
    """The commit to fetch, 40 hexadecimal digits."""
    files: Files
    """Each file with its SHA-256; null where only the revision pins it."""


class PackageModel(Settings):
    """A model whose files are inside an installed Python package."""

    source: Literal["package"]
    distribution: str
    """The package's name on PyPI."""
    folder: str
    """Where the files are, from the folder that packages are installed in."""
    files: Files
    """Each file with its SHA-256."""


class ArchiveModel(Settings):
    """A model in a zip archive, whose parts are inside installed Python packages."""

    source: Literal["archive"]
    distributions: Annotated[list[str], Field(min_length=1)]
    """The packages' names on PyPI, in the order of the parts."""
    setup: str
    """What installs them: make setup MODELS=<this>, from requirements-<this>.txt."""
    folder: str
    """Where the files are in the archive."""
    files: Files
    """Each file with its SHA-256."""


class ScratchModel(Settings):
    """A DeBERTa-v3 with random weights and a SentencePiece tokenizer trained on sample texts."""

    source: Literal["scratch"]
    seed: Seed
    vocab_size: Annotated[int, Ge(200)]
    hidden_size: Annotated[int, Ge(8)]
    num_hidden_layers: Count
    num_attention_heads: Count
    intermediate_size: Annotated[int, Ge(8)]
    dropout: Annotated[float, Ge(0), Le(0.9)]


Model = HubModel | PackageModel | ArchiveModel | ScratchModel

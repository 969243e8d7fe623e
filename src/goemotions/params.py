"""params.yaml as typed settings: unknown keys, missing keys and wrong values are errors."""

import dataclasses
import math
import re
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from goemotions.errors import UserError

T = TypeVar("T")

SPLITS = ("train", "val", "test")


def setting(
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    keys: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with what it allows.

    Args:
        low, high: the range of a number, both ends included; of each number in a mapping.
        choices: the values of a string.
        keys: the keys that a mapping must have, and no others.
    """
    return field(metadata={"low": low, "high": high, "choices": choices, "keys": keys})


@dataclass(frozen=True)
class HubDataset:
    """A dataset on the Hugging Face Hub, pinned by revision, row counts and content digests."""

    source: str
    repo: str
    revision: str
    files: dict[str, str] = setting(keys=SPLITS)
    rows: dict[str, int] = setting(low=1, keys=SPLITS)
    sha256: dict[str, str] = setting(keys=SPLITS)


@dataclass(frozen=True)
class GeneratedDataset:
    """The sample: sentences made by goemotions.dataset.sample, for the demo and the tests."""

    source: str
    seed: int = setting(low=0)
    rows: dict[str, int] = setting(low=1, keys=SPLITS)


@dataclass(frozen=True)
class HubModel:
    """A model on the Hub: its files with their SHA-256; null where only the revision pins one."""

    source: str
    repo: str
    revision: str
    files: dict[str, str | None]


@dataclass(frozen=True)
class PackageModel:
    """A model whose files lie inside an installed Python package."""

    source: str
    distribution: str
    package: str
    folder: str
    files: dict[str, str | None]


@dataclass(frozen=True)
class ScratchModel:
    """A DeBERTa-v3 with fresh weights and a SentencePiece tokenizer trained on sample texts."""

    source: str
    seed: int = setting(low=0)
    vocab_size: int = setting(low=200)
    hidden_size: int = setting(low=8)
    num_hidden_layers: int = setting(low=1)
    num_attention_heads: int = setting(low=1)
    intermediate_size: int = setting(low=8)
    dropout: float = setting(low=0, high=0.9)


@dataclass(frozen=True)
class Recipe:
    """How one base model is fine-tuned; the units are beside the values in params.yaml."""

    epochs: int = setting(low=1)
    pooling: str = setting(choices=("cls", "mean"))
    learning_rate: float = setting(low=0)
    head_learning_rate: float = setting(low=0)
    head_dropout: float = setting(low=0, high=0.9)
    ema_decay: float = setting(low=0, high=0.99999)


@dataclass(frozen=True)
class Train:
    """What every training run shares, whatever the base model."""

    seed: int = setting(low=0, high=2**32 - 1)
    batch_size: int = setting(low=1)
    max_length: int = setting(low=4, high=512)
    warmup_ratio: float = setting(low=0, high=0.99)  # transformers takes 1 for one step
    weight_decay: float = setting(low=0)
    max_grad_norm: float = setting(low=0)
    precision: str = setting(choices=("auto", "bf16", "fp32"))
    short_text: bool = setting()


@dataclass(frozen=True)
class Evaluate:
    """How the test split is scored."""

    thresholds: str = setting(choices=("cross_validated", "per_label", "shrunk", "global"))
    bootstrap: int = setting(low=100)
    seed: int = setting(low=0)


DATASET_SOURCES = {"hub": HubDataset, "generated": GeneratedDataset}
MODEL_SOURCES = {"hub": HubModel, "package": PackageModel, "scratch": ScratchModel}
Dataset = HubDataset | GeneratedDataset
Model = HubModel | PackageModel | ScratchModel


@dataclass(frozen=True)
class Params:
    """The whole of params.yaml, with the three selectors looked up in their catalogues."""

    loss: str
    model: str
    dataset: str
    train: Train
    evaluate: Evaluate
    recipes: dict[str, Recipe]
    losses: dict[str, dict[str, Any]]
    models: dict[str, Model]
    datasets: dict[str, Dataset]

    @property
    def data_folder(self) -> Path:
        return Path("data", self.dataset)

    @property
    def model_folder(self) -> Path:
        return Path("models", self.model)

    def trained_folder(self, loss: str) -> Path:
        return Path("models", "trained", loss)


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises:
        UserError: the file cannot be read, or a setting is unknown, missing or out of range.
    """
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path} is not in {Path.cwd()}: run this in the project's folder"
        ) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as a 13th month
        raise UserError(f"{path} is not valid YAML: {error}") from None
    return parse(raw)


def parse(raw: Any) -> Params:
    """Check what params.yaml holds, and look up the three selectors.

    Raises:
        UserError: names the setting, what it got and what is allowed.
    """
    keys = {f.name for f in dataclasses.fields(Params)}
    _check_keys("", raw, keys)
    losses = _catalogue("losses", raw["losses"], lambda name, entry: _loss(name, entry))
    models = _catalogue(
        "models", raw["models"], lambda name, entry: _sourced(name, entry, MODEL_SOURCES)
    )
    datasets = _catalogue(
        "datasets", raw["datasets"], lambda name, entry: _sourced(name, entry, DATASET_SOURCES)
    )
    recipes = _catalogue(
        "recipes", raw["recipes"], lambda name, entry: _settings(name, entry, Recipe)
    )
    for selector, catalogue in (("loss", losses), ("model", models), ("dataset", datasets)):
        _one_of(selector, raw[selector], tuple(catalogue))
    if raw["model"] not in recipes:
        raise UserError(f"recipes.{raw['model']} is missing: every model needs a recipe")
    return Params(
        loss=raw["loss"],
        model=raw["model"],
        dataset=raw["dataset"],
        train=_settings("train", raw["train"], Train),
        evaluate=_settings("evaluate", raw["evaluate"], Evaluate),
        recipes=recipes,
        losses=losses,
        models=models,
        datasets=datasets,
    )


def _catalogue(name: str, raw: Any, entry: Any) -> dict[str, Any]:
    if not isinstance(raw, dict) or not raw:
        raise UserError(f"{name} is {raw!r}; it must list at least one entry")
    for key in raw:
        # Entries become folder names and parts of stage names.
        if not isinstance(key, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", key):
            raise UserError(f"{name} has an entry {key!r}; use letters, digits, - and _")
    if "trained" in raw and name == "models":
        raise UserError("models.trained is taken: models/trained holds the trained models")
    return {key: entry(f"{name}.{key}", value) for key, value in raw.items()}


def _loss(name: str, raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict) or not isinstance(raw.get("function"), str):
        raise UserError(f"{name} is {raw!r}; it needs `function`, a function of training/losses.py")
    return raw


def _sourced(name: str, raw: Any, sources: dict[str, type]) -> Any:
    if not isinstance(raw, dict) or "source" not in raw:
        raise UserError(f"{name} is {raw!r}; it needs `source`, one of: {', '.join(sources)}")
    _one_of(f"{name}.source", raw["source"], tuple(sources))
    entry: Any = _settings(name, raw, sources[raw["source"]])
    if isinstance(entry, PackageModel) and not entry.package.isidentifier():
        # Looking for a package inside another one would run that one's code.
        raise UserError(f"{name}.package is {entry.package!r}; name a top-level package")
    if isinstance(entry, (HubModel, PackageModel)):
        for file in entry.files:
            # They become files of models/<model>, and must not leave it.
            if "/" in file or file in (".", ".."):
                raise UserError(f"{name}.files has {file!r}; name files without folders")
    return entry


def _settings(name: str, raw: Any, kind: type[T]) -> T:
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    _check_keys(name, raw, set(fields))
    values = {}
    for key, value in raw.items():
        allowed = fields[key].metadata
        where = f"{name}.{key}"
        values[key] = _typed(where, value, fields[key].type)
        if allowed.get("keys"):
            _check_keys(where, value, set(allowed["keys"]))
        if allowed.get("choices"):
            _one_of(where, value, allowed["choices"])
        for number in value.values() if isinstance(value, dict) else [value]:
            low, high = allowed.get("low"), allowed.get("high")
            if (low is not None and number < low) or (high is not None and number > high):
                raise UserError(f"{where} is {number}; it must be {_range(low, high)}")
    return kind(**values)


def _typed(where: str, value: Any, kind: Any) -> Any:
    """`value` as `kind`: an int passes for a float, a bool never for a number."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(kind):
            return None
        kind = next(k for k in get_args(kind) if k is not type(None))
    elif origin is dict:
        if not isinstance(value, dict) or not value:
            raise UserError(f"{where} is {value!r}; it must be a mapping with at least one entry")
        return {str(k): _typed(f"{where}.{k}", v, get_args(kind)[1]) for k, v in value.items()}
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        hint = spelling(value) if kind is float else ""
        raise UserError(f"{where} is {value!r}; it must be {_article(kind.__name__)}{hint}")
    return value


def spelling(value: Any) -> str:
    """How to write a number such as 2e-5, which YAML 1.1 takes for text; "" for all else."""
    import yaml

    try:
        number = float(value)
    except (TypeError, ValueError):
        return ""
    if not isinstance(value, str) or not math.isfinite(number):
        return ""
    return f", which YAML reads where it is written {yaml.safe_dump(number).splitlines()[0]}"


def _check_keys(name: str, raw: Any, known: set[str]) -> None:
    title = name or "params.yaml"
    if not isinstance(raw, dict):
        raise UserError(
            f"{title} is {raw!r}; it must be a mapping with: {', '.join(sorted(known))}"
        )
    for key in raw:
        if key not in known:
            raise UserError(
                f"{title} has an unknown setting {key!r}; known: {', '.join(sorted(known))}"
            )
    if missing := sorted(known - set(raw)):
        raise UserError(f"{title} lacks: {', '.join(missing)}")


def _one_of(where: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"{where} is {value!r}; choose one of: {', '.join(allowed)}")


def _range(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low}"
    return f"at most {high}" if low is None else f"from {low} to {high}"


def _article(kind: str) -> str:
    return {
        "int": "a whole number",
        "float": "a number",
        "str": "a string",
        "bool": "true or false",
    }.get(kind, kind)

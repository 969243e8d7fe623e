"""params.yaml as one schema: unknown keys, missing keys and wrong values are errors.

Every stage and command reads the whole file first, so a wrong setting fails before anything is
fetched or trained. `make schema` writes the schema as JSON for editors.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import Field, TypeAdapter, ValidationError

from goemotions.config.base import (
    Count,
    Entry,
    NotNegative,
    Positive,
    Seed,
    Settings,
    Share,
    Task,
)
from goemotions.config.dataset_settings import Dataset, place_problem
from goemotions.config.loss_settings import LossSettings
from goemotions.config.messages import choose, explain
from goemotions.config.model_settings import Model
from goemotions.errors import UserError


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
    gradient_clipping: NotNegative
    """Clips gradients at this multiple of the 90th percentile of the last 100 norms; 0: off."""
    precision: Literal["auto", "bf16", "fp32"]
    """auto uses bf16 autocast where the hardware has it."""
    teacher_share: Share
    """Of the loss: how much of it is the distance from the teacher, where there is one."""
    temperature: Positive
    """By which the teacher's logits and the model's are divided before they are compared."""
    short_text: bool
    """Shortcuts for short texts; false runs transformers' own code."""


class Evaluate(Settings):
    """How the test split is scored."""

    thresholds: Literal["cross_validated", "per_label", "calibrated", "global"]
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
    teacher: str
    """The selected folder of teachers/; none for learning from the labels alone."""
    export: list[str]
    """The entries of `losses` whose trained model is also exported."""
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

    @property
    def teacher_folder(self) -> Path:
        return Path("teachers", self.teacher)

    def trained_folder(self, loss: str) -> Path:
        return Path("models", "trained", loss)


def load(path: Path = Path("params.yaml"), *, any_loss: bool = False) -> Params:
    """Read and check params.yaml.

    Args:
        path: where it is.
        any_loss: whether the selected loss may be one that does not fit the selected dataset.

    Raises:
        UserError: the file cannot be read, or a setting is unknown, missing or out of range.
    """
    # As DVC reads it, and writes it for `-S`: in YAML 1.2, where `no` and 12:30 are text.
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import YAMLError

    try:
        raw = YAML(typ="safe").load(path)  # the path, so that an error names the file
    except FileNotFoundError:
        raise UserError(
            f"{path} is not in {Path.cwd()}: run this in the project's folder"
        ) from None
    except DuplicateKeyError as error:
        key, line = str(error.problem).split('"')[1], error.problem_mark.line + 1
        raise UserError(
            f"{path} has the key {key!r} a second time in line {line}; keep one of them"
        ) from None
    except (YAMLError, ValueError, RecursionError) as error:  # such as a 13th month
        raise UserError(f"{path} is not valid YAML: {error}") from None
    return parse(raw, any_loss=any_loss)


def parse(raw: Any, *, any_loss: bool = False) -> Params:
    """Check what params.yaml holds, and that the three selectors name entries of their catalogues.

    Raises:
        UserError: names every wrong setting, what it got and what is allowed, one per line.
    """
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise UserError(explain(error.errors(include_url=False), Params)) from None
    for selector, catalogue in (
        ("loss", params.losses), ("model", params.models), ("dataset", params.datasets),
    ):  # fmt: skip
        if (chosen := getattr(params, selector)) not in catalogue:
            raise UserError(f"{selector} is {chosen!r}; {choose(chosen, catalogue)}")
    for loss in params.export:
        if loss not in params.losses:
            raise UserError(f"export has {loss!r}; {choose(loss, params.losses)}")
    for name, dataset in params.datasets.items():
        if problem := place_problem(name, dataset):
            raise UserError(f"datasets.{name}{problem}")
    if "trained" in params.models:
        raise UserError("models.trained is taken: models/trained holds the trained models")
    if params.model not in params.recipes:
        raise UserError(f"recipes.{params.model} is missing: every model needs a recipe")
    if not any_loss and (task := params.datasets[params.dataset].kind):
        check_loss(params, params.loss, task)
    return params


def check_loss(params: Params, name: str, task: Task) -> None:
    """A loss must be one for the data's task.

    Args:
        params: whose dataset the task is of.
        name: of the loss.
        task: of the data.

    Raises:
        UserError: it is for the other task; names those that fit.
    """
    if params.losses[name].task == task:
        return
    fitting = [other for other, settings in params.losses.items() if settings.task == task]
    kinds = {"multi_label": "multi-label", "single_label": "single-label"}
    raise UserError(
        f"losses.{name} is for {kinds[params.losses[name].task]} data; {params.dataset} is "
        f"{kinds[task]}: "
        + (f"choose one of: {', '.join(fitting)}" if fitting else "add a loss that is for it")
    )


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


def parse_dataset(raw: Any) -> Dataset:
    """An entry of `datasets`.

    Raises:
        UserError: names every wrong setting, what it got and what is allowed, one per line.
    """
    try:
        found: Dataset = _DATASET.validate_python(raw)
    except ValidationError as error:
        errors = [{**one, "loc": ("datasets", "entry", *one["loc"])} for one in error.errors()]
        raise UserError(explain(errors, Params)) from None  # type: ignore[arg-type]
    return found


_DATASET: TypeAdapter[Any] = TypeAdapter(Annotated[Dataset, Field(discriminator="source")])
_LOSS: TypeAdapter[Any] = TypeAdapter(Annotated[LossSettings, Field(discriminator="function")])

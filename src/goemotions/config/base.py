"""What the parts of the schema share: the base class of all settings, and kinds of values."""

import re
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

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


def allowed(message: str) -> PydanticCustomError:
    """An error that says what a value must be: "<setting> is <value>; it must be <message>"."""
    return PydanticCustomError("allowed", "{message}", {"message": message})


def refused(message: str) -> PydanticCustomError:
    """An error in its own words, which begin right behind the setting's name."""
    return PydanticCustomError("refused", "{message}", {"message": message})


def _all_splits(value: dict[str, Any]) -> dict[str, Any]:
    if missing := [split for split in SPLITS if split not in value]:
        raise refused(f" is missing {', '.join(missing)}")
    return value


def _focusing(value: float) -> float:
    if not (value == 0 or value >= 1):  # in between the gradient of p^gamma is infinite at p = 0
        raise allowed("0, or at least 1")
    return value


def _commit(value: str) -> str:
    if not re.fullmatch("[0-9a-f]{40}", value):
        raise allowed("a commit, 40 hexadecimal digits")
    return value


Task = Literal["multi_label", "single_label"]
Split = Literal["train", "val", "test"]
PerSplit = AfterValidator(_all_splits)
Entry = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]  # becomes a folder's name
Commit = Annotated[
    str, AfterValidator(_commit), Field(json_schema_extra={"pattern": "^[0-9a-f]{40}$"})
]
Count = Annotated[int, Ge(1)]
Seed = Annotated[int, Ge(0), Le(2**32 - 1)]
Share = Annotated[float, Ge(0), Le(1)]
BelowOne = Annotated[float, Ge(0), Lt(1)]
NotNegative = Annotated[float, Ge(0)]
Positive = Annotated[float, Gt(0)]
Gamma = Annotated[float, AfterValidator(_focusing), Field(json_schema_extra={"minimum": 0})]

"""labels.json of data/<dataset>: the labels' names and order, the task, and groups of labels."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from goemotions.config.base import Task as Task
from goemotions.errors import UserError

FILE = "labels.json"
Groupings = Mapping[str, Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Labels:
    """The labels of a dataset.

    Attributes:
        names: in the order of targets' and logits' columns.
        task: multi_label, where a row has any number of labels, or single_label: exactly one.
        groupings: coarser levels to score at: name of the level -> group -> its labels.
    """

    names: tuple[str, ...]
    task: Task = "multi_label"
    groupings: Groupings = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def single(self) -> bool:
        return self.task == "single_label"

    def content(self) -> dict[str, Any]:
        """What labels.json holds."""
        return {"names": self.names, "task": self.task, "groupings": self.groupings}

    @classmethod
    def read(cls, folder: Path) -> "Labels":
        """The labels of data/<dataset>.

        Raises:
            UserError: labels.json is missing, or does not hold labels.
        """
        path = folder / FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls.parse(content)
        except FileNotFoundError:
            raise UserError(f"{path} is missing; run `dvc repro fetch_dataset`") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"{path} does not hold labels ({error!r}); run `dvc repro fetch_dataset`"
            ) from None

    @classmethod
    def parse(cls, content: dict[str, Any]) -> "Labels":
        """The opposite of `content`.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: these are no labels.
        """
        names = tuple(content["names"])
        if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
            raise ValueError("names must be different strings")
        if content["task"] not in get_args(Task):
            raise ValueError(f"task is {content['task']!r}")
        groupings = {
            level: {group: tuple(members) for group, members in groups.items()}
            for level, groups in content["groupings"].items()
        }
        for groups in groupings.values():
            for members in groups.values():
                if unknown := [name for name in members if name not in names]:
                    raise ValueError(f"{unknown[0]!r} is not a label")
        return cls(names, cast(Task, content["task"]), groupings)

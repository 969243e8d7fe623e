"""Make data/<dataset>: the three splits and metadata.json, verified against their pins."""

import hashlib
import sys
from pathlib import Path

from goemotions import config
from goemotions.data import sample, splits
from goemotions.errors import UserError
from goemotions.io import hub, parquet, publish


def fetch(name: str, settings: config.Dataset, folder: Path) -> dict[str, int]:
    """Write the three splits and metadata.json into `folder`, whole or not at all.

    Returns:
        split -> number of rows.

    Raises:
        UserError: a source is out of reach, a row breaks a rule, or a count or a digest is not
            the pinned one. `folder` is then what it was before.
    """
    paths = _paths(settings, again=False)
    try:
        contents, counts = _contents(name, settings, paths)
    except UserError as error:
        if not paths or not hub.online():
            raise
        # Wrong bytes can lie in the Hub client's cache, which it does not look into again.
        print(f"{error}\nfetching it again", file=sys.stderr)
        contents, counts = _contents(name, settings, _paths(settings, again=True))
    with publish.published(folder) as draft:
        revision = getattr(settings, "revision", None)
        splits.write(draft, contents, counts, dataset=name, revision=revision)
    return counts


def _paths(settings: config.Dataset, *, again: bool) -> dict[str, Path]:
    """The parquet files by split; none for the generated sample."""
    if not isinstance(settings, config.HubDataset):
        return {}
    # A parquet file's own bytes differ between writers; the rows' digests are what is pinned.
    names: dict[str, str | None] = dict.fromkeys(settings.files.values())
    paths = hub.from_hub(
        "dataset", settings.repo, settings.revision, names, any_bytes=True, again=again
    )
    return {split: paths[settings.files[split]] for split in settings.files}


def _contents(
    name: str, settings: config.Dataset, paths: dict[str, Path]
) -> tuple[dict[str, bytes], dict[str, int]]:
    """Each split's content and number of rows, checked and as pinned."""
    if isinstance(settings, config.HubDataset):
        rows = {split: _rows(path) for split, path in paths.items()}
    else:
        rows = sample.generate(settings.seed, settings.rows)
    contents = {}
    for split in splits.SPLITS:
        splits.check(rows[split], f"{name}, split {split}")
        contents[split] = splits.encode(rows[split])
    counts = {split: len(rows[split]) for split in splits.SPLITS}
    if isinstance(settings, config.HubDataset):
        digests = {
            split: hashlib.sha256(content).hexdigest() for split, content in contents.items()
        }
        _compare(name, settings, counts, digests)
    return contents, counts


def _compare(
    name: str, pins: config.HubDataset, counts: dict[str, int], digests: dict[str, str]
) -> None:
    for setting, found in (("rows", counts), ("sha256", digests)):
        pinned = getattr(pins, setting)
        for split in splits.SPLITS:
            if found[split] != pinned[split]:
                raise UserError(
                    f"{name}, split {split}: {setting} is {found[split]}, but "
                    f"datasets.{name}.{setting}.{split} pins {pinned[split]}; the source does not "
                    f"hold revision {pins.revision}. Fetch it again, or correct the mirror"
                )


def _rows(path: Path) -> list[splits.Row]:
    import pyarrow

    try:
        table = parquet.read_parquet(path.read_bytes(), ["id", "text", "labels"]).to_pydict()
        columns = zip(table["id"], table["text"], table["labels"], strict=True)
        rows = [splits.Row(i, t, list(labels)) for i, t, labels in columns]
        if not all(type(label) is int for row in rows for label in row.labels):
            raise TypeError("a label is not a whole number")
        return rows
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} is not a parquet file with the columns id, text and labels: {error}"
        ) from None

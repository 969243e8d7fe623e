import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from goemotions import config
from goemotions.config.dataset_settings import GeneratedDataset
from goemotions.data import splits
from goemotions.data.card import dataset_card
from goemotions.data.fetch import fetch_dataset
from goemotions.data.labels import Labels
from goemotions.errors import UserError

NAMES = ("anger", "joy", "love")
LINES = {
    "train": '{"id": "e1", "text": "a 😂\u2028b", "labels": [0, 1]}\n'
    '{"id": "e2", "text": "meh", "labels": [2]}\n',
    "val": '{"id": "e3", "text": "\\"no\\"", "labels": [0]}\n',
    "test": '{"id": "e4", "text": "oh é", "labels": [1]}\n',
}
FILES = {"train": "s/train.parquet", "val": "s/validation.parquet", "test": "s/test.parquet"}
PINS = config.parse_dataset(
    {
        "source": "hub",
        "repo": "owner/emotions",
        "revision": "0" * 40,
        "files": FILES,
        "id": "id",
        "text": "text",
        "labels": {"column": "labels", "names": list(NAMES), "ids": 0},
        "rows": {"train": 2, "val": 1, "test": 1},
        "sha256": {
            split: hashlib.sha256(text.encode()).hexdigest() for split, text in LINES.items()
        },
    }
)


def counts(texts):
    return {split: len(rows) for split, rows in texts.rows.items()}


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror that holds owner/emotions, as parquet files with the Hub's columns."""
    folder = tmp_path / "mirror" / "datasets" / "owner" / "emotions" / "s"
    folder.mkdir(parents=True)
    for split, text in LINES.items():
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
        columns = {name: [row[name] for row in rows] for name in ("text", "labels", "id")}
        path = folder.parent / FILES[split]
        parquet.write_table(pyarrow.table(columns), path)
    monkeypatch.setenv("GOEMOTIONS_MIRROR", str(tmp_path / "mirror"))
    return folder


def test_the_files_hold_the_pinned_rows(mirror, tmp_path):
    folder = tmp_path / "data" / "mine"
    assert counts(fetch_dataset("mine", PINS, folder)) == {"train": 2, "val": 1, "test": 1}
    written = {path.name: path.read_bytes().decode() for path in folder.iterdir()}
    metadata = json.loads(written.pop("metadata.json"))
    labels = written.pop("labels.json")
    assert written.pop("README.md") == dataset_card("mine", PINS, Labels(NAMES))
    assert written == {f"{split}.jsonl": text for split, text in LINES.items()}
    assert json.loads(labels) == {"names": list(NAMES), "task": "multi_label", "groupings": {}}
    files = {
        FILES[split]: hashlib.sha256((mirror.parent / FILES[split]).read_bytes()).hexdigest()
        for split in FILES
    }
    assert metadata == {
        "dataset": "mine",
        "revision": "0" * 40,
        "rows": {"train": 2, "val": 1, "test": 1, "total": 4},
        "sha256": {**PINS.sha256, "labels": hashlib.sha256(labels.encode()).hexdigest()},
        "files": files,
        "warnings": [
            "2 labels have no row in val: joy, love",
            "2 labels have no row in test: anger, love",
        ],
    }


def test_rows_without_an_id_are_named_by_the_whole_path_of_their_file(mirror, tmp_path):
    files = ["en/s/rows.parquet", "de/s/rows.parquet"]
    for name in files:
        (mirror.parent / name).parent.mkdir(parents=True)
        shutil.copy(mirror.parent / FILES["train"], mirror.parent / name)
    every = {split: [name] for split, name in FILES.items()} | {"train": files}
    pins = PINS.model_copy(update={"files": every, "id": None, "rows": None, "sha256": None})
    texts = fetch_dataset("mine", pins, tmp_path / "data" / "mine")
    ids = [row.id for row in texts.rows["train"]]
    assert ids == [f"{name}:{row}" for name in files for row in (1, 2)]


def test_nothing_else_lies_beside_the_folder(mirror, tmp_path):
    fetch_dataset("mine", PINS, tmp_path / "data" / "mine")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        (
            PINS.model_copy(update={"rows": {**PINS.rows, "val": 7}}),
            "mine, split val: rows is 1, but datasets.mine.rows.val pins 7; the source does not "
            f"hold revision {'0' * 40}. Fetch it again, or correct the mirror; if the entry was "
            "changed on purpose, correct or remove its rows",
        ),
        (
            PINS.model_copy(update={"sha256": {**PINS.sha256, "test": "f" * 64}}),
            f"mine, split test: sha256 is {PINS.sha256['test']}, but datasets.mine.sha256.test "
            f"pins {'f' * 64}",
        ),
    ],
)
def test_a_wrong_count_or_digest_names_both_and_leaves_the_old_folder(
    mirror, tmp_path, pins, message
):
    folder = tmp_path / "data" / "mine"
    folder.mkdir(parents=True)
    (folder / "old").write_text("1")
    with pytest.raises(UserError, match=re.escape(message)):
        fetch_dataset("mine", pins, folder)
    assert [path.name for path in folder.parent.rglob("*")] == ["mine", "old"]


def test_a_row_that_breaks_a_rule_is_named_before_any_digest(mirror, tmp_path):
    table = pyarrow.table({"id": ["a", "b"], "text": ["hi", " "], "labels": [[1], [2]]})
    parquet.write_table(table, mirror / "train.parquet")
    message = "datasets.mine: s/train.parquet, row 2: the text is blank"
    with pytest.raises(UserError, match=re.escape(message)):
        fetch_dataset("mine", PINS, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"<html>not found</html>", "is an HTML page"),
        (b"PAR1 and then nothing PAR1", "is not a parquet file"),
        (b"a\nb\n", "is not a parquet file"),
    ],
)
def test_a_file_that_is_not_parquet_is_named(mirror, tmp_path, content, reason):
    (mirror / "test.parquet").write_bytes(content)
    with pytest.raises(UserError, match=f"datasets.mine: s/test.parquet {reason}"):
        fetch_dataset("mine", PINS, tmp_path / "data")


GOOD = {"id": ["a"], "text": ["hi"], "labels": [[2]]}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"labels": None}, " has no column 'labels'; it has 'id', 'text'"),
        ({"labels": [["joy"]]}, ", row 1: labels is 'joy'; it must be a whole number from 0 to 2"),
        ({"labels": [[1.0]]}, ", row 1: labels is 1.0; a label must be text or a whole number"),
        ({"labels": [[3]]}, ", row 1: labels is '3'; it must be a whole number from 0 to 2"),
        (
            {"labels": pyarrow.array([[2**63]], pyarrow.list_(pyarrow.uint64()))},
            ", row 1: labels is '9223372036854775808'; it must be",
        ),
        (
            {"id": ["a", "b"], "text": ["hi", "ho"], "labels": [[1], None]},
            ", row 2: a label is neither yes nor no: the row is not annotated",
        ),
        (
            {"id": ["a", "b"], "text": ["hi", "ho"], "labels": [[1], [None]]},
            ", row 2: labels is None; a label must be text or a whole number",
        ),
        ({"id": [None]}, ", row 1: the id is None; it must be text or a whole number"),
        ({"text": [b"\xff"]}, ": column 'text' is one of binary"),
        ({"text": pyarrow.array([b"\xff"]).view(pyarrow.string())}, " is damaged: "),
        ({"text": [None]}, ", row 1: the text is blank"),
    ],
)
def test_columns_that_datasets_would_convert_are_refused(mirror, tmp_path, columns, reason):
    table = {name: cells for name, cells in (GOOD | columns).items() if cells is not None}
    parquet.write_table(pyarrow.table(table), mirror / "validation.parquet")
    with pytest.raises(UserError, match=re.escape(f"datasets.mine: s/validation.parquet{reason}")):
        fetch_dataset("mine", PINS, tmp_path / "data")


def test_a_file_without_rows_is_refused(mirror, tmp_path):
    schema = pyarrow.table(GOOD).schema
    parquet.write_table(schema.empty_table(), mirror / "train.parquet")
    with pytest.raises(UserError, match=r"s/train\.parquet holds no row"):
        fetch_dataset("mine", PINS, tmp_path / "data")


def test_a_mirrors_path_is_no_pattern(mirror, tmp_path, monkeypatch):
    odd = tmp_path / "a [b] *?{c}" / "datasets" / "owner"
    odd.parent.mkdir(parents=True)
    mirror.parents[1].rename(odd)
    monkeypatch.setenv("GOEMOTIONS_MIRROR", str(odd.parents[1]))
    assert counts(fetch_dataset("mine", PINS, tmp_path / "data")) == PINS.rows


@pytest.mark.parametrize("left", [0, 10_000])
def test_a_full_disk_leaves_the_old_folder_and_is_named_as_one(mirror, disk, left):
    folder = disk.folder / "mine"
    folder.mkdir()
    (folder / "old").write_text("1")
    files = {split: (f"s/{split}.parquet",) for split in FILES}
    table = pyarrow.table(
        {
            "id": [str(n) for n in range(20_000)],
            "text": ["hi" * 100] * 20_000,
            "labels": [[0, 1, 2]] * 20_000,
        }
    )
    for (path,) in files.values():
        parquet.write_table(table, mirror.parent / path)
    filler = disk.folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", 0) as file:
        while True:
            file.write(bytes(2**20))
    os.truncate(filler, filler.stat().st_size - left)
    settings = PINS.model_copy(update={"files": files, "rows": None, "sha256": None})
    with pytest.raises(OSError, match="No space left") as error:
        fetch_dataset("mine", settings, folder)
    assert error.value.errno == errno.ENOSPC
    filler.unlink()
    assert [path.name for path in disk.folder.iterdir() if path.name != "lost+found"] == ["mine"]
    assert [path.name for path in folder.iterdir()] == ["old"]


def test_every_file_that_the_mirror_lacks_is_listed(mirror, tmp_path):
    (mirror / "train.parquet").unlink()
    (mirror / "test.parquet").unlink()
    message = (
        f"the mirror {mirror.parent} is missing s/train.parquet, s/test.parquet; put revision 0000"
    )
    with pytest.raises(UserError, match=re.escape(message)):
        fetch_dataset("mine", PINS, tmp_path / "data")


def test_the_sample_needs_no_source(tmp_path, monkeypatch):
    monkeypatch.setenv("GOEMOTIONS_MIRROR", str(tmp_path / "nowhere"))
    rows = {"train": 120, "val": 5, "test": 5}
    settings = GeneratedDataset(source="generated", seed=0, rows=rows)
    assert counts(fetch_dataset("sample", settings, tmp_path / "sample")) == rows
    metadata = json.loads((tmp_path / "sample" / "metadata.json").read_text())
    assert metadata["revision"] is None
    assert metadata["rows"] == {**rows, "total": 130}
    digest = hashlib.sha256((tmp_path / "sample" / "val.jsonl").read_bytes()).hexdigest()
    assert metadata["sha256"]["val"] == digest
    assert splits.read(tmp_path / "sample" / "val.jsonl").ids[-1] == "val-000004"


def test_the_real_goemotions_is_the_published_one(real_mirror, tmp_path, settings):
    folder = tmp_path / "goemotions"
    texts = fetch_dataset("goemotions", settings.datasets["goemotions"], folder)
    assert counts(texts) == {"train": 43410, "val": 5426, "test": 5427}
    digests = {
        split: hashlib.sha256((folder / f"{split}.jsonl").read_bytes()).hexdigest()
        for split in splits.SPLITS
    }
    assert digests == {
        "train": "c26162c593bdef6ee8af3115ccbc61882dedb928a2b7b470d408b1e9ec1cf76f",
        "val": "29b1d7cf2d23b0dabaa168ce4c25d23fe619cf7cafeb308d5b4e9aff77ddf812",
        "test": "119a7aa25984ce64dc356a066a9ebfc87d418286ee7e36c0576ac7a054aa0a2b",
    }
    read = {split: splits.read(folder / f"{split}.jsonl").targets for split in splits.SPLITS}
    assert read["train"].sum(0).tolist() == [
        4130, 2328, 1567, 2470, 2939, 1087, 1368, 2191, 641, 1269, 2022, 793, 303, 853,
        596, 2662, 77, 1452, 2086, 164, 1581, 111, 1110, 153, 545, 1326, 1060, 14219,
    ]  # fmt: skip
    assert [int(targets.sum()) for targets in read.values()] == [51103, 6380, 6329]
    assert [int((targets.sum(1) > 1).sum()) for targets in read.values()] == [7102, 878, 837]
    assert read["test"].sum(0)[[16, 23]].tolist() == [6, 11]


def test_a_file_of_the_same_size_and_time_is_read_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = Path("texts/mine/all.csv")
    file.parent.mkdir(parents=True)
    entry = config.parse_dataset(
        {
            "source": "files", "files": str(file), "text": "text", "labels": {"column": "label"},
            "split": {"val": 0.25, "test": 0.25},
        }
    )  # fmt: skip
    for word in ("good", "evil"):
        rows = [f"{word} {n},{'ab'[n % 2]}\n" for n in range(40)]
        file.write_text("text,label\n" + "".join(rows))
        os.utime(file, (1, 1))
        texts = fetch_dataset("mine", entry, Path("data/mine"))
        assert {row.text.split()[0] for part in texts.rows.values() for row in part} == {word}

import hashlib
import json
import re

import pyarrow
import pytest
from pyarrow import parquet

from goemotions import config
from goemotions.data import splits
from goemotions.data.fetch import fetch
from goemotions.errors import UserError
from goemotions.labels import LABELS

LINES = {
    "train": '{"id": "e1", "text": "a 😂\u2028b", "labels": [1, 17]}\n'
    '{"id": "e2", "text": "meh", "labels": [27]}\n',
    "val": '{"id": "e3", "text": "\\"no\\"", "labels": [10]}\n',
    "test": '{"id": "e4", "text": "oh é", "labels": [26]}\n',
}
PINS = config.HubDataset(
    source="hub",
    repo="owner/emotions",
    revision="0" * 40,
    files={"train": "s/train.parquet", "val": "s/validation.parquet", "test": "s/test.parquet"},
    rows={"train": 2, "val": 1, "test": 1},
    sha256={split: hashlib.sha256(text.encode()).hexdigest() for split, text in LINES.items()},
)


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror that holds owner/emotions, as parquet files with the Hub's columns."""
    folder = tmp_path / "mirror" / "datasets" / "owner" / "emotions" / "s"
    folder.mkdir(parents=True)
    for split, text in LINES.items():
        rows = [json.loads(line) for line in text.split("\n")[:-1]]
        columns = {name: [row[name] for row in rows] for name in ("text", "labels", "id")}
        path = folder.parent / PINS.files[split]
        parquet.write_table(pyarrow.table(columns), path)
    monkeypatch.setenv("GOEMOTIONS_MIRROR", str(tmp_path / "mirror"))
    return folder


def test_the_four_files_hold_the_pinned_rows(mirror, tmp_path):
    folder = tmp_path / "data" / "mine"
    assert fetch("mine", PINS, folder) == {"train": 2, "val": 1, "test": 1}
    found = {path.name: path.read_bytes().decode() for path in folder.iterdir()}
    metadata = json.loads(found.pop("metadata.json"))
    assert found == {f"{split}.jsonl": text for split, text in LINES.items()}
    assert metadata == {
        "dataset": "mine",
        "revision": "0" * 40,
        "rows": {"train": 2, "val": 1, "test": 1, "total": 4},
        "sha256": PINS.sha256,
        "labels": list(LABELS),
    }


def test_nothing_else_lies_beside_the_folder(mirror, tmp_path):
    fetch("mine", PINS, tmp_path / "data" / "mine")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        (
            PINS.model_copy(update={"rows": {**PINS.rows, "val": 7}}),
            "mine, split val: rows is 1, but datasets.mine.rows.val pins 7; the source does not "
            f"hold revision {'0' * 40}",
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
        fetch("mine", pins, folder)
    assert [path.name for path in folder.parent.rglob("*")] == ["mine", "old"]


def test_a_row_that_breaks_a_rule_is_named_before_any_digest(mirror, tmp_path):
    table = pyarrow.table({"id": ["a", "b"], "text": ["hi", " "], "labels": [[1], [2]]})
    parquet.write_table(table, mirror / "train.parquet")
    message = "mine, split train, row 2 (id 'b'): the text is empty"
    with pytest.raises(UserError, match=re.escape(message)):
        fetch("mine", PINS, tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PAR1 and then nothing PAR1"])
def test_a_file_that_is_no_parquet_is_named(mirror, tmp_path, content):
    (mirror / "test.parquet").write_bytes(content)
    message = f"{mirror / 'test.parquet'} is not a parquet file with the columns id, text and label"
    with pytest.raises(UserError, match=re.escape(message)):
        fetch("mine", PINS, tmp_path / "data")


@pytest.mark.parametrize(
    "columns",
    [
        {"id": ["a"], "text": ["hi"]},
        {"id": ["a"], "text": ["hi"], "labels": [3]},
        {"id": ["a"], "text": ["hi"], "labels": [None]},
        {"id": ["a"], "text": ["hi"], "labels": [["joy"]]},
        {"id": ["a"], "text": ["hi"], "labels": [[1.5]]},
        {"id": ["a"], "text": ["hi"], "labels": [[float("inf")]]},
    ],
    ids=["no labels", "one label", "null", "names", "a half", "infinity"],
)
def test_a_file_with_other_columns_is_named(mirror, tmp_path, columns):
    message = f"{mirror / 'validation.parquet'} is not a parquet file with the columns"
    parquet.write_table(pyarrow.table(columns), mirror / "validation.parquet")
    with pytest.raises(UserError, match=re.escape(message)):
        fetch("mine", PINS, tmp_path / "data")


def test_a_null_text_is_an_error_for_the_user(mirror, tmp_path):
    table = pyarrow.table({"id": ["a", "b"], "text": ["hi", None], "labels": [[1], [2]]})
    parquet.write_table(table, mirror / "train.parquet")
    with pytest.raises(UserError, match="text"):
        fetch("mine", PINS, tmp_path / "data")


def test_every_file_that_the_mirror_lacks_is_listed(mirror, tmp_path):
    (mirror / "train.parquet").unlink()
    (mirror / "test.parquet").unlink()
    message = f"the mirror {mirror.parent} lacks s/train.parquet, s/test.parquet; put revision 0000"
    with pytest.raises(UserError, match=re.escape(message)):
        fetch("mine", PINS, tmp_path / "data")


def test_the_sample_needs_no_source(tmp_path, monkeypatch):
    monkeypatch.setenv("GOEMOTIONS_MIRROR", str(tmp_path / "nowhere"))
    rows = {"train": 120, "val": 5, "test": 5}
    settings = config.GeneratedDataset(source="generated", seed=0, rows=rows)
    assert fetch("sample", settings, tmp_path / "sample") == rows
    metadata = json.loads((tmp_path / "sample" / "metadata.json").read_text())
    assert metadata["revision"] is None
    assert metadata["rows"] == {**rows, "total": 130}
    digest = hashlib.sha256((tmp_path / "sample" / "val.jsonl").read_bytes()).hexdigest()
    assert metadata["sha256"]["val"] == digest
    assert splits.read(tmp_path / "sample" / "val.jsonl").ids[-1] == "val-000004"


def test_the_real_goemotions_is_the_published_one(real_mirror, tmp_path, settings):
    folder = tmp_path / "goemotions"
    counts = fetch("goemotions", settings.datasets["goemotions"], folder)
    assert counts == {"train": 43410, "val": 5426, "test": 5427}
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

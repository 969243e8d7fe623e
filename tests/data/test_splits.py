import json
import re

import pytest

from goemotions.data import splits
from goemotions.data.labels import Labels
from goemotions.data.splits import Row
from goemotions.errors import UserError

GOOD = Row("a", "thanks", [15])
LABELS = Labels(tuple(f"label {n}" for n in range(28)))


def write(tmp_path, *rows):
    splits.write(tmp_path, {"train": splits.encode(rows)}, {"train": len(rows)}, LABELS)
    return tmp_path / "train.jsonl"


def write_lines(tmp_path, *lines):
    splits.write(tmp_path, {}, {}, LABELS)
    path = tmp_path / "val.jsonl"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_row_is_one_line_of_json_in_utf_8():
    written = splits.encode([Row("x1", 'a "b" é 😂', [3, 0]), GOOD]).decode("utf-8")
    assert written == (
        '{"id": "x1", "text": "a \\"b\\" é 😂", "labels": [3, 0]}\n'
        '{"id": "a", "text": "thanks", "labels": [15]}\n'
    )


def test_no_row_is_no_byte():
    assert splits.encode([]) == b""


@pytest.mark.parametrize(
    "text",
    [
        "emoji 😂👩‍👩‍👧‍👦",
        "a\u2028b\u2029c\x85d",
        "quotes \" ' and \\ backslash",
        "tab\tand\rreturn\nand line",
        " spaces at both ends ",
        "\ufeffbyte order mark",
    ],
)
def test_any_text_is_read_as_it_was_written(tmp_path, text):
    split = splits.read(write(tmp_path, GOOD, Row("b", text, [0])))
    assert split.texts == ["thanks", text]


def test_a_split_in_memory_has_ids_texts_and_multi_hot_targets(tmp_path):
    split = splits.read(write(tmp_path, Row("x", "one", [27, 2]), Row("y", "two", [0])))
    assert split.ids == ["x", "y"]
    assert split.texts == ["one", "two"]
    assert split.targets.dtype == bool
    assert split.targets.shape == (2, 28)
    assert [row.nonzero()[0].tolist() for row in split.targets] == [[2, 27], [0]]


def test_the_last_line_may_lack_its_newline(tmp_path):
    path = write(tmp_path, GOOD)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert splits.read(path).ids == ["a"]


def test_rows_that_keep_every_rule_are_accepted():
    splits.check([GOOD, Row("b", "thanks", [0, 27]), Row("c", "none", [])], LABELS, "here")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "here holds no row"),
        ([Row("", "hi", [1])], "here, row 1 (id ''): the id is empty"),
        ([GOOD, Row("a", "hi", [1])], "here, row 2 (id 'a'): the id is not unique"),
        ([GOOD, Row("b", "", [1])], "here, row 2 (id 'b'): the text is empty"),
        ([Row("b", " \n\t\u00a0", [1])], "here, row 1 (id 'b'): the text is empty"),
        ([Row("b", "hi", [3, 28])], "here, row 1 (id 'b'): label 28 is outside 0 to 27"),
        ([Row("b", "hi", [-1])], "here, row 1 (id 'b'): label -1 is outside 0 to 27"),
        ([Row("b", "hi", [3, 5, 3])], "row 1 (id 'b'): a label is repeated in [3, 5, 3]"),
    ],
)
def test_the_first_row_that_breaks_a_rule_is_named_with_the_rule(rows, message):
    with pytest.raises(UserError, match=re.escape(message)):
        splits.check(rows, LABELS, "here")


@pytest.mark.parametrize(
    "line",
    [
        '{"id": "b", "text": "hi", "labels": [1]',
        "",
        "null",
        "[]",
        '{"id": "b", "text": "hi"}',
        '{"id": 7, "text": "hi", "labels": [1]}',
        '{"id": "b", "text": null, "labels": [1]}',
        '{"id": "b", "text": "hi", "labels": "1"}',
        '{"id": "b", "text": "hi", "labels": [true]}',
        '{"id": "b", "text": "hi", "labels": [1.0]}',
        "[" * 100_000,
    ],
)
def test_a_line_that_is_no_row_is_named_by_file_and_number(tmp_path, line):
    good = json.dumps({"id": "a", "text": "thanks", "labels": [15]})
    path = write_lines(tmp_path, good, line, good)
    message = f"{path}, line 2 is not a row"
    with pytest.raises(UserError, match=re.escape(message) + ".*dvc repro fetch_dataset"):
        splits.read(path)


def test_a_row_that_breaks_a_rule_is_named_by_file_and_number(tmp_path):
    path = write(tmp_path, GOOD, GOOD)
    with pytest.raises(UserError, match=re.escape(f"{path}, row 2 (id 'a'): the id is not unique")):
        splits.read(path)


def test_damage_that_dvc_would_restore_is_named_before_it_is_read(tmp_path):
    path = write(tmp_path, GOOD)
    path.write_bytes(splits.encode([GOOD])[:-5])
    with pytest.raises(UserError, match=r"train\.jsonl changed since; make or download it again"):
        splits.load(tmp_path, "train")


def test_changed_labels_are_named_before_they_are_read(tmp_path):
    write(tmp_path, GOOD)
    labels = tmp_path / "labels.json"
    labels.write_text(labels.read_text().replace("label 3", "label X"))
    with pytest.raises(UserError, match=r"labels\.json changed since; make or download it again"):
        splits.load(tmp_path, "train")


@pytest.mark.parametrize(
    ("labels", "message"), [([], "0 labels"), ([1, 2], "2 labels, and single-label rows have one")]
)
def test_a_single_label_row_has_exactly_one_label(labels, message):
    single = Labels(("a", "b", "c"), "single_label")
    splits.check([Row("a", "x", [2])], single, "here")
    with pytest.raises(UserError, match=re.escape(f"here, row 1 (id 'b'): {message}")):
        splits.check([Row("b", "hi", labels)], single, "here")


def test_an_empty_file_holds_no_row(tmp_path):
    path = write(tmp_path)
    with pytest.raises(UserError, match=re.escape(f"{path} holds no row")):
        splits.read(path)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path):
    path = tmp_path / "test.jsonl"
    with pytest.raises(
        UserError, match=re.escape(f"{path} is missing; run `dvc repro fetch_dataset`")
    ):
        splits.read(path)


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    path = write(tmp_path, GOOD)
    path.write_bytes('{"id": "a", "text": "é", "labels": [1]}\n'.encode("latin-1"))
    with pytest.raises(UserError, match=re.escape(f"{path} is not UTF-8: ")):
        splits.read(path)

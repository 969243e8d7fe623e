"""Small invented files of labelled texts, and what each must become."""

from collections import Counter
from pathlib import Path

import pytest

from goemotions.config import parse_dataset
from goemotions.data import table_files
from goemotions.data.faults import TextsError
from goemotions.data.texts import read_texts
from goemotions.errors import UserError

CASES = Path(__file__).parent / "own_texts"


def read(tmp_path, content=None, **entry):
    """Read an entry from the cases, or from files given as bytes or text."""
    files = {name: CASES / name for name in (p.name for p in CASES.iterdir())}
    for name, data in (content or {}).items():
        files[name] = tmp_path / name
        files[name].write_bytes(data.encode() if isinstance(data, str) else data)
    settings = parse_dataset({"source": "files", **entry})
    return read_texts("mine", settings, lambda file: files[file].read_bytes())


def counts(texts, split=None):
    rows = [row for part, rows in texts.rows.items() if split in (None, part) for row in rows]
    found = Counter(texts.labels.names[label] for row in rows for label in row.labels)
    return [found[name] for name in texts.labels.names]


def sizes(texts):
    return [len(texts.rows[split]) for split in ("train", "val", "test")]


def all_rows(texts):
    return [row for rows in texts.rows.values() for row in rows]


def assert_every_label_is_in_train(texts):
    assert min(counts(texts, "train")) >= 1


FLAGS = {
    "files": {split: f"01_flags.{split}.csv" for split in ("train", "val", "test")},
    "id": "id",
    "text": "comment",
    "labels": ["late delivery", "Refund", "rude"],
}


def test_flags_in_three_files(tmp_path):
    texts = read(tmp_path, **FLAGS)
    assert sizes(texts) == [14, 4, 5]
    assert texts.labels.names == ("late delivery", "Refund", "rude")
    assert texts.labels.task == "multi_label"
    assert [counts(texts, split) for split in texts.rows] == [[2, 2, 2], [1, 1, 1], [1, 1, 1]]
    assert "9 of 14 rows of train have no label" in texts.warnings
    assert "1 of 4 rows of val have no label" in texts.warnings
    assert "2 of 5 rows of test have no label" in texts.warnings
    train = texts.rows["train"]
    assert [row.id for row in train[:5]] == [
        "007", "0070", "1e5", "00000000000000000001", "12345678901234567890",
    ]  # fmt: skip
    assert [train[n - 1].text for n in (2, 3, 4, 13)] == ["NA", "null", "2024", "None"]
    assert train[9].text == "  two spaces in front stay  "
    assert train[0].text == "The parcel came on Friday\nand not on Monday, as promised."
    assert train[5].text == 'She said "no" and hung up'
    assert texts.rows["val"][0].id == "007"


EXCEL = {
    "files": "02_excel.csv",
    "csv": {"delimiter": ";", "encoding": "cp1252"},
    "text": "Rückmeldung",
    "labels": {"column": "Art"},
    "split": {"val": 0.2, "test": 0.2, "seed": 0},
}


def test_a_table_that_excel_saved(tmp_path):
    texts = read(tmp_path, **EXCEL)
    assert sizes(texts) == [6, 2, 2]
    assert texts.labels.names == ("Beschwerde", "Frage", "Hinweis", "Lob")
    assert texts.labels.task == "single_label"
    assert counts(texts) == [3, 2, 2, 3]
    assert_every_label_is_in_train(texts)
    by_id = {row.id: row.text for row in all_rows(texts)}
    assert by_id["02_excel.csv:1"] == "Die Lieferung war „prompt“ – danke"
    assert by_id["02_excel.csv:2"].endswith("5 € zu viel")
    assert "\n" in by_id["02_excel.csv:3"]
    assert not any("\x80" <= mark <= "\x9f" for text in by_id.values() for mark in text)


def test_a_table_that_excel_saved_without_the_settings_names_them(tmp_path):
    with pytest.raises(TextsError) as raised:
        read(tmp_path, **EXCEL | {"csv": {"delimiter": ";"}})
    assert str(raised.value) == (
        "datasets.mine: 02_excel.csv, line 1: byte 0xfc is not UTF-8; if it was written on "
        "Windows, set csv.encoding: cp1252"
    )
    with pytest.raises(TextsError) as raised:
        read(tmp_path, **EXCEL | {"csv": {"encoding": "cp1252"}})
    assert "has no column 'Rückmeldung'" in str(raised.value)
    assert 'the header has one column, is the delimiter ";"?' in str(raised.value)
    with pytest.raises(TextsError, match=r"set csv\.encoding: cp1252"):
        read(tmp_path, **EXCEL | {"csv": {"delimiter": ";", "encoding": "latin-1"}})


def test_latin_1_that_is_not_cp1252_can_be_read():
    content = b"text,label\n\x81x,a\n"
    assert table_files.decoded("t.csv", content, "latin-1") == "text,label\n\x81x,a\n"


TAGS = {
    "files": "04_tags.csv",
    "id": "Id",
    "text": ["Title", "Body"],
    "labels": {"column": "Tags", "separator": ["<", ">"], "min_rows": 2},
    "split": {"val": 0.1, "test": 0.1, "seed": 0},
}


def test_joined_tags_and_rare_ones_set_aside(tmp_path):
    texts = read(tmp_path, **TAGS)
    assert sizes(texts) == [8, 1, 1]
    assert texts.labels.names == ("bread", "equipment", "salt", "sourdough")
    assert counts(texts) == [5, 4, 2, 2]
    aside = (
        "3 labels have fewer than 2 rows in train, set aside: .net-of-tare 1, cast-iron 1, "
        "kneading 1"
    )
    assert aside in texts.warnings
    assert all(row.labels for row in all_rows(texts))
    by_id = {row.id: row.text for row in all_rows(texts)}
    assert by_id["9000000001"] == "How do I knead dough? <p>It sticks &amp; sticks.</p>"
    assert by_id["9000000003"] == "Oven or pan?"


def test_labels_of_one_row_stay_in_train_and_are_named(tmp_path):
    labels = {"column": "Tags", "separator": ["<", ">"]}
    texts = read(tmp_path, **TAGS | {"labels": labels})
    assert_every_label_is_in_train(texts)
    for split in ("val", "test"):
        (warning,) = (one for one in texts.warnings if f"no row in {split}" in one)
        assert {".net-of-tare", "cast-iron", "kneading"} <= set(warning.split(": ")[1].split(", "))


WORDS = {
    "files": "06_words.csv",
    "text": "text",
    "labels": {"column": "label"},
    "split": {"val": 0.25, "test": 0.25, "seed": 0},
}


def test_words_that_look_like_something_else(tmp_path):
    texts = read(tmp_path, **WORDS)
    assert sizes(texts) == [8, 4, 4]
    assert texts.labels.names == ("007", "7", "False", "NA", "None", "nan", "null", "true")
    assert counts(texts) == [2] * 8
    assert counts(texts, "train") == [1] * 8
    found = {row.text for row in all_rows(texts)}
    assert {"007", "7", "2020-01-01", "1.0", "1", "n/a", "nan", "NA", "null"} <= found


def test_names_that_yaml_takes_for_something_else_must_be_in_quotes(tmp_path):
    names = ["007", 7, False, "NA", "None", "nan", "null", True]
    with pytest.raises(UserError, match=r"names\[1\] is the number 7 for YAML; put it in quotes"):
        read(tmp_path, **WORDS | {"labels": {"column": "label", "names": names}})
    quoted = ["007", "7", "False", "NA", "None", "nan", "null", "true"]
    texts = read(tmp_path, **WORDS | {"labels": {"column": "label", "names": quoted[::-1]}})
    assert texts.labels.names == tuple(quoted[::-1])
    assert counts(texts) == [2] * 8


CATS = {
    "files": "08_cats.jsonl",
    "text": "text",
    "labels": {"column": "cats", "cell": "scores", "positive": 0.5},
    "split": {"val": 0.2, "test": 0.2, "seed": 0},
}


def test_scores_by_label(tmp_path):
    texts = read(tmp_path, **CATS)
    assert sizes(texts) == [4, 2, 2]
    assert texts.labels.names == ("FOOD", "MONEY", "SPORT")
    assert counts(texts) == [3, 2, 3]
    assert {row.text for row in all_rows(texts) if not row.labels} == {"Stadium costs", "Weather"}
    with pytest.raises(TextsError) as raised:
        read(tmp_path, **CATS | {"labels": {"column": "cats", "cell": "scores"}})
    assert str(raised.value).splitlines()[0] == (
        "datasets.mine: 08_cats.jsonl, row 2 (line 2): cats: FOOD is 0.8, neither 0 nor 1; set "
        "`positive`"
    )


SPLIT_COLUMN = {
    "files": "10_split_column.csv",
    "id": "imdb",
    "text": ["title", "plot"],
    "labels": {"column": "tags", "separator": ","},
    "split": {"column": "split", "val": "val", "test": "test"},
}


def test_a_column_that_names_the_splits(tmp_path):
    texts = read(tmp_path, **SPLIT_COLUMN)
    assert sizes(texts) == [5, 2, 2]
    assert texts.labels.names == ("Mystery", "action", "drama", "mystery", "slow")
    assert [counts(texts, split) for split in texts.rows] == [
        [1, 2, 1, 2, 2], [0, 1, 1, 1, 1], [0, 0, 1, 0, 1],
    ]  # fmt: skip
    assert texts.rows["train"][1].text == "Two Boats They race, twice."
    assert texts.warnings == [
        "1 label has no row in val: Mystery",
        "3 labels have no row in test: Mystery, action, mystery",
        "labels that differ only in case or white space: 'Mystery', 'mystery'",
    ]


def test_a_split_that_nobody_named(tmp_path):
    with pytest.raises(TextsError) as raised:
        read(tmp_path, **SPLIT_COLUMN | {"files": "10_split_column_unknown.csv"})
    assert str(raised.value) == (
        "datasets.mine: 10_split_column_unknown.csv, row 10 (line 12): split is 'held-out', which "
        "is not one of train, val, test; name it under split.train, val or test, or remove these "
        "rows from the file"
    )


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("13a_ragged.csv", "13a_ragged.csv, row 2 (line 3): has 2 fields, the header has 3"),
        (
            "13b_open_quote.csv",
            "13b_open_quote.csv, row 2 (line 3): a quote is opened and never closed; it takes in "
            "4 lines",
        ),
        ("13c_pointer.csv", "13c_pointer.csv is a Git LFS pointer, not data: run `git lfs pull`"),
        ("13d_page.csv", "13d_page.csv is an HTML page, not a table"),
    ],
)
def test_files_that_are_no_tables(tmp_path, file, message):
    entry = {"files": file, "id": "id", "text": "text", "labels": {"column": "label"}}
    with pytest.raises(TextsError) as raised:
        read(tmp_path, **entry, split={"val": 0.2, "test": 0.2, "seed": 0})
    assert str(raised.value).startswith(f"datasets.mine: {message}")


def test_the_same_seed_divides_alike_and_another_one_differently(tmp_path):
    entry = WORDS | {"split": {"val": 0.25, "test": 0.25, "seed": 1}}
    assert read(tmp_path, **WORDS).rows == read(tmp_path, **WORDS).rows
    assert read(tmp_path, **entry).rows != read(tmp_path, **WORDS).rows


STUDIO = {
    "files": "studio.jsonl",
    "text": "text",
    "labels": {"column": "topics.choices"},
    "split": {"val": 0.2, "test": 0.2, "seed": 0},
}


def test_one_choice_of_label_studio_may_be_bare_text(tmp_path):
    topics = ['"a"', '"b"', '{"choices": ["a", "b"]}', '{"choices": ["b"]}', '"a"'] * 2
    rows = [f'{{"text": "text {n}", "topics": {one}}}\n' for n, one in enumerate(topics)]
    texts = read(tmp_path, {"studio.jsonl": "".join(rows)}, **STUDIO)
    assert texts.labels.names == ("a", "b")
    assert counts(texts) == [6, 6]


def test_flags_may_be_letters(tmp_path):
    content = "text,a,b\n" + "".join(f"text {n},{'yN'[n % 2]},{'nY'[n % 2]}\n" for n in range(10))
    entry = {"files": "mine.csv", "text": "text", "labels": ["a", "b"]}
    texts = read(tmp_path, {"mine.csv": content}, **entry, split=STUDIO["split"])
    assert counts(texts) == [5, 5]

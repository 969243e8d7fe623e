"""Layouts of real files, read right; and files and entries that must be refused, in which words."""

import hashlib
import io
import json
import re

import pyarrow
import pytest
from pyarrow import parquet

from goemotions import config
from goemotions.data import cells
from goemotions.data.faults import TextsError
from goemotions.errors import UserError
from tests.data.test_own_texts import counts, read

ENTRY = {
    "files": {"train": "train.csv", "val": "val.csv", "test": "test.csv"},
    "text": "text",
    "labels": {"column": "label"},
}
VAL = "text,label\nfirst,a\nsecond,b\n"


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def as_parquet(**columns):
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def read_one(tmp_path, name, content, **entry):
    """Read the same content as each of the splits, from files of their own."""
    files = {split: f"{split}_{name}" for split in ("train", "val", "test")}
    return read(tmp_path, dict.fromkeys(files.values(), content), files=files, **entry)


def labels_of(texts):
    return [[texts.labels.names[label] for label in row.labels] for row in texts.rows["train"]]


def texts_of(texts):
    return [row.text for row in texts.rows["train"]]


@pytest.mark.parametrize(
    ("name", "content", "entry", "rows"),
    [
        (
            "excel.csv",
            "sep=;\r\ntext;label\r\n1,5 litres;a\r\nnone;b\r\n",
            {"labels": {"column": "label"}},
            [("1,5 litres", ["a"]), ("none", ["b"])],
        ),
        (
            "plain_quotes.csv",
            '"well, said,a\nshe" left, it,b\n',
            {"csv": {"quote": "none", "header": False}, "text": 1, "labels": {"column": 3}},
            [('"well', ["a"]), ('she" left', ["b"])],
        ),
        (
            "no_header.tsv",
            "007\tx\tgood\n1e5\ty\tbad\n",
            {"csv": {"header": False}, "text": 1, "id": 2, "labels": {"column": 3}},
            [("007", ["good"]), ("1e5", ["bad"])],
        ),
        (
            "utf16.csv",
            "text,label\nåäö,a\nß,b\n".encode("utf-16"),
            {"csv": {"encoding": "utf-16"}, "labels": {"column": "label"}},
            [("åäö", ["a"]), ("ß", ["b"])],
        ),
        (
            "blank_lines.csv",
            "text,label\n\nx,a\n   \ny,b\n\n\n",
            {"labels": {"column": "label"}},
            [("x", ["a"]), ("y", ["b"])],
        ),
        (
            "single_quotes.csv",
            "text,label\n'a, b',a\n'it''s',b\n",
            {"csv": {"quote": "'"}, "labels": {"column": "label"}},
            [("a, b", ["a"]), ("it's", ["b"])],
        ),
        (
            "old_mac.csv",
            "text,label\rx,a\ry,b\r",
            {"labels": {"column": "label"}},
            [("x", ["a"]), ("y", ["b"])],
        ),
        (
            "old_mac_without_a_last_line_end.csv",
            "text,label\rx,a\ry,b",
            {"labels": {"column": "label"}},
            [("x", ["a"]), ("y", ["b"])],
        ),
        (
            "utf16_le_with_a_mark.csv",
            "\ufefftext,label\nå,a\nß,b\n".encode("utf-16-le"),
            {"csv": {"encoding": "utf-16-le"}, "labels": {"column": "label"}},
            [("å", ["a"]), ("ß", ["b"])],
        ),
        (
            "numbered.csv",
            "text,label\nx,0\ny,2\nz,1\n",
            {"labels": {"column": "label", "names": ["neg", "neu", "pos"], "ids": 0}},
            [("x", ["neg"]), ("y", ["pos"]), ("z", ["neu"])],
        ),
        (
            "python_lists.csv",
            'text,label\nx,"[\'a\', \'b\']"\ny,[]\nz,"(""b"",)"\nw,a\n',
            {"labels": {"column": "label", "cell": "list"}},
            [("x", ["a", "b"]), ("y", []), ("z", ["b"]), ("w", ["a"])],
        ),
        (
            "movies.csv",
            'text,genres\nx,"[{""id"": 28, ""name"": ""Action""}, {""id"": 1, ""name"": ""War""}]"\n'
            "y,\"[{'id': 1, 'name': 'War'}]\"\n",
            {"labels": {"column": "genres.name", "cell": "list"}},
            [("x", ["Action", "War"]), ("y", ["War"])],
        ),
        (
            "vector.csv",
            'text,y\nx,"[1, 0]"\nv,0 1\nw,"[0,0]"\n',
            {"labels": {"column": "y", "cell": "vector", "names": ["a", "b"]}},
            [("x", ["a"]), ("v", ["b"]), ("w", [])],
        ),
        (
            "one_hot.csv",
            "text,a,b\nx,1,0\ny,0,1\n",
            {"labels": ["a", "b"], "task": "single_label"},
            [("x", ["a"]), ("y", ["b"])],
        ),
        (
            "blank_flags.csv",
            "text,a,b\nx,x,\ny,,x\nz,,\n",
            {"labels": {"columns": ["a", "b"], "blank": "absent"}},
            [("x", ["a"]), ("y", ["b"]), ("z", [])],
        ),
        (
            "null_flags.jsonl",
            lines(
                {"text": "x", "a": 1, "b": None},
                {"text": "y", "a": None, "b": 1},
                {"text": "z", "a": None, "b": None},
            ),
            {"labels": {"columns": ["a", "b"], "blank": "absent"}},
            [("x", ["a"]), ("y", ["b"]), ("z", [])],
        ),
        (
            "scores_inside.csv",
            'text,cats\nx,"{""scores"": {""a"": 1, ""b"": 0}}"\ny,"{\'scores\': {\'b\': 1}}"\n',
            {"labels": {"column": "cats.scores", "cell": "scores"}},
            [("x", ["a"]), ("y", ["b"])],
        ),
        (
            "means.csv",
            "text,a,b\nx,0.75,0.2\ny,0,1\n",
            {"labels": {"columns": ["a", "b"], "positive": 0.5}},
            [("x", ["a"]), ("y", ["b"])],
        ),
        (
            "doccano.jsonl",
            lines(
                {"id": 1, "text": "x", "label": ["a"]}, {"id": 2, "text": "y", "label": ["b", "a"]}
            ),
            {"id": "id", "labels": {"column": "label"}},
            [("x", ["a"]), ("y", ["a", "b"])],
        ),
        (
            "label_studio.json",
            json.dumps(
                [
                    {
                        "data": {"text": text},
                        "annotations": [{"result": [{"value": {"choices": choices}}]}],
                    }
                    for text, choices in (("x", ["a", "b"]), ("y", ["b"]))
                ],
                indent=1,
            ),
            {
                "text": "data.text",
                "labels": {"column": "annotations.result.value.choices"},
            },
            [("x", ["a", "b"]), ("y", ["b"])],
        ),
        (
            "numbers.jsonl",
            lines({"text": "007", "label": 1}, {"text": "true", "label": True})
            + '{"text": "1e5", "label": "12345678901234567890123"}\n',
            {"labels": {"column": "label"}},
            [("007", ["1"]), ("true", ["true"]), ("1e5", ["12345678901234567890123"])],
        ),
        (
            "separators.jsonl",
            '{"text": "a\u2028b", "label": "x|y"}\n\n{"text": "c", "label": "y"}\n',
            {"labels": {"column": "label", "separator": "|"}},
            [("a\u2028b", ["x", "y"]), ("c", ["y"])],
        ),
        (
            "hub.parquet",
            as_parquet(text=["x", "y"], label=pyarrow.array([0, 1], pyarrow.int8())),
            {"labels": {"column": "label", "names": ["neg", "pos"], "ids": 0}},
            [("x", ["neg"]), ("y", ["pos"])],
        ),
        (
            "lists.parquet",
            as_parquet(text=pyarrow.array(["x", "y"]).dictionary_encode(), label=[["b", "a"], []]),
            {"labels": {"column": "label"}},
            [("x", ["a", "b"]), ("y", [])],
        ),
        (
            "long.csv",
            f'text,label\n"{150_000 * "x"}",a\nz,b\n',
            {"labels": {"column": "label"}},
            [(150_000 * "x", ["a"]), ("z", ["b"])],
        ),
        (
            "fast.txt",
            "__label__a __label__b some text\n__label__b\tother\tone\n",
            {"format": "fasttext", "labels": {"column": "labels"}},
            [("some text", ["a", "b"]), ("other\tone", ["b"])],
        ),
        (
            "spaces.txt",
            " __label__a  __label__b \tsome  text \n__label__b __label__ is a prefix\n",
            {"format": "fasttext", "labels": {"column": "labels"}},
            [("\tsome  text ", ["a", "b"]), ("is a prefix", ["b"])],
        ),
    ],
    ids=lambda value: (
        value if isinstance(value, str) and "." in value and "\n" not in value else ""
    ),
)
def test_layouts_of_real_files(tmp_path, name, content, entry, rows):
    texts = read_one(tmp_path, name, content, **{"text": "text", **entry})
    assert list(zip(texts_of(texts), labels_of(texts), strict=True)) == rows


CSV = {
    "fields_too_many": ("text,label\nx,a,\ny,b\nz,c,\n", "row 1 (line 2): has 3 fields, the header has 2"),
    "a_text_after_a_quote": ('text,label\n"x" y,a\nz,b\n', "row 1 (line 2): text follows a closing quote"),
    "a_backslash_before_a_quote": ('text,label\n"x \\"y\\"",a\n', "text follows a closing quote"),
    "quotes_that_swallow_rows": (
        'text,label\nx,"a\ny,b"\nz,a\n',
        "row 1 (line 2): a quote takes in 2 lines, each of which looks like a row; set csv.quote: "
        "none",
    ),
    "a_carriage_return_in_a_text": (
        "text,label\nx,a\ny,b\rz,a\n", "row 2 (line 3): ends in a carriage return",
    ),
    "an_empty_file": ("", "is empty"),
    "a_header_only": ("text,label\n", "has a header and no row"),
    "a_column_twice": ("text,label,label\nx,a,b\n", "column 'label' occurs 2 times"),
    "no_such_column": ("text,labels\nx,a\n", "has no column 'label'; it has 'text', 'labels'; did you mean 'labels'?"),
    "no_header": (
        "the first text is this one here,a\nx,b\n", "set csv.header: false if there is no header",
    ),
    "another_delimiter": ("text;label\nx;a\n", 'is the delimiter ";"?'),
    "a_blank_text": ("text,label\n  ,a\ny,b\n", "row 1 (line 2): the text is blank; set drop: [no_text]"),
    "a_blank_label": ("text,label\nx,a\ny, \n", "row 2 (line 3): there is no label"),

    "a_workbook": (b"PK\x03\x04abc", "is a zip archive or an Excel workbook"),
    "a_compressed_file": (b"\x1f\x8babc", "is compressed: unpack it"),
    "not_utf_8_after_a_mark": (b"\xef\xbb\xbftext,label\nx\xe9,a\n", "line 2: byte 0xe9 is not UTF-8"),
    "utf_16": ("text,label\nx,a\n".encode("utf-16"), "is not UTF-8; it looks like UTF-16: set csv.encoding: utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("case", CSV)
def test_a_csv_file_that_is_refused(tmp_path, case):
    content, message = CSV[case]
    with pytest.raises(TextsError, match=re.escape(message)) as raised:
        read(tmp_path, {"train.csv": content, "val.csv": VAL, "test.csv": VAL}, **ENTRY)
    assert str(raised.value).startswith("datasets.mine: train.csv")


JSON = {
    "a_number_as_text": (lines({"text": 7, "label": "a"}), "row 1 (line 1): text is the number 7; a text must be"),
    "a_missing_key": (lines({"text": "x", "label": "a"}, {"text": "y"}), "row 2 (line 2): has no key 'label'; where it is empty, write it with null"),
    "a_key_twice": ('{"text": "x", "text": "y", "label": "a"}\n', "row 1 (line 1): the key 'text' is there twice"),
    "no_json": ('{"text": "x", "label": "a"}\n{"text": \n', "row 2 (line 2): Expecting value"),
    "half_a_surrogate_pair": (r'{"text": "x\ud83d", "label": "a"}', "row 1 (line 1): the text holds half of a surrogate"),
    "one_object": ('{\n"data": [{"text": "x"}]\n}', "the file is one object; write one object a line"),
    "objects_over_lines": ('{\n"text": "x"\n}\n{\n"text": "y"\n}\n', "an object takes several lines; write one object a line (`jq -c .` does)"),
    "one_line_object": ('{"data": [{"text": "x"}]}', "is one object that holds all rows; write one object a line"),
    "a_list_for_each_column": ('{"text": ["x", "y"], "label": ["a", "b"]}', "is one object that holds all rows"),
    "not_utf_8": (b'{"text": "\xff", "label": "a"}', "line 1: byte 0xff is not UTF-8"),
    "an_open_list": ('[{"text": "x", "label": "a"}', "row 1 (line 1): the list is not closed"),
    "a_fraction": ('{"text": "x", "label": 1.0}', "label is 1.0; a label must be text or a whole number; write 1 in the file, for example with pandas' astype('Int64')"),
    "an_object": ('{"text": "x", "label": {"name": "a"}}', "label holds an object; add one of its keys after a dot: name"),
    "spans": (lines({"text": "x", "label": [[0, 3, "X"]]}), "label holds a list in a list, [0, 3, 'X']; if these are spans"),
    "half_a_character": ('{"text": "x", "label": "\\ud83d"}', "label is '\\ud83d'; half of a surrogate pair is not a character"),
    "two_labels": (lines({"text": "x", "label": ["a"]}, {"text": "y", "label": ["a", "b"]}), "row 2 (line 2): has 2 labels, and single-label rows have one"),
}  # fmt: skip


@pytest.mark.parametrize("case", JSON)
def test_a_json_file_that_is_refused(tmp_path, case):
    content, message = JSON[case]
    task = {"task": "single_label"} if case == "two_labels" else {}
    with pytest.raises(TextsError, match=re.escape(message)):
        read_one(tmp_path, "train.jsonl", content, text="text", labels={"column": "label"}, **task)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": [b"x"]}, "column 'text' is one of binary"),
        ({"label": pyarrow.array([[("a", 1)]], pyarrow.map_("string", "int64"))}, "map<"),
        ({"text": pyarrow.array([b"\xff"]).view(pyarrow.string())}, "is damaged: "),
        ({"text": [1]}, "row 1: text is the number 1; a text must be a string"),
        ({"label": [None]}, "row 1: there is no label, and single-label rows have one"),
        ({"label": [["a"], None], "text": ["x", "y"]}, "row 2: a label is neither yes nor no"),
    ],
)
def test_a_parquet_file_that_is_refused(tmp_path, columns, message):
    content = as_parquet(**{"text": ["x"], "label": ["a"]} | columns)
    with pytest.raises(TextsError, match=re.escape(message)):
        read_one(tmp_path, "train.parquet", content, text="text", labels={"column": "label"})


CELLS = {
    "not_annotated": ({"columns": ["a", "b"]}, "x,1,NA", "not annotated; set drop: [not_annotated]"),
    "minus_one": ({"columns": ["a", "b"]}, "x,1,-1", "not annotated"),
    "a_blank_flag": ({"columns": ["a", "b"]}, "x,1,", "not annotated"),
    "a_number": ({"columns": ["a", "b"]}, "x,1,0.4", "b is '0.4', neither 0 nor 1; set `positive`"),
    "no_flag": ({"columns": ["a", "b"]}, "x,1,maybe", "b is 'maybe'; it must be 0 or 1"),
    "an_unknown_name": (
        {"column": "a", "names": ["anger", "joy"]}, "x,angr,", "a is 'angr', which is not in labels.names; did you mean 'anger'?",
    ),
    "an_id_out_of_range": (
        {"column": "a", "names": ["n", "p"], "ids": 1}, "x,0,", "a is '0'; it must be a whole number from 1 to 2",
    ),
    "an_id_of_5000_digits": (
        {"column": "a", "names": ["n", "p"], "ids": 1}, f"x,{'1' * 5000},", "it must be a whole number from 1 to 2",
    ),
    "a_list_as_a_name": (
        {"column": "a", "names": ["n", "p"]}, "x,['n'],", "it looks like a list: set cell: list",
    ),
    "numpys_print": ({"column": "a", "cell": "list"}, "x,\"['n' 'p']\",", "which has no commas between the texts"),
    "a_short_vector": (
        {"column": "a", "cell": "vector", "names": ["n", "p"]}, "x,[1],", "has 1 number, labels.names has 2",
    ),
    "unseen_names": ({"column": "a", "names": ["n", "p", "q"]}, "x,n,\nx,p,", "1 label has no row in train: q; set labels.min_rows: 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_that_is_refused(tmp_path, case):
    labels, row, message = CELLS[case]
    with pytest.raises(TextsError, match=re.escape(message)):
        read_one(tmp_path, "train.csv", f"text,a,b\n{row}\n", text="text", labels=labels)


def test_a_close_label_is_looked_for_only_where_it_is_shown(tmp_path, monkeypatch):
    """Since that takes 20 ms with 1,000 labels."""
    asked = []
    monkeypatch.setattr(
        cells.difflib, "get_close_matches", lambda word, *_: asked.append(word) or ["joy"]
    )
    rows = "".join(f"x,angr{number}\n" for number in range(50))
    labels = {"column": "a", "names": ["anger", "joy"]}
    with pytest.raises(TextsError, match="150 rows in all"):
        read_one(tmp_path, "train.csv", f"text,a\n{rows}", text="text", labels=labels)
    assert asked == 3 * [f"angr{number}" for number in range(10)]  # in each of three files


def test_one_error_has_the_first_ten_rows_and_the_total(tmp_path):
    content = "text,a,b\n" + "x,1,0\n" + "y,2,0\n" * 12 + "z,1,7\n"
    with pytest.raises(TextsError) as raised:
        read_one(tmp_path, "train.csv", content, text="text", labels=["a", "b"])
    first, *more, last = str(raised.value).splitlines()
    assert (
        first
        == "datasets.mine: train_train.csv, row 2 (line 3): a is '2', neither 0 nor 1; set `positive`"
    )
    assert more == [
        f"  train_train.csv, row {n} (line {n + 1}): a is '2', neither 0 nor 1; set `positive`"
        for n in range(3, 12)
    ]
    assert last == "  39 rows in all"


def test_an_empty_row_is_dropped_though_it_lacks_id_split_and_label_too(tmp_path):
    rows = [
        f"{n},text {n},{'train' if n < 8 else 'dev' if n < 10 else 'test'},0 1\n" for n in range(12)
    ]
    content = {"t.csv": "id,text,part,label\n0,x,train,1 0\n" + "".join(rows[1:]) + ",,,\n"}
    labels = {"column": "label", "cell": "vector", "names": ["a", "b"]}
    entry = {"files": "t.csv", "id": "id", "text": "text", "labels": labels}
    entry["split"] = {"column": "part", "val": "dev", "test": "test"}
    with pytest.raises(TextsError) as raised:
        read(tmp_path, content, **entry)
    said = "t.csv, row 13 (line 14): the text is blank; set drop: [no_text] to leave such rows out"
    assert str(raised.value) == f"datasets.mine: {said}"
    texts = read(tmp_path, content, drop=["no_text"], **entry)
    assert [len(part) for part in texts.rows.values()] == [8, 2, 2]
    assert texts.warnings[0] == "1 row left out: no text"


def test_rows_that_are_dropped_are_counted(tmp_path):
    content = "text,a,b\nx,1,0\n ,1,0\ny,0,1\nz,-1,0\nv,0,0\n"
    texts = read_one(
        tmp_path, "t.csv", content, text="text", labels=["a", "b"],
        drop=["no_text", "no_label", "not_annotated"],
    )  # fmt: skip
    assert texts_of(texts) == ["x", "y"]
    assert texts.warnings[:3] == [
        "3 rows left out: no text",
        "3 rows left out: not annotated",
        "3 rows left out: no label",
    ]


def test_rows_of_one_id_and_one_text_are_united(tmp_path):
    content = "id,text,label\n1,x,a\n2,y,b\n1,x,b\n"
    entry = {"id": "id", "text": "text", "task": "multi_label", "labels": {"column": "label"}}
    with pytest.raises(TextsError) as raised:
        read_one(tmp_path, "t.csv", content, **entry)
    assert str(raised.value).splitlines()[0] == (
        "datasets.mine: train_t.csv, row 3 (line 4): the id '1' is also that of train_t.csv, row 1 "
        "(line 2); set same_id: union to give one row all labels"
    )
    assert labels_of(read_one(tmp_path, "t.csv", content, same_id="union", **entry)) == [
        ["a", "b"],
        ["b"],
    ]
    other = content.replace("1,x,b", "1,z,b")
    with pytest.raises(TextsError, match="which has a different text; give each text an id of its"):
        read_one(tmp_path, "t.csv", other, same_id="union", **entry)


def test_others_can_be_set_aside(tmp_path):
    content = "text,label\nx,a|c\ny,b\nz,c\n"
    labels = {"column": "label", "separator": "|", "names": ["b", "a"], "others": "ignore"}
    texts = read_one(tmp_path, "t.csv", content, text="text", labels=labels)
    assert labels_of(texts) == [["a"], ["b"], []]
    assert counts(texts, "train") == [1, 1]


def test_names_from_a_file(tmp_path):
    rows = "text,label\nx,2\ny,1\n"
    files = {split: f"{split}.csv" for split in ("train", "val", "test")}
    content = {**dict.fromkeys(files.values(), rows), "names.txt": "neg\npos\n"}
    labels = {"column": "label", "names": "names.txt", "ids": 1}
    texts = read(tmp_path, content, files=files, text="text", labels=labels)
    assert labels_of(texts) == [["pos"], ["neg"]]
    assert set(texts.files) == set(content)


def test_equal_texts_stay_on_one_side(tmp_path):
    rows = [f"text {n % 40},{'ab'[n % 2]}" for n in range(200)]
    content = "\n".join(["text,label", *rows]) + "\n"
    texts = read(
        tmp_path, {"t.csv": content}, files="t.csv", text="text", labels={"column": "label"},
        split={"val": 0.1, "test": 0.2},
    )  # fmt: skip
    assert [len(texts.rows[split]) for split in texts.rows] == [140, 20, 40]
    found = [{row.text for row in rows} for rows in texts.rows.values()]
    assert found[0].isdisjoint(found[1] | found[2])
    assert found[1].isdisjoint(found[2])
    assert counts(texts, "val") == [10, 10]


def test_warnings_name_what_may_be_wrong(tmp_path):
    train = 'text,label\nx,a\nx,b\ny &amp; z,a\nv,"b, a"\n'
    other = "text,label\nx,a\nw,a\n"
    texts = read(tmp_path, {"train.csv": train, "val.csv": other, "test.csv": other}, **ENTRY)
    assert texts.warnings == [
        "labels that look like several, joined, such as 'b, a': 1; set labels.separator: ',' if they "
        "are",
        "2 labels have no row in val: b, b, a",
        "2 labels have no row in test: b, b, a",
        "texts of train that are in val, too: 1 row of val",
        "texts of train that are in test, too: 1 row of test",
        "texts of val that are in test, too: 2 rows of test",
        "texts that have other labels in another row: 1",
        "texts with HTML entities such as &amp;, which are kept: 1",
    ]


def test_labels_that_are_mostly_joined_are_a_warning(tmp_path):
    rows = "".join(f"text {n},{('a|b', 'b|c', 'a|c', 'd')[n % 4]}\n" for n in range(40))
    texts = read(
        tmp_path,
        {"all.csv": "text,label\n" + rows},
        **ENTRY | {"files": "all.csv", "split": {"val": 0.2, "test": 0.2}},
    )
    warning = "labels that look like several, joined, such as "
    (found,) = [one for one in texts.warnings if one.startswith(warning)]
    assert found.endswith(": 3; set labels.separator: '|' if they are")


SETTINGS = {
    "an_unknown_key": ({"labls": 1}, "datasets.entry has an unknown setting 'labls'; did you mean labels?"),
    "separator_with_columns": ({"labels": {"columns": ["a", "b"], "separator": ","}}, "labels.separator goes with `column`"),
    "ids_without_names": ({"labels": {"column": "a", "ids": 0}}, "labels.ids is 0, which needs `names`"),
    "neither": ({"labels": {"names": ["a", "b"]}}, "labels needs either `column` or `columns`"),
    "no_val": ({"files": {"train": "t.csv", "test": "v.csv"}}, "has no val split: give files.val, or split: {val: 0.1}"),
    "no_test": ({"files": "t.csv", "split": {"val": 0.1}}, "has no test split"),
    "two_vals": ({"split": {"val": 0.1}}, "split.val is given, but files.val is the val split"),
    "a_file_twice": ({"files": {"train": "t.csv", "val": "v.csv", "test": "v.csv"}}, "files has v.csv twice; no row may be in two splits"),
    "an_unknown_ending": ({"files": {"train": "t.dat", "val": "v.csv", "test": "w.csv"}}, "format is missing, and t.dat does not end in one of"),
    "two_formats": ({"files": {"train": "t.jsonl", "val": "v.csv", "test": "w.csv"}}, "files are of 2 formats"),
    "an_unknown_split": ({"files": {"train": "t.csv", "dev": "v.csv"}}, "files has an unknown key 'dev'"),
    "a_share_of_all": ({"files": "t.csv", "split": {"val": 0.5, "test": 0.5}}, "take 1 of the rows and leave train none"),
    "a_value_without_column": ({"files": "t.csv", "split": {"val": "dev", "test": 0.1}}, "split.val is a value, which needs `column`"),
    "a_group_of_no_label": ({"labels": ["a", "b"], "groups": {"g": ["c"]}}, "groups.g has 'c', which is not a label"),
    "a_group_called_as_a_label": ({"labels": ["a", "b"], "groups": {"a": ["a", "b"]}}, "groups.a has the same name as the label a"),
    "a_name_without_header": ({"csv": {"header": False}}, "without a header columns are called 1, 2, 3, and not 'text'"),
    "a_number_beside_a_header": ({"text": 1}, "text is the number 1, a column's place where csv.header is false"),
    "a_delimiter": ({"csv": {"delimiter": "_!_"}}, "csv.delimiter is '_!_'; it must be one character"),
    "an_encoding": ({"csv": {"encoding": "utf-9"}}, "csv.encoding is 'utf-9'; it must be an encoding's name"),
    "an_encoding_of_bytes": ({"csv": {"encoding": "hex"}}, "csv.encoding is 'hex'; it must be an encoding's name"),
    "a_task": ({"task": "multilabel"}, "task is 'multilabel'; did you mean multi_label?"),
    "a_drop_that_is_no_list": ({"drop": "no_text"}, "drop is 'no_text'; it must be a list"),
    "a_drop": ({"drop": ["no_texts"]}, "did you mean no_text?"),
    "positive_of_one": ({"labels": {"column": "a", "positive": 0.5}}, "labels.positive is for numbers"),
    "an_empty_separator": ({"labels": {"column": "a", "separator": ["|", ""]}}, "labels.separator is ['|', '']; it must be text that separates, which is not empty"),
    "an_id": ({"labels": {"column": "a", "names": ["x", "y"], "ids": 3}}, "labels.ids is 3; it must be a whole number from 0 to 1"),
    "one_name": ({"labels": {"column": "a", "names": ["x"]}}, "labels.names has 1 names; there must be 2 to 5,000"),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
def test_a_setting_that_is_refused_before_anything_is_read(case):
    changes, message = SETTINGS[case]
    with pytest.raises(UserError, match=re.escape(message)):
        config.parse_dataset({"source": "files", **ENTRY, **changes})


def test_every_file_is_hashed_as_it_was_read(tmp_path):
    content = {"train.csv": VAL, "val.csv": VAL, "test.csv": VAL + "third,a\n"}
    texts = read(tmp_path, content, **ENTRY)
    assert texts.files == {
        name: hashlib.sha256(text.encode()).hexdigest() for name, text in content.items()
    }


@pytest.mark.parametrize(
    ("mark", "shown"), [("/", "'/'"), (" + ", "'+'"), (" ", "' '"), ("\n", '"\\n"')]
)
def test_labels_whose_parts_are_labels_are_a_warning(tmp_path, mark, shown):
    content = "text,label\n" + "".join(
        f'text {n},"{("a", "b", f"a{mark}b")[n % 3]}"\n' for n in range(30)
    )
    division = {"files": "all.csv", "split": {"val": 0.2, "test": 0.2}}
    texts = read(tmp_path, {"all.csv": content}, **ENTRY | division)
    assert (
        f"labels that look like several, joined, such as {f'a{mark}b'!r}: 1; set labels.separator: "
        f"{shown} if they are"
    ) in texts.warnings
    names = content.replace(f"a{mark}b", f"c{mark}d")
    assert not read(tmp_path, {"all.csv": names}, **ENTRY | division).warnings


@pytest.mark.parametrize("name", ["NaN", r"\N", "null", "None"])
def test_a_label_that_may_be_an_empty_cell_is_a_warning(tmp_path, name):
    content = "text,label\n" + "".join(f"text {n},{('a', 'b', name)[n % 3]}\n" for n in range(30))
    entry = ENTRY | {"files": "all.csv", "split": {"val": 0.2, "test": 0.2}}
    assert read(tmp_path, {"all.csv": content}, **entry).warnings == [
        f"the label {name!r}, of 10 rows, may stand for an empty cell; if it does, list the other "
        "labels in labels.names, and set labels.others: ignore and drop: [no_label]"
    ]
    labels = {"column": "label", "names": ["a", "b"], "others": "ignore"}
    remedy = {"labels": labels, "drop": ["no_label"], "task": "single_label"}
    texts = read(tmp_path, {"all.csv": content}, **entry | remedy)
    assert counts(texts) == [10, 10]
    assert texts.warnings == ["10 rows left out: no label"]
    labels = {"column": "label", "names": ["a", "b", name]}
    assert not read(tmp_path, {"all.csv": content}, **entry | {"labels": labels}).warnings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "data.txt",
            "'data.txt' is in no row; 'data' has 'text', 'meta'; did you mean 'data.text'?",
        ),
        ("data.meta.url", "'data.meta.url' is in no row; 'data.meta' has 'link'"),
        ("label.x", "'label.x' is in no row; 'label' has no keys"),
    ],
)
def test_a_misspelt_nested_key_is_named_with_those_there_are(tmp_path, text, message):
    row = {"data": [{"text": "x", "meta": {"link": "y"}}], "label": "a"}
    with pytest.raises(TextsError) as raised:
        read_one(tmp_path, "x.jsonl", lines(row, row), text=text, labels={"column": "label"})
    assert str(raised.value) == f"datasets.mine: train_x.jsonl: {message}"
    content = as_parquet(data=[row["data"][0]] * 2, label=["a", "a"])
    with pytest.raises(TextsError) as raised:
        read_one(tmp_path, "x.parquet", content, text=text, labels={"column": "label"})
    assert str(raised.value) == f"datasets.mine: train_x.parquet: {message}"

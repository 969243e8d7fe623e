"""The texts of a column, of files whose delimiter and encoding nobody says."""

import io

import pyarrow
import pytest
from pyarrow import parquet

from goemotions.data import table_files
from goemotions.errors import UserError

TEXTS = ["so, so; sad", "thé\nend", "tab\tbar|"]


def written(mark):
    cells = [f'{number}{mark}"{text}"' for number, text in enumerate(TEXTS)]
    return "\n".join([f"id{mark}what was said", *cells]) + "\n"


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_delimiter_is_the_one_that_makes_the_column(mark, encoding, end):
    content = written(mark).replace("\n", end).encode(encoding)
    for name in ("a.csv", "A.TSV"):
        texts = table_files.texts_in(name, content, "what was said")
        assert texts == [text.replace("\n", end) for text in TEXTS]


def test_a_column_may_stand_alone_and_the_first_line_may_be_of_excel():
    assert table_files.texts_in("a.csv", b"text\nthank you; really\n", "text") == [
        "thank you; really"
    ]
    assert table_files.texts_in("a.csv", b"sep=;\r\nid;text\r\n1;yes, no\r\n", "text") == [
        "yes, no"
    ]
    assert table_files.texts_in("a.csv", b'a,"text; b"\n1,2\n', "text; b") == ["2"]
    assert table_files.texts_in("a.csv", b"text\rthank you\r", "text") == ["thank you"]


def as_parquet(**columns):
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def test_the_texts_of_json_and_parquet():
    rows = b'[{"text": "a"}, {"text": "b"}]'
    assert table_files.texts_in("a.json", rows, "text") == ["a", "b"]
    content = as_parquet(id=[1, 2], text=["a\nb", "é"])
    assert table_files.texts_in("a.parquet", content, "text") == ["a\nb", "é"]
    with pytest.raises(UserError, match=r"a\.parquet, row 1: text is 1; it must be a text"):
        table_files.texts_in("a.parquet", as_parquet(text=[1]), "text")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text;id\nthé;1\n".encode("cp1252"), "a.csv is neither UTF-8 nor UTF-16; save it as"),
        (b"a;b\n1;2\n", "a.csv has no column 'text'; it has 'a', 'b'"),
        (b"", "a.csv is empty"),
        (b"\xff\xfet", "a.csv, line 1: byte 0x74 is not utf-16"),
        (
            b'text,id\n"x" y,1\n',
            "plain characters here. `predict` has no such setting: change the file",
        ),
    ],
)
def test_what_cannot_be_read_is_refused(content, message):
    with pytest.raises(UserError) as refused:
        table_files.texts_in("a.csv", content, "text")
    assert message in str(refused.value)

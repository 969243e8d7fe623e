"""goemotions data: what it counts, and the entries that it guesses."""

import json
import shutil
import subprocess
from pathlib import Path

import pyarrow
import pytest
import yaml
from pyarrow import parquet
from ruamel.yaml import YAML

from goemotions import cli
from goemotions.config import parse_dataset
from goemotions.data.splits import SPLITS
from goemotions.data.texts import read_texts
from goemotions.guessing.glance import look

CASES = Path(__file__).parent / "data" / "own_texts"

TRAIN = """id,text,tags
1,a cat,"pet,animal"
2,a  cat,animal
3,a dog,"pet,animal"
4,a stone,
5,one two three four,mineral
"""
OTHER = "id,text,tags\n6,a cat,animal\n7,fish &amp; chips,pet\n"


@pytest.fixture
def own(project, raw):
    """A project folder with a dataset of the user's own."""
    folder = project / "texts" / "pets"
    folder.mkdir(parents=True)
    for split in SPLITS:
        (folder / f"{split}.csv").write_text(TRAIN if split == "train" else OTHER)
    raw["datasets"]["pets"] = {
        "source": "files",
        "files": {split: f"texts/pets/{split}.csv" for split in SPLITS},
        "id": "id",
        "text": "text",
        "labels": {"column": "tags", "separator": ","},
    }
    (project / "params.yaml").write_text(yaml.safe_dump(raw))
    return project


def described(capsys, *arguments):
    assert cli.main(["data", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_counts_of_a_dataset(own, capsys):
    found = described(capsys, "pets")
    assert found["rows"] == {"train": 5, "val": 2, "test": 2}
    assert [label["label"] for label in found["labels"]] == ["animal", "mineral", "pet"]
    animal, mineral, pet = found["labels"]
    assert animal["rows"] == {"train": 3, "val": 1, "test": 1}
    assert animal["share"] == 0.6
    assert animal["often_with"] == ["pet", 0.6667]
    assert animal["examples"] == ["a cat", "a cat", "a dog"]
    assert mineral["often_with"] is None
    assert pet["often_with"] == ["animal", 1.0]
    assert found["frequent"] == ["animal", "pet", "mineral"]
    assert found["together"] == [[3, 2, 0], [2, 2, 0], [0, 0, 1]]
    assert found["labels_per_row"]["train"] == {"0": 1, "1": 2, "2": 2}
    assert found["within"] == {"train": 1}
    assert found["across"] == {"train and val": 1, "train and test": 1, "val and test": 2}
    assert found["other_labels"] == 1
    assert found["differing"] == [
        ["a cat", [["animal", "pet"], ["animal"], ["animal"], ["animal"]]]
    ]
    assert "1 label has no row in val: mineral" in found["warnings"]


def test_lengths_are_in_words_until_the_model_is_there(own, capsys):
    found = described(capsys, "pets")
    assert found["unit"] == "words"
    assert found["cut"] == {}
    assert found["lengths"]["train"] == [2, 4, 4, 4]


def test_lengths_are_in_tokens_where_the_model_is(project, capsys):
    found = described(capsys, "sample")
    assert found["unit"] == "tokens"
    assert found["max_length"] == 64
    assert found["cut"] == {"train": 0, "val": 0, "test": 0}
    half, _, _, longest = found["lengths"]["train"]
    assert 10 < half < longest < 64


def test_texts_whose_words_the_model_does_not_know_are_warned_of(own, capsys):
    params = own / "params.yaml"
    settings = yaml.safe_load(params.read_text()) | {"model": "deberta-v3-tiny"}
    params.write_text(yaml.safe_dump(settings))
    warning = "of the tokens are unknown to deberta-v3-tiny, which cannot tell these words apart"
    assert not [one for one in described(capsys, "pets")["warnings"] if warning in one]
    path = own / "texts/pets/train.csv"
    path.write_text(TRAIN.replace("a ", "очень хорошая кошка и собака "), encoding="utf-8")
    (found,) = [one for one in described(capsys, "pets")["warnings"] if warning in one]
    assert found.startswith("22% ")


def test_the_tables_show_labels_repeated_texts_and_examples(own, capsys):
    assert cli.main(["data", "pets"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("pets: 5 train, 2 val, 2 test; 3 labels, multi-label\n")
    assert "labels per row, train: 1 with 0, 2 with 1, 2 with 2" in out
    assert "texts with different labels in different rows: 1" in out
    assert "warning: 1 label has no row in val: mineral" in out


def test_the_tables_show_texts_as_they_are(own, capsys):
    path = own / "texts" / "pets" / "train.csv"
    path.write_text(TRAIN.replace("one two", "a :joy: [bold]two"))
    assert cli.main(["data", "pets"]) == 0
    assert "a :joy: [bold]two" in capsys.readouterr().out


def test_the_page_has_every_label_and_no_markup_of_the_data(own, capsys):
    path = own / "texts" / "pets" / "train.csv"
    path.write_text(TRAIN.replace("a stone", "<script>alert(1)</script>"))
    assert cli.main(["data", "pets", "--html", "reports/pets.html"]) == 0
    page = (own / "reports" / "pets.html").read_text()
    assert page.count("<summary>") == 3 + 1
    assert "<script>alert" not in page
    assert "1 label has no row in val: mineral" in page


def test_an_unknown_dataset_is_named(project, capsys):
    with pytest.raises(SystemExit, match="1"):
        cli.main(["data", "samples"])
    assert "dataset 'samples' is unknown; known: goemotions, sample" in capsys.readouterr().err


def test_a_page_cannot_be_a_folder_nor_a_cut_file_be_guessed(project, capsys):
    with pytest.raises(SystemExit, match="1"):
        cli.main(["data", "sample", "--html", "."])
    assert "--html is '.', which is a folder; name a file" in capsys.readouterr().err
    (project / "cut.csv").write_bytes("text,label\nx,a\n".encode("utf-16")[:-1])
    with pytest.raises(SystemExit, match="1"):
        cli.main(["data", "--entry", "cut.csv"])
    assert "--entry: the file is not UTF-16, although it begins so; save" in capsys.readouterr().err


def guessed(capsys, path, status=0):
    assert cli.main(["data", "--entry", str(path)]) == status
    printed = capsys.readouterr()
    ((name, entry),) = YAML(typ="safe").load(printed.out).items()
    assert entry.pop("source") == "files"
    return name, entry, printed.err


@pytest.mark.parametrize(
    ("file", "entry", "result"),
    [
        (
            "01_flags.test.csv",
            {"id": "id", "text": "comment", "labels": ["late delivery", "Refund", "rude"]},
            "14 train, 4 val, 5 test; 3 labels, multi-label",
        ),
        (
            "02_excel.csv",
            {
                "csv": {"delimiter": ";", "encoding": "cp1252"},
                "text": "Rückmeldung",
                "labels": {"column": "Art"},
                "split": {"val": 0.1, "test": 0.1, "seed": 0},
            },
            "8 train, 1 val, 1 test; 4 labels, single-label",
        ),
        (
            "04_tags.csv",
            {
                "id": "Id",
                "text": ["Title", "Body"],
                "labels": {"column": "Tags", "separator": ["<", ">"]},
                "split": {"val": 0.1, "test": 0.1, "seed": 0},
            },
            "8 train, 1 val, 1 test; 7 labels, multi-label",
        ),
        (
            "06_words.csv",
            {
                "text": "text",
                "labels": {"column": "label"},
                "split": {"val": 0.1, "test": 0.1, "seed": 0},
            },
            "12 train, 2 val, 2 test; 8 labels, single-label",
        ),
        (
            "08_cats.jsonl",
            {
                "text": "text",
                "labels": {"column": "cats", "cell": "scores", "positive": 0.5},
                "split": {"val": 0.1, "test": 0.1, "seed": 0},
            },
            "6 train, 1 val, 1 test; 3 labels, multi-label",
        ),
        (
            "10_split_column.csv",
            {
                "text": ["title", "plot"],
                "labels": {"column": "tags", "separator": ","},
                "split": {"column": "split", "val": "val", "test": "test"},
            },
            "5 train, 2 val, 2 test; 5 labels, multi-label",
        ),
    ],
)
def test_the_entry_of_a_file(capsys, file, entry, result):
    name, found, said = guessed(capsys, CASES / file)
    files = found.pop("files")
    assert found == entry
    assert f"# Read with this entry: {result}" in said
    listed = [files] if isinstance(files, str) else list(files.values())
    assert all(one.startswith(f"texts/{name}/") for one in listed)


def test_files_of_the_other_splits_are_found_beside_a_file(capsys, tmp_path):
    for split in ("train", "dev", "test"):
        rows = [f"{split} number {n}\t{('good', 'bad')[n % 2]}\n" for n in range(6)]
        (tmp_path / f"mine_{split}.tsv").write_text("".join(rows))
    name, found, _ = guessed(capsys, tmp_path / "mine_dev.tsv")
    assert name == "mine"
    assert found == {
        "files": {
            "train": "texts/mine/mine_train.tsv",
            "val": "texts/mine/mine_dev.tsv",
            "test": "texts/mine/mine_test.tsv",
        },
        "csv": {"header": False},
        "text": 1,
        "labels": {"column": 2},
    }


def test_files_of_the_other_splits_are_found_where_the_word_of_the_split_occurs_twice(
    capsys, tmp_path
):
    for split in ("train", "test"):
        rows = [f"{split} number {n}\t{('good', 'bad')[n % 2]}\n" for n in range(6)]
        (tmp_path / f"{split}_latest.tsv").write_text("".join(rows))
    name, found, _ = guessed(capsys, tmp_path / "test_latest.tsv")
    assert name == "latest"
    assert found["files"] == {
        "train": "texts/latest/train_latest.tsv",
        "test": "texts/latest/test_latest.tsv",
    }


def test_a_delimiter_that_differs_from_excels_first_line_is_in_the_entry(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("sep=;\ntext,label\n" + "some words,good\n" * 9)
    found = look(file)
    assert (found.csv, found.names) == ({"delimiter": ","}, ["text", "label"])


def test_an_entry_names_the_task_where_its_form_does_not_say_it(capsys, tmp_path):
    rows = [{"text": f"text number {n}", "label": ("good", "bad")[n % 2]} for n in range(30)]
    (tmp_path / "my rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, found, said = guessed(capsys, tmp_path / "my rows.jsonl")
    assert found["task"] == "single_label"
    assert f"cp '{tmp_path}/my rows.jsonl' texts/my_rows && git add" in said


def test_other_columns_that_may_hold_the_labels_are_named(capsys, tmp_path):
    rows = [f"text number {n},{('yes', 'no')[n % 2]},{'abc'[n % 3]}\n" for n in range(30)]
    (tmp_path / "mine.csv").write_text("text,done,kind\n" + "".join(rows))
    _, found, said = guessed(capsys, tmp_path / "mine.csv")
    assert found["labels"] == {"column": "done"}
    assert "# note: The labels may also be in another column: kind." in said


@pytest.mark.parametrize("offset", range(3))  # the look at its beginning ends inside quotes
def test_the_look_at_a_large_file_with_excels_first_line_ends_at_a_whole_row(tmp_path, offset):
    row = f'"{"words " * 8}\n{"words " * 8}";good\r\n'
    file = tmp_path / "large.csv"
    file.write_text("sep=;\r\ntext;label\r\n" + offset * 7 * "x" + row * 25_000, newline="")
    found = look(file)
    assert found.csv == {}
    assert (found.names, found.notes) == (["text", "label"], [])


def test_an_entry_that_does_not_read_the_file_says_why(capsys):
    _, found, said = guessed(capsys, CASES / "13a_ragged.csv", status=1)
    assert found["labels"] == {"column": "label"}
    assert "# Reading the file with this entry fails: " in said
    assert "13a_ragged.csv, row 2 (line 3): has 2 fields, the header has 3; complete the" in said


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("13c_pointer.csv", "is a Git LFS pointer, not data: run `git lfs pull`"),
        ("13d_page.csv", "is an HTML page, not a table"),
        ("nowhere.csv", "nowhere.csv does not exist"),
    ],
)
def test_a_file_that_is_no_table_gets_no_entry(capsys, file, message):
    with pytest.raises(SystemExit, match="1"):
        cli.main(["data", "--entry", str(CASES / file)])
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err


def test_the_printed_entry_reads_the_file_once_it_is_in_its_folder(own, raw, capsys):
    folder = own / "texts" / "06_words"
    folder.mkdir()
    shutil.copy(CASES / "06_words.csv", folder)
    _, entry, said = guessed(capsys, folder / "06_words.csv")
    assert "mkdir" not in said
    assert "# git add texts/06_words params.yaml && git commit" in said
    command = "dvc exp run --temp -n 06_words-1 -S dataset=06_words -S model=minilm-l6"
    assert f"# {command} -S loss=cross_entropy\n" in said
    raw["datasets"]["06_words"] = {"source": "files", **entry}
    (own / "params.yaml").write_text(yaml.safe_dump(raw))
    assert described(capsys, "06_words")["rows"] == {"train": 12, "val": 2, "test": 2}


def guessed_of(capsys, tmp_path, content, name="mine.csv", status=0):
    """The entry without what the tests above assert, and what is said beside it."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    _, entry, said = guessed(capsys, path, status)
    del entry["files"]
    if entry.get("split") == {"val": 0.1, "test": 0.1, "seed": 0}:
        del entry["split"]
    return entry, said


def table(header, cells):
    """Thirty rows of csv: a text, then one of the cells."""
    rows = [f"this is text number {n},{cells[n % len(cells)]}\n" for n in range(30)]
    return header + "\n" + "".join(rows)


QUESTION = "What is the main reason for your answer to the question above?"


def test_a_header_may_be_questions(capsys, tmp_path):
    content = table(f"In your own words: what could we do better?,{QUESTION}", "ab")
    entry, said = guessed_of(capsys, tmp_path, content)
    assert entry == {
        "text": "In your own words: what could we do better?",
        "labels": {"column": QUESTION},
    }
    assert (
        "# note: The first row is taken for the names of the columns: In your own words: what "
        "could we do b... | What is the main reason for your answ.... If it is data, set "
        "csv.header: false, and write the columns' numbers in place of the names.\n"
    ) in said
    assert "# Read with this entry: 24 train, 3 val, 3 test; 2 labels, single-label: a, b" in said


def test_a_header_may_name_two_columns_alike(capsys, tmp_path):
    content = table("comment,score,score,topic", ["1,2,a", "1,2,b"])
    entry, said = guessed_of(capsys, tmp_path, content)
    assert entry == {"text": "comment", "labels": {"column": "topic"}}
    assert (
        "# note: Several columns have the same name, and this entry uses none of them: 'score'. To "
        "use them, rename them in the file.\n"
    ) in said


def test_a_first_row_of_data_is_shown(capsys, tmp_path):
    entry, said = guessed_of(capsys, tmp_path, table("nice one,a", "ab"))
    assert entry == {"csv": {"header": False}, "text": 1, "labels": {"column": 2}}
    assert (
        "# note: The first row is read as data, not as the names of the columns: nice one | a. If "
        "these are names, remove `header: false`, and write the names in place of the numbers.\n"
    ) in said
    entry, _ = guessed_of(capsys, tmp_path, table("nice one,7", "ab"))
    assert entry["csv"] == {"header": False}


def test_a_usual_name_is_a_header_even_where_it_is_a_label_too(capsys, tmp_path):
    entry, said = guessed_of(capsys, tmp_path, table("text,topic", ["topic", "class"]))
    assert entry == {"text": "text", "labels": {"column": "topic"}}
    assert "# note: The first row is taken for the names of the columns: text | topic. If" in said
    _, said = guessed_of(capsys, tmp_path, table("text,topic", "ab"))
    assert "# note" not in said


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["['a', 'b']", "['a']", "['b']", "[]"], {"column": "label", "cell": "list"}),
        (["{'a', 'b'}", "{'a'}", "{'b'}", ""], {"column": "label", "cell": "list"}),
        (
            ['{"choices": ["a", "b"]}', "a", "b", ""],
            {"column": "label.choices", "cell": "list"},
        ),
        (
            ['{"a": 1, "b": 0}', '{"a": 0, "b": 1}'],
            {"column": "label", "cell": "scores"},
        ),
        (
            ['{"a": 0.1, "b": 0.9}', '{"a": 0.7, "b": 0.3}'],
            {"column": "label", "cell": "scores", "positive": 0.5},
        ),
    ],
)
def test_lists_sets_and_objects_in_cells(capsys, tmp_path, cells, labels):
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    entry, said = guessed_of(capsys, tmp_path, table("text,label", quoted))
    assert entry == {"text": "text", "labels": labels}
    assert "3 test; 2 labels, multi-label: a, b\n" in said


@pytest.mark.parametrize(
    "cells", [["[1, 0, 0]", "[0, 1, 1]"], ["1 0 0", "0 1 1"], ["1,0,0", "0,1,1"]]
)
def test_zeros_and_ones_are_a_vector_whose_names_are_to_be_filled_in(capsys, tmp_path, cells):
    content = table("text,label", [f'"{cell}"' for cell in cells])
    entry, said = guessed_of(capsys, tmp_path, content)
    names = ["label 1", "label 2", "label 3"]
    assert entry["labels"] == {"column": "label", "cell": "vector", "names": names}
    assert (
        "# note: The cells of 'label' are 3 numbers, each of them 0 or 1. In labels.names, write "
        "the 3 labels in the order of the numbers, in place of `label 1` and so on.\n"
    ) in said


def test_indices_are_no_vector(capsys, tmp_path):
    cells = ["[0]", "[1]", '"[0, 1]"']
    entry, _ = guessed_of(capsys, tmp_path, table("text,label", cells))
    assert entry["labels"] == {"column": "label", "cell": "list"}


def test_other_objects_are_refused_with_the_setting_to_write(capsys, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(table("text,label", ["\"{'name': 'a', 'id': 1}\"", "\"{'name': 'b'}\""]))
    with pytest.raises(SystemExit, match="1"):
        cli.main(["data", "--entry", str(path)])
    assert (
        "--entry: the cells of 'label' are objects such as {'name': 'a', 'id': 1}; write the entry "
        "by hand, with `labels: {column: label.name, cell: list}` if 'name' holds the labels; the "
        "keys are 'name', 'id'"
    ) in capsys.readouterr().err


def test_flags_in_a_file_without_a_header(capsys, tmp_path):
    content = table("this is text number 30,1,0", ["1,0", "0,1", "0,0"])
    entry, said = guessed_of(capsys, tmp_path, content)
    assert entry == {"csv": {"header": False}, "text": 1, "labels": ["2", "3"]}
    assert "# Read with this entry: 25 train, 3 val, 3 test; 2 labels, multi-label: 2, 3" in said


def test_objects_without_keys_are_refused(capsys, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(rows_of_json(lambda n: {"text": "a b c", "label": {} if n % 2 else "x"}))
    with pytest.raises(SystemExit, match="1"):
        cli.main(["data", "--entry", str(path)])
    said = capsys.readouterr().err
    assert "--entry: the cells of 'label' are objects such as {}; write the entry by hand" in said


def rows_of_json(row):
    return "".join(json.dumps(row(n)) + "\n" for n in range(30))


def studio(n):
    """A task as Label Studio exports it in full."""
    value = {"choices": [["a"], ["b"], ["a", "b"]][n % 3]}
    return {
        "id": n,
        "annotations": [{"result": [{"value": value}], "was_cancelled": False}],
        "data": {"text": f"this is text number {n}"},
        "total_annotations": 1,
        "cancelled_annotations": 0,
        "total_predictions": 0,
    }


def test_the_annotations_of_label_studio_are_the_labels(capsys, tmp_path):
    entry, said = guessed_of(capsys, tmp_path, rows_of_json(studio), "mine.json")
    assert entry == {
        "id": "id",
        "text": "data.text",
        "labels": {"column": "annotations.result.value.choices"},
        "task": "multi_label",
    }
    assert "# Read with this entry: 24 train, 3 val, 3 test; 2 labels, multi-label: a, b" in said


@pytest.mark.parametrize("several", ["questions", "annotators"])
def test_several_questions_or_annotators_of_label_studio_are_named(capsys, tmp_path, several):
    def row(n):
        task = studio(n)
        (one,) = task["annotations"]
        if several == "questions":
            one["result"] = [{**one["result"][0], "from_name": name} for name in ("mood", "topic")]
        else:
            task["annotations"] = [one, one]
        return task

    _, said = guessed_of(capsys, tmp_path, rows_of_json(row), "mine.json")
    assert "# note: Some rows have several questions or annotators, whose labels are put" in said


def test_annotations_that_are_not_label_studios_are_labels(capsys, tmp_path):
    labels = [["a"], ["b"], ["a", "b"]]
    content = rows_of_json(lambda n: {"text": f"text number {n}", "annotations": labels[n % 3]})
    entry, said = guessed_of(capsys, tmp_path, content, "mine.json")
    assert entry["labels"] == {"column": "annotations"}
    assert "2 labels, multi-label: a, b" in said
    assert "annotators" not in said


def test_the_short_export_of_label_studio(capsys, tmp_path):
    topics = ["a", "b", {"choices": ["a", "b"]}]
    content = rows_of_json(lambda n: {"text": f"text number {n}", "topics": topics[n % 3]})
    entry, said = guessed_of(capsys, tmp_path, content, "mine.json")
    assert entry["labels"] == {"column": "topics.choices"}
    assert "# Read with this entry: 24 train, 3 val, 3 test; 2 labels, multi-label: a, b" in said


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["Yes,No", "No,Yes", "No,No"], ["a", "b"]),
        (["Y,N", "N,Y", "N,N"], ["a", "b"]),
        (["x,", ",x", ","], {"columns": ["a", "b"], "blank": "absent"}),
        (["1.0,", ",1.0", ","], {"columns": ["a", "b"], "blank": "absent"}),
    ],
)
def test_flags_in_words_and_marks(capsys, tmp_path, cells, labels):
    entry, said = guessed_of(capsys, tmp_path, table("text,a,b", cells))
    assert entry == {"text": "text", "labels": labels}
    assert "# Read with this entry: 24 train, 3 val, 3 test; 2 labels, multi-label: a, b" in said


def test_flags_that_are_1_or_null(capsys, tmp_path):
    flags = [{"a": 1, "b": None}, {"a": None, "b": 1}, {"a": None, "b": None}]
    content = rows_of_json(lambda n: {"text": f"text number {n}", **flags[n % 3]})
    entry, said = guessed_of(capsys, tmp_path, content, "mine.jsonl")
    assert entry["labels"] == {"columns": ["a", "b"], "blank": "absent"}
    assert "# Read with this entry: 24 train, 3 val, 3 test; 2 labels, multi-label: a, b" in said


def test_blank_flags_beside_a_no_are_left_to_the_reader(capsys, tmp_path):
    entry, said = guessed_of(capsys, tmp_path, table("text,a,b", ["1,0", "0,1", ",1"]), status=1)
    assert entry["labels"] == ["a", "b"]
    assert (
        "not annotated; set drop: [not_annotated] to leave such rows out, or labels.blank: absent "
        "if an empty cell means no\n"
    ) in said


def test_a_flag_with_a_few_other_cells_is_named_with_these(capsys, tmp_path):
    content = table("text,joy,anger,sad", ["1,0,1", "0,1,0", "0,0,1"]) + "more words,1,0,maybe\n"
    entry, said = guessed_of(capsys, tmp_path, content)
    assert entry == {"text": "text", "labels": ["joy", "anger"]}
    assert (
        "The column 'sad' is not taken for a label: most of its cells are yes or no, but not "
        "'maybe'. Correct these cells if it is one." in " ".join(said.replace("# ", "").split())
    )
    assert "may also be" not in said


def test_a_label_of_three_classes_beside_a_flag_is_no_flag(capsys, tmp_path):
    content = table("text,label,reply", ["1,0", "0,1", "0,0", "1,1"]) + "more words,2,0\n" * 3
    entry, said = guessed_of(capsys, tmp_path, content)
    assert entry == {"text": "text", "labels": {"column": "label"}}
    assert "not taken for a label" not in said


def test_flags_that_never_change_are_named(capsys, tmp_path):
    content = table("text,a,b,done,kind", ["1,0,TRUE,p", "0,1,TRUE,q"])
    entry, said = guessed_of(capsys, tmp_path, content)
    assert entry == {"text": "text", "labels": ["a", "b"]}
    assert (
        "# note: Columns with one value in all rows looked at are not used: done. If they are "
        "labels, add them to `labels`.\n"
        "# note: The labels may also be in another column: kind.\n"
    ) in said


def refused(capsys, tmp_path, content, name):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SystemExit, match="1"):
        cli.main(["data", "--entry", str(path)])
    printed = capsys.readouterr()
    assert printed.out == ""
    return printed.err


def prodigy(n):
    answer = ("accept", "accept", "reject", "ignore", "accept")[n % 5]
    return {"text": f"text number {n}", "accept": [["a"], ["b"]][n // 5 % 2], "answer": answer}


def test_an_export_of_prodigy_must_lose_what_was_not_accepted(capsys, tmp_path):
    said = refused(capsys, tmp_path, rows_of_json(prodigy), "mine.jsonl")
    assert (
        "mine.jsonl looks like an export of Prodigy: `answer` is reject in 6 and ignore in 6 of 30 "
        "rows, and training would take their labels for right. Keep the accepted rows only, and "
        "run --entry on the new file:\n"
    ) in said
    command = said.strip().splitlines()[-1]
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    _, entry, said = guessed(capsys, tmp_path / "accepted.jsonl")
    assert entry["labels"] == {"column": "accept"}
    assert "# Read with this entry: 14 train, 2 val, 2 test; 2 labels, multi-label: a, b" in said


def test_a_column_of_split_words_divides_the_rows_whatever_its_name(capsys, tmp_path):
    rows = [f"{'ab'[n % 2]},{('train', 'train', 'dev', 'test')[n % 4]}" for n in range(4)]
    entry, _ = guessed_of(capsys, tmp_path, table("text,label,part of it", rows))
    assert entry["split"] == {"column": "part of it", "val": "dev", "test": "test"}
    entry, _ = guessed_of(capsys, tmp_path, table("this is text number 30,a,train", rows))
    assert entry["split"] == {"column": 3, "val": "dev", "test": "test"}


def test_a_column_with_one_value_or_none_divides_nothing(capsys, tmp_path):
    _, said = guessed_of(capsys, tmp_path, table("text,label,set", ["a,all", "b,all"]))
    assert "# note" not in said
    _, said = guessed_of(capsys, tmp_path, table("text,label,set", ["a,train", "b,train"]))
    assert "# note: The column 'set' is 'train' in all rows looked at, so this entry" in said
    said = refused(capsys, tmp_path, "text,label,fold\n", "mine.csv")
    assert "has a header and no row" in said


@pytest.mark.parametrize(
    ("column", "values", "shown", "remedy"),
    [
        ("fold", "0123", "0, 1, 2, 3", 'train: ["0", "1", "2"], val: 0.1, test: "3"'),
        ("is_test", ["False", "True"], "False, True", 'train: ["False"], val: 0.1, test: "True"'),
    ],
)
def test_a_column_that_may_divide_the_rows_is_named(
    capsys, tmp_path, column, values, shown, remedy
):
    rows = [f"{'ab'[n // 6 % 2]},{values[n % len(values)]}" for n in range(30)]
    content = table(f"text,label,{column}", rows)
    entry, said = guessed_of(capsys, tmp_path, content)
    assert entry == {"text": "text", "labels": {"column": "label"}}
    assert (
        f"# note: The column {column!r} may say which rows are for what, but its values are not "
        f"names of splits such as train, val and test ({shown}), so this entry divides the rows by "
        f"shares. To use the column, set split: {{column: {column}, {remedy}}}, and correct which "
        "values belong to which split.\n"
    ) in said
    division = yaml.safe_load(f"{{column: {column}, {remedy}}}")
    settings = {"source": "files", "files": "mine.csv", **entry, "split": division}
    texts = read_texts("mine", parse_dataset(settings), lambda _: content.encode())
    assert len(texts.rows["test"]) == 30 // len(values)


def test_a_guessed_encoding_is_shown_with_words_of_the_file(capsys, tmp_path):
    content = table("отзыв,label", ["плохо", "хорошо"]).encode("cp1251")
    entry, said = guessed_of(capsys, tmp_path, content)
    assert entry["csv"] == {"encoding": "cp1252"}
    assert (
        "# note: The file is not UTF-8. Read as cp1252, of Western Europe, it has words such as: "
        "îòçûâ ïëîõî õîðîøî. If they are wrong, set csv.encoding to what the file was saved in, "
        "such as cp1251 (Cyrillic) or shift_jis (Japanese), and correct the columns' names.\n"
    ) in said
    said = refused(capsys, tmp_path, "感想,ラベル\n良い,良\n".encode("shift_jis"), "x.csv")
    assert "# note: The file is not UTF-8. Read as cp1252" in said
    said = refused(capsys, tmp_path, "感想,ラベル\nコーヒー,良\n".encode("shift_jis"), "x.csv")
    assert "save it as UTF-8, or write the entry of a csv file by hand, with csv.encoding" in said


def test_the_name_of_an_entry_is_free_and_text(own, capsys):
    (own / "2023.csv").write_text(table("text,label", "ab"))
    shutil.copy(own / "2023.csv", own / "pets.csv")
    name, _, said = guessed(capsys, own / "2023.csv")
    assert name == "data_2023"
    assert "# note: The entry is called data_2023, because 2023 is not text for YAML.\n" in said
    name, entry, said = guessed(capsys, own / "pets.csv")
    assert name == "pets_2"
    assert entry["files"] == "texts/pets_2/pets.csv"
    assert "# note: The entry is called pets_2, because pets is in params.yaml already.\n" in said
    name, _, said = guessed(capsys, own / "texts" / "pets" / "train.csv")
    assert name == "pets"
    assert "# note: params.yaml already has an entry pets; replace it with this one.\n" in said


@pytest.mark.parametrize("several", [False, True])
def test_the_names_of_class_labels_in_parquet(capsys, tmp_path, several):
    classes = {"names": ["no", "yes"], "_type": "ClassLabel"}
    feature = {"feature": classes, "_type": "List"} if several else classes
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
    labels = [[n % 2] if several else n % 2 for n in range(30)]
    rows = pyarrow.table({"text": [f"text number {n}" for n in range(30)], "label": labels})
    parquet.write_table(rows.replace_schema_metadata(metadata), tmp_path / "mine.parquet")
    _, entry, said = guessed(capsys, tmp_path / "mine.parquet")
    assert entry["labels"] == {"column": "label", "names": ["no", "yes"], "ids": 0}
    assert f"2 labels, {'multi' if several else 'single'}-label: no, yes\n" in said


@pytest.mark.parametrize("above", ["Feedback of 2023\n", "Feedback of 2023,\n,\n"])
def test_a_title_above_the_header_is_refused(capsys, tmp_path, above):
    said = refused(capsys, tmp_path, above + table("text,label", "ab"), "mine.csv")
    assert (
        "mine.csv has only 'Feedback of 2023', and most lines have several cells; delete the lines "
        "above the names of the columns\n"
    ) in said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "mine.json",
            json.dumps({"version": 1, "data": [{"text": "a", "label": "b"}]}),
            "mine.json is one object that holds all rows; write one object a line, or a list",
        ),
        (
            "mine.json",
            json.dumps({"body": {"0": "a", "1": "b"}, "topic": {"0": "c", "1": "d"}}),
            "mine.json is one object that holds all rows; write one object a line, or a list",
        ),
        (
            "mine.csv",
            "id,text,label\n" + '1,"He said \\"no, thanks\\", and left",a\n' * 9,
            "mine.csv, row 1 (line 2): text follows a closing quote (line 2); double the quotes",
        ),
    ],
)
def test_what_the_reader_says_of_a_file_is_passed_on(capsys, tmp_path, name, content, message):
    assert message in refused(capsys, tmp_path, content, name)


def test_joined_labels_beside_blank_ones_name_the_separator(capsys, tmp_path):
    content = table("text,label", ["a", "b", "a / b", ""])
    entry, said = guessed_of(capsys, tmp_path, content, status=1)
    assert entry["labels"] == {"column": "label"}
    assert (
        "there is no label, and single-label rows have one; set labels.separator: '/' if labels "
        "such as 'a / b' are several, or set drop: [no_label] to leave such rows out\n"
    ) in said


def test_other_columns_that_may_hold_the_texts_are_named(capsys, tmp_path):
    rows = [
        f"q0{n:x},{'ab'[n % 2]},2023/05/{n + 1:02} 3:57 PM GMT+2,why is there a number {n},"
        f"it was so {n % 9},ok\n"
        for n in range(30)
    ]
    content = "key,label,when,first answer,second answer,third answer\n" + "".join(rows)
    entry, said = guessed_of(capsys, tmp_path, content)
    assert entry["text"] == "first answer"
    assert "# note: The texts may also be in another column: second answer.\n" in said


def test_a_column_of_joined_labels_is_found_whatever_its_name(capsys, tmp_path):
    cells = ["App,DE", "Lieferung|Service,AT", "App|Preis,CH", "Preis|Service|App,DE", "Service,AT"]
    entry, said = guessed_of(capsys, tmp_path, table("Kommentar,Themen,Land", cells))
    assert entry == {"text": "Kommentar", "labels": {"column": "Themen", "separator": "|"}}
    assert "# note: The labels may also be in another column: Land.\n" in said
    assert "4 labels, multi-label: App, Lieferung, Preis, Service" in said


def test_the_joined_labels_of_doccano(capsys, tmp_path):
    entry, said = guessed_of(
        capsys, tmp_path, table("data,label", ["bug", "bug#ui", "ui", "billing#ui", "billing"])
    )
    assert entry["labels"] == {"column": "label", "separator": "#"}
    assert "3 labels, multi-label: billing, bug, ui" in said
    entry, _ = guessed_of(capsys, tmp_path, table("data,label", ["C#", "F#", "Java"]))
    assert entry["labels"] == {"column": "label"}


def test_a_label_of_zeros_and_ones_is_no_flag_beside_others(capsys, tmp_path):
    entry, said = guessed_of(
        capsys, tmp_path, table("text,label,is_retweet", ["1,1", "0,0", "1,0", "0,1"])
    )
    assert entry["labels"] == {"column": "label"}
    assert "# note: The labels may also be in another column: is_retweet.\n" in said


def test_other_labels_are_named_beside_a_usual_name(capsys, tmp_path):
    content = table("text,topic,sentiment", ["a,good", "b,bad", "c,good", "a,bad"])
    entry, said = guessed_of(capsys, tmp_path, content)
    assert entry["labels"] == {"column": "sentiment"}
    assert "# note: The labels may also be in another column: topic.\n" in said


def test_a_column_with_one_value_is_no_text_and_a_longer_one_is_named(capsys, tmp_path):
    rows = "".join(
        f"Rate this,short {n},a much longer answer number {n},{'ab'[n % 2]}\n" for n in range(30)
    )
    entry, said = guessed_of(capsys, tmp_path, "title,text,answer,label\n" + rows)
    assert entry["text"] == "text"
    assert "# note: The texts may also be in another column: answer.\n" in said


def test_tuples_in_cells_are_lists(capsys, tmp_path):
    cells = ["\"('a', 'b')\"", "\"('a',)\"", "\"('c', 'b')\""]
    entry, said = guessed_of(capsys, tmp_path, table("text,labels", cells))
    assert entry["labels"] == {"column": "labels", "cell": "list"}
    assert "3 labels, multi-label: a, b, c" in said


def test_a_test_file_without_labels_is_left_out(capsys, tmp_path):
    (tmp_path / "train.csv").write_text(table("text,target,keyword", ["0,a b c", "1,d"]))
    (tmp_path / "test.csv").write_text("text,keyword\nno label here,a b c\n")
    _, entry, said = guessed(capsys, tmp_path / "train.csv")
    assert entry["files"] == "texts/mine/train.csv"
    assert entry["split"] == {"val": 0.1, "test": 0.1, "seed": 0}
    assert "# note: test.csv has no labels, so this entry leaves it out.\n" in said
    assert "test.csv texts" not in said


def test_a_test_file_with_the_texts_alone_is_left_out(capsys, tmp_path):
    (tmp_path / "train.csv").write_text(table("text,target", "ab"))
    (tmp_path / "test.csv").write_text("text\nno label here\n")
    _, entry, said = guessed(capsys, tmp_path / "train.csv")
    assert entry["files"] == "texts/mine/train.csv"
    assert "# note: test.csv has no labels, so this entry leaves it out.\n" in said


@pytest.mark.parametrize("name", ["mine.csv", "mine.jsonl", "mine.parquet"])
def test_a_file_that_is_sorted_by_split_or_label_is_looked_at_as_a_whole(capsys, tmp_path, name):
    splits = ["train"] * 15_000 + ["dev"] * 500 + ["test"] * 500
    rows = [
        {
            "text": f"{'a long text ' * 12}{n}",
            "label": f"label {n % 15_000 // 5000}",
            "split": split,
        }
        for n, split in enumerate(splits)
    ]
    if name == "mine.csv":
        lines = "".join(f"{row['text']},{row['label']},{row['split']}\n" for row in rows)
        content = f"text,label,split\n{lines}".encode()
        assert len(content) > 2**21
    elif name == "mine.jsonl":
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    else:
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / name)
        content = (tmp_path / name).read_bytes()
    entry, said = guessed_of(capsys, tmp_path, content, name)
    assert entry["labels"] == {"column": "label"}
    assert entry["split"] == {"column": "split", "val": "dev", "test": "test"}
    assert "15,000 train, 500 val, 500 test; 3 labels" in said


def test_the_parts_of_a_file_as_the_hub_names_them_are_read_together(capsys, tmp_path):
    for name, rows in (
        ("train-00000-of-00002", 10), ("train-00001-of-00002", 20), ("test-00000-of-00001", 8),
    ):  # fmt: skip
        columns = {"text": [f"{name} {n}" for n in range(rows)], "label": list("ab" * (rows // 2))}
        parquet.write_table(pyarrow.table(columns), tmp_path / f"{name}.parquet")
    name, entry, said = guessed(capsys, tmp_path / "train-00000-of-00002.parquet")
    assert name == "mine"
    assert entry["files"] == {
        "train": [f"texts/mine/train-0000{n}-of-00002.parquet" for n in (0, 1)],
        "test": "texts/mine/test-00000-of-00001.parquet",
    }
    assert "27 train, 3 val, 8 test; 2 labels" in said
    assert f"cp {tmp_path}/train-00000-of-00002.parquet {tmp_path}/train-00001-of-00002" in said


def test_rows_that_do_not_fit_the_header_are_named(capsys, tmp_path):
    rows = "".join(f"text {n},{'ab'[n % 2]},\n" for n in range(30))
    said = refused(capsys, tmp_path, "text,label\n" + rows, "mine.csv")
    assert "row 1 (line 2): has 3 fields, the header has 2; put quotes" in said


def test_a_quote_that_begins_a_text_of_a_large_file_is_read_as_a_character(capsys, tmp_path):
    rows = "".join(f'"said {n}" {"word " * 30}\t{"ab"[n % 2]}\n' for n in range(20_000))
    assert len(rows) > 2**21
    entry, said = guessed_of(capsys, tmp_path, "text\tlabel\n" + rows, "mine.tsv")
    assert entry["csv"] == {"quote": "none"}
    assert "16,000 train, 2,000 val, 2,000 test; 2 labels" in said


def test_a_column_is_found_by_its_whole_name_first(capsys, tmp_path):
    rows = "".join(f"text {n},{'other' if n % 4 else ''},{'ab'[n % 2]}\n" for n in range(30))
    entry, _ = guessed_of(capsys, tmp_path, "text,retweeted.text,label\n" + rows)
    assert entry["text"] == "text"


def test_utf_16_without_a_mark_is_refused(capsys, tmp_path):
    content = table("text,label", "ab").encode("utf-16-le")
    said = refused(capsys, tmp_path, content, "mine.csv")
    assert "the file looks like UTF-16 without a byte order mark; save it as UTF-8, or" in said


def test_an_entry_for_a_folder_names_its_files(capsys, tmp_path):
    with pytest.raises(SystemExit, match="1"):
        cli.main(["data", "--entry", str(tmp_path)])
    assert f"{tmp_path} is a folder; name one of its files" in capsys.readouterr().err


@pytest.mark.parametrize("mark", ["", "\n"])
def test_json_may_begin_with_a_byte_order_mark(capsys, tmp_path, mark):
    rows = [json.dumps({"text": f"number {n}", "label": "ab"[n % 2]}) for n in range(30)]
    content = "\n".join(rows) if mark else f"[{', '.join(rows)}]"
    entry, _ = guessed_of(capsys, tmp_path, f"\ufeff{content}", "mine.json")
    assert entry["labels"] == {"column": "label"}


def test_the_two_further_rows_of_qualtrics_are_named(capsys, tmp_path):
    ids = [json.dumps({"ImportId": name}).replace(": ", ":") for name in ("QID1_TEXT", "QID2")]
    further = ",".join('"' + one.replace('"', '""') + '"' for one in ids)
    content = f"Q1,Q2\nWhat happened?,Topic\n{further}\n" + table("", "ab")[1:]
    said = refused(capsys, tmp_path, content, "mine.csv")
    assert "is an export of Qualtrics, with two more rows about its columns; delete the second" in (
        said
    )


def test_rows_of_one_text_with_several_labels_are_explained(capsys, tmp_path):
    rows = [f"number {n // 2},{'ab'[n % 2]}\n" for n in range(30)]
    _, said = guessed_of(capsys, tmp_path, "text,label\n" + "".join(rows))
    assert "# note: If a text with several labels has a row for each of them, set `id` to" in said


def test_a_file_without_columns_of_labels_is_refused_with_its_columns(capsys, tmp_path):
    rows = "".join(f"this is text {n},0.{n}1\n" for n in range(30))
    said = refused(capsys, tmp_path, "text,share\n" + rows, "mine.csv")
    assert (
        "--entry: no column looks like labels; write the entry by hand, as docs/own-texts.md says. "
        "The columns are 'text', 'share'\n"
    ) in said

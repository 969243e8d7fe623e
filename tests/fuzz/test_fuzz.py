"""Whatever a file holds, what reads it answers with a value or with a UserError, and soon.

FUZZ is the number of cases of each surface: 100 in `make test`, 10,000 in `make fuzz`.
"""

import copy
import io
import json
import multiprocessing
import os
import re
import resource
import shutil
import struct
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from goemotions import config
from goemotions.commands import entry
from goemotions.comparison import predictions
from goemotions.data import splits
from goemotions.data.labels import Labels
from goemotions.data.texts import read_texts
from goemotions.errors import UserError
from goemotions.models import prepare, weights
from goemotions.training import losses

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ", "100")),
    deadline=None,  # of wall time, which other programs take; see `message_of_ten_letters`
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
ODD = st.sampled_from(
    [0, -1, 1e400, -1e400, float("nan"), 2**70, 1e-320, "", "nan", "\ud800", "\0", "../../x", "~",
     [], {}, None, True, "asl; touch x", [[]], {"": ""}, "🙂", "1e5"]
)  # fmt: skip
VALUES = st.recursive(
    ODD | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@contextmanager
def message_of_ten_letters(place=""):
    """The block succeeds or raises a UserError that says something, with the place.

    Either takes less than 10 seconds.
    """
    start, said = time.process_time(), None
    try:
        yield
    except UserError as error:
        said = str(error)
    assert time.process_time() - start < 10
    if said is not None:
        assert len(said) > 10
        assert place in said


def peak_memory(*, anew=False):
    """The most memory that this process has had, or has had since it was last asked anew, in GB."""
    if not sys.platform.startswith("linux"):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1e6


def paths(content, prefix=()):
    """The paths of every entry of nested dicts."""
    for key, value in content.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from paths(value, (*prefix, key))


def corrupted(content, path, change, value):
    content = copy.deepcopy(content)
    place = content
    for key in path[:-1]:
        place = place[key]
    if change == "replace":
        place[path[-1]] = value
    elif change == "remove":
        del place[path[-1]]
    else:
        place[value if isinstance(value, str | int | float | bool) else "new"] = place[path[-1]]
    return content


@pytest.fixture(scope="module")
def good(request):
    return yaml.safe_load((request.config.rootpath / "params.yaml").read_text())


@fuzzed
@given(data=st.data())
def test_params(good, data):
    path = data.draw(st.sampled_from(sorted(paths(good))))
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    with message_of_ten_letters():
        read = config.parse(corrupted(good, path, change, data.draw(VALUES)))
        for chosen in read.losses.values():
            losses.build(chosen, torch.ones(29))


@fuzzed
@given(raw=VALUES)
def test_params_that_are_anything(raw):
    with pytest.raises(UserError):
        config.parse(raw)


@fuzzed
@given(
    content=st.binary(max_size=300)
    | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass"))
)
def test_params_of_any_bytes(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError):
        config.load(path)


LABELS = Labels(tuple(f"label {n}" for n in range(28)))
ROWS = [{"id": f"r{n}", "text": "thank you 🙂", "labels": [n, 27]} for n in range(4)]


@fuzzed
@given(data=st.data())
def test_rows_of_a_split(tmp_path_factory, data):
    rows = copy.deepcopy(ROWS)
    row = data.draw(st.sampled_from(rows))
    key = data.draw(st.sampled_from([*row, "more"]))
    row[key] = data.draw(VALUES)
    lines = [json.dumps(row) for row in rows]
    check_split(tmp_path_factory, "\n".join(lines).encode())


def corrupted_json(data, content):
    """A setting, at any depth, gone, added or of another value."""
    parsed = json.loads(content)
    path = data.draw(st.sampled_from(sorted(paths(parsed))))
    change = data.draw(st.sampled_from(["replace", "remove", "add"]))
    return json.dumps(corrupted(parsed, path, change, data.draw(VALUES))).encode()


def corrupted_bytes(data, content, end=None):
    """One to four places overwritten, cut out or filled in; before `end`."""
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, end or len(content)))
        stop = data.draw(st.integers(start, min(start + 9, len(content))))
        content[start:stop] = data.draw(st.binary(max_size=9))
    return bytes(content)


@fuzzed
@given(data=st.data())
def test_bytes_of_a_split(tmp_path_factory, data):
    content = "\n".join(json.dumps(row) for row in ROWS).encode()
    check_split(tmp_path_factory, corrupted_bytes(data, content))


def check_split(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("fuzz")
    splits.write(folder, {"train": content}, {"train": 4}, LABELS)
    path = folder / "train.jsonl"
    split = None
    with message_of_ten_letters(str(path)):
        split = splits.read(path)
    if split is None:
        return
    assert split.targets.shape == (len(split.ids), 28)
    assert all(isinstance(text, str) and text.strip() for text in split.texts)


def parquet_bytes(columns):
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata(METADATA), buffer)
    return buffer.getvalue()


def corrupted_table(data, columns):
    """A column of a table gone, or one of its cells another value, where parquet can hold it."""
    columns = copy.deepcopy(columns)
    name = data.draw(st.sampled_from(sorted(columns)))
    if data.draw(st.booleans()):
        columns[name][data.draw(st.integers(0, 3))] = data.draw(VALUES)
    else:
        del columns[name]
    try:
        return parquet_bytes(columns)
    except (pyarrow.ArrowException, UnicodeError, OverflowError):
        return b""


METADATA = {  # of predictions
    "goemotions": json.dumps(LABELS.content()),
    "goemotions.thresholds": json.dumps([0.0] * len(LABELS)),
}
MIRRORED = {key: [row[key] for row in ROWS] for key in ROWS[0]}
PREDICTED = {
    "split": ["val", "test", "test", "test"],
    "id": MIRRORED["id"],
    "targets": MIRRORED["labels"],
    "logits": [[0.5] * 28] * 4,
}


@fuzzed
@given(data=st.data(), by_byte=st.booleans())
def test_a_mirrors_parquet(tmp_path_factory, data, by_byte):
    content = (
        corrupted_bytes(data, parquet_bytes(MIRRORED))
        if by_byte
        else corrupted_table(data, MIRRORED)
    )
    read_mirrored(content, tmp_path_factory.mktemp("fuzz"))


def read_mirrored(content, folder):
    labels = {"column": "labels", "names": list(LABELS.names), "ids": 0, "min_rows": 1}
    read_own("rows.parquet", content, folder, id="id", labels=labels)


def read_own(name, content, folder, **changes):
    """Read a file that is divided by shares; whatever comes out keeps every rule."""
    raw = {"files": name, "text": "text", "split": {"val": 0.25, "test": 0.25}, **changes}
    settings = config.parse_dataset({"source": "files", **raw})
    with message_of_ten_letters("datasets.mine: "):
        texts = read_texts("mine", settings, lambda file: content)
        for split, rows in texts.rows.items():
            splits.check(rows, texts.labels, split)
            splits.encode(rows)


CSV = 'id,text,label\n1,"a, b","x,y"\n2,"said ""no""",x\n3,"two\nlines",y\n4,it\'s 🙂,"y, x"\n'


@fuzzed
@given(data=st.data(), delimiter=st.sampled_from([",", ";", "\t", '"']))
def test_bytes_of_a_csv_file(tmp_path_factory, data, delimiter):
    content = corrupted_bytes(data, CSV.replace(",", delimiter).encode())
    changes = {"csv": {"delimiter": delimiter}, "labels": {"column": "label", "separator": ","}}
    read_own("rows.csv", content, tmp_path_factory.mktemp("fuzz"), **changes)


@fuzzed
@given(data=st.data(), cell=st.sampled_from(["one", "joined", "list", "vector", "scores"]))
def test_cells_of_a_json_file(tmp_path_factory, data, cell):
    rows = [{"id": n, "text": f"text {n}", "label": "ab"[n % 2]} for n in range(6)]
    data.draw(st.sampled_from(rows))[data.draw(st.sampled_from(["id", "text", "label"]))] = (
        data.draw(VALUES)
    )
    labels = {"column": "label", "cell": cell}
    labels |= {"separator": "|"} if cell == "joined" else {}
    labels |= {"names": ["a", "b"]} if cell == "vector" else {}
    content = "\n".join(json.dumps(row) for row in rows).encode()
    folder = tmp_path_factory.mktemp("fuzz")
    read_own("rows.jsonl", content, folder, id="id", labels=labels, task="multi_label")


@fuzzed
@given(data=st.data())
def test_bytes_of_a_json_file(tmp_path_factory, data):
    rows = [{"text": f"text {n}", "label": "ab"[n % 2]} for n in range(6)]
    content = json.dumps(rows) if data.draw(st.booleans()) else "\n".join(map(json.dumps, rows))
    content = corrupted_bytes(data, content.encode())
    read_own("rows.json", content, tmp_path_factory.mktemp("fuzz"), labels={"column": "label"})


@fuzzed
@given(data=st.data())
def test_bytes_of_labels(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("fuzz") / "labels.json"
    content = json.dumps(LABELS.content()).encode()
    change = data.draw(st.sampled_from([corrupted_json, corrupted_bytes]))
    path.write_bytes(change(data, content))
    with message_of_ten_letters(str(path)):
        assert all(isinstance(name, str) for name in Labels.read(path.parent).names)


@fuzzed
@given(data=st.data(), name=st.sampled_from(["x.csv", "x.tsv", "x.jsonl", "x.txt", "x.parquet"]))
def test_a_file_to_guess_the_entry_of(tmp_path_factory, data, name):
    path = tmp_path_factory.mktemp("fuzz") / name
    good = CSV.encode() if data.draw(st.booleans()) else json.dumps([{"text": "a", "label": "b"}])
    good = good if isinstance(good, bytes) else good.encode()
    path.write_bytes(corrupted_bytes(data, good) if data.draw(st.booleans()) else good)
    with message_of_ten_letters():
        entry.show(path)


@fuzzed
@given(data=st.data(), by_byte=st.booleans())
def test_predictions(data, by_byte):
    content = (
        corrupted_bytes(data, parquet_bytes(PREDICTED))
        if by_byte
        else corrupted_table(data, PREDICTED)
    )
    read_predictions(content)


def read_predictions(content, folder=None):
    with message_of_ten_letters():
        read = predictions.parse(content, "run")
        assert read.logits.shape == read.targets.shape == (len(read.ids), 28)


def read_all_flipped(read, columns, folder):
    content = parquet_bytes(columns)
    threads = len(list(Path("/proc/self/task").iterdir()))
    for index in range(len(content)):
        for bits in (1, 128, 255):
            corrupted = bytearray(content)
            corrupted[index] ^= bits
            read(bytes(corrupted), folder)
    # A thread of pyarrow's that outlives the interpreter ends the process by SIGABRT.
    assert len(list(Path("/proc/self/task").iterdir())) == threads


@pytest.mark.parametrize(
    ("read", "columns"), [(read_mirrored, MIRRORED), (read_predictions, PREDICTED)]
)
def test_every_byte_of_a_parquet_in_turn(tmp_path, read, columns):
    """In a separate process, since pyarrow may never return, or end the process."""
    process = multiprocessing.get_context("spawn").Process(
        target=read_all_flipped, args=(read, columns, tmp_path)
    )
    process.start()
    process.join(300)
    process.kill()
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def model_folder(tiny, tmp_path_factory):
    """A model to corrupt, and its files' own bytes."""
    folder = tmp_path_factory.mktemp("fuzz") / "model"
    shutil.copytree(tiny, folder)
    return folder, {path.name: path.read_bytes() for path in folder.iterdir()}


@contextmanager
def corrupted_model(model_folder, name, content):
    folder, good = model_folder
    (folder / name).write_bytes(content)
    before = peak_memory(anew=True)
    try:
        yield folder
    finally:
        (folder / name).write_bytes(good[name])
    assert peak_memory() - before < 1


@fuzzed
@given(data=st.data(), by_byte=st.booleans())
def test_config_of_a_model(model_folder, data, by_byte):
    good = model_folder[1]["config.json"]
    content = (corrupted_bytes if by_byte else corrupted_json)(data, good)
    with corrupted_model(model_folder, "config.json", content) as folder, message_of_ten_letters():
        prepare.encoder(folder)


@fuzzed
@given(data=st.data(), by_byte=st.booleans())
def test_header_of_safetensors(model_folder, data, by_byte):
    good = model_folder[1]["model.safetensors"]
    (length,) = struct.unpack("<Q", good[:8])
    if by_byte:
        content = corrupted_bytes(data, good, 8 + length)
    else:
        written = corrupted_json(data, good[8 : 8 + length])
        content = struct.pack("<Q", len(written)) + written + good[8 + length :]
    with (
        corrupted_model(model_folder, "model.safetensors", content) as folder,
        message_of_ten_letters(),
    ):
        prepare.encoder(folder)


@fuzzed
@given(
    data=st.data(),
    by_byte=st.booleans(),
    name=st.sampled_from(["tokenizer.json", "tokenizer_config.json"]),
)
def test_files_of_a_tokenizer(model_folder, data, by_byte, name):
    good = model_folder[1][name]
    content = (corrupted_bytes if by_byte else corrupted_json)(data, good)
    with corrupted_model(model_folder, name, content) as folder, message_of_ten_letters():
        prepare.load_tokenizer(folder)


@fuzzed
@given(data=st.data())
def test_a_pickled_checkpoint(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("fuzz")
    torch.save({"a": torch.ones(3), "b": torch.zeros(2, 2)}, folder / "good.bin")
    (folder / "bad.bin").write_bytes(corrupted_bytes(data, (folder / "good.bin").read_bytes()))
    with message_of_ten_letters():
        weights.convert(folder / "bad.bin", folder / "model.safetensors")

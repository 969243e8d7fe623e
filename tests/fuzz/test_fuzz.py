"""Whatever a file holds, what reads it answers with a value or with a UserError, and soon.

FUZZ is the number of cases of each surface: 300 in `make test`, 10,000 in `make fuzz`.
"""

import copy
import json
import os
from contextlib import contextmanager

import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goemotions import params
from goemotions.dataset import splits
from goemotions.errors import UserError
from goemotions.training import losses

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ", "300")),
    deadline=10_000,  # ms
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
    """The block succeeds or raises a UserError that says something, with the place."""
    try:
        yield
    except UserError as error:
        said = str(error)
    else:
        return
    assert len(said) > 10
    assert place in said


def paths(content, prefix=()):
    """The paths of every entry of nested dicts."""
    for key, value in content.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from paths(value, (*prefix, key))


def spoiled(content, path, change, value):
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
        read = params.parse(spoiled(good, path, change, data.draw(VALUES)))
        for name, chosen in read.losses.items():
            losses.build(name, chosen, torch.ones(29))


@fuzzed
@given(raw=VALUES)
def test_params_that_are_anything(raw):
    with pytest.raises(UserError):
        params.parse(raw)


@fuzzed
@given(
    content=st.binary(max_size=300)
    | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass"))
)
def test_params_of_any_bytes(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError):
        params.load(path)


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


@fuzzed
@given(data=st.data())
def test_bytes_of_a_split(tmp_path_factory, data):
    content = bytearray("\n".join(json.dumps(row) for row in ROWS).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(start + 9, len(content))))
        content[start:end] = data.draw(st.binary(max_size=9))
    check_split(tmp_path_factory, bytes(content))


def check_split(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "train.jsonl"
    path.write_bytes(content)
    split = None
    with message_of_ten_letters(str(path)):
        split = splits.read(path)
    if split is None:
        return
    assert split.targets.shape == (len(split.ids), 28)
    assert split.targets.any(1).all()
    assert all(isinstance(text, str) and text.strip() for text in split.texts)

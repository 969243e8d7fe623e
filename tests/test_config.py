import json
import math
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from goemotions import config
from goemotions.config.dataset_settings import GeneratedDataset, HubDataset
from goemotions.config.loss_settings import Asl
from goemotions.config.model_settings import HubModel, PackageModel, ScratchModel
from goemotions.errors import UserError
from tools import write_schema

ROOT = Path(__file__).parents[1]


def put(raw, place, value):
    """Set the value at a path such as train/seed."""
    *parents, last = place.split("/")
    for key in parents:
        raw = raw[key]
    raw[last] = value


def parse_with(raw, place, value):
    put(raw, place, value)
    return config.parse(raw)


def test_out_of_the_box_asl_trains_deberta_v3_large_on_goemotions(settings):
    assert (settings.loss, settings.model, settings.dataset) == (
        "asl",
        "deberta-v3-large",
        "goemotions",
    )
    assert settings.losses["asl"] == Asl(function="asl", gamma_neg=4, gamma_pos=1, clip=0.05)
    assert settings.datasets["goemotions"].rows == {"train": 43410, "val": 5426, "test": 5427}


def test_every_model_of_the_catalogue_has_a_recipe(settings):
    assert set(settings.recipes) == set(settings.models)


def test_the_three_kinds_of_model_source_become_three_types(settings):
    assert type(settings.models["deberta-v3-large"]) is HubModel
    assert type(settings.models["minilm-l6"]) is PackageModel
    assert type(settings.models["deberta-v3-tiny"]) is ScratchModel
    assert type(settings.datasets["goemotions"]) is HubDataset
    assert type(settings.datasets["sample"]) is GeneratedDataset


def test_the_selectors_name_the_folders(raw):
    raw.update(loss="bce", model="minilm-l6", dataset="sample")
    selected = config.parse(raw)
    assert selected.data_folder == Path("data/sample")
    assert selected.model_folder == Path("models/minilm-l6")
    assert selected.trained_folder("bce") == Path("models/trained/bce")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("train/seed", True, "train.seed is True; it must be a whole number"),
        ("train/seed", -1, "train.seed is -1; it must be a whole number from 0 to 4294967295"),
        (
            "train/seed",
            2**32,
            "train.seed is 4294967296; it must be a whole number from 0 to 4294967295",
        ),
        (
            "train/batch_size",
            32.0,
            "train.batch_size is 32.0; it must be a whole number, at least 1",
        ),
        ("train/batch_size", 0, "train.batch_size is 0; it must be a whole number, at least 1"),
        (
            "train/warmup_ratio",
            "0.1",
            "train.warmup_ratio is '0.1'; it must be a number from 0 to 0.99",
        ),
        ("train/warmup_ratio", float("nan"), "train.warmup_ratio is nan; it must be a number"),
        ("train/warmup_ratio", False, "train.warmup_ratio is False; it must be a number"),
        (
            "train/warmup_ratio",
            1.01,
            "train.warmup_ratio is 1.01; it must be a number from 0 to 0.99",
        ),
        ("train/max_length", 3, "train.max_length is 3; it must be a whole number from 4 to 8192"),
        (
            "train/precision",
            "fp16",
            "train.precision is 'fp16'; did you mean bf16? choose one of: auto",
        ),
        ("export", ["aslx"], "export has 'aslx'; did you mean asl? choose one of: "),
        ("export", "asl", "export is 'asl'; it must be a list"),
        ("train/precision", None, "train.precision is None; choose one of: auto, bf16, fp32"),
        (
            "evaluate/bootstrap",
            99,
            "evaluate.bootstrap is 99; it must be a whole number, at least 100",
        ),
        ("evaluate/thresholds", "best", "evaluate.thresholds is 'best'; choose one of: cross_val"),
        ("recipes/minilm-l6/pooling", "max", "recipes.minilm-l6.pooling is 'max'; choose one of"),
        (
            "recipes/minilm-l6/ema_decay",
            1,
            "recipes.minilm-l6.ema_decay is 1; it must be a number from 0",
        ),
        (
            "models/deberta-v3-tiny/hidden_size",
            4,
            "hidden_size is 4; it must be a whole number, at least 8",
        ),
        ("models/minilm-l6/files", {}, "files is {}; it must have at least one entry"),
        ("models/minilm-l6/files/vocab.txt", 1, "files.vocab.txt is 1; it must be text"),
        (
            "models/minilm-l6/files",
            {"spm.model": None, "tokenizer.json": None},
            "it must be without one of spm.model and tokenizer.json, which hold the same",
        ),
        ("models/minilm-l6/files", {1: None}, "models.minilm-l6.files has the key 1; put it in"),
        (
            "models/deberta-v3-large/revision",
            "main",
            "revision is 'main'; it must be a commit, 40 hexadecimal digits",
        ),
        ("datasets/goemotions/revision", "main", "revision is 'main'; it must be a commit, 40"),
        (
            "datasets/mine",
            {
                "source": "files",
                "files": "texts/other/all.csv",
                "text": "text",
                "labels": {"column": "label"},
                "split": {"val": 0.1, "test": 0.1},
            },
            "datasets.mine has the file 'texts/other/all.csv'; files of labelled texts must be in "
            "texts/mine/",
        ),
        ("models/minilm-l6/source", "pypi", "source is 'pypi'; choose one of: hub, package, arch"),
        ("datasets/sample/source", "scratch", "datasets.sample.source is 'scratch'; choose one of"),
        (
            "datasets/sample/rows/val",
            0,
            "datasets.sample.rows.val is 0; it must be a whole number, at least 1",
        ),
        ("datasets/sample", None, "datasets.sample is None; it needs `source`, one of: files, hub"),
        (
            "losses/bce",
            {},
            "losses.bce is {}; it needs `function`, one of: bce, asl, combined, foc",
        ),
        ("losses/bce/function", "bcee", "losses.bce.function is 'bcee'; did you mean bce? choose"),
        ("losses/asl/clip", 2, "losses.asl.clip is 2; it must be a number from 0 to below 1"),
        ("losses/asl/gamma_neg", 0.5, "losses.asl.gamma_neg is 0.5; it must be 0, or at least 1"),
        ("losses/two_way/temperature", 0, "temperature is 0; it must be a number, at least 0.01"),
        ("losses/soft_f1/offset", "0", "losses.soft_f1.offset is '0'; it must be a number"),
        ("losses", {}, "losses is {}; it must have at least one entry"),
        ("train", [1], "train is [1]; it must be a mapping with: batch_size, gradient_clipping"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(raw, place, value, message):
    with pytest.raises(UserError, match=re.escape(message)):
        parse_with(raw, place, value)


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("gamma", 0.5, "0, or at least 1"),
        ("gamma_neg", -1, "0, or at least 1"),
        ("gamma_pos", math.inf, "a number"),
        ("gamma", math.nan, "a number"),
        ("clip", 1, "a number from 0 to below 1"),
        ("clip", -0.1, "a number from 0 to below 1"),
        ("ratio", 2, "a number from 0 to 1"),
        ("ratio", "5e-1", "a number from 0 to 1"),
        ("alpha", True, "a number from 0 to 1"),
        ("alpha", None, "a number from 0 to 1"),
    ],
)
def test_a_losss_setting_out_of_range_is_named(raw, setting, value, allowed):
    message = f"losses.combined_70.{setting} is {value!r}; it must be {allowed}"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        parse_with(raw, f"losses/combined_70/{setting}", value)


def test_every_wrong_setting_has_a_line_of_its_own(raw):
    put(raw, "train/seed", -1)
    put(raw, "losses/asl/clip", 2)
    put(raw, "train/learning_rat", 1)
    with pytest.raises(UserError) as caught:
        config.parse(raw)
    assert [line.split(" is ")[0].split(" has ")[0] for line in str(caught.value).split("\n")] == [
        "train",  # what is unknown first: a misspelt setting is also missing
        "train.seed",
        "losses.asl.clip",
    ]


@pytest.mark.parametrize(("setting", "value"), [("gamma", 0), ("gamma", 1), ("clip", 0)])
def test_the_ends_of_a_losss_ranges_are_allowed(raw, setting, value):
    parsed = parse_with(raw, f"losses/combined_70/{setting}", value)
    assert getattr(parsed.losses["combined_70"], setting) == value


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("train/seed", 0),
        ("train/seed", 2**32 - 1),
        ("train/warmup_ratio", 0.99),
        ("train/max_length", 512),
        ("recipes/minilm-l6/ema_decay", 0),
    ],
)
def test_both_ends_of_a_range_are_allowed(raw, place, value):
    parsed = parse_with(raw, place, value)
    section, *entry, setting = place.split("/")
    found = getattr(parsed, section)
    assert getattr(found[entry[0]] if entry else found, setting) == value


def test_a_whole_number_passes_for_a_float_and_becomes_one(raw):
    decay = parse_with(raw, "train/weight_decay", 0).train.weight_decay
    assert decay == 0.0
    assert type(decay) is float


def test_a_digest_may_be_null(raw):
    models = parse_with(raw, "models/minilm-l6/files/vocab.txt", None).models
    assert models["minilm-l6"].files["vocab.txt"] is None


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("seed", "params.yaml has an unknown setting 'seed'; known: dataset, datasets, evaluate"),
        (
            "train/lr",
            "train has an unknown setting 'lr'; known: batch_size, gradient_clipping, max_",
        ),
        ("evaluate/draws", "evaluate has an unknown setting 'draws'; known: bootstrap, seed, thr"),
        (
            "recipes/minilm-l6/epoch",
            "minilm-l6 has an unknown setting 'epoch'; did you mean epochs? known: ",
        ),
        ("models/minilm-l6/repo", "models.minilm-l6 has an unknown setting 'repo'; known: distr"),
        (
            "datasets/sample/sha256",
            "datasets.sample has an unknown setting 'sha256'; known: groups",
        ),
    ],
)
def test_an_unknown_setting_is_an_error_that_names_the_known_ones(raw, place, message):
    with pytest.raises(UserError, match=re.escape(message)):
        parse_with(raw, place, 1)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("dataset", "dataset is missing from params.yaml"),
        ("train/seed", "train.seed is missing from params.yaml"),
        (
            "models/deberta-v3-tiny/dropout",
            "models.deberta-v3-tiny.dropout is missing from params.yaml",
        ),
        ("datasets/goemotions/labels", "datasets.goemotions.labels is missing from params.yaml"),
    ],
)
def test_a_missing_setting_is_named(raw, place, message):
    *parents, last = place.split("/")
    parent = raw
    for key in parents:
        parent = parent[key]
    del parent[last]
    with pytest.raises(UserError, match=re.escape(message)):
        config.parse(raw)


@pytest.mark.parametrize("selector", ["loss", "model", "dataset"])
def test_a_selector_must_name_an_entry_of_its_catalogue(raw, selector):
    catalogue = {"loss": "losses", "model": "models", "dataset": "datasets"}[selector]
    known = ", ".join(raw[catalogue])
    with pytest.raises(UserError, match=re.escape(f"{selector} is 'x'; choose one of: {known}")):
        parse_with(raw, selector, "x")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "a b", "a.b", "-", 1])
@pytest.mark.parametrize("catalogue", ["losses", "models", "datasets"])
def test_an_entry_whose_name_could_be_no_folder_is_refused(raw, catalogue, name):
    raw[catalogue][name] = next(iter(raw[catalogue].values()))
    with pytest.raises(
        UserError, match=re.escape(f"{catalogue} has an entry {name!r}; use letters, digits")
    ):
        config.parse(raw)


def test_a_model_named_trained_is_refused_since_that_folder_is_taken(raw):
    with pytest.raises(UserError, match=re.escape("models.trained is taken: models/trained")):
        parse_with(raw, "models/trained", raw["models"]["minilm-l6"])


def test_the_selected_model_needs_a_recipe(raw):
    del raw["recipes"]["deberta-v3-large"]
    with pytest.raises(UserError, match=re.escape("recipes.deberta-v3-large is missing")):
        config.parse(raw)


@pytest.mark.parametrize("rows", [{"train": 9}, {"train": 9, "val": 9, "test": 9, "tets": 9}])
def test_rows_must_be_given_for_exactly_the_three_splits(raw, rows):
    with pytest.raises(UserError, match=re.escape("datasets.sample.rows")):
        parse_with(raw, "datasets/sample/rows", rows)


def test_infinity_is_no_learning_rate(raw):
    with pytest.raises(UserError, match=re.escape("learning_rate is inf")):
        parse_with(raw, "recipes/minilm-l6/learning_rate", float("inf"))


def test_the_file_is_read_as_yaml_1_2_which_dvc_writes(tmp_path):
    """DVC removes quotes that YAML 1.2 does not need: of `no`, of 12:30 and before a `?` in {}."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8").replace("1.0e-5", "1e-5")
    mine = (
        "datasets:\n  mine: {source: files, files: texts/mine/a.csv, split: {val: 0.1, test: 0.1}, "
        "text: When?, labels: {column: label, names: [no, 12:30, on]}}\n"
    )
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("datasets:\n", mine), encoding="utf-8")
    found = config.load(path)
    assert found.recipes["deberta-v3-large"].learning_rate == 1e-5
    assert found.datasets["mine"].text == ("When?",)
    assert found.datasets["mine"].labels.names == ("no", "12:30", "on")


@pytest.mark.parametrize("text", ["seed: 2024-13-45", "seed: 0x_", "[" * 5000])
def test_what_yaml_cannot_make_a_value_of_is_not_valid(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(f"{path} is not valid YAML: ")):
        config.load(path)


def test_a_key_that_is_there_twice_is_named_with_its_line(tmp_path):
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    path.write_text(text + "datasets: {}\n", encoding="utf-8")
    line = text.count("\n") + 1
    message = f"{path} has the key 'datasets' a second time in line {line}; keep one of them"
    with pytest.raises(UserError, match=re.escape(message)):
        config.load(path)


def test_a_file_that_is_not_yaml_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("train: {seed: 1", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(f"{path} is not valid YAML: ")):
        config.load(path)


def test_a_file_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"loss: \xff")
    with pytest.raises(UserError, match=re.escape(f"{path} is not valid YAML: ")):
        config.load(path)


def test_an_empty_file_is_an_error_that_names_the_settings(tmp_path):
    path = tmp_path / "params.yaml"
    path.touch()
    with pytest.raises(
        UserError, match=r"params\.yaml is None; it must be a mapping with: dataset"
    ):
        config.load(path)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = f"params.yaml is not in {tmp_path}: run this in the project's folder"
    with pytest.raises(UserError, match=re.escape(message)):
        config.load()


def test_dvc_exp_run_with_a_setting_rewrites_that_line_only(tmp_path):
    """DVC writes params.yaml anew; a line that it would wrap otherwise would show in git diff."""
    from dvc.utils.serialize import modify_yaml

    before = (ROOT / "params.yaml").read_text(encoding="utf-8")
    copy = tmp_path / "params.yaml"
    copy.write_text(before, encoding="utf-8")
    with modify_yaml(str(copy)) as content:
        content["loss"] = "bce"
    assert copy.read_text(encoding="utf-8") == before.replace("loss: asl ", "loss: bce ")


def test_load_reads_the_params_of_the_working_folder(tmp_path, monkeypatch, raw):
    monkeypatch.chdir(tmp_path)
    raw["train"]["seed"] = 77
    Path("params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    assert config.load().train.seed == 77


def test_the_schema_for_editors_is_current_and_accepts_params_yaml(raw):
    text = (ROOT / "params.schema.json").read_text(encoding="utf-8")
    assert text == write_schema.schema(), "run `make schema`"
    assert (
        (ROOT / "params.yaml")
        .read_text()
        .startswith("# yaml-language-server: $schema=params.schema.json\n")
    )
    checked = jsonschema.Draft202012Validator(json.loads(text))
    assert list(checked.iter_errors(raw)) == []
    put(raw, "losses/asl/clip", 2)
    put(raw, "train/lr", 1)
    assert {error.json_path for error in checked.iter_errors(raw)} == {"$.losses.asl", "$.train"}

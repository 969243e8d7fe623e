"""`goemotions export`: the folder that one uploads, and what runs from it without torch."""

import contextlib
import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from transformers import pipeline

from goemotions import cli, config
from goemotions.config.dataset_settings import HubDataset
from goemotions.data import splits
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.metrics.f1 import decide, macro_f1
from goemotions.publishing import model_card, onnx_files

TRAINED = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
           "spm.model", "thresholds.json"}  # fmt: skip
# As where neither is installed.
WITHOUT_TORCH = "import sys; sys.modules.update(torch=None, transformers=None, goemotions=None)\n"


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory):
    """The folder that was written, the project's, and what was printed; not to be changed."""
    project = tmp_path_factory.mktemp("exported")
    shutil.copytree(made, project, dirs_exist_ok=True)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(project)
        assert cli.main(["export", "bce", "--output", "published"]) == 0
    return project / "published", project, printed.getvalue()


def test_an_export_can_be_used_after_its_card_was_edited(exported, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(exported[0], folder)
    (folder / "README.md").write_text("mine")
    Classifier.load(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json changed since; make or download it again"):
        Classifier.load(folder)


def test_the_folder_has_the_model_its_onnx_files_and_a_card(exported):
    folder, project, out = exported
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    more = {"README.md", "manifest.json", onnx_files.FLOAT}
    assert found - {onnx_files.INT8} == TRAINED | more
    written = json.loads((folder / "manifest.json").read_text())["written"]
    assert set(written) == found - {"manifest.json", "README.md"}  # the card may be edited
    trained = project / "models/trained/bce"
    for name in TRAINED:
        assert (folder / name).read_bytes() == (trained / name).read_bytes()
    assert "to upload it: hf upload <user>/<name> published" in out
    assert (onnx_files.INT8 in found) is ("so it is left out" not in out)


def test_the_folder_predicts_as_the_trained_one_does(exported):
    folder, project, _ = exported
    trained = Classifier.load(project / "models/trained/bce")
    assert (Classifier.load(folder).logits(["thank you"]) == trained.logits(["thank you"])).all()


def test_the_onnx_file_gives_torchs_logits_for_any_size(exported):
    folder, project, out = exported
    classifier = Classifier.load(project / "models/trained/bce")
    split = splits.read(project / "data/sample/test.jsonl")
    for texts in (split.texts, split.texts[:1], ["x"], ["thank you " * 100]):
        found = onnx_files.predict(folder / onnx_files.FLOAT, classifier, texts)
        assert found == pytest.approx(classifier.logits(texts), abs=1e-4)
    scored = macro_f1(
        decide(classifier.logits(split.texts), classifier.chosen(None)), split.targets
    )
    assert f"{onnx_files.FLOAT}: macro-F1 {scored:.4f} (torch's {scored:.4f})" in out


@pytest.mark.parametrize("most", [4, 16])
def test_a_model_for_short_texts_is_converted(project, most):
    folder = project / "models/trained/bce"
    with onnx_files._quiet():
        onnx_files.convert(folder, project / "short.onnx", most)
    classifier = dataclasses.replace(Classifier.load(folder), max_length=most)
    texts = ["x", "thank you so much for this, really"]
    found = onnx_files.predict(project / "short.onnx", classifier, texts)
    assert found == pytest.approx(classifier.logits(texts), abs=1e-4)


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        ({"model": "minilm-l6"}, "with model minilm-l6, and params.yaml has deberta-v3-tiny; set"),
        ({"dataset": "mine"}, "with dataset mine, and params.yaml has sample; set it back"),
        (
            {"losses.bce": {"function": "bce", "smoothing": 0.5}},
            "with losses.bce {'function': 'bce', 'smoothing': 0.5}, and params.yaml has {'function",
        ),
    ],
)
def test_a_model_that_params_yaml_does_not_describe_is_refused(project, capsys, recorded, message):
    params = config.load()
    now = {
        "model": params.model,
        "dataset": params.dataset,
        "losses.bce": params.losses["bce"].model_dump(),
    }
    stage = {"params": {"params.yaml": now | recorded}}
    lock = {"schema": "2.0", "stages": {"train@bce": stage}}
    (project / "dvc.lock").write_text(yaml.safe_dump(lock))
    with pytest.raises(SystemExit):
        cli.main(["export", "bce"])
    assert f"error: models/trained/bce was trained {message}" in capsys.readouterr().err
    assert not (project / "export").exists()


def test_a_bar_in_a_label_stays_in_its_cell(made):
    classifier = Classifier.load(made / "models/trained/bce")
    classifier.labels[0] = "a|b"
    split = splits.load(made / "data/sample", "test")["test"]
    logits = classifier.logits(split.texts)
    scores = dict.fromkeys(
        ("macro_f1", "macro_f1_low", "macro_f1_high", "micro_f1", "average_precision"), 0.5
    )
    model = SimpleNamespace(classifier=classifier, split=split, logits=logits, scores=scores)
    (row,) = (line for line in model_card._scores(model).splitlines() if "b | " in line)
    assert row.startswith("| a&#124;b | ")
    assert row.count("|") == 7


def test_the_card_has_what_the_hub_reads(exported):
    folder, project, _ = exported
    read = ModelCard.load(folder / "README.md")
    data = read.data.to_dict()
    assert data["pipeline_tag"] == "text-classification"
    assert "license" not in data  # the tiny model's weights are not anybody's
    assert data["tags"] == ["onnx"]  # GoEmotions's are for GoEmotions
    metrics = {
        metric["name"].split(" (")[0]
        for result in data["model-index"][0]["results"]
        for metric in result["metrics"]
    }
    assert metrics == {"macro-F1", "micro-F1", "average precision"}
    names = json.loads((project / "data/sample/labels.json").read_text())["names"]
    rows = re.findall(
        r"^\| (\w+) \| [\d.]+ \| [\d.]+ \| [\d.]+ \| [\d.]+ \| \d+ \|$", read.text, re.M
    )
    assert rows == names
    assert "Binary cross-entropy: -[y log p + (1-y) log(1-p)]" in read.text


def test_the_card_says_of_other_data_and_models_only_what_is_known(settings):
    goemotions = settings.datasets["goemotions"]
    assert isinstance(goemotions, HubDataset)
    german = settings.models["deberta-v3-base"].model_copy(
        update={"repo": "someone/deberta-v3-german"}
    )
    for repo, known in (("google-research-datasets/go_emotions", True), ("tweet_eval", False)):
        dataset = goemotions.model_copy(update={"repo": repo})
        assert model_card.of_goemotions(dataset) is known
    found = {
        name: model_card._licence(
            model_card._base(SimpleNamespace(model=name, models={name: one})), known=True
        )
        for name, one in (settings.models | {"deberta-v3-german": german}).items()
    }
    assert found == {
        "deberta-v3-large": "mit",
        "deberta-v3-base": "mit",
        "deberta-v3-small": "mit",
        "deberta-v3-xsmall": "mit",
        "minilm-l6": "apache-2.0",
        "mpnet-base": "apache-2.0",
        "deberta-v3-tiny": None,
        "deberta-v3-german": None,
    }
    assert model_card._licence("microsoft/deberta-v3-large", known=False) is None


def test_the_cards_code_runs_without_torch_and_transformers(exported):
    folder, _, _ = exported
    _, code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + code],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    classify = pipeline("text-classification", str(folder), top_k=None)
    scores = {one["label"]: one["score"] for one in classify(["thank you so much!"])[0]}
    saved = json.loads((folder / "thresholds.json").read_text())
    thresholds = saved["methods"][saved["preferred"]]["probabilities"]
    expected = [label for label, needed in thresholds.items() if scores[label] >= needed]
    assert done.stdout == f"{expected}\n"


def test_an_onnx_file_with_other_logits_is_refused_and_nothing_is_written(
    project, capsys, monkeypatch
):
    convert = onnx_files.convert

    def wrong(trained, path, max_length):
        changed = project / "changed"
        shutil.copytree(trained, changed)
        weights = load_file(changed / "model.safetensors")
        weights["classifier.bias"] += 0.001
        save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
        convert(changed, path, max_length)

    monkeypatch.setattr(onnx_files, "convert", wrong)
    with pytest.raises(SystemExit):
        cli.main(["export", "bce", "--output", "published"])
    assert "the ONNX file's logits differ from torch's by 0.001, and 0.0001 is allowed" in (
        capsys.readouterr().err
    )
    assert not (project / "published").exists()


def test_an_8_bit_file_that_loses_too_much_is_left_out_and_chosen_thresholds_are_used(
    project, exported, monkeypatch, capsys
):
    raw = yaml.safe_load((project / "params.yaml").read_text())
    raw["evaluate"]["thresholds"] = "global"
    (project / "params.yaml").write_text(yaml.safe_dump(raw))
    written = exported[0] / onnx_files.FLOAT
    monkeypatch.setattr(onnx_files, "convert", lambda _, path, length: shutil.copy(written, path))
    monkeypatch.setattr(onnx_files, "LOSS_OF_INT8", -1)
    assert cli.main(["export", "bce", "--output", "published"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "so it is left out" in line]
    assert len(said) == 1
    assert said[0].startswith(f"{onnx_files.INT8}: macro-F1 ")
    files = sorted(path.name for path in (project / "published/onnx").iterdir())
    assert files == [Path(onnx_files.FLOAT).name]
    card = (project / "published/README.md").read_text()
    assert f"`{onnx_files.INT8}` is left out, since it loses more than 0.003." in card
    assert 'thresholds = saved["methods"]["global"]["logits"]' in card
    split = splits.read(project / "data/sample/test.jsonl")
    classifier = Classifier.load(project / "models/trained/bce")
    decisions = decide(classifier.logits(split.texts), classifier.chosen("global"))
    assert f": macro-F1 {macro_f1(decisions, split.targets):.4f} (95% interval" in card


def test_a_clone_with_an_export_is_not_replaced(project, capsys):
    clone = project / "mymodel"
    (clone / ".git").mkdir(parents=True)
    (clone / onnx_files.FLOAT).parent.mkdir()
    (clone / onnx_files.FLOAT).write_bytes(b"earlier")
    with pytest.raises(SystemExit):
        cli.main(["export", "bce", "--output", "mymodel"])
    assert "--output is 'mymodel', which holds something else than" in capsys.readouterr().err
    assert (clone / onnx_files.FLOAT).read_bytes() == b"earlier"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "the loss is 'nope'; params.yaml has asl, bce"),
        (["asl"], "models/trained/asl does not exist; train that loss (`dvc"),
        (["bce", "--output", "models/trained/bce"], "--output is 'models/trained/bce'; name a"),
        (["bce", "--output", "params.yaml"], "--output is 'params.yaml'; name a folder"),
        (["bce", "--output", "."], "--output is '.'; name a folder that export may replace"),
        (["bce", "--output", "models"], "--output is 'models', which holds something else than"),
    ],
)
def test_bad_arguments_are_refused(project, capsys, arguments, said):
    with pytest.raises(SystemExit):
        cli.main(["export", *arguments])
    assert said in capsys.readouterr().err
    assert (project / "models/trained/bce/model.safetensors").is_file()

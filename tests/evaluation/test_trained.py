"""What a trained folder gives without transformers, against what transformers makes of it."""

import json

import pytest
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

from goemotions.data import splits
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.io import digests
from goemotions.models.tokenizer import PROBES
from goemotions.network.batching import Rows
from tests.weights import needs_mpnet


def ids(tokenizer, texts):
    """Of the rows that a training and a prediction read, at most 64 tokens each."""
    rows = Rows(tokenizer, texts, None, 64)
    return [rows[index]["input_ids"].tolist() for index in range(len(rows))]


@pytest.mark.parametrize("base", ["tiny", "minilm", pytest.param("mpnet", marks=needs_mpnet)])
def test_the_tokenizers_file_gives_the_ids_of_transformers(base, request, project, tmp_path):
    """Training takes transformers' own tokenizer and saves it; prediction reads the file."""
    plain = AutoTokenizer.from_pretrained(request.getfixturevalue(base))
    texts = [*PROBES, "", "so good " * 100, *splits.read(project / "data/sample/test.jsonl").texts]
    expected = plain(texts, truncation=True, max_length=64)["input_ids"]
    assert max(map(len, expected)) == 64
    assert ids(plain.backend_tokenizer, texts) == expected
    plain.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert ids(Tokenizer.from_file(str(tmp_path / "tokenizer.json")), texts) == expected


def test_the_trained_folders_tokenizer_is_the_one_it_was_trained_with(project):
    base, trained = project / "models/deberta-v3-tiny", project / "models/trained/bce"
    plain = AutoTokenizer.from_pretrained(base)
    expected = plain(list(PROBES), truncation=True, max_length=64)["input_ids"]
    assert ids(Classifier.load(trained).tokenizer, list(PROBES)) == expected
    assert AutoTokenizer.from_pretrained(trained)(list(PROBES))["input_ids"] == expected


def test_a_folder_without_the_thresholds_of_a_method_is_refused(project):
    folder = project / "models/trained/bce"
    content = json.loads((folder / "thresholds.json").read_text())
    del content["methods"]["calibrated"]
    (folder / "thresholds.json").write_text(json.dumps(content))
    digests.write_manifest(folder)
    with pytest.raises(
        UserError, match=r"does not hold thresholds .* \(KeyError\('calibrated'\)\)"
    ):
        Classifier.load(folder)


def test_two_labels_whose_names_transformers_leaves_out_are_found(project):
    """Its config.json has no id2label where they are LABEL_0 and LABEL_1."""
    folder = project / "models/trained/bce"
    content = json.loads((folder / "config.json").read_text())
    del content["id2label"], content["label2id"]
    (folder / "config.json").write_text(json.dumps(content))
    thresholds = json.loads((folder / "thresholds.json").read_text())
    for method in thresholds["methods"].values():
        method["logits"] = {"LABEL_0": 0.0, "LABEL_1": -1.5}
    (folder / "thresholds.json").write_text(json.dumps(thresholds))
    digests.write_manifest(folder)
    names = AutoConfig.from_pretrained(folder).id2label
    classifier = Classifier.load(folder)
    assert classifier.labels == list(names.values()) == ["LABEL_0", "LABEL_1"]
    assert classifier.chosen("global").tolist() == [0, -1.5]

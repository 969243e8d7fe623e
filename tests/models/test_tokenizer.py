import json
import re
import shutil
import sys

import pytest
import sentencepiece
from transformers import AutoTokenizer, DebertaV2Tokenizer

from goemotions.data import sample
from goemotions.errors import UserError
from goemotions.models import tokenizer


@pytest.fixture(scope="module")
def slow(tiny):
    """The reference: the SentencePiece model that the fast tokenizer was made from."""
    return sentencepiece.SentencePieceProcessor(model_file=str(tiny / "spm.model"))


@pytest.fixture(scope="module")
def fast(tiny):
    return AutoTokenizer.from_pretrained(tiny)


def ids(fast, text):
    return fast(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("text", tokenizer.PROBES)
def test_odd_texts_get_the_ids_that_sentencepiece_gives(slow, fast, text):
    assert ids(fast, text) == slow.encode(text)


def test_the_samples_texts_get_the_ids_that_sentencepiece_gives(tiny, slow, fast):
    rows = sample.generate(7, {"train": 300, "val": 1, "test": 1})["train"]
    texts = [row.text for row in rows]
    assert tokenizer.disagreements(tiny, texts) == []
    # Apart from ties between two segmentations of equal score.
    pairs = zip(fast(texts, add_special_tokens=False)["input_ids"], slow.encode(texts), strict=True)
    assert sum(ours != theirs for ours, theirs in pairs) <= 3


def test_a_text_stands_between_cls_and_sep(slow, fast):
    assert fast("I love this")["input_ids"] == [1, *slow.encode("I love this"), 2]
    assert fast("")["input_ids"] == [1, 2]


def test_special_tokens_have_deberta_v3s_ids(fast, settings):
    tokens = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    vocabulary = settings.models["deberta-v3-tiny"].vocab_size
    assert fast.convert_tokens_to_ids(tokens) == [0, 1, 2, 3, vocabulary]
    assert [
        fast.pad_token, fast.cls_token, fast.sep_token, fast.unk_token, fast.mask_token
    ] == tokens  # fmt: skip
    assert fast.model_max_length == 512


def test_transformers_own_class_loses_the_normalisation_that_ours_keeps(tiny, slow, fast):
    # Why the folder names the generic class: this one would give ids that the model never saw.
    own = DebertaV2Tokenizer.from_pretrained(tiny)
    text = "ﬁne ①②"
    assert ids(own, "fine 12") == ids(fast, "fine 12")
    assert ids(own, text) != slow.encode(text)
    assert ids(fast, text) == slow.encode(text) == slow.encode("fine 12")


def test_the_folder_names_the_generic_class_as_transformers_4_and_5_know_it(tiny, fast):
    config = json.loads((tiny / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert not isinstance(fast, DebertaV2Tokenizer)


@pytest.fixture
def folder(tiny, tmp_path):
    """A copy of the tokenizer's files, to be corrupted."""
    for name in ("spm.model", "tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copyfile(tiny / name, tmp_path / name)
    return tmp_path


def test_texts_whose_ids_differ_are_found(folder):
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["normalizer"] = None
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    texts = ["I love this", "ﬁne", "haha", "  two  spaces"]
    assert tokenizer.disagreements(folder, texts) == ["ﬁne", "  two  spaces"]


def test_a_whole_folder_has_no_disagreement(folder):
    assert tokenizer.disagreements(folder, tokenizer.PROBES) == []


def test_converting_twice_gives_the_same_bytes(folder, tiny):
    tokenizer.convert(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (tiny / name).read_bytes(), name


def test_lower_casing_is_taken_from_the_source(folder):
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    tokenizer.convert(folder)
    fast = AutoTokenizer.from_pretrained(folder)
    assert ids(fast, "I LOVE this") == ids(fast, "i love this")


def test_a_file_that_is_no_sentencepiece_model_is_named(tmp_path):
    (tmp_path / "spm.model").write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=re.escape("spm.model is not a SentencePiece model: ")):
        tokenizer.convert(tmp_path)


@pytest.mark.parametrize("absent", ["google.protobuf", "sentencepiece"])
def test_a_missing_package_is_named_instead_of_a_fallback_to_tiktoken(
    tiny, tmp_path, monkeypatch, absent
):
    shutil.copy(tiny / "spm.model", tmp_path)
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(ModuleNotFoundError) as error:  # which stages report by its name
        tokenizer.convert(tmp_path)
    assert error.value.name == absent

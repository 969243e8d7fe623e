import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from goemotions.training.batching import Collator, Rows


@pytest.fixture(scope="module")
def tokenizer(tiny):
    return AutoTokenizer.from_pretrained(tiny)


def test_rows_are_padded_to_the_longest_and_the_padding_is_masked():
    batch = Collator(pad_token_id=7)(
        [{"input_ids": torch.tensor(ids)} for ids in ([5, 0, 6], [9], [8, 8])]
    )
    assert {name: value.tolist() for name, value in batch.items()} == {
        "input_ids": [[5, 0, 6], [9, 7, 7], [8, 8, 7]],
        "attention_mask": [[1, 1, 1], [1, 0, 0], [1, 1, 0]],
    }


def test_ids_and_mask_are_int64():
    batch = Collator(0)([{"input_ids": torch.tensor([5, 6])}])
    assert {value.dtype for value in batch.values()} == {torch.int64}


def test_labels_are_stacked():
    rows = [
        {"input_ids": torch.tensor([1]), "labels": torch.tensor([0.0, 1.0])},
        {"input_ids": torch.tensor([2]), "labels": torch.tensor([1.0, 0.0])},
    ]
    labels = Collator(0)(rows)["labels"]
    assert labels.tolist() == [[0, 1], [1, 0]]
    assert labels.dtype == torch.float32


def test_rows_pair_each_text_with_its_targets(tokenizer):
    rows = Rows(tokenizer, ["haha", "I love this"], np.eye(2, dtype=bool), max_length=16)
    assert len(rows) == 2
    assert rows[1]["input_ids"].tolist() == tokenizer("I love this")["input_ids"]
    assert rows[1]["labels"].tolist() == [0, 1]
    assert rows[0]["labels"].dtype == torch.float32


def test_rows_without_targets_have_no_labels(tokenizer):
    rows = Rows(tokenizer, ["haha"], None, max_length=16)
    assert list(rows[0]) == ["input_ids"]
    assert list(Collator(0)([rows[0]])) == ["input_ids", "attention_mask"]


def test_a_long_text_is_cut_between_cls_and_sep(tokenizer):
    text = "what a wonderful day " * 20
    whole = tokenizer(text)["input_ids"]
    cut = Rows(tokenizer, [text], None, max_length=8)[0]["input_ids"].tolist()
    assert cut == [*whole[:7], whole[-1]]
    assert tokenizer.convert_ids_to_tokens([cut[0], cut[-1]]) == ["[CLS]", "[SEP]"]


def test_an_empty_text_is_cls_and_sep(tokenizer):
    rows = Rows(tokenizer, [""], None, max_length=8)
    assert rows[0]["input_ids"].tolist() == [tokenizer.cls_token_id, tokenizer.sep_token_id]


def test_the_collator_agrees_with_the_tokenizers_own_padding(tokenizer):
    texts = ["haha", "what a wonderful day", "I don't get it, [NAME]"]
    rows = Rows(tokenizer, texts, None, max_length=32)
    ours = Collator(tokenizer.pad_token_id)([rows[index] for index in range(3)])
    theirs = tokenizer(texts, padding=True, return_tensors="pt")
    assert ours["input_ids"].tolist() == theirs["input_ids"].tolist()
    assert ours["attention_mask"].tolist() == theirs["attention_mask"].tolist()

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from goemotions.errors import UserError
from goemotions.network.batching import Collator, MicroBatches, Rows, shuffled


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
    rows = Rows(
        tokenizer.backend_tokenizer, ["haha", "I love this"], np.eye(2, dtype=bool), max_length=16
    )
    assert len(rows) == 2
    assert rows[1]["input_ids"].tolist() == tokenizer("I love this")["input_ids"]
    assert rows[1]["labels"].tolist() == [0, 1]
    assert rows[0]["labels"].dtype == torch.float32


def test_rows_without_targets_have_no_labels(tokenizer):
    rows = Rows(tokenizer.backend_tokenizer, ["haha"], None, max_length=16)
    assert list(rows[0]) == ["input_ids"]
    assert list(Collator(0)([rows[0]])) == ["input_ids", "attention_mask"]


def test_a_long_text_is_cut_between_cls_and_sep(tokenizer):
    text = "what a wonderful day " * 20
    whole = tokenizer(text)["input_ids"]
    cut = Rows(tokenizer.backend_tokenizer, [text], None, max_length=8)[0]["input_ids"].tolist()
    assert cut == [*whole[:7], whole[-1]]
    assert tokenizer.convert_ids_to_tokens([cut[0], cut[-1]]) == ["[CLS]", "[SEP]"]


def test_an_empty_text_is_cls_and_sep(tokenizer):
    rows = Rows(tokenizer.backend_tokenizer, [""], None, max_length=8)
    assert rows[0]["input_ids"].tolist() == [tokenizer.cls_token_id, tokenizer.sep_token_id]


@pytest.mark.parametrize(
    "text", ["\ud800", "a\x00b", "\u202egnp.exe", "a\r\nb\u2028c", "😀" * 99, "x" * 10**6]
)
def test_odd_texts_are_tokenized(tokenizer, text):
    rows = Rows(tokenizer.backend_tokenizer, [text, "plain"], None, 64)
    assert 2 <= rows.lengths[0] <= 64
    assert rows[1]["input_ids"].tolist() == tokenizer("plain")["input_ids"]


def test_half_a_character_counts_as_a_question_mark(tokenizer):
    rows = Rows(tokenizer.backend_tokenizer, ["so \udc00 odd", "so ? odd"], None, 64)
    assert rows[0]["input_ids"].equal(rows[1]["input_ids"])


def test_the_collator_agrees_with_the_tokenizers_own_padding(tokenizer):
    texts = ["haha", "what a wonderful day", "I don't get it, [NAME]"]
    rows = Rows(tokenizer.backend_tokenizer, texts, None, max_length=32)
    ours = Collator(tokenizer.pad_token_id)([rows[index] for index in range(3)])
    theirs = tokenizer(texts, padding=True, return_tensors="pt")
    assert ours["input_ids"].tolist() == theirs["input_ids"].tolist()
    assert ours["attention_mask"].tolist() == theirs["attention_mask"].tolist()


def lengths_of(rows, seed=0):
    return np.random.default_rng(seed).integers(2, 64, size=rows)


@pytest.mark.parametrize("rows", [1, 31, 32, 33, 1000, 8001])
def test_an_epoch_has_every_row_once_in_batches_whose_sizes_differ_by_one(rows):
    batches = shuffled(lengths_of(rows), 32, seed=1, epoch=0)
    assert sorted(np.concatenate(batches)) == list(range(rows))
    assert len(batches) == -(-rows // 32)
    sizes = {len(batch) for batch in batches}
    assert max(sizes) <= 32
    assert max(sizes) - min(sizes) <= 1


def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not():
    def batches(seed, epoch):
        return [batch.tolist() for batch in shuffled(lengths_of(1000), 32, seed, epoch)]

    assert batches(1, 0) == batches(1, 0)
    assert batches(1, 0) != batches(2, 0)
    assert batches(1, 0) != batches(1, 1)


def test_the_longest_row_comes_first_and_the_others_in_no_order_of_length():
    lengths = lengths_of(8000)
    longest = [lengths[batch].max() for batch in shuffled(lengths, 32, seed=1, epoch=0)]
    assert longest[0] == lengths.max()
    assert np.diff(longest[1:]).min() < -20
    assert np.diff(longest[1:]).max() > 20


@pytest.mark.parametrize(("processes", "micro_batches"), [(1, 1), (2, 1), (3, 1), (2, 3), (1, 4)])
def test_processes_and_micro_batches_share_the_batches_of_one(processes, micro_batches):
    lengths, size = lengths_of(1000), 32
    shares = [
        MicroBatches(lengths, size, 5, micro_batches=micro_batches, process=p, processes=processes)
        for p in range(processes)
    ]
    for epoch in (0, 1):
        for share in shares:
            share.epoch = epoch
        parts = [list(share) for share in shares]
        whole = shuffled(lengths, size, 5, epoch)
        for mine, share in zip(parts, shares, strict=True):
            assert len(mine) == len(share) == len(whole) * micro_batches
            assert all(mine)  # no empty part
        for index, batch in enumerate(whole):
            steps = slice(index * micro_batches, (index + 1) * micro_batches)
            found = [row for mine in parts for part in mine[steps] for row in part]
            assert sorted(found) == sorted(batch)


def test_more_parts_than_rows_are_refused():
    for rows, remedy in ((100, "raise it, or use"), (3, "use")):
        said = f"batch_size is 4: too few of {rows} rows for 2 processes x 3 .*; {remedy} fewer"
        with pytest.raises(UserError, match=said):
            MicroBatches(lengths_of(rows), 4, 0, micro_batches=3, processes=2)


def test_padding_of_an_epoch_of_goemotions_is_at_most_five_percent(real_mirror, minilm, settings):
    from goemotions.data import fetch, splits

    fetch.fetch_dataset("goemotions", settings.datasets["goemotions"], minilm.parent / "goemotions")
    texts = splits.read(minilm.parent / "goemotions/train.jsonl").texts
    tokenizer = AutoTokenizer.from_pretrained(minilm).backend_tokenizer
    lengths = Rows(tokenizer, texts, None, max_length=64).lengths
    for epoch in (0, 1):
        batches = shuffled(lengths, 32, seed=1, epoch=epoch)
        padded = sum(len(batch) * lengths[batch].max() for batch in batches)
        assert 0 < 1 - lengths.sum() / padded <= 0.05

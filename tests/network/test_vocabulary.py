import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from goemotions.network.batching import Collator, Rows
from goemotions.network.vocabulary import Vocabulary

TEXTS = ["thank you so much", "what a wonderful day", "no"]


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=28).eval()


def rows(tokenizer, texts):
    return Rows(
        tokenizer.backend_tokenizer, texts, np.zeros((len(texts), 28), dtype=bool), max_length=16
    )


def predict(model, split, padding):
    batch = Collator(padding)([split[index] for index in range(len(split))])
    return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


def test_a_shrunken_model_computes_the_same(model, tiny):
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    split = rows(tokenizer, TEXTS)
    before = predict(model, split, tokenizer.pad_token_id)
    used = set(split.tokens.tolist())
    vocabulary = Vocabulary([split], tokenizer.pad_token_id)
    vocabulary.shrink(model)
    assert model.get_input_embeddings().num_embeddings == len(used | {tokenizer.pad_token_id})
    assert torch.equal(predict(model, split, vocabulary.padding), before)


def test_the_padding_tokens_number_stays_where_positions_are_counted_from_it():
    split = SimpleNamespace(tokens=torch.tensor([5, 9, 7, 6], dtype=torch.int32))
    vocabulary = Vocabulary([split], padding=1)  # as in CamemBERT
    assert vocabulary.padding == 1
    assert vocabulary.kept.tolist() == [0, 1, 5, 6, 7, 9]
    assert split.tokens.tolist() == [2, 5, 4, 3]


def test_training_it_is_training_the_whole(model, tiny):
    """Gradient by gradient; what the texts do not have keeps its pretrained bits."""
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    whole, split = copy.deepcopy(model), rows(tokenizer, TEXTS)
    pretrained = model.get_input_embeddings().weight.detach().clone()

    def train(model, padding):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
        for _ in range(3):
            predict(model, split, padding).square().sum().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    train(whole, tokenizer.pad_token_id)
    vocabulary = Vocabulary([split], tokenizer.pad_token_id)
    vocabulary.shrink(model)
    train(model, vocabulary.padding)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    vocabulary.restore(model, state)
    expected = whole.state_dict()
    assert set(model.state_dict()) == set(expected)
    for name, value in model.state_dict().items():
        assert torch.allclose(value, expected[name], atol=1e-6), name
    found = model.get_input_embeddings().weight.detach()
    changed = (found != pretrained).any(1).nonzero().flatten()
    kept = set(vocabulary.kept.tolist()) - {tokenizer.pad_token_id}
    assert set(changed.tolist()) == kept

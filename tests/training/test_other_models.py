"""Base models of other types than those in params.yaml, as docs/experiments.md says to add them."""

import hashlib
import shutil

import pytest
import torch
import transformers
from safetensors.torch import load_file

from goemotions import config
from goemotions.data import splits
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.models.prepare import cache
from goemotions.network.classifier import build_classifier, parameter_groups
from goemotions.training import fit
from tests.small import settings

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
KINDS = {
    "Roberta": SIZES | TOKENS | {"intermediate_size": 32},
    "ModernBert": SIZES | TOKENS | {"intermediate_size": 32, "cls_token_id": 1, "sep_token_id": 2},
    "DistilBert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "pad_token_id": 0},
    "Electra": SIZES | {"intermediate_size": 32, "embedding_size": 16, "pad_token_id": 0},
}


def test_the_head_and_the_word_embeddings_of_a_type_have_their_own_settings():
    recipe = config.parse(settings()).recipes["deberta-v3-tiny"]
    recipe = recipe.model_copy(update={"learning_rate": 1e-5, "head_learning_rate": 1e-3})
    for kind, head, words in (
        ("DistilBert", "pre_classifier.weight", "distilbert.embeddings.word_embeddings.weight"),
        ("Albert", "albert.pooler.weight", "albert.embeddings.word_embeddings.weight"),
        ("ModernBert", "classifier.weight", "model.embeddings.tok_embeddings.weight"),
    ):
        sizes = KINDS.get(kind, SIZES)
        found = getattr(transformers, f"{kind}Config")(**sizes, vocab_size=50)
        model = getattr(transformers, f"{kind}ForSequenceClassification")(found)
        groups = parameter_groups(model, recipe, 0.1)
        group = {
            name: next(one for one in groups if any(parameter is p for p in one["params"]))
            for name, parameter in model.named_parameters()
        }
        assert group[head]["lr"] == recipe.head_learning_rate
        assert (group[words]["lr"], group[words]["weight_decay"]) == (recipe.learning_rate, 0.0)


def test_a_type_whose_classifier_cannot_start_at_the_frequencies_is_refused(workspace, tmp_path):
    sizes = {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16, "vocab_size": 50}
    transformers.XLNetModel(transformers.XLNetConfig(**sizes)).save_pretrained(tmp_path / "xlnet")
    train = splits.read(workspace / "data/sample/train.jsonl")
    recipe = config.parse(settings()).recipes["deberta-v3-tiny"]
    with pytest.raises(UserError, match="xlnet models have no layer `classifier` with a bias"):
        build_classifier(tmp_path / "xlnet", recipe, train)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_another_type_trains_and_loads(kind, workspace, tmp_path, monkeypatch):
    raw = settings(epochs=1)
    tokenizer = workspace / "models/deberta-v3-tiny"
    source = tmp_path / "mirror/models/own" / kind
    source.mkdir(parents=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer / name, source / name)
    torch.manual_seed(0)
    vocabulary = transformers.AutoTokenizer.from_pretrained(tokenizer)
    sizes = KINDS[kind] | {"vocab_size": len(vocabulary)}
    base = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**sizes))
    base.save_pretrained(source)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in source.iterdir()}
    raw["model"] = kind
    raw["models"][kind] = {
        "source": "hub", "repo": f"own/{kind}", "revision": "1a" * 20, "files": files,
    }  # fmt: skip
    raw["recipes"][kind] = raw["recipes"]["deberta-v3-tiny"] | {"head_dropout": 0.35}
    params = config.parse(raw)
    monkeypatch.setenv("GOEMOTIONS_MIRROR", str(tmp_path / "mirror"))
    cache(kind, params.models[kind], params.model_folder)
    fit.train(params, "bce")

    folder = params.trained_folder("bce")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    assert 0.35 in {one.p for one in model.modules() if isinstance(one, torch.nn.Dropout)}
    texts = splits.load(params.data_folder, "val")["val"].texts[:20]
    pipeline = transformers.pipeline("text-classification", str(folder), top_k=None)
    expected = [{one["label"]: one["score"] for one in scores} for scores in pipeline(texts)]
    classifier = Classifier.load(folder)
    found = torch.sigmoid(torch.from_numpy(classifier.logits(texts)))
    for scores, row in zip(expected, found.tolist(), strict=True):
        assert row == pytest.approx([scores[label] for label in classifier.labels], abs=1e-5)
    weights = load_file(folder / "model.safetensors")
    name, before = next(
        (n, w) for n, w in base.named_parameters() if "word" not in n and w.ndim > 1
    )
    (after,) = (weight for n, weight in weights.items() if n.endswith(f".{name}"))
    assert not torch.equal(after, before)

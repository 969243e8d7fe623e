"""The classifier that is trained: a base model in float32 with a head that starts sensibly."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from goemotions.config import Params, Recipe
from goemotions.data.splits import Split
from goemotions.errors import UserError
from goemotions.io.silence import silenced

HEAD = ("classifier", "pre_classifier", "pooler")
_WORDS = ("word_embeddings", "tok_embeddings")  # in the names of the embeddings' weights
# These count positions from the one after the padding token's number.
_POSITIONS_AFTER_PADDING = {"camembert", "mpnet", "roberta", "xlm-roberta"}
_SINGLE = "single_label_classification"  # so transformers calls it, in config.json


def is_single_label(model: Any) -> bool:
    """Whether a classifier gives each text exactly one label, as its config.json says."""
    return bool(model.config.problem_type == _SINGLE)


def build_classifier(folder: Path, recipe: Recipe, train: Split) -> Any:
    """A sequence classifier of a training split's labels on the base model in `folder`.

    The weights are float32 whatever dtype they were saved in: DeBERTa-v3's are half precision,
    and training in that ends in NaN. The classifier's bias starts at each label's log-odds in
    `train` (Lin et al. 2017, section 4.1), or at its log-frequency in single-label data, so that
    the first steps are not spent on learning how frequent the labels are.

    Args:
        folder: models/<model>.
        recipe: gives the head's dropout.
        train: gives the labels' names and frequencies, and the task.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(
        folder,
        trust_remote_code=False,
        num_labels=len(train.labels),
        id2label=dict(enumerate(train.labels.names)),
        label2id={label: index for index, label in enumerate(train.labels.names)},
        problem_type=_SINGLE if train.labels.single else "multi_label_classification",
        dtype="float32",
    )
    if config.model_type in ("deberta", "deberta-v2"):
        config.cls_dropout = recipe.head_dropout
        config.pooler_dropout = 0.0
        config.pooler_hidden_size = config.hidden_size
    else:
        config.classifier_dropout = recipe.head_dropout
        for other in ("seq_classif_dropout", "classifier_dropout_prob"):  # DistilBERT, ALBERT
            if hasattr(config, other):
                setattr(config, other, recipe.head_dropout)
    if recipe.pooling == "mean":
        if config.model_type not in ("bert", "mpnet"):
            raise UserError(
                "the recipe's pooling is 'mean', which is for bert and mpnet models; "
                f"{config.model_type} models take 'cls'"
            )
        config.num_hidden_layers += 1
    with silenced():
        model = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
        )
    last = _last_layer(model)
    if config.model_type == "mpnet":  # whose config has no setting for it
        model.classifier.dropout.p = recipe.head_dropout
    with torch.no_grad():
        last.bias.copy_(_prior(train))
        if recipe.pooling == "mean":
            _start_as_mean(model)
    return model


def check_max_length(params: Params) -> None:
    """Raise UserError where train.max_length is more than the base model has positions for."""
    config = json.loads((params.model_folder / "config.json").read_text(encoding="utf-8"))
    most = config.get("max_position_embeddings")
    if config.get("model_type") in _POSITIONS_AFTER_PADDING:
        most -= config["pad_token_id"] + 1
    if most is not None and params.train.max_length > most:
        raise UserError(
            f"train.max_length is {params.train.max_length}; {params.model} takes at most {most} "
            f"tokens: set it to {most} or less"
        )


def _last_layer(model: Any) -> Any:
    head = getattr(model, "classifier", None)
    last = getattr(head, "out_proj", head)
    if getattr(last, "bias", None) is None:
        raise UserError(
            f"{model.config.model_type} models have no layer `classifier` with a bias, which "
            "starts at the frequency of the labels; choose a model of another type"
        )
    return last


def _prior(train: Split) -> Tensor:
    """The logits that predict each label as often as it occurs, float64 [labels]."""
    # One positive and one negative more than there are, so that none is infinite.
    positive = torch.from_numpy(train.targets.sum(0)).double() + 1
    if train.labels.single:
        return torch.log(positive / positive.sum())
    return torch.log(positive / (len(train.targets) + 2 - positive))


def _start_as_mean(model: Any) -> None:
    """Make the last layer, and the layer before the classifier, pass on the mean over all tokens.

    all-MiniLM and all-MPNet were pretrained to be pooled by the mean, but transformers' classifiers
    read the first token only. A further layer that attends to every token alike, padding excepted,
    makes its first token the mean; and as a layer of the model it loads anywhere and learns. In
    MPNet its attention stays the mean, and only its other weights learn.
    """
    layer, hidden_size = model.base_model.encoder.layer[-1], model.config.hidden_size
    identity = torch.eye(hidden_size)
    if model.config.model_type == "bert":
        attention, pooler = layer.attention.self, model.bert.pooler.dense
        query, key, value = attention.query, attention.key, attention.value
        output = layer.attention.output.dense
    else:
        attention, pooler = layer.attention.attn, model.classifier.dense
        query, key, value, output = attention.q, attention.k, attention.v, attention.o
    for part in (query, key, value, output, layer.output.dense, pooler):
        part.bias.zero_()
    # Zero keys make every score zero. The queries are not, or no gradient would reach the keys.
    key.weight.zero_()
    if model.config.model_type == "mpnet":
        _outweigh_positions(query, key, attention.attention_head_size)
    value.weight.copy_(identity)
    # So many times the mean that the first token, which the residual adds, counts little.
    output.weight.copy_((4 if model.config.model_type == "bert" else 64) * identity)
    layer.output.dense.weight.zero_()
    # Layer norm leaves entries near 1, where tanh is flat; at half of that it is nearly linear.
    pooler.weight.copy_(0.5 * identity)


def _outweigh_positions(query: nn.Linear, key: nn.Linear, size: int) -> None:
    """Make every score of a layer 2^60 / sqrt(size / 64), and keep it so.

    MPNet adds one bias by position to the scores of all layers. Beside 2^60 it vanishes: the
    nearest other numbers of 64 bits, and of 32 or 16, are 128 away or more. So all tokens are
    attended to alike, exactly. In float16, which ends at 65504, such a layer gives NaN.
    """
    query.weight.zero_()
    for part, exponent in ((query, 32), (key, 31)):
        part.bias[::size] = 2.0**exponent
        part.requires_grad_(False)


def parameter_groups(model: nn.Module, recipe: Recipe, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters by their rate and weight decay; the head has a rate of its own.

    Weight decay is for matrices. Biases, layer norms and word embeddings have none: a token that
    the texts do not have stays as it was pretrained.
    """
    head = (*HEAD, f"{getattr(model, 'base_model_prefix', '')}.pooler")
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = recipe.head_learning_rate if name.startswith(head) else recipe.learning_rate
        decays = parameter.ndim > 1 and not any(words in name for words in _WORDS)
        groups.setdefault((rate, weight_decay if decays else 0.0), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]

"""The classifier that is trained: a base model in float32 with a head that starts sensibly."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from goemotions.config import Recipe
from goemotions.data.splits import Split
from goemotions.errors import UserError
from goemotions.io.silence import silenced

HEAD = ("classifier", "pooler", "bert.pooler")
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
    if config.model_type == "deberta-v2":
        config.cls_dropout = recipe.head_dropout
        config.pooler_dropout = 0.0
        config.pooler_hidden_size = config.hidden_size
    else:
        config.classifier_dropout = recipe.head_dropout
    if recipe.pooling == "mean":
        if config.model_type != "bert":
            raise UserError(
                f"the recipe's pooling is 'mean', which is for bert models; {config.model_type} "
                "models take 'cls'"
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
    with torch.no_grad():
        last = getattr(model.classifier, "out_proj", model.classifier)
        last.bias.copy_(_prior(train))
        if recipe.pooling == "mean":
            _start_as_mean(model.bert)
    return model


def _prior(train: Split) -> Tensor:
    """The logits that predict each label as often as it occurs, float64 [labels]."""
    # One positive and one negative more than there are, so that none is infinite.
    positive = torch.from_numpy(train.targets.sum(0)).double() + 1
    if train.labels.single:
        return torch.log(positive / positive.sum())
    return torch.log(positive / (len(train.targets) + 2 - positive))


def _start_as_mean(bert: Any) -> None:
    """Make BERT's last layer and pooler hand the mean over all tokens to the classifier.

    all-MiniLM was pretrained to be pooled by the mean, but BertForSequenceClassification reads
    the first token only. A further layer with zero keys attends to every token alike, padding
    excepted, so its first token becomes the mean; and as a layer of BERT it loads anywhere and
    learns. The queries are not zero, or no gradient would reach the keys.
    """
    layer = bert.encoder.layer[-1]
    attention, output = layer.attention.self, layer.attention.output.dense
    identity = torch.eye(bert.config.hidden_size)
    for part in (attention.query, attention.key, attention.value, output, layer.output.dense):
        part.bias.zero_()
    attention.key.weight.zero_()
    attention.value.weight.copy_(identity)
    # Four times the mean, beside which the first token, which the residual adds, counts little.
    output.weight.copy_(4 * identity)
    layer.output.dense.weight.zero_()
    # Layer norm leaves entries near 1, where tanh is flat; at half of that it is nearly linear.
    bert.pooler.dense.weight.copy_(0.5 * identity)
    bert.pooler.dense.bias.zero_()


def parameter_groups(model: nn.Module, recipe: Recipe, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters by their rate and weight decay; the head has a rate of its own.

    Weight decay is for matrices. Biases, layer norms and word embeddings have none: a token that
    the texts do not have stays as it was pretrained.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        rate = recipe.head_learning_rate if name.startswith(HEAD) else recipe.learning_rate
        decays = parameter.ndim > 1 and "word_embeddings" not in name
        groups.setdefault((rate, weight_decay if decays else 0.0), []).append(parameter)
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]

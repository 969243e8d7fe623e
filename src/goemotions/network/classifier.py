"""The classifier that is trained: a base model in float32 with a head that starts sensibly."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from goemotions.config import Recipe
from goemotions.errors import UserError
from goemotions.io.silence import silenced
from goemotions.labels import LABELS

HEAD = ("classifier", "pooler", "bert.pooler")


def build_classifier(folder: Path, recipe: Recipe, targets: NDArray[np.bool_]) -> Any:
    """A sequence classifier of 28 labels on the base model in `folder`.

    The weights are float32 whatever dtype they were saved in: DeBERTa-v3's are half precision,
    and training in that ends in NaN. The classifier's bias starts at each label's log-odds in
    `targets` (Lin et al. 2017, section 4.1), so that the first steps are not spent on learning
    that most labels are absent.

    Args:
        folder: models/<model>.
        recipe: gives the head's dropout.
        targets: the training split's, multi-hot, [rows, 28].
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(
        folder,
        trust_remote_code=False,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        problem_type="multi_label_classification",
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
    # One positive and one negative more than there are, so that no log-odds is infinite.
    positive = torch.from_numpy(targets.sum(0)).double() + 1
    log_odds = torch.log(positive / (len(targets) + 2 - positive))
    with torch.no_grad():
        model.classifier.bias.copy_(log_odds)
        if recipe.pooling == "mean":
            _start_as_mean(model.bert)
    return model


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

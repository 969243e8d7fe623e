"""README.md of a published model: a card with the metadata that the Hugging Face Hub reads."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from numpy.typing import NDArray

from goemotions.comparison import measures
from goemotions.comparison.conclusion import described
from goemotions.comparison.experiments import WORKSPACE, Experiment
from goemotions.config import Params
from goemotions.config.dataset_settings import Dataset, HubDataset
from goemotions.data.splits import Split
from goemotions.evaluation.trained import Classifier
from goemotions.metrics import by_label
from goemotions.metrics.f1 import decide, ranking
from goemotions.publishing.onnx_files import FLOAT, INT8, LOSS_OF_INT8, Check
from goemotions.training import losses

GOEMOTIONS = "google-research-datasets/go_emotions"
BASES = {
    "minilm-l6": "sentence-transformers/all-MiniLM-L6-v2",
    "mpnet-base": "sentence-transformers/all-mpnet-base-v2",
}
"""Where a base model that comes in packages is on the Hub; others' settings say it."""


LIMITS = """## Limits

GoEmotions are English Reddit comments from 2005 to 2019, of 3 to 30 tokens; other texts are out of
its domain. The labels are what three to five raters from India who speak English saw in a comment,
not what its writer felt, and have their biases. Labels with few rows, such as grief, are recognized
badly, and their scores are noisy. 37 texts of the test split also occur in the training split. It
is not for decisions about people.
"""


@dataclass(frozen=True)
class Published:
    """What a card is about.

    Attributes:
        scores: on the test split, as in metrics/evaluation.json.
        checks: of the ONNX files.
        experiment: how it was trained; None where dvc.lock has another run.
        compared: the conclusion of `goemotions compare` about it; empty where there is none.
    """

    params: Params
    loss: str
    classifier: Classifier
    split: Split
    logits: NDArray[np.float32]
    scores: Mapping[str, float]
    checks: Mapping[str, Check]
    experiment: Experiment | None
    compared: str


def card(model: Published) -> str:
    """The card's text, with its metadata."""
    base = _base(model.params)
    dataset = model.params.datasets[model.params.dataset]
    known = of_goemotions(dataset)
    name = f"{model.params.model}, {model.loss}"
    data = ModelCardData(
        language="en" if known else None,
        license=_licence(base, known=known),
        library_name="transformers",
        pipeline_tag="text-classification",
        base_model=base,
        datasets=[dataset.repo] if isinstance(dataset, HubDataset) else None,
        tags=["onnx", *(["emotion", "goemotions"] if known else [])],
        model_name=name,
        eval_results=[
            EvalResult(
                task_type="text-classification",
                dataset_type=dataset.repo if isinstance(dataset, HubDataset) else "own",
                dataset_name=model.params.dataset,
                dataset_split="test",
                metric_type=kind,
                metric_name=_metric_name(metric, model.scores),
                metric_value=round(model.scores[metric], 4),
            )
            for metric, kind in (("macro_f1", "f1"), ("micro_f1", "f1"),
                                 ("average_precision", "average_precision"))
        ],
    )  # fmt: skip
    parts = [
        f"---\n{data.to_yaml()}\n---\n",
        f"# {name}\n",
        f"{model.params.model} fine-tuned on {model.params.dataset} "
        f"({len(model.classifier.labels)} labels) with the loss `{model.loss}`.\n",
        _usage(model),
        _scores(model),
        _training(model, base),
    ]
    if model.compared:
        parts.append(f"## How it compares\n\n{model.compared}\n")
    if known:
        parts.append(LIMITS)
    return str(ModelCard("\n".join(parts)))


def of_goemotions(dataset: Dataset) -> bool:
    """Whether an entry of `datasets` is the one that LIMITS is about."""
    return isinstance(dataset, HubDataset) and dataset.repo == GOEMOTIONS


def _base(params: Params) -> str | None:
    repo: str | None = getattr(params.models[params.model], "repo", None)
    return BASES.get(params.model, repo)


def _licence(base: str | None, *, known: bool) -> str | None:
    """Of a base model that this project comes with; None of others.

    Args:
        known: whether the data are GoEmotions; of other texts the licence is not known.
    """
    if not known:
        return None
    if base is not None and base.startswith("microsoft/deberta-v3-"):
        return "mit"
    return "apache-2.0" if base in BASES.values() else None


def _metric_name(metric: str, scores: Mapping[str, float]) -> str:
    if metric != "macro_f1":
        return measures.title(metric)
    low, high = scores["macro_f1_low"], scores["macro_f1_high"]
    return f"macro-F1 (95% interval {low:.4f} to {high:.4f})"


def snippet(model: Published) -> str:
    """Python that needs onnxruntime, tokenizers and numpy alone, and prints a text's labels."""
    if model.classifier.single:
        decide_lines = """config = json.load(open("config.json", encoding="utf-8"))
print(config["id2label"][str(logits[0].argmax())])"""
    else:
        decide_lines = f"""saved = json.load(open("thresholds.json", encoding="utf-8"))
thresholds = saved["methods"]["{model.classifier.preferred}"]["logits"]  # label -> logit
print([label for label, logit in zip(thresholds, logits[0]) if logit >= thresholds[label]])"""
    return f"""import json

import numpy as np
from onnxruntime import InferenceSession
from tokenizers import Tokenizer

session = InferenceSession("{FLOAT}")
tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.enable_truncation({model.classifier.max_length})
encoded = tokenizer.encode("thank you so much!")
inputs = {{"input_ids": [encoded.ids], "attention_mask": [encoded.attention_mask]}}
(logits,) = session.run(None, {{name: np.array(row) for name, row in inputs.items()}})
{decide_lines}
"""


def _usage(model: Published) -> str:
    lines = [
        "## Use\n",
        "```python\nfrom transformers import pipeline\n",
        'pipeline("text-classification", ".", top_k=None)("thank you so much!")\n```\n',
        "Without torch and transformers:\n",
        f"```python\n{snippet(model)}```\n",
        "| file | largest difference of a logit from torch's | macro-F1 |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| `{name}` | {check.difference:.2g} | {check.macro_f1:.4f} |"
        for name, check in model.checks.items()
    ]
    if not model.checks[INT8].kept:
        lines.append(f"\n`{INT8}` is left out, since it loses more than {LOSS_OF_INT8:g}.")
    lines.append(
        "\nThese are checked on the whole test split. Inputs are int64 and have any batch size and "
        f"up to {model.classifier.max_length} tokens.\n"
    )
    return "\n".join(lines)


def _scores(model: Published) -> str:
    thresholds = model.classifier.chosen(None)
    single = model.classifier.single
    rows = by_label.per_label(
        ranking(model.logits, single=single),
        decide(model.logits, thresholds),
        model.split.targets,
        thresholds,
        model.classifier.labels,
    )
    low, high = model.scores["macro_f1_low"], model.scores["macro_f1_high"]
    lines = [
        "## Scores\n",
        f"On the {len(model.split.ids):,} texts of the test split: macro-F1 "
        f"{model.scores['macro_f1']:.4f} (95% interval {low:.4f} to {high:.4f}, over test rows), "
        f"micro-F1 {model.scores['micro_f1']:.4f}, average precision "
        f"{model.scores['average_precision']:.4f}."
        + ("" if single else " Thresholds were fitted on validation."),
        "",
        f"| label |{'' if single else ' threshold |'} precision | recall | F1 | rows |",
        f"| --- |{'' if single else ' --- |'} --- | --- | --- | --- |",
    ]
    for row in rows:
        threshold = "" if row["threshold"] is None else f" {row['threshold']:.3f} |"
        label = row["label"].replace("|", "&#124;")
        lines.append(
            f"| {label} |{threshold} {row['precision']:.3f} | {row['recall']:.3f} "
            f"| {row['f1']:.3f} | {row['support']:,} |"
        )
    return "\n".join([*lines, ""])


def _training(model: Published, base: str | None) -> str:
    settings: dict[str, Any] = model.params.losses[model.loss].model_dump()
    function = getattr(losses, settings.pop("function"))
    equation = (inspect.getdoc(function) or "").split("\n\nArgs:")[0]
    given = described(settings) or "no settings"
    lines = [
        "## Training\n",
        f"Base model: {base or model.params.model}. Loss: `{model.loss}` ({given}).\n",
        f"```\n{equation}\n```\n",
    ]
    if (run := model.experiment) is not None:
        train = {
            key.removeprefix("train."): value
            for key, value in run.protocol.items()
            if key.startswith("train.")
        }
        named = described({k: v for k, v in (run.recipe | train).items() if v is not None})
        recorded = "" if run.name == WORKSPACE else f" It is the DVC experiment `{run.name}`."
        lines += [
            f"Seed {run.seed}; {named}.{recorded}\n",
            f"To make it again:\n\n```sh\ngit checkout {run.commit}\n{run.command}\n```\n",
        ]
    return "\n".join(lines)

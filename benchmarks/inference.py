"""Those that predict: transformers' pipeline, what users pick for speed, and ours."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import machine, models
from goemotions.data import splits
from goemotions.evaluation.trained import Classifier
from goemotions.io.silence import silenced
from goemotions.metrics.f1 import decide, macro_average_precision, macro_f1
from goemotions.network import batching
from goemotions.network.batching import Rows
from goemotions.network.inference import PRECISIONS
from goemotions.publishing import onnx_files

MAX_LENGTH = 64
REFERENCE = "pipeline, batches of 32"
ONE_BY_ONE = "pipeline, one by one"
# From a list of texts to logits or scores.
Predict = Callable[[list[str]], Any]


def measure(name: str, folder: Path, data: Path, rows: int, seed: int) -> dict[str, float]:
    """Classify texts, from strings to scores, and say how fast that was."""
    make, precision = CONTENDERS[name]
    texts = models.some(data, rows // 4 if name == ONE_BY_ONE else rows, seed).texts
    peak = machine.product_rate(precision) if precision in machine.DTYPES else 0.0
    with silenced():
        predict = make(folder)
        predict(texts[:64])
    start = time.perf_counter()
    predict(texts)
    seconds = time.perf_counter() - start
    lengths = Rows(models.tokenizer(folder).backend_tokenizer, texts, None, MAX_LENGTH).lengths
    operations = machine.operations(models.configuration(folder), lengths)
    return {
        "examples_per_second": len(texts) / seconds,
        "tokens_per_second": int(lengths.sum()) / seconds,
        "operations_per_second": operations / seconds,
        "product_rate": peak,
        "peak_memory_gb": machine.peak_memory() / 1e9,
        "padding": _padding(name, lengths),
    }


def _padding(name: str, lengths: NDArray[np.integer]) -> float:
    order = np.arange(len(lengths))
    size = 1 if name == ONE_BY_ONE else 32
    batches = [order[i : i + size] for i in range(0, len(order), size)]
    if name.startswith("sentence-transformers"):  # sorts texts by their length
        order = np.argsort(-lengths, kind="stable")
        batches = [order[i : i + size] for i in range(0, len(order), size)]
    if name.startswith("ours"):
        cuda = torch.cuda.is_available()
        most = batching.TOKENS_A_BATCH if cuda else batching.TOKENS_A_BATCH_ON_CPU
        batches = batching.by_tokens(lengths, most)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    return float(1 - lengths.sum() / padded)


def _pipeline(size: int, folder: Path) -> Predict:
    from transformers import pipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    usual = pipeline("text-classification", str(folder), top_k=None, device=device)
    return partial(usual, batch_size=size, truncation=True, max_length=MAX_LENGTH)


def _onnxruntime(file: str, folder: Path) -> Predict:
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])
    tokenizer = models.tokenizer(folder)

    def predict(texts: list[str]) -> Any:
        scores = []
        for start in range(0, len(texts), 32):
            encoded = tokenizer(
                texts[start : start + 32],
                padding=True,
                truncation=True,
                max_length=MAX_LENGTH,
                return_tensors="np",
            )
            inputs = {name: encoded[name] for name in ("input_ids", "attention_mask")}
            scores.append(session.run(None, inputs)[0])
        return np.concatenate(scores)

    return predict


def _sentence_transformers(folder: Path) -> Predict:
    """Its encoder with a linear head, which is what setfit predicts with, too."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    encoder = Transformer(str(folder), max_seq_length=MAX_LENGTH)
    width = encoder.get_embedding_dimension()
    model = SentenceTransformer(modules=[encoder, Pooling(width)])
    head = torch.nn.Linear(width, 28, device=model.device)

    @torch.inference_mode()
    def predict(texts: list[str]) -> Any:
        return head(model.encode(texts, batch_size=32, convert_to_tensor=True)).cpu()

    return predict


def _ours(precision: Any, folder: Path) -> Predict:
    return Classifier.load(folder, precision).logits


CONTENDERS: dict[str, tuple[Callable[[Path], Predict], str]] = {
    ONE_BY_ONE: (partial(_pipeline, 1), "fp32"),
    REFERENCE: (partial(_pipeline, 32), "fp32"),
    "ONNX Runtime, batches of 32": (partial(_onnxruntime, "model.onnx"), "fp32"),
    "ONNX Runtime, int8": (partial(_onnxruntime, "int8.onnx"), "int8"),
    "sentence-transformers with a linear head": (_sentence_transformers, "fp32"),
    "ours": (partial(_ours, "fp32"), "fp32"),
    "ours, bf16": (partial(_ours, "bf16"), "bf16"),
    "ours, int8": (partial(_ours, "int8"), "int8"),
}


def export(folder: Path) -> None:
    """Write model.onnx into a trained folder, and int8.onnx with products in 8 bits."""
    from onnxruntime.quantization import quantize_dynamic

    with silenced():
        onnx_files.convert(folder, folder / "model.onnx", MAX_LENGTH)
        quantize_dynamic(folder / "model.onnx", folder / "int8.onnx")


def scores(folder: Path, data: Path) -> dict[str, dict[str, float]]:
    """In each precision, a trained folder's average precision, and macro-F1 by its thresholds."""
    split, found = splits.read(data), {}
    for precision in PRECISIONS:
        classifier = Classifier.load(folder, precision)
        logits = classifier.logits(split.texts)
        decisions = decide(logits, classifier.chosen(None))
        found[precision] = {
            "macro_f1": macro_f1(decisions, split.targets),
            "average_precision": macro_average_precision(
                logits, split.targets, single=classifier.single
            ),
        }
    return found

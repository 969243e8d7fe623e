"""A trained model as ONNX, in float32 and with products in 8 bits, checked against torch."""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from goemotions.data.splits import Split
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.io.silence import silenced
from goemotions.metrics.f1 import decide, macro_f1

FLOAT, INT8 = "onnx/model.onnx", "onnx/model_int8.onnx"
CLOSE = 1e-4  # between logits in float32
LOSS_OF_INT8 = 0.003  # of macro-F1, at most


@dataclass(frozen=True)
class Check:
    """What an ONNX file gives on the test split.

    Attributes:
        difference: the largest one between its logits and torch's.
        macro_f1: by the same thresholds.
        kept: whether the file is; one in 8 bits must not lose more than LOSS_OF_INT8.
    """

    difference: float
    macro_f1: float
    kept: bool


def write(
    folder: Path, trained: Path, classifier: Classifier, split: Split, logits: NDArray[np.float32]
) -> dict[str, Check]:
    """Write both files into folder/onnx, and check them on the test split.

    The 8-bit file is left out where it would lose more than LOSS_OF_INT8 of macro-F1.

    Args:
        folder: to write to.
        trained: models/trained/<loss>.
        classifier: loaded from it.
        split: the test split.
        logits: the classifier's for it, [rows, labels].

    Returns:
        file -> its check; also of an 8-bit file that was left out.

    Raises:
        UserError: the packages are not installed, or the float32 file's logits are not torch's.
    """
    try:
        from onnxruntime.quantization import quantize_dynamic
    except ImportError:
        raise UserError(
            'export needs onnx, onnxruntime and onnxscript; run `pip install -e ".[export]"`'
        ) from None

    (folder / "onnx").mkdir()
    with _quiet():
        convert(trained, folder / FLOAT, classifier.max_length)
        # With a scale per output the logits' error is about half that with one per matrix.
        quantize_dynamic(folder / FLOAT, folder / INT8, per_channel=True)
    thresholds = classifier.chosen(None)
    exact = macro_f1(decide(logits, thresholds), split.targets)
    found = {}
    for name in (FLOAT, INT8):
        given = predict(folder / name, classifier, split.texts)
        score = macro_f1(decide(given, thresholds), split.targets)
        kept = name == FLOAT or exact - score <= LOSS_OF_INT8
        found[name] = Check(float(np.abs(given - logits).max()), score, kept)
    if not found[FLOAT].difference <= CLOSE:
        raise UserError(
            f"the ONNX file's logits differ from torch's by {found[FLOAT].difference:.2g}, and "
            f"{CLOSE:g} is allowed, so nothing was written; check that `make setup` installed the "
            "pinned versions of onnx, onnxruntime and onnxscript, and report it if it did"
        )
    if not found[INT8].kept:
        (folder / INT8).unlink()
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings of what torch deprecates, and of packages and steps that nobody needs."""
    logging.disable(logging.WARNING)
    try:
        with silenced(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def convert(trained: Path, path: Path, max_length: int) -> None:
    """Write a trained folder's model as ONNX, with any batch size and length."""
    from transformers import AutoModelForSequenceClassification

    # Its scaled dot products do not export with masks of every length.
    model = AutoModelForSequenceClassification.from_pretrained(
        trained, attn_implementation="eager", dtype=torch.float32, trust_remote_code=False
    ).eval()
    model.config.return_dict = False
    ids = torch.randint(5, min(model.config.vocab_size, 1000), (3, min(17, max_length)))
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=max_length)}
    torch.onnx.export(
        model,
        (ids, torch.ones_like(ids)),
        path,
        input_names=["input_ids", "attention_mask"],
        output_names=["logits"],
        dynamic_shapes={"input_ids": axes, "attention_mask": axes},
        dynamo=True,
        verbose=False,
        external_data=False,  # one file, as long as it is below the 2 GB of its format
    )


def predict(path: Path, classifier: Classifier, texts: Sequence[str]) -> NDArray[np.float32]:
    """An ONNX file's logits, [len(texts), labels], with the classifier's tokenizer and batches."""
    return replace(classifier, network=_session(path), device=torch.device("cpu")).logits(texts)


def _session(path: Path) -> Callable[[Any, Any], Any]:
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def classify(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        inputs = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        return torch.from_numpy(session.run(None, inputs)[0])

    return classify

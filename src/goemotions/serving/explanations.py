"""Why a text got its labels: the words that mattered, and similar texts of the training split."""

import copy
import re
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from goemotions.data.splits import Split
from goemotions.errors import UserError
from goemotions.evaluation.trained import Classifier
from goemotions.network import batching
from goemotions.network.batching import Collator, Rows
from goemotions.network.inference import Network

CHUNK = 64  # training texts that are embedded at a time
_WORD = re.compile(r"\S+")
PAUSE = 0.005  # seconds between them, in which a request that waits takes the lock


def without_each(text: str) -> list[str]:
    """The text without its first word, without its second word, and so on, as `split` has them."""
    spans = [match.span() for match in _WORD.finditer(text)]
    return [text[:start] + text[end:] for start, end in spans]


class Neighbours:
    """Texts of the training split that are most similar to a text, as a classifier sees them.

    Similarity is the cosine between what the classifier's last layer reads for each text. Of two
    texts that are equal except for white space and case only the first is kept.

    Attributes:
        total: training texts to embed.
        done: those that have been embedded so far.
    """

    def __init__(self, classifier: Classifier, split: Split) -> None:
        if not isinstance(classifier.network, Network):
            raise UserError(
                "similar texts need a BERT, MPNet or DeBERTa-v3 model that was trained with "
                "train.short_text: true"
            )
        encoder = copy.copy(classifier.network)
        encoder.classify = lambda vectors: vectors
        self._encoder, self._classifier, self._split = encoder, classifier, split
        first: dict[str, int] = {}
        for row, text in enumerate(split.texts):
            first.setdefault(" ".join(text.lower().split()), row)
        self._rows = list(first.values())
        self._vectors = np.empty((0, 0), dtype=np.float32)  # until all are embedded
        self.total, self.done = len(self._rows), 0

    @property
    def ready(self) -> bool:
        """Whether the training split is prepared."""
        return len(self._vectors) > 0

    def prepare(self, computing: threading.Lock, stopping: threading.Event) -> None:
        """Embed the training split; `done` says how far it is.

        Args:
            computing: held while a chunk is computed.
            stopping: ends it before the next chunk.
        """
        found = []
        for start in range(0, self.total, CHUNK):
            chunk = [self._split.texts[row] for row in self._rows[start : start + CHUNK]]
            with computing:
                found.append(self._embed(chunk))
            self.done += len(chunk)
            if stopping.wait(PAUSE):
                return
        self._vectors = np.concatenate(found)

    def nearest(self, text: str, count: int) -> list[tuple[str, list[str], float]]:
        """The `count` most similar texts, each with its labels and the cosine, best first.

        An exact search, for which the training split must be ready.
        """
        cosines = self._vectors @ self._embed([text])[0]
        best = np.argsort(-cosines, kind="stable")[:count]
        names = self._split.labels.names
        return [
            (
                self._split.texts[row],
                [names[label] for label in np.flatnonzero(self._split.targets[row])],
                float(cosines[index]),
            )
            for index, row in ((index, self._rows[index]) for index in best)
        ]

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the last layer reads, scaled to length 1, float32 [texts, size]."""
        classifier = self._classifier
        vectors = batching.logits(
            self._encoder,
            Rows(classifier.tokenizer, texts, None, classifier.max_length),
            Collator(classifier.pad_token_id),
            labels=self._encoder.config["hidden_size"],
            device=classifier.device,
        )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-12))

"""Prediction: batches in, one answer for each image out, and how often the answers are right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.operator.engine import Engine
from blindsight.operator.inputs import Batch, Input
from blindsight.protocol.interval import wilson


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one image.

    Args:
        row: its number within the input, from 0.
        index: number of the likeliest class.
        label: that class's name.
        probability: what the model gives it, 0 to 1.
        truth: number of the right class, or None when the input has no labels.
        file: its file in a folder of images, or empty.
    """

    row: int
    index: int
    label: str
    probability: float
    truth: int | None = None
    file: str = ""

    def to_json(self) -> dict[str, Any]:
        """The prediction as one line of JSON states it."""
        document: dict[str, Any] = {"row": self.row, "index": self.index, "class": self.label}
        document["probability"] = round(self.probability, 6)
        if self.truth is not None:
            document["label"] = self.truth
        return document | ({"file": self.file} if self.file else {})


@dataclass(frozen=True, slots=True)
class Score:
    """How many predictions were right.

    Args:
        n: number of labelled images.
        hits: how many of them were answered rightly.
    """

    n: int = 0
    hits: int = 0

    def plus(self, prediction: Prediction) -> Score:
        """The score with one more prediction; those without a label do not count."""
        if prediction.truth is None:
            return self
        return Score(self.n + 1, self.hits + (prediction.truth == prediction.index))

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.hits / self.n

    def to_json(self) -> dict[str, Any]:
        """The score as a summary states it."""
        low, high = wilson(self.hits, self.n)
        interval = [round(low, 6), round(high, 6)]
        return {"n": self.n, "hits": self.hits, "accuracy": round(self.accuracy, 6), "interval": interval}


def predictions(engine: Engine, source: Input, classes: tuple[str, ...], batch: int) -> Iterator[Prediction]:
    """Answer every image of an input in order, with one batch in memory at a time.

    Args:
        engine: the loaded model.
        source: the admitted input.
        classes: class names in label order.
        batch: images per run of the model, at least 1.

    Raises:
        ServingError: E_SERVING, see ``Engine.infer``.
        DataError: E_DATA, an image turns out to be damaged.
    """
    for rows in source.batches(batch):
        probabilities = softmax(engine.infer(rows.images))
        yield from _answers(rows, probabilities, classes)


def _answers(rows: Batch, probabilities: NDArray[np.float64], classes: tuple[str, ...]) -> Iterator[Prediction]:
    for place, index in enumerate(probabilities.argmax(axis=1).tolist()):
        truth = None if rows.labels is None else int(rows.labels[place])
        file = rows.names[place] if rows.names else ""
        yield Prediction(
            rows.first + place, index, classes[index], float(probabilities[place, index]), truth=truth, file=file
        )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Turn logits into probabilities.

    Args:
        logits: ``(n, classes)``, finite.

    Returns:
        ``(n, classes)`` float64; each row adds up to 1.
    """
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    scaled: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return scaled

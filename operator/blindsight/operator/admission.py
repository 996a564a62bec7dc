"""Admission: what is refused before the model sees it.

A model answers images under another key, or plain ones, with confident nonsense and no error. So what a stream states
of its key and scheme is compared with the bundle's tag, and its arrays with the bundle's input, before inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol.bundle import Bundle
from blindsight.protocol.errors import DataError, SchemeError
from blindsight.protocol.tag import Tag


@dataclass(frozen=True, slots=True)
class Terms:
    """What a bundle demands of its input.

    Args:
        tag: key and scheme.
        shape: ``(H, W, C)`` of every encrypted image.
        classes: class names in label order.
        labels_digest: digest of the class names, hex.
        declared: tag digest that the caller vouches for, hex; None when the caller states nothing.
    """

    tag: Tag
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    labels_digest: str
    declared: str | None

    @classmethod
    def of(cls, bundle: Bundle, declared: str | None) -> Terms:
        """The terms of a verified bundle."""
        return cls(bundle.tag, bundle.shape, bundle.classes, bundle.predicate["labels_digest"], declared)

    def demand_tag(self, what: str, claims: Mapping[str, Any]) -> None:
        """Compare what an input states of itself, and what the caller states of it, with the bundle's tag.

        Args:
            what: the input's name in the error sentence.
            claims: fields of the tag → value; empty for formats that carry none.

        Raises:
            SchemeError: E_SCHEME, with expected and got; or nobody states anything.
        """
        if self.declared is None and not claims:
            raise SchemeError(
                f"{what} does not say under which key and scheme its images are encrypted: expected tag "
                f"{self.tag.digest[:16]}, got none",
                hint="if you know that they are of the model's key, say --tag HEX as operator check --json prints it",
            )
        stated = {} if self.declared is None else {"digest": self.declared}
        self.tag.demand(what, **claims, **stated)

    def demand_images(self, what: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Demand at least one image of the bundle's shape.

        Args:
            what: the input's name in the error sentence.
            dtype: of its array.
            shape: of its array, the number of images first.

        Raises:
            SchemeError: E_SCHEME, another shape or type.
            DataError: E_DATA, there is no image.
        """
        if dtype != np.uint8 or shape[1:] != self.shape:
            expected = "x".join(str(side) for side in self.shape)
            got = "x".join(str(side) for side in shape[1:])
            raise SchemeError(f"{what} is of another shape or type: expected {expected} uint8, got {got} {dtype}")
        if shape[0] == 0:
            raise DataError(f"{what} holds no images")

    def demand_labels(self, what: str, labels: NDArray[np.int64] | None) -> None:
        """Demand labels that number the bundle's classes, if there are labels.

        Raises:
            SchemeError: E_TASK.
        """
        if labels is not None and (labels.min() < 0 or labels.max() >= len(self.classes)):
            raise SchemeError(
                f"{what} has labels from {labels.min()} to {labels.max()}, the model knows {len(self.classes)} classes",
                code="E_TASK",
            )

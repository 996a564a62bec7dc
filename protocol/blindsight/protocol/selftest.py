"""Self-tests of a bundle: a few images of noise and what the network answers to them. FORMAT.md section J.

A signature shows that a model is the one that was signed. A self-test shows that it computes what was trained: that
``model.onnx`` is the network whose weights lie beside it, and that the engine of whoever runs it gives its numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol import fields, tensorfile
from blindsight.protocol.encoding import parse_canonical
from blindsight.protocol.errors import FormatError

WHAT: Final = "the self-test"
IMAGES: Final = 8
TOLERANCE: Final = 1e-4
"""Largest difference, in parts of 1 plus the greatest absolute logit."""

_METADATA = fields.mapping({"v": fields.constant(1), "kind": fields.constant("selftest")})


@dataclass(frozen=True, slots=True, eq=False)
class SelfTest:
    """Images and the answers to them.

    Args:
        images: ``(8, H, W, C)`` uint8, uniform random bytes: nobody's pictures.
        logits: ``(8, classes)`` float32, finite.

    Raises:
        FormatError: E_FORMAT, arrays of another type or shape, or logits that are not finite.
    """

    images: NDArray[np.uint8]
    logits: NDArray[np.float32]

    def __post_init__(self) -> None:
        images, logits = self.images, self.logits
        if images.dtype != np.uint8 or images.ndim != 4 or len(images) != IMAGES or not images.size:
            raise FormatError(f"a self-test has {IMAGES} images (h, w, c) uint8, got {images.shape} {images.dtype}")
        if logits.dtype != np.float32 or logits.ndim != 2 or len(logits) != IMAGES or not logits.size:
            raise FormatError(f"a self-test has logits for {IMAGES} images float32, got {logits.shape} {logits.dtype}")
        if not np.isfinite(logits).all():
            raise FormatError("a self-test has finite logits, got some that are not")

    @property
    def tolerance(self) -> float:
        """Largest difference that another engine's logits may have."""
        return TOLERANCE * (1.0 + float(np.abs(self.logits).max()))

    def difference(self, logits: NDArray[np.float32]) -> float:
        """Largest absolute difference of other logits, ``(8, classes)``, from those stated."""
        return float(np.abs(logits.astype(np.float64) - self.logits).max())

    def to_bytes(self) -> bytes:
        """The file."""
        return tensorfile.to_bytes({"images": self.images, "logits": self.logits}, {"v": 1, "kind": "selftest"})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the file.

        Raises:
            FormatError: E_SHARD, it is damaged; E_FORMAT, E_CANON, it is no self-test.
        """
        layout = tensorfile.parse_layout(data, len(data), WHAT)
        fields.demand(_METADATA, parse_canonical(layout.metadata.encode(), WHAT), WHAT)
        if set(layout.tensors) != {"images", "logits"}:
            raise FormatError("a self-test holds the tensors images and logits and no other")
        return cls(tensorfile.view(data, layout, "images"), tensorfile.view(data, layout, "logits"))

    def demand_for(self, shape: tuple[int, int, int], classes: int) -> None:
        """Demand that it is one of a model for these images and classes.

        Args:
            shape: ``(H, W, C)`` of every encrypted image.
            classes: number of classes.

        Raises:
            FormatError: E_FORMAT.
        """
        got, expected = (*self.images.shape[1:], self.logits.shape[1]), (*shape, classes)
        if got != expected:
            raise FormatError(f"expected a self-test for images and classes {expected}, got one for {got}")

"""A scheme bound to one shape and one key: the only way the rest of the holder meets a cipher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from blindsight.protocol.errors import DataError
from blindsight.protocol.scheme import Descriptor, Images


class Parameters(Protocol):
    """The explicit parameters of one scheme and what they do to images."""

    def encrypt(self, images: Images, ids: Sequence[str]) -> Images:
        """Encrypt ``(n, h, w, c)`` uint8 images known by ``ids``."""

    def decrypt(self, images: Images, ids: Sequence[str]) -> Images:
        """Undo ``encrypt`` for the same ``ids``."""


@dataclass(frozen=True, slots=True)
class Cipher:
    """Parameters of a scheme that refuse every image but those of the descriptor's shape.

    Args:
        descriptor: scheme and shape.
        parameters: explicit parameters of that scheme, drawn from a key or made by hand.
    """

    descriptor: Descriptor
    parameters: Parameters

    def encrypt(self, images: Images, ids: Sequence[str]) -> Images:
        """Encrypt a batch; what becomes of an image does not depend on the others.

        Args:
            images: ``(n, H, W, C)`` uint8 in the descriptor's shape; never written to, need not be contiguous.
            ids: one name an image; schemes with one key for all images do not use them.

        Returns:
            ``(n, H, W, C)`` uint8, a new array.

        Raises:
            DataError: the images have another shape than the descriptor's.
            ValueError: they are no uint8 batch, or there is not one id an image.
        """
        self._check(images, ids)
        return self.parameters.encrypt(images, ids)

    def decrypt(self, images: Images, ids: Sequence[str]) -> Images:
        """Undo ``encrypt`` for the same ids; arguments, result and errors are the same."""
        self._check(images, ids)
        return self.parameters.decrypt(images, ids)

    def _check(self, images: Images, ids: Sequence[str]) -> None:
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"images must be (n, h, w, c) uint8, got {images.shape} {images.dtype}")
        if len(ids) != len(images):
            raise ValueError(f"there must be one id an image, got {len(ids)} for {len(images)}")
        if images.shape[1:] != self.descriptor.shape:
            expected, got = ("x".join(map(str, shape)) for shape in (self.descriptor.shape, images.shape[1:]))
            raise DataError(f"images must be {expected}, got {got}", hint="choose a --fit, or another descriptor")

"""``plain``: no encryption, the control of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from blindsight.protocol.scheme import Descriptor, Images


@dataclass(frozen=True, slots=True)
class PlainParameters:
    """Nothing to choose."""

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """The same for every key and descriptor."""
        return cls()

    def encrypt(self, images: Images, ids: Sequence[str] = ()) -> Images:
        """A copy of the images: ``(n, h, w, c)`` uint8."""
        return images.copy()

    def decrypt(self, images: Images, ids: Sequence[str] = ()) -> Images:
        """A copy of the images: ``(n, h, w, c)`` uint8."""
        return images.copy()

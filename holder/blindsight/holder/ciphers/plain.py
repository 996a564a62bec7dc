"""``plain``: no encryption, the control of every comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from blindsight.holder.ciphers.quality import Quality
from blindsight.protocol.scheme import Descriptor, Images


@dataclass(frozen=True, slots=True)
class PlainParameters:
    """Nothing to choose."""

    @classmethod
    def from_key(cls, scheme_key: bytes, descriptor: Descriptor) -> Self:
        """The same for every key and descriptor."""
        return cls()

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Copy the images."""
        np.copyto(out, images)

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Copy the images."""
        np.copyto(out, images)

    def quality(self) -> Quality:
        """Everything stays."""
        return Quality(unchanged=1.0, units=1, fixed_points=1, reversals=0, keyspace=0.0)

"""What was done to the images: scheme descriptors, their traits, keys and check values. FORMAT.md section F.

Holder and trainer read a descriptor through this module alone, so both mean the same by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol import fields
from blindsight.protocol.encoding import canonical, expand, tagged_hash, u64be
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.keystream import Stream

Images = NDArray[np.uint8]
CHECK_IMAGES = 4
MAX_SIDE = 65_536
MAX_BLOCK = 256
CHANNELS = (1, 3)

SHAPE = fields.mapping(
    {
        "id": fields.pattern(re.compile(r"[a-z][a-z0-9-]{0,39}"), "a scheme name in lower case"),
        "v": fields.integer(1),
        "shape": fields.listing(fields.integer(1, MAX_SIDE), least=3, most=3),
        "dtype": fields.constant("u8"),
        "params": fields.dictionary(fields.either(fields.integer(), fields.one_of([True, False]), fields.text(80))),
    }
)
MIN_BLOCK = 3  # smaller blocks leave almost the whole layout of a picture in view
_BLOCK = {"block": fields.integer(1, MAX_BLOCK)}


@dataclass(frozen=True, slots=True)
class Traits:
    """What is publicly known of a scheme, whatever its key.

    Args:
        unit: what the key moves: ``byte`` or ``nibble``.
        scope: ``common`` (one key for all images), ``image`` (one for each) or ``none``.
        invertible: whether the key's owner can get the image back.
        lossless_stem: whether a first layer that is linear on the units absorbs the key.
        aligned: whether blocks stay in their places and are all treated alike, so that an image moved by whole blocks
            encrypts to the encrypted image moved by whole blocks.
        params: the shape of its parameters.
        title: the scheme in a few words.
        source: paper and section.
    """

    unit: str
    scope: str
    invertible: bool
    lossless_stem: bool
    aligned: bool
    params: Mapping[str, fields.Check]
    title: str
    source: str


SCHEMES: Mapping[tuple[str, int], Traits] = {
    ("plain", 1): Traits("byte", "none", True, True, True, _BLOCK, "no encryption: the control", "none"),
    ("block-shuffle", 1): Traits(
        "byte",
        "common",
        True,
        True,
        True,
        _BLOCK,
        "bytes of each block permuted, one permutation for all blocks",
        "Tanaka 2018, arXiv:1804.00490, section IV (naive block-wise pixel shuffle)",
    ),
    ("le", 1): Traits(
        "nibble",
        "common",
        True,
        True,
        True,
        _BLOCK,
        "nibbles of each block permuted and some reversed, one key for all blocks",
        "Tanaka 2018, arXiv:1804.00490, section III (learnable image encryption)",
    ),
}


@dataclass(frozen=True, slots=True)
class Descriptor:
    """The public half of an encryption: which scheme, on which shape, with which parameters.

    Args:
        id: scheme name, a key of ``SCHEMES`` together with ``v``.
        v: scheme version, from 1.
        shape: ``(H, W, C)`` of every image.
        params: public parameters, for example ``{"block": 4}``.
    """

    id: str
    v: int
    shape: tuple[int, int, int]
    params: Mapping[str, Any]

    @property
    def traits(self) -> Traits:
        """The scheme's traits.

        Raises:
            SchemeError: E_SCHEME, this version of the software does not know the scheme.
        """
        try:
            return SCHEMES[self.id, self.v]
        except KeyError:
            known = ", ".join(sorted(f"{name} v{version}" for name, version in SCHEMES))
            raise SchemeError(
                f"scheme {self.id} v{self.v} is not known here; known are {known}",
                hint="update blindsight, or use one of the known schemes",
            ) from None

    @property
    def block(self) -> int:
        """Side of a block in pixels."""
        return int(self.params["block"])

    @property
    def digest(self) -> str:
        """The scheme digest: hex of 32 bytes over the canonical descriptor."""
        return tagged_hash("scheme", canonical(self.to_json())).hex()

    def check(self) -> None:
        """Demand a known scheme whose parameters fit the shape.

        Raises:
            SchemeError: E_SCHEME.
            FormatError: E_FORMAT, a parameter is missing, unknown or out of range.
        """
        fields.demand(fields.mapping(self.traits.params), dict(self.params), f"parameters of scheme {self.id}")
        height, width, channels = self.shape
        if height % self.block or width % self.block:
            raise SchemeError(
                f"{height}x{width} images do not divide into blocks of {self.block}x{self.block}",
                hint="choose another --block, or --fit pad",
            )
        if self.traits.scope != "none" and self.block < MIN_BLOCK:
            raise SchemeError(
                f"blocks must be at least {MIN_BLOCK} pixels wide, got {self.block}", hint="use --block 4"
            )
        if channels not in CHANNELS:
            raise SchemeError(f"images must have 1 or 3 channels, got {channels}")

    def to_json(self) -> dict[str, Any]:
        """The descriptor as it stands in documents."""
        return {
            "id": self.id,
            "v": self.v,
            "shape": list(self.shape),
            "dtype": "u8",
            "params": dict(self.params),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Descriptor:
        """Read a descriptor; whether the scheme is known is for ``check``.

        Raises:
            FormatError: E_FORMAT.
        """
        fields.demand(SHAPE, document, "scheme descriptor")
        height, width, channels = document["shape"]
        return cls(document["id"], document["v"], (height, width, channels), document["params"])


def scheme_key(epoch_secret: bytes, fed: str, epoch: int, digest: str) -> bytes:
    """The key of one scheme and shape in one epoch: 32 bytes.

    Args:
        epoch_secret: 32 bytes.
        fed: federation id in hex.
        epoch: number of the epoch.
        digest: scheme digest in hex.
    """
    return expand(epoch_secret, "scheme", bytes.fromhex(fed), u64be(epoch), bytes.fromhex(digest))


def check_value(descriptor: Descriptor, key: bytes, encrypt: Callable[[Images, list[str]], Images]) -> str:
    """The scheme check value: shows that implementation, parameters and key agree, and shows nothing else.

    Args:
        descriptor: scheme and shape.
        key: the scheme key, 32 bytes.
        encrypt: maps ``(n, H, W, C)`` uint8 images and their ids to encrypted images.

    Returns:
        Hex of 32 bytes. The images behind it are secret pseudorandom noise, so nobody gains known plaintext.
    """
    height, width, channels = descriptor.shape
    noise = Stream(key, "check-image").bytes(CHECK_IMAGES * height * width * channels)
    images = np.frombuffer(noise, dtype=np.uint8).reshape(CHECK_IMAGES, height, width, channels)
    encrypted = encrypt(images, [f"check/{place}" for place in range(CHECK_IMAGES)])
    return tagged_hash("scv", bytes.fromhex(descriptor.digest), encrypted.tobytes()).hex()

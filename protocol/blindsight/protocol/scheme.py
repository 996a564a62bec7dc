"""What was done to the images: scheme descriptors, keys and check values. FORMAT.md section F.

Holder and trainer read a descriptor through this module alone, so both mean the same by it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.protocol import fields
from blindsight.protocol.encoding import canonical, expand, tagged_hash, u64be
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.keystream import Stream
from blindsight.protocol.schemes import DEFAULT_BLOCK, MIN_BLOCK, SCHEMES, Param, Traits

__all__ = [
    "MIN_BLOCK",
    "SCHEMES",
    "Descriptor",
    "Images",
    "Param",
    "Traits",
    "check_value",
    "multiple_of",
    "scheme_key",
    "traits_of",
]

Images = NDArray[np.uint8]
CHECK_IMAGES = 4
MAX_SIDE = 65_536
MAX_BYTES = 2**27  # of one image, 8K frames included: drawing a key takes many times as much memory
CHANNELS = (1, 3)
_DIGITS = re.compile("[0-9]{1,9}")

SHAPE = fields.mapping(
    {
        "id": fields.pattern(re.compile(r"[a-z][a-z0-9-]{0,39}"), "a scheme name in lower case"),
        "v": fields.integer(1),
        "shape": fields.listing(fields.integer(1, MAX_SIDE), least=3, most=3),
        "dtype": fields.constant("u8"),
        "params": fields.dictionary(fields.either(fields.integer(), fields.one_of([True, False]), fields.text(80))),
    }
)


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

    @classmethod
    def of(cls, identifier: str, shape: tuple[int, int, int], given: Mapping[str, Any] | None = None) -> Descriptor:
        """The newest version of a scheme on a shape, what is not given taking its default.

        Args:
            identifier: scheme name.
            shape: ``(H, W, C)`` of every image.
            given: public parameters; values may be text.

        Raises:
            SchemeError: E_SCHEME, the scheme is not known, has no such parameter, or does not fit the shape.
            FormatError: E_FORMAT, a parameter is out of range.
        """
        version = max((v for name, v in SCHEMES if name == identifier), default=1)
        bare = cls(identifier, version, shape, {})
        descriptor = cls(identifier, version, shape, _filled(identifier, bare.traits.params, shape, given or {}))
        descriptor.check()
        return descriptor

    @property
    def traits(self) -> Traits:
        """The scheme's traits; a parameter ``scope`` decides about its scope, and no stem absorbs a key an image.

        Raises:
            SchemeError: E_SCHEME, this version of the software does not know the scheme.
        """
        known = traits_of(self.id, self.v)
        return replace(known, scope="image", stem="none") if self.params.get("scope") == "image" else known

    @property
    def block(self) -> int:
        """Side of a block in pixels; 1 for schemes without blocks."""
        return int(self.params.get("block", 1))

    @property
    def encrypted_shape(self) -> tuple[int, int, int]:
        """``(H, W, C)`` of every encrypted image."""
        height, width, channels = self.shape
        return height // self.traits.shrink, width // self.traits.shrink, channels

    @property
    def encrypted_block(self) -> int:
        """Side of a block in the encrypted image, in pixels; 1 for schemes without blocks."""
        return max(1, self.block // self.traits.shrink)

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
        fields.demand(SHAPE, self.to_json(), "the scheme descriptor")
        checks = {name: param.check for name, param in self.traits.params.items()}
        fields.demand(fields.mapping(checks), dict(self.params), f"the list of parameters of scheme {self.id}")
        if refusal := self.traits.demand(self.shape, self.params):
            raise SchemeError(f"scheme {self.id}: {refusal}", hint=self._hint())
        height, width, channels = self.shape
        if channels not in CHANNELS:
            raise SchemeError(f"images must have 1 or 3 channels, got {channels}")
        if height * width * channels > MAX_BYTES:
            raise SchemeError(f"images must be at most {MAX_BYTES} bytes, got {height}x{width}x{channels}")

    def _hint(self) -> str:
        side = min(self.shape[:2]) // self.traits.multiple * self.traits.multiple
        if "block" in self.params:
            return "choose another --block or another size of images (when publishing: --fit pad)"
        cut = f" (when publishing: --fit crop --size {side}x{side})" if self.traits.multiple > 1 else ""
        return f"choose another size of images{cut}"

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


def traits_of(identifier: str, version: int) -> Traits:
    """What is publicly known of a scheme.

    Raises:
        SchemeError: E_SCHEME, this version of the software does not know the scheme.
    """
    try:
        return SCHEMES[identifier, version]
    except KeyError:
        known = ", ".join(sorted(f"{name} v{v}" for name, v in SCHEMES))
        raise SchemeError(
            f"scheme {identifier[:40]} v{version} is not known here; known are {known}",
            hint="update blindsight, or use one of the known schemes",
        ) from None


def multiple_of(identifier: str, given: Mapping[str, Any]) -> int:
    """What the sides of images must be a multiple of, as far as that is known before their shape.

    Args:
        identifier: scheme name.
        given: public parameters; values may be text and are not checked here.

    Raises:
        SchemeError: E_SCHEME, the scheme is not known, or its blocks cannot be of that size on any image.
    """
    traits = traits_of(identifier, 1)
    block = _value(given.get("block", DEFAULT_BLOCK)) if "block" in traits.params else traits.multiple
    if isinstance(block, int) and block % traits.shrink:
        raise SchemeError(f"scheme {identifier}: blocks must be an even number of pixels wide, got {block}")
    return block if isinstance(block, int) and block >= 1 else 1


def _filled(
    identifier: str, params: Mapping[str, Param], shape: tuple[int, int, int], given: Mapping[str, Any]
) -> dict[str, Any]:
    """The given parameters and the defaults of the others."""
    if unknown := sorted(set(given) - set(params)):
        known = ", ".join(params) or "none"
        raise SchemeError(f"scheme {identifier} has no parameter {unknown[0][:40]}; its parameters: {known}")
    filled: dict[str, Any] = {}
    for name, param in params.items():
        if name in given:
            filled[name] = _value(given[name])
            fields.demand(
                fields.mapping({name: param.check}),
                {name: filled[name]},
                f"the list of parameters of scheme {identifier}",
            )
        else:
            filled[name] = param.default(shape, filled)
    return filled


def _value(given: Any) -> Any:
    """A number that may be given as text."""
    return int(given) if isinstance(given, str) and _DIGITS.fullmatch(given) else given


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

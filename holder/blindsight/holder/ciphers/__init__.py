"""The encryption schemes, one file each; ``cipher_for`` finds the one that a descriptor names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from blindsight.holder.ciphers.block_shuffle import BlockShuffleParameters
from blindsight.holder.ciphers.cipher import Cipher, Parameters
from blindsight.holder.ciphers.le import LeParameters
from blindsight.holder.ciphers.plain import PlainParameters
from blindsight.protocol.scheme import Descriptor

__all__ = [
    "CIPHERS",
    "BlockShuffleParameters",
    "Cipher",
    "LeParameters",
    "Parameters",
    "PlainParameters",
    "cipher_for",
]

CIPHERS: Mapping[tuple[str, int], Callable[[bytes, Descriptor], Parameters]] = {
    ("plain", 1): PlainParameters.from_key,
    ("block-shuffle", 1): BlockShuffleParameters.from_key,
    ("le", 1): LeParameters.from_key,
}


def cipher_for(descriptor: Descriptor, scheme_key: bytes) -> Cipher:
    """The cipher of a descriptor under a key.

    Args:
        descriptor: scheme, version, shape and public parameters.
        scheme_key: 32 bytes.

    Returns:
        The cipher; equal descriptors and keys give ciphers that agree byte for byte.

    Raises:
        SchemeError: the scheme is not known, or its blocks do not divide the shape.
        FormatError: a parameter is missing, unknown or out of range.
        DataError: the block is too small, or the channels are neither 1 nor 3.
    """
    descriptor.check()
    return Cipher(descriptor, CIPHERS[descriptor.id, descriptor.v](scheme_key, descriptor))

"""The encryption schemes, one file each; ``cipher_for`` finds the one that a descriptor names.

``blocks``, ``gather``, ``moves`` and ``colours`` are the kernels that they share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from blindsight.holder.ciphers.block_shuffle import BlockShuffleParameters
from blindsight.holder.ciphers.cat_map import CatMapParameters
from blindsight.holder.ciphers.cipher import Cipher, Parameters
from blindsight.holder.ciphers.ele import EleParameters
from blindsight.holder.ciphers.etc import EtcParameters
from blindsight.holder.ciphers.le import LeParameters
from blindsight.holder.ciphers.logistic_xor import LogisticXorImageParameters, LogisticXorParameters
from blindsight.holder.ciphers.parameters import for_images
from blindsight.holder.ciphers.patch_mix import PatchMixParameters
from blindsight.holder.ciphers.patch_shuffle import PatchShuffleParameters
from blindsight.holder.ciphers.pixel import PixelImageParameters, PixelParameters
from blindsight.holder.ciphers.plain import PlainParameters
from blindsight.holder.ciphers.quality import KEYSPACE_NOTE, Quality
from blindsight.holder.ciphers.restricted import RestrictedParameters
from blindsight.holder.ciphers.vit_block import VitBlockParameters
from blindsight.holder.ciphers.vortex import Vortex, VortexParameters
from blindsight.holder.ciphers.vortex_ring import Rings, VortexRingParameters
from blindsight.protocol.scheme import Descriptor

__all__ = [
    "CIPHERS",
    "KEYSPACE_NOTE",
    "BlockShuffleParameters",
    "CatMapParameters",
    "Cipher",
    "EleParameters",
    "EtcParameters",
    "LeParameters",
    "LogisticXorImageParameters",
    "LogisticXorParameters",
    "Parameters",
    "PatchMixParameters",
    "PatchShuffleParameters",
    "PixelImageParameters",
    "PixelParameters",
    "PlainParameters",
    "Quality",
    "RestrictedParameters",
    "Rings",
    "VitBlockParameters",
    "Vortex",
    "VortexParameters",
    "VortexRingParameters",
    "cipher_for",
    "for_images",
]

CIPHERS: Mapping[tuple[str, int], Callable[[bytes, Descriptor], Parameters]] = {
    ("plain", 1): PlainParameters.from_key,
    ("block-shuffle", 1): BlockShuffleParameters.from_key,
    ("cat-map", 1): CatMapParameters.from_key,
    ("le", 1): LeParameters.from_key,
    ("patch-shuffle", 1): PatchShuffleParameters.from_key,
    ("patch-mix", 1): PatchMixParameters.from_key,
    ("pixel", 1): PixelParameters.from_key,
    ("logistic-xor", 1): LogisticXorParameters.from_key,
    ("vortex", 1): VortexParameters.from_key,
    ("vortex-ring", 1): VortexRingParameters.from_key,
    ("vit-block", 1): VitBlockParameters.from_key,
    ("ele", 1): EleParameters.from_key,
    ("etc", 1): EtcParameters.from_key,
    ("restricted", 1): RestrictedParameters.from_key,
}


def cipher_for(descriptor: Descriptor, scheme_key: bytes, workers: int = 1) -> Cipher:
    """The cipher of a descriptor under a key.

    Args:
        descriptor: scheme, version, shape and public parameters.
        scheme_key: 32 bytes.
        workers: threads that share a batch.

    Returns:
        The cipher; equal descriptors and keys give ciphers that agree byte for byte.

    Raises:
        SchemeError: the scheme is not known, or its parameters do not fit the shape.
        FormatError: a parameter is missing, unknown or out of range.
        DataError: the block is too small, or the channels are neither 1 nor 3.
    """
    descriptor.check()
    return Cipher(descriptor, CIPHERS[descriptor.id, descriptor.v](scheme_key, descriptor), workers)

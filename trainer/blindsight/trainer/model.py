"""From a scheme descriptor to a network: the stem follows from the scheme's traits, nothing else of it is needed."""

from __future__ import annotations

from typing import Final, TypedDict

from torch import nn

from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.config import RunConfig
from blindsight.trainer.networks import build

EDGES: Final = (4, 2, 1)
"""Edges in pixels that a stem's blocks may have where the scheme has no blocks; the first that divides both sides."""


class Arch(TypedDict):
    """What a network is built from besides its name and seed; stands in a bundle as ``arch.params``.

    Attributes:
        unit: what the scheme moves or changes, ``byte``, ``nibble`` or ``bit``.
        block: edge of the stem's blocks in pixels of the encrypted image.
        shape: (h, w, c) of one encrypted image.
        classes: number of classes.
        upsample: feature positions per block edge behind the stem.
    """

    unit: str
    block: int
    shape: tuple[int, int, int]
    classes: int
    upsample: int


def arch_of(descriptor: Descriptor, classes: int, config: RunConfig) -> Arch:
    """Say which stem and network fit a scheme: the one way from a descriptor to the first layer.

    Args:
        descriptor: scheme and shape of the plain images.
        classes: number of classes.
        config: names the up-sampling.

    Raises:
        SchemeError: E_SCHEME, the scheme is not known here.
    """
    return Arch(
        unit=descriptor.traits.unit,
        block=stem_block(descriptor),
        shape=descriptor.encrypted_shape,
        classes=classes,
        upsample=config.upsample,
    )


def stem_block(descriptor: Descriptor) -> int:
    """Edge of the stem's blocks in pixels of the encrypted image: the scheme's blocks or, where it has none, ours.

    Raises:
        SchemeError: E_SCHEME, the scheme is not known here.
    """
    if "block" in descriptor.params:
        return descriptor.encrypted_block
    height, width, _ = descriptor.encrypted_shape
    return next(edge for edge in EDGES if height % edge == 0 and width % edge == 0)


def model_for(descriptor: Descriptor, classes: int, config: RunConfig) -> nn.Module:
    """Build the network that a run trains.

    Args:
        descriptor: scheme and shape of the plain images.
        classes: number of classes.
        config: names network, up-sampling and seed.

    Returns:
        A module from (b, *descriptor.encrypted_shape) uint8 to (b, classes) float32 logits.

    Raises:
        SchemeError: E_SCHEME, the scheme is not known here or does not fit the shape.
        FormatError: E_FORMAT, a parameter of the scheme is missing, unknown or out of range.
    """
    descriptor.check()
    return build(config.network, seed=config.seed, **arch_of(descriptor, classes, config))

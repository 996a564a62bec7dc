"""From a scheme descriptor to a network: the stem follows from the scheme's traits, nothing else of it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NotRequired, TypedDict

import torch
from torch import nn

from blindsight.protocol.errors import FederationError
from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.config import AUTO, RunConfig
from blindsight.trainer.networks import NETWORKS, Network, Option, build
from blindsight.trainer.stems import OF_PIXELS, stem_for

EDGES: Final = (4, 2, 1)
"""Edges in pixels that a stem's blocks may have where the scheme has no blocks; the first that divides both sides."""


class Arch(TypedDict):
    """What a network is built from besides its name and seed; stands in a bundle as ``arch.params``.

    Attributes:
        stem: kind of the first layer, one of ``STEMS``.
        unit: what the first layer is linear on, ``byte``, ``nibble`` or ``bit``.
        block: edge of the stem's blocks in pixels of the encrypted image.
        shape: (h, w, c) of one encrypted image.
        classes: number of classes.
        upsample: feature positions per block edge behind the stem.
        options: of the network, where they are not the defaults; left out where all are.
    """

    stem: str
    unit: str
    block: int
    shape: tuple[int, int, int]
    classes: int
    upsample: int
    options: NotRequired[Mapping[str, Option]]


def arch_of(descriptor: Descriptor, classes: int, config: RunConfig) -> Arch:
    """Say which stem and network fit a scheme: the one way from a descriptor to the first layer.

    Args:
        descriptor: scheme and shape of the plain images.
        classes: number of classes.
        config: names the network and the up-sampling; its ``stem``, ``unit`` and ``block`` replace what follows from
            the scheme, for comparisons.

    Raises:
        SchemeError: E_SCHEME, the scheme is not known here.
        FederationError: E_FEDERATION, the images do not divide into the blocks that the configuration names.
    """
    network = NETWORKS[config.network]
    arch = Arch(
        stem=_stem(descriptor, network) if config.stem == AUTO else config.stem,
        unit=descriptor.traits.unit if config.unit == AUTO else config.unit,
        block=config.block or stem_block(descriptor),
        shape=descriptor.encrypted_shape,
        classes=classes,
        upsample=1 if network.PATCHES else config.upsample,
    )
    if arch["stem"] in OF_PIXELS:
        arch["upsample"] = min(arch["upsample"], arch["block"])  # there is nothing finer than a pixel
    demand_buildable(arch)
    return arch


def _stem(descriptor: Descriptor, network: Network) -> str:
    traits = descriptor.traits
    if traits.shrink > 1:
        return "mixture"
    if traits.stem == "position":
        return "position"
    return "patch" if network.PATCHES else getattr(network, "STEM", "block")


def demand_buildable(arch: Arch) -> None:
    """Refuse in one sentence what no stem can be built for.

    Raises:
        FederationError: E_FEDERATION.
    """
    try:
        with torch.device("meta"):
            stem_for(arch["stem"], arch["unit"], arch["block"], arch["shape"], width=1, upsample=arch["upsample"])
    except ValueError as error:
        raise FederationError(f"run configuration: {error}") from error


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

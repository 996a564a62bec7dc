"""The networks by name, built the same from the same seed on every machine of one kind."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from blindsight.trainer.networks.small import Small

NETWORKS: Final = {"small": Small}


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of one layer; normalisations start as the identity."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    elif isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear", generator=generator)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        module.reset_parameters()


def build(
    name: str, *, unit: str, block: int, shape: tuple[int, int, int], classes: int, upsample: int, seed: int
) -> nn.Module:
    """Build a network whose weights follow from the seed alone; no global random state is read or written.

    Args:
        name: a key of ``NETWORKS``.
        unit: what the scheme moves or changes, ``byte``, ``nibble`` or ``bit``.
        block: edge of the stem's blocks in pixels.
        shape: (h, w, c) of one encrypted image.
        classes: number of classes.
        upsample: feature positions per block edge, 1, 2 or 4.
        seed: of the weights, 0 to 2^63 - 1.

    Returns:
        A module from (b, h, w, c) uint8 to (b, classes) float32 logits, in channels-last memory order; its tensor
        ``stem.blocks.weight`` carries all that depends on the key, if one key serves all blocks.

    Raises:
        ValueError: an unknown name or unit, or an image that is not made of whole blocks.
    """
    if name not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {name!r}")
    with torch.device("meta"):
        network = NETWORKS[name](unit=unit, block=block, shape=shape, classes=classes, upsample=upsample)
    network = network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        _initialise(module, generator)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

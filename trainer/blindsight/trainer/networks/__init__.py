"""The networks by name, built the same from the same seed on every machine of one kind.

A network is a class with

- ``WIDTH``: channels it wants from its stem;
- ``PATCHES``: whether it takes one vector for each block (transformers, mixers) and wants a linear stem without
  up-sampling, or a feature map (convolutional networks);
- ``STEM``, if it has one: the kind of stem it wants where others get ``block``;
- ``__init__(stem, grid, classes)``: keeps the stem as ``self.stem`` and what gives the logits as ``self.head``;
  ``grid`` is the (rows, columns) of features; keyword arguments, if there are any, are its options, whole numbers,
  truth values or text with a default each; an option ``dim`` replaces ``WIDTH``;
- ``forward``: (b, h, w, c) uint8 to (b, classes) logits, the stem first.

Weights that are neither of a convolution nor of a linear or normalising layer are drawn by a method
``initialise(generator)`` of the module that owns them, which is called last and may draw others anew. Nothing reads
the global random state, in training neither: what is dropped follows from seeds (``dropout``). A dense convolution
without a bias is one that a normalisation follows or that a residual unit adds; the optimizer ``muon`` moves those.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final, Protocol

import torch
from torch import nn

from blindsight.trainer.networks.convmixer import ConvMixer
from blindsight.trainer.networks.fast import Fast
from blindsight.trainer.networks.orderless import Orderless
from blindsight.trainer.networks.pyramidal import Pyramidal
from blindsight.trainer.networks.pyramidnet import PyramidNet
from blindsight.trainer.networks.resnet import ResNet18
from blindsight.trainer.networks.small import Small
from blindsight.trainer.networks.vit import Vit
from blindsight.trainer.networks.wide_resnet import WideResNet
from blindsight.trainer.stems import grid_of, stem_for

Option = int | bool | str
NO_OPTIONS: Final[Mapping[str, Option]] = {}


class Network(Protocol):
    """A class of this package, as it is built."""

    WIDTH: int
    PATCHES: bool

    def __call__(self, stem: nn.Module, grid: tuple[int, int], classes: int, *args: Any, **options: Any) -> nn.Module:
        """Put it together behind a stem."""
        ...


NETWORKS: Final[Mapping[str, Network]] = {
    "small": Small,
    "fast": Fast,
    "pyramidal": Pyramidal,
    "resnet18": ResNet18,
    "wrn-16-4": WideResNet,
    "pyramidnet-110": PyramidNet,
    "convmixer": ConvMixer,
    "vit": Vit,
    "vit-orderless": Orderless,
}

_NORMALISATIONS = (nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of one layer; normalisations start as the identity."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
    elif isinstance(module, nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear", generator=generator)
    elif isinstance(module, _NORMALISATIONS):
        module.reset_parameters()
        return
    if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
        nn.init.zeros_(module.bias)


def build(
    name: str,
    *,
    stem: str,
    unit: str,
    block: int,
    shape: tuple[int, int, int],
    classes: int,
    upsample: int,
    seed: int,
    options: Mapping[str, Option] = NO_OPTIONS,
) -> nn.Module:
    """Build a network whose weights follow from the seed alone; no global random state is read or written.

    Args:
        name: a key of ``NETWORKS``.
        stem: one of ``STEMS``.
        unit: what the scheme moves or changes, ``byte``, ``nibble`` or ``bit``.
        block: edge of the stem's blocks in pixels.
        shape: (h, w, c) of one encrypted image.
        classes: number of classes.
        upsample: feature positions per block edge, 1, 2 or 4.
        seed: of the weights, 0 to 2^63 - 1.
        options: of the network; what is not named has its default.

    Returns:
        A module from (b, h, w, c) uint8 to (b, classes) float32 logits, in channels-last memory order; behind a stem
        ``block``, ``paper`` or ``patch`` its tensor ``stem.blocks.weight`` carries all that depends on the key, if one
        key serves all blocks (and the rows of ``positions``, if blocks move too).

    Raises:
        ValueError: an unknown name, stem, unit or option, or an image that is not made of whole blocks.
    """
    if name not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {name!r}")
    kind = NETWORKS[name]
    _demand_options(name, kind, options)
    with torch.device("meta"):
        first = stem_for(stem, unit, block, shape, width=int(options.get("dim", kind.WIDTH)), upsample=upsample)
        network = kind(first, grid_of(block, shape, upsample), classes, **options)
    network = network.to_empty(device="cpu")
    _draw(network, torch.Generator().manual_seed(seed))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _demand_options(name: str, kind: Network, given: Mapping[str, Option]) -> None:
    parameters = inspect.signature(kind).parameters.values()
    known = {one.name: type(one.default) for one in parameters if one.kind is one.KEYWORD_ONLY}
    for option, value in given.items():
        if option not in known:
            raise ValueError(f"an option of network {name} must be one of {', '.join(known) or 'none'}, got {option!r}")
        if type(value) is not known[option]:
            raise ValueError(f"option {option} of network {name} must be {known[option].__name__}, got {value!r}")


def _draw(network: nn.Module, generator: torch.Generator) -> None:
    for module in network.modules():
        _initialise(module, generator)
    for module in network.modules():
        own = getattr(module, "initialise", None)
        if own is not None:
            own(generator)

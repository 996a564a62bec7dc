"""Networks and images at hand, for every test that needs some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from blindsight.trainer.networks import NETWORKS, NO_OPTIONS, Option, build

Shape = tuple[int, int, int]
SHAPE: Shape = (16, 16, 3)
LINEAR = ("block", "paper", "lean", "patch")
"""Stems whose first layer is one linear view of a block."""


def stem_of(name: str) -> str:
    """The stem a network likes best."""
    return "patch" if NETWORKS[name].PATCHES else getattr(NETWORKS[name], "STEM", "block")


def network(
    name: str = "small",
    seed: int = 3,
    *,
    stem: str = "",
    unit: str = "nibble",
    block: int = 4,
    shape: Shape = SHAPE,
    classes: int = 5,
    options: Mapping[str, Option] = NO_OPTIONS,
) -> nn.Module:
    """A network behind the stem it likes best, or another."""
    stem = stem or stem_of(name)
    upsample = 1 if NETWORKS[name].PATCHES or stem == "patch" else 2
    given = {"unit": unit, "block": block, "shape": shape, "classes": classes, "upsample": upsample}
    return build(name, stem=stem, seed=seed, options=options, **given)  # type: ignore[arg-type]


def images(count: int, shape: Shape = SHAPE, seed: int = 5) -> Tensor:
    """Noise: (count, *shape) uint8."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8))


def settled(module: nn.Module, shape: Shape = SHAPE) -> nn.Module:
    """As after some training: no residual branch is zero, and normalisations know what they see."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.momentum = 0.5
        for seed in range(8):
            module.train()(images(8, shape, seed))
    return module.eval()


@contextmanager
def one_thread() -> Iterator[None]:
    """Two threads on two busy processors wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

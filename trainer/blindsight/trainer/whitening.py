"""A first layer that begins as the principal components of the encrypted blocks.

Principal components turn with the key: under a signed permutation of a block's units, the second moments turn along,
and so do their eigenvectors. So this start gives on encrypted images what it gives on plain ones, and nobody needs a
key for it. What is needed are second moments of block vectors, d x d numbers for all images together. In a federation
each holder adds up those of some of its images, after clipping every block's length so that no single image weighs
much, or refuses; the server sums what it gets. Second moments show how the units of a block belong together, which
attacks on a scheme use; whoever holds encrypted images has them anyway, but a server that receives weights only does
not: a holder that wants to keep them from it refuses.

Source: the whitening layer of Page, "How to Train Your ResNet 8" (2019), and Jordan, "94% on CIFAR-10 in 3.29 Seconds"
(arXiv 2404.00498), section 3.2, carried over to blocks of encrypted images.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from blindsight.trainer.shards import Rows, share_of
from blindsight.trainer.stems import Units

IMAGES: Final = 2_000
"""Images of one holder that are looked at."""

LEAST: Final = 100
"""Images that a holder must have to send moments of them: those of a few would show the images themselves."""

CLIP: Final = 3.0
"""Greatest length of a block vector, in lengths of one whose units all lie one scale from the centre."""

FLOOR: Final = 5e-4
"""Added to every variance, in squared scales of a unit, so that constant directions are not blown up."""

BATCH: Final = 250


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Second moments of block vectors.

    Args:
        total: (d, d) float64, the sum of outer products; d is units x block x block.
        blocks: how many block vectors were added up.
    """

    total: Tensor
    blocks: int

    @classmethod
    def of(cls, parts: Iterable[Moments]) -> Moments:
        """The moments over the blocks of all parts, of which there is at least one."""
        every = list(parts)
        total = torch.stack([one.total for one in every]).sum(dim=0)
        return cls(total, sum(one.blocks for one in every))


def moments_for(network: nn.Module, rows: Rows, seed: int) -> Moments | None:
    """Add up second moments of what a network's first layer will see.

    Args:
        network: says which units it sees, and how many pixels at once.
        rows: encrypted images.
        seed: decides which images.

    Returns:
        The moments; None when its first layer is no layer over blocks or patches.
    """
    layer = _blocks(network)
    if layer is None:
        return None
    return moments_of(rows, network.stem.units, layer.kernel_size[0], seed)  # type: ignore[union-attr,arg-type]


def moments_of(rows: Rows, units: Units, block: int, seed: int) -> Moments:
    """Add up the outer products of the blocks of some images, each block clipped to a greatest length.

    Args:
        rows: encrypted images.
        units: turns images into centred units.
        block: block edge in pixels of the encrypted image.
        seed: decides which images.

    Returns:
        Moments over the blocks of at most ``IMAGES`` images.
    """
    share = min(1.0, IMAGES / len(rows))
    chosen = share_of(len(rows), share, 1, lambda _: np.random.default_rng(seed))
    parts = [chosen[start : start + BATCH] for start in range(0, len(chosen), BATCH)]
    return Moments.of(_moments(units(rows.__getitems__(part)[0].cpu()), block) for part in parts)


def _moments(units: Tensor, block: int) -> Moments:
    vectors = functional.unfold(units, block, stride=block).transpose(1, 2).flatten(0, 1).double()  # (blocks, d)
    longest = CLIP * vectors.shape[1] ** 0.5
    vectors = vectors * (longest / vectors.norm(dim=1, keepdim=True).clamp_min(longest))
    return Moments(vectors.T @ vectors, len(vectors))


def edge_of(network: nn.Module) -> int:
    """Edge in pixels of the blocks that a network's first layer sees at once; 0 without such a layer."""
    blocks = _blocks(network)
    return 0 if blocks is None else blocks.kernel_size[0]


def absorbing_units(network: nn.Module) -> int:
    """Units of a block that a network's first layer sees at once; 0 when its first layer is no layer over blocks."""
    blocks = _blocks(network)
    return 0 if blocks is None else blocks.weight[0].numel()


def whiten(network: nn.Module, moments: Moments) -> None:
    """Let the first layer of a network begin as plus and minus the principal components, scaled to unit variance.

    Args:
        network: its tensor ``stem.blocks.weight`` (o, u, m, m), if it has one, is overwritten from the first channel
            on: a component, its negative, the next component, most variance first, as far as they fit; channels
            beyond 2d keep what they have.
        moments: of the blocks it will see.

    Raises:
        ValueError: moments of other block vectors.
    """
    if (blocks := _blocks(network)) is None:
        return
    weight, d = blocks.weight, absorbing_units(network)  # (o, u, m, m)
    if moments.total.shape != (d, d) or moments.blocks < 1:
        raise ValueError(f"expected moments of blocks of {d} units, got {tuple(moments.total.shape)}")
    rows = _components(moments)  # (d, d)
    both = torch.stack((rows, -rows), dim=1).flatten(0, 1)[: len(weight)]  # (at most 2d, d)
    with torch.no_grad():
        weight[: len(both)] = both.view(-1, *weight.shape[1:]).to(weight.dtype)
        if blocks.bias is not None:
            blocks.bias.zero_()


def _blocks(network: nn.Module) -> nn.Conv2d | None:
    found = getattr(getattr(network, "stem", None), "blocks", None)
    return found if isinstance(found, nn.Conv2d) else None


def _components(moments: Moments) -> Tensor:
    """Eigenvectors as rows, most variance first, each divided by the square root of its variance."""
    variance, vectors = torch.linalg.eigh(moments.total / moments.blocks)  # ascending
    rows: Tensor = (vectors / (variance.clamp_min(0) + FLOOR).sqrt()).T.flip(0)
    return rows

"""How the units of an encrypted block go together: by this a stream under another key can be told, without any key.

Neighbouring units of a picture are alike. Where one key serves all blocks, it moves them alike everywhere, so which
units of an encrypted block are correlated is a mark of the key. An operator who compares a stream's correlations with
those of the training images notices images under another key, another scheme or none.

This is the very leak that known attacks on such schemes use. It reveals nothing that the encrypted images do not; but
who has the bundle and not one encrypted image learns from it what such an image would show, up to the key itself.

Source: the correlations of neighbouring pixels are those of any textbook; FORMAT.md section J.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from blindsight.protocol import shard, tensorfile
from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.model import Arch
from blindsight.trainer.stems import UNITS_PER_BYTE, Units

MOST_IMAGES: Final = 2_000
MOST_BYTES: Final = 2**29
"""Bytes of images that are read."""
MOST_BLOCKS: Final = 131_072
"""Blocks of them that are looked at; sums of so many are exact."""
MOST_UNITS: Final = 1_536
"""Units of a block: above, the matrix is left out. 1,536 are the nibbles of 16x16 pixels in three colours."""
CHUNK_BYTES: Final = 2**22
"""Bytes of images that are cut into blocks at a time."""
SEED: Final = 0


def has_fingerprint(descriptor: Descriptor, arch: Arch) -> bool:
    """Whether all blocks that the first layer sees are encrypted alike, and are not too large.

    Args:
        descriptor: scheme and shape.
        arch: says which units of which blocks.
    """
    traits = descriptor.traits
    alike = traits.scope == "common" and traits.stem in ("block", "embedding")
    fits = arch["block"] == descriptor.encrypted_block and units_of(arch) <= MOST_UNITS
    return fits and (alike or descriptor.id == "plain")


def units_of(arch: Arch) -> int:
    """Units of a block."""
    return UNITS_PER_BYTE[arch["unit"]] * arch["shape"][2] * arch["block"] ** 2


def fingerprint_of(shards: Sequence[Path], arch: Arch) -> NDArray[np.float32]:
    """Correlate the units of a block over a sample of images.

    Args:
        shards: files of verified shards, at least one, in an order that everybody finds again.
        arch: says which units of which blocks.

    Returns:
        (d, d) float32, Pearson correlations in the unit order of ``stem.blocks.weight``; 0 where a unit is constant,
        1 on the diagonal.

    Raises:
        FormatError: E_SHARD, E_IO, a shard is damaged or cannot be read.
    """
    units, d, n = Units(arch["unit"]), units_of(arch), 0
    sums, products = torch.zeros(d, dtype=torch.float64), torch.zeros(d, d, dtype=torch.float64)
    for blocks in _samples(shards, units, arch["block"]):  # (blocks, d)
        sums += blocks.sum(dim=0)
        products += blocks.T @ blocks
        n += len(blocks)
    return _correlations(sums, products, n)


def to_bytes(correlations: NDArray[np.float32]) -> bytes:
    """The file ``fingerprint.safetensors``."""
    return tensorfile.to_bytes({"correlations": correlations}, {"v": 1, "kind": "fingerprint"})


def _correlations(sums: Tensor, products: Tensor, n: int) -> NDArray[np.float32]:
    """From exact sums: a signed permutation of the units gives that of the result, bit for bit."""
    covariances = n * products - torch.outer(sums, sums)  # (d, d), whole numbers below 2^53
    deviations = covariances.diagonal().sqrt()  # (d,)
    scales = torch.where(deviations > 0, 1.0 / deviations, 0.0)
    found = (covariances * torch.outer(scales, scales)).clamp(-1.0, 1.0)
    return found.fill_diagonal_(1.0).to(torch.float32).numpy()


def _samples(shards: Sequence[Path], units: Units, edge: int) -> Iterator[Tensor]:
    """Blocks of images that are drawn evenly over all shards: (blocks, d) float64, whole numbers."""
    rng, opened = np.random.default_rng(SEED), [shard.opened(path).images for path in shards]
    starts, size = np.cumsum([0] + [len(images) for images in opened]), opened[0][0].nbytes
    total = int(starts[-1])
    count = min(total, MOST_IMAGES, max(1, MOST_BYTES // size))
    rows, most = np.sort(rng.choice(total, size=count, replace=False)), max(1, MOST_BLOCKS // count)
    for part in np.array_split(rows, -(-count * size // CHUNK_BYTES)):
        owners = np.searchsorted(starts, part, side="right") - 1
        images = np.stack([opened[owner][row - starts[owner]] for row, owner in zip(part, owners, strict=True)])
        yield _drawn(_blocks(images, units, edge), most, rng)


def _blocks(images: NDArray[np.uint8], units: Units, edge: int) -> Tensor:
    """Cut (n, h, w, c) into (n, blocks, d) float64: twice the distance from the centre, a whole number."""
    centred = units(torch.from_numpy(images))  # (n, u, h, w)
    whole = (centred.double() * (2.0 * units.scale)).round()
    return functional.unfold(whole, edge, stride=edge).transpose(1, 2)  # (n, blocks, d)


def _drawn(blocks: Tensor, most: int, rng: np.random.Generator) -> Tensor:
    """At most so many blocks of each image: (n, blocks, d) to (n * fewer, d)."""
    if blocks.shape[1] > most:
        chosen = np.sort(rng.random(blocks.shape[:2]).argsort(axis=1)[:, :most], axis=1)  # (n, most)
        blocks = blocks[torch.arange(len(blocks))[:, None], torch.from_numpy(chosen)]
    return blocks.flatten(0, 1)

"""The first layer begins as principal components of the encrypted blocks, which turn with the key."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from blindsight.holder.ciphers import cipher_for
from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.networks import build
from blindsight.trainer.stems import Units
from blindsight.trainer.whitening import CLIP, Moments, absorbing_units, moments_for, moments_of, whiten

SHAPE = (8, 8, 3)


class Held:
    """Images in memory, with labels that mean nothing."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return self.images[torch.as_tensor(indices)], torch.zeros(len(indices), dtype=torch.int64)


def scenes(count: int = 300) -> np.ndarray:
    """Smooth images: (count, 8, 8, 3) uint8."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (count, 2, 2, 3)).astype(np.float64)
    smooth = coarse.repeat(4, 1).repeat(4, 2)
    return (smooth + rng.normal(0, 20, (count, *SHAPE))).clip(0, 255).astype(np.uint8)


def network(unit: str = "nibble", stem: str = "block"):
    upsample = 1 if stem == "patch" else 2
    return build("small", stem=stem, unit=unit, block=4, shape=SHAPE, classes=3, upsample=upsample, seed=1)


def vectors(images: np.ndarray, unit: str) -> torch.Tensor:
    units = Units(unit)(torch.from_numpy(images))
    return functional.unfold(units, 4, stride=4).transpose(1, 2).flatten(0, 1).double()


@pytest.mark.parametrize(("unit", "d"), [("byte", 48), ("nibble", 96)])
def test_the_first_layer_gives_uncorrelated_outputs_of_one_variance(unit: str, d: int) -> None:
    module = network(unit)
    assert absorbing_units(module) == d
    whiten(module, moments_of(Held(scenes()), Units(unit), 4, 0))
    weight = module.stem.blocks.weight[: 2 * d : 2].flatten(1).double()
    seen = vectors(scenes(), unit) @ weight.T
    moments = seen.T @ seen / len(seen)
    strong = moments.diagonal() > 0.9  # directions of next to no variance are held down
    assert strong.sum() > d / 2
    assert (moments - torch.diag(moments.diagonal())).abs().max() < 0.05
    assert moments.diagonal()[strong].max() < 1.05


def test_every_component_is_followed_by_its_negative() -> None:
    module = network()
    whiten(module, moments_of(Held(scenes()), Units("nibble"), 4, 0))
    weight = module.stem.blocks.weight
    assert torch.equal(weight[:192:2], -weight[1:192:2])


def test_channels_beyond_the_components_keep_their_start() -> None:
    fresh, module = network("byte"), network("byte")
    whiten(module, moments_of(Held(scenes()), Units("byte"), 4, 0))
    assert torch.equal(module.stem.blocks.weight[96:], fresh.stem.blocks.weight[96:])
    assert not torch.equal(module.stem.blocks.weight[:96], fresh.stem.blocks.weight[:96])


def test_moments_of_encrypted_blocks_are_those_of_plain_ones_turned_by_the_key() -> None:
    cipher = cipher_for(Descriptor.of("le", SHAPE), bytes(range(32)))
    plain, coded = (moments_of(Held(x), Units("nibble"), 4, 0) for x in (scenes(), cipher.encrypt(scenes())))
    assert plain.blocks == coded.blocks == 300 * 4
    assert torch.allclose(torch.linalg.eigvalsh(plain.total), torch.linalg.eigvalsh(coded.total))
    assert torch.allclose(plain.total.abs().flatten().sort().values, coded.total.abs().flatten().sort().values)


def test_no_block_weighs_more_than_the_clip_allows() -> None:
    plain = scenes(4)
    plain[0] = 255 * (np.indices((8, 8)).sum(0)[..., None] % 2)
    found = moments_of(Held(plain), Units("bit"), 4, 0)
    assert found.total.trace() / found.blocks <= (CLIP**2) * 16 * 24


def test_sums_over_holders_are_those_of_one_set() -> None:
    halves = [moments_of(Held(scenes()[part]), Units("byte"), 4, 0) for part in (slice(0, 150), slice(150, 300))]
    whole = moments_of(Held(scenes()), Units("byte"), 4, 0)
    together = Moments.of(halves)
    assert together.blocks == whole.blocks
    assert torch.allclose(together.total, whole.total)


def test_moments_of_other_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="blocks of 96 units"):
        whiten(network("nibble"), moments_of(Held(scenes()), Units("byte"), 4, 0))


def test_the_reference_for_plain_images_begins_with_components_of_its_small_patches() -> None:
    module = network("byte", stem="pixels")
    found = moments_for(module, Held(scenes()), 0)
    assert found is not None
    assert found.total.shape == (12, 12)
    whiten(module, found)
    weight = module.stem.blocks.weight
    assert torch.equal(weight[::2], -weight[1::2])


def test_a_first_layer_without_blocks_is_left_alone() -> None:
    module, fresh = network(stem="position"), network(stem="position")
    assert absorbing_units(module) == 0
    assert moments_for(module, Held(scenes()), 0) is None
    whiten(module, moments_of(Held(scenes()), Units("byte"), 4, 0))
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), fresh.parameters(), strict=True))

"""What the trainer does to encrypted images draws from its generator alone and mixes what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blindsight.trainer.mixing import crop_pixels, cut_blocks, mirror_pixels, mix_units
from blindsight.trainer.stems import Units


def numbered(count: int, edge: int = 8) -> torch.Tensor:
    """Images that are even, each of its own value: (count, edge, edge, 1) uint8."""
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, edge, edge, 1).contiguous()


@pytest.mark.parametrize("seed", range(20))
def test_a_cut_takes_whole_blocks_of_the_partner_and_says_what_is_kept(seed: int) -> None:
    images = numbered(10)
    mixed, partners, kept = cut_blocks(images, 2, np.random.default_rng(seed))
    blocks = mixed.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3)  # (10, 4, 4, 4)
    assert (blocks == blocks[..., :1]).all()
    for number in range(10):
        foreign = mixed[number] != number
        assert torch.equal(mixed[number][foreign].unique(), partners[number : number + 1].to(torch.uint8)) or (
            int(partners[number]) == number or kept == 1
        )
        if int(partners[number]) != number:
            assert 1 - float(foreign.float().mean()) == pytest.approx(kept)


def test_cuts_are_now_small_now_large() -> None:
    kept = [cut_blocks(numbered(4), 2, np.random.default_rng(seed))[2] for seed in range(50)]
    assert min(kept) < 0.3
    assert max(kept) > 0.8


def test_mixed_units_are_a_weighted_mean_and_nibbles_are_mixed_as_nibbles() -> None:
    images = torch.randint(0, 256, (6, 4, 4, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    units = Units("nibble")(images)
    mixed, partners, kept = mix_units(units, 1.0, np.random.default_rng(2))
    assert torch.allclose(mixed, kept * units + (1 - kept) * units[partners])
    assert 0 < kept < 1
    assert torch.equal(Units("nibble")(mixed), mixed)


def test_a_crop_moves_the_picture_and_reflects_its_border() -> None:
    image = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4, 1)
    found = {tuple(crop_pixels(image, 1, np.random.default_rng(seed))[0, 0, :, 0].tolist()) for seed in range(60)}
    rows = [(0, 1, 2, 3), (4, 5, 6, 7)]  # unmoved or moved down by reflection; the row below
    assert found == {shifted for row in rows for shifted in (row, (row[1], *row[:3]), (*row[1:], row[2]))}


def test_about_half_of_the_images_are_mirrored_and_the_others_untouched() -> None:
    image = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4, 1).expand(400, 4, 4, 1)
    found = mirror_pixels(image, np.random.default_rng(1))
    mirrored = [torch.equal(one, image[0].flip(1)) for one in found]
    assert 160 < sum(mirrored) < 240
    assert all(torch.equal(one, image[0]) for one, is_mirrored in zip(found, mirrored, strict=True) if not is_mirrored)


def test_equal_generators_give_equal_mixtures() -> None:
    images = torch.randint(0, 256, (6, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for change in (lambda r: cut_blocks(images, 4, r)[0], lambda r: crop_pixels(images, 2, r)):
        assert torch.equal(change(np.random.default_rng(5)), change(np.random.default_rng(5)))
        assert not torch.equal(change(np.random.default_rng(5)), change(np.random.default_rng(6)))

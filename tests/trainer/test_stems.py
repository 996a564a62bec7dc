"""The stem sees blocks as centred units, and a key turns into a permutation of one tensor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from blindsight.trainer.stems import BlockStem, Units, stem_for

Bytes = npt.NDArray[np.uint8]


def random_images(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8))


def test_nibbles_come_high_halves_first_and_centred() -> None:
    image = torch.tensor([[[[0x0F, 0xA3]]]], dtype=torch.uint8)  # (1, 1, 1, 2)
    units = Units("nibble")(image)  # (1, 4, 1, 1)
    torch.testing.assert_close(units.flatten() * 4.6 + 7.5, torch.tensor([0.0, 10.0, 15.0, 3.0]))


def test_bits_come_highest_first_and_centred() -> None:
    image = torch.tensor([[[[0b10110001, 0b00000010]]]], dtype=torch.uint8)  # (1, 1, 1, 2)
    units = Units("bit")(image)  # (1, 16, 1, 1)
    assert ((units.flatten() + 1) / 2).tolist() == [1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0]


def test_every_byte_has_its_own_bits() -> None:
    image = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    bits = (Units("bit")(image)[0] + 1) / 2  # (8, 16, 16), 0 or 1
    weights = 2.0 ** torch.arange(7, -1, -1)[:, None, None]
    assert torch.equal((bits * weights).sum(dim=0), image[0, :, :, 0].to(torch.float32))


def test_an_exclusive_or_flips_the_signs_of_the_bits_it_sets() -> None:
    image, mask = random_images(2, 4, 4, 3), random_images(1, 4, 4, 3)
    assert torch.equal(Units("bit")(image ^ mask), Units("bit")(image) * -Units("bit")(mask))


def test_bytes_are_centred() -> None:
    units = Units("byte")(torch.tensor([[[[0], [255]]]], dtype=torch.uint8))  # (1, 1, 1, 2)
    torch.testing.assert_close(units.flatten() * 73.6, torch.tensor([-127.5, 127.5]))


@pytest.mark.parametrize("unit", ["byte", "nibble", "bit"])
def test_inverting_every_unit_flips_every_sign(unit: str) -> None:
    image = random_images(2, 4, 4, 3)
    torch.testing.assert_close(Units(unit)(255 - image), -Units(unit)(image))


@pytest.mark.parametrize("upsample", [1, 2, 4])
def test_upsample_sets_the_positions_for_each_block_edge(upsample: int) -> None:
    stem = stem_for("nibble", 4, (8, 12, 3), width=16, upsample=upsample)
    assert stem(random_images(2, 8, 12, 3)).shape == (2, 16, 2 * upsample, 3 * upsample)


def signed_permutation(image: Bytes, order: npt.NDArray[np.int64], flipped: npt.NDArray[np.bool_]) -> Bytes:
    """Gather and invert the 96 nibbles of every 4x4x3 block; highs before lows, as the stem has them."""
    n, h, w, c = image.shape
    blocks = image.reshape(n, h // 4, 4, w // 4, 4, c).transpose(0, 1, 3, 5, 2, 4)  # (n, h / 4, w / 4, c, 4, 4)
    nibbles = np.concatenate((blocks >> 4, blocks & 15), axis=3).reshape(-1, 2 * c * 16)  # (blocks, 96)
    moved = np.where(flipped, 15 - nibbles[:, order], nibbles[:, order])  # (blocks, 96)
    high, low = np.split(moved.astype(np.uint8).reshape(n, h // 4, w // 4, 2 * c, 4, 4), 2, axis=3)
    packed: Bytes = (high << 4 | low).astype(np.uint8)  # (n, h / 4, w / 4, c, 4, 4)
    return packed.transpose(0, 1, 4, 2, 5, 3).reshape(n, h, w, c)


def test_a_key_is_a_signed_permutation_of_the_one_named_tensor() -> None:
    rng = np.random.default_rng(11)
    order, flipped = rng.permutation(96), rng.random(96) < 0.5
    stem = BlockStem("nibble", 4, 3, width=8, upsample=2).eval()
    image = random_images(2, 8, 8, 3)
    before = stem(image)
    with torch.no_grad():
        weight = stem.blocks.weight.reshape(-1, 96)  # (HIDDEN, 96)
        sign = torch.from_numpy(np.where(flipped, -1.0, 1.0).astype(np.float32))  # (96,)
        stem.blocks.weight.copy_((weight[:, torch.from_numpy(order)] * sign).reshape(stem.blocks.weight.shape))
    after = stem(torch.from_numpy(signed_permutation(image.numpy(), order, flipped)))
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_an_image_of_broken_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="not made of whole blocks"):
        stem_for("nibble", 4, (30, 32, 3), width=8, upsample=2)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="unit must be one of byte, nibble, bit, got 'word'"):
        stem_for("word", 4, (32, 32, 3), width=8, upsample=2)


def test_an_unknown_upsampling_is_refused() -> None:
    with pytest.raises(ValueError, match="upsample must be 1, 2 or 4"):
        stem_for("byte", 4, (32, 32, 3), width=8, upsample=3)

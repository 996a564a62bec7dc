"""Stems see blocks as centred units, and a key turns into a permutation of one tensor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from blindsight.trainer.stems import OF_PIXELS, STEMS, Units, grid_of, stem_for
from tests.trainer.samples import LINEAR

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


def test_units_come_back_as_they_are() -> None:
    units = Units("nibble")(random_images(2, 4, 4, 3))
    assert Units("nibble")(units) is units


def drawn(stem: str, unit: str, block: int, shape: tuple[int, int, int], *, width: int, upsample: int) -> nn.Module:
    """A stem with weights."""
    module = stem_for(stem, unit, block, shape, width=width, upsample=upsample)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in module.named_parameters():
        if "norm" not in name:
            nn.init.normal_(parameter, std=0.2, generator=generator)
    return module


def outputs(module: nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        seen: torch.Tensor = module.eval()(image)
    return seen


@pytest.mark.parametrize("stem", [stem for stem in STEMS if stem != "patch"])
@pytest.mark.parametrize("upsample", [1, 2, 4])
def test_upsample_sets_the_positions_for_each_block_edge(stem: str, upsample: int) -> None:
    module = drawn(stem, "nibble", 4, (8, 12, 3), width=16, upsample=upsample)
    seen = outputs(module, random_images(2, 8, 12, 3))
    assert (seen.shape, seen.dtype) == ((2, 16, 2 * upsample, 3 * upsample), torch.float32)
    assert seen.shape[2:] == grid_of(4, (8, 12, 3), upsample)


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("unit", ["byte", "nibble", "bit"])
@pytest.mark.parametrize(("block", "shape"), [(4, (8, 8, 1)), (16, (16, 32, 3)), (3, (9, 6, 3)), (1, (5, 7, 3))])
def test_every_stem_is_made_for_every_unit_and_whole_blocks(
    stem: str, unit: str, block: int, shape: tuple[int, int, int]
) -> None:
    seen = outputs(drawn(stem, unit, block, shape, width=6, upsample=1), random_images(2, *shape))
    assert seen.shape == (2, 6, *grid_of(block, shape, 1))
    assert torch.isfinite(seen).all()


def test_the_papers_stem_has_the_papers_sizes() -> None:
    module = stem_for("paper", "byte", 4, (32, 32, 3), width=32, upsample=4)
    sizes = {name: tuple(tensor.shape) for name, tensor in module.named_parameters() if tensor.ndim > 1}
    assert sizes == {
        "blocks.weight": (48, 3, 4, 4),
        "nin.2.weight": (48, 48, 1, 1),
        "nin.5.weight": (512, 48, 1, 1),
    }
    assert outputs(module, random_images(1, 32, 32, 3)).shape == (1, 32, 32, 32)


def signed_permutation(image: Bytes, order: npt.NDArray[np.int64], flipped: npt.NDArray[np.bool_]) -> Bytes:
    """Gather and invert the 96 nibbles of every 4x4x3 block; highs before lows, as the stem has them."""
    n, h, w, c = image.shape
    blocks = image.reshape(n, h // 4, 4, w // 4, 4, c).transpose(0, 1, 3, 5, 2, 4)  # (n, h / 4, w / 4, c, 4, 4)
    nibbles = np.concatenate((blocks >> 4, blocks & 15), axis=3).reshape(-1, 2 * c * 16)  # (blocks, 96)
    moved = np.where(flipped, 15 - nibbles[:, order], nibbles[:, order])  # (blocks, 96)
    high, low = np.split(moved.astype(np.uint8).reshape(n, h // 4, w // 4, 2 * c, 4, 4), 2, axis=3)
    packed: Bytes = (high << 4 | low).astype(np.uint8)  # (n, h / 4, w / 4, c, 4, 4)
    return packed.transpose(0, 1, 4, 2, 5, 3).reshape(n, h, w, c)


@pytest.mark.parametrize("kind", LINEAR)
def test_a_key_is_a_signed_permutation_of_the_one_named_tensor(kind: str) -> None:
    rng = np.random.default_rng(11)
    order, flipped = rng.permutation(96), rng.random(96) < 0.5
    stem = drawn(kind, "nibble", 4, (8, 8, 3), width=8, upsample=1 if kind == "patch" else 2)
    image = random_images(2, 8, 8, 3)
    before = outputs(stem, image)
    with torch.no_grad():
        weight = stem.get_parameter("blocks.weight")
        sign = torch.from_numpy(np.where(flipped, -1.0, 1.0).astype(np.float32))  # (96,)
        weight.copy_((weight.reshape(-1, 96)[:, torch.from_numpy(order)] * sign).reshape(weight.shape))
    encrypted = torch.from_numpy(signed_permutation(image.numpy(), order, flipped))
    assert (outputs(stem, encrypted) - before).abs().max() < 1e-5 * (1 + before.abs().max())
    assert (outputs(stem, image) - before).abs().max() > 0.1


@pytest.mark.parametrize("kind", LINEAR)
def test_nothing_is_shared_between_the_units_of_a_block(kind: str) -> None:
    """Only the block convolution sees units; what comes behind it sees its channels."""
    stem = stem_for(kind, "nibble", 4, (8, 8, 3), width=8, upsample=1)
    seen: list[torch.Tensor] = []
    stem.get_submodule("blocks").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    image = random_images(2, 8, 8, 3)
    outputs(stem, image)
    assert torch.equal(seen[0], Units("nibble")(image))


def test_an_image_of_broken_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="not made of whole blocks"):
        stem_for("block", "nibble", 4, (30, 32, 3), width=8, upsample=2)


def test_an_unknown_stem_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stem must be one of block, paper, .*, got 'root'"):
        stem_for("root", "byte", 4, (32, 32, 3), width=8, upsample=2)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="unit must be one of byte, nibble, bit, got 'word'"):
        stem_for("block", "word", 4, (32, 32, 3), width=8, upsample=2)


def test_an_unknown_upsampling_is_refused() -> None:
    with pytest.raises(ValueError, match="upsample must be 1, 2 or 4"):
        stem_for("block", "byte", 4, (32, 32, 3), width=8, upsample=3)


def test_patches_are_not_upsampled() -> None:
    with pytest.raises(ValueError, match="a patch stem does not up-sample, got 2"):
        stem_for("patch", "byte", 4, (32, 32, 3), width=8, upsample=2)


@pytest.mark.parametrize("kind", OF_PIXELS)
def test_nothing_is_finer_than_a_pixel(kind: str) -> None:
    with pytest.raises(ValueError, match="upsample must divide the block of 3 pixels, got 2"):
        stem_for(kind, "byte", 3, (6, 6, 3), width=8, upsample=2)

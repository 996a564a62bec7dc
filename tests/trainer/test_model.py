"""Every scheme of the table gets a network for its encrypted images; moved by blocks only where that needs no key."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
import torch

from blindsight.holder.ciphers import cipher_for
from blindsight.protocol.errors import FederationError, SchemeError
from blindsight.protocol.scheme import SCHEMES, Descriptor
from blindsight.trainer.config import RunConfig
from blindsight.trainer.mixing import cut_blocks, shift_blocks
from blindsight.trainer.model import arch_of, model_for, stem_block
from blindsight.trainer.networks import build
from blindsight.trainer.recipe import Recipe
from blindsight.trainer.task import Changes
from blindsight.trainer.weights import digest, pack

SHAPE = (16, 16, 3)
KEY = bytes(range(32))
IMAGE_KEYS = [name for (name, _), traits in SCHEMES.items() if "scope" in traits.params]
KINDS: list[tuple[str, Mapping[str, str]]] = [
    *((name, {}) for name, _ in SCHEMES),
    *((name, {"scope": "image"}) for name in IMAGE_KEYS),
]
ALIGNED = {"plain", "block-shuffle", "le", "patch-mix"}


def encrypted(descriptor: Descriptor, count: int = 3) -> torch.Tensor:
    """Noise, encrypted: (count, *descriptor.encrypted_shape) uint8."""
    noise = np.random.default_rng(1).integers(0, 256, (count, *descriptor.shape), dtype=np.uint8)
    return torch.from_numpy(cipher_for(descriptor, KEY).encrypt(noise, [str(n) for n in range(count)]))


@pytest.mark.parametrize(("name", "given"), KINDS, ids=lambda value: str(value))
def test_every_scheme_has_a_network_for_its_encrypted_images(name: str, given: Mapping[str, str]) -> None:
    descriptor = Descriptor.of(name, SHAPE, given)
    network = model_for(descriptor, 5, RunConfig()).eval()
    with torch.inference_mode():
        logits = network(encrypted(descriptor))
    assert (logits.shape, logits.dtype) == ((3, 5), torch.float32)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(
    ("name", "shape", "given", "stem", "unit", "block", "seen"),
    [
        ("le", (32, 32, 3), {}, "block", "nibble", 4, (32, 32, 3)),
        ("block-shuffle", (32, 48, 1), {"block": 8}, "block", "byte", 8, (32, 48, 1)),
        ("patch-mix", (32, 32, 3), {}, "mixture", "byte", 2, (16, 16, 3)),
        ("patch-mix", (32, 32, 3), {"block": 16}, "mixture", "byte", 8, (16, 16, 3)),
        ("plain", (32, 32, 3), {"block": 1}, "block", "byte", 1, (32, 32, 3)),
        ("logistic-xor", (32, 32, 3), {}, "position", "bit", 4, (32, 32, 3)),
        ("pixel", (30, 32, 3), {}, "position", "byte", 2, (30, 32, 3)),
        ("vortex", (32, 31, 3), {}, "block", "byte", 1, (32, 31, 3)),
        ("cat-map", (28, 28, 1), {}, "block", "byte", 4, (28, 28, 1)),
    ],
)
def test_the_stem_follows_from_the_scheme_and_the_size_of_its_encrypted_images(
    name: str,
    shape: tuple[int, int, int],
    given: Mapping[str, int],
    stem: str,
    unit: str,
    block: int,
    seen: tuple[int, int, int],
) -> None:
    descriptor = Descriptor.of(name, shape, given)
    arch = arch_of(descriptor, 10, RunConfig(upsample=1))
    assert arch == {"stem": stem, "unit": unit, "block": block, "shape": seen, "classes": 10, "upsample": 1}
    assert stem_block(descriptor) == block


def test_a_network_is_built_from_nothing_but_what_a_bundle_states_and_the_seed() -> None:
    descriptor = Descriptor.of("patch-mix", SHAPE)
    mine = model_for(descriptor, 5, RunConfig(seed=3))
    stated = build("small", seed=3, **arch_of(descriptor, 5, RunConfig()))
    assert digest(pack(mine.state_dict())) == digest(pack(stated.state_dict()))


def test_a_scheme_that_does_not_fit_the_shape_gets_no_network() -> None:
    with pytest.raises(SchemeError, match="must be square"):
        model_for(Descriptor("cat-map", 1, (16, 24, 3), {}), 5, RunConfig())


def test_a_scheme_of_one_pixel_blocks_gets_no_finer_features_than_pixels() -> None:
    arch = arch_of(Descriptor.of("pixel", (31, 31, 3)), 5, RunConfig(upsample=4))
    assert (arch["block"], arch["upsample"]) == (1, 1)


def test_the_configuration_may_name_another_first_layer_for_comparison() -> None:
    config = RunConfig(stem="pixels", unit="nibble", block=8)
    arch = arch_of(Descriptor.of("plain", SHAPE), 5, config)
    assert (arch["stem"], arch["unit"], arch["block"]) == ("pixels", "nibble", 8)


def test_blocks_that_do_not_divide_the_image_are_refused_in_one_sentence() -> None:
    with pytest.raises(FederationError, match="16x16 is not made of whole blocks of 5x5"):
        arch_of(Descriptor.of("plain", SHAPE), 5, RunConfig(block=5))


# What may be done to encrypted images.


@pytest.mark.parametrize(("name", "given"), KINDS, ids=lambda value: str(value))
def test_only_aligned_schemes_are_shifted(name: str, given: Mapping[str, str]) -> None:
    descriptor = Descriptor.of(name, SHAPE, given)
    images = encrypted(descriptor, 20)
    moved = Changes.of(descriptor, Recipe(shift=1.0)).to_images(images, np.random.default_rng(1))
    assert (not torch.equal(moved, images)) == (name in ALIGNED)


def test_nothing_is_shifted_by_a_recipe_without_shifts() -> None:
    descriptor = Descriptor.of("le", SHAPE)
    images = encrypted(descriptor, 20)
    assert torch.equal(Changes.of(descriptor, Recipe(shift=0.0)).to_images(images, np.random.default_rng(1)), images)


@pytest.mark.parametrize("name", sorted(ALIGNED))
def test_a_shifted_encrypted_image_is_the_encrypted_image_of_a_shifted_one(name: str) -> None:
    descriptor = Descriptor.of(name, SHAPE)
    cipher = cipher_for(descriptor, KEY)
    plain = np.random.default_rng(2).integers(0, 256, (20, *SHAPE), dtype=np.uint8)
    moved = shift_blocks(torch.from_numpy(plain), descriptor.block, 1.0, np.random.default_rng(3)).numpy()
    assert not np.array_equal(moved, plain)
    shift = Changes.of(descriptor, Recipe(shift=1.0))
    found = shift.to_images(torch.from_numpy(cipher.encrypt(plain)), np.random.default_rng(3)).numpy()
    assert np.array_equal(found, cipher.encrypt(moved))


@pytest.mark.parametrize("name", sorted(ALIGNED))
def test_blocks_exchanged_between_encrypted_images_are_those_exchanged_between_plain_ones(name: str) -> None:
    descriptor = Descriptor.of(name, SHAPE)
    cipher = cipher_for(descriptor, KEY)
    plain = np.random.default_rng(2).integers(0, 256, (20, *SHAPE), dtype=np.uint8)
    mixed, partners, kept = cut_blocks(torch.from_numpy(plain), descriptor.block, np.random.default_rng(4))
    coded = torch.from_numpy(cipher.encrypt(plain))
    theirs, same, share = cut_blocks(coded, descriptor.encrypted_block, np.random.default_rng(4))
    assert np.array_equal(theirs.numpy(), cipher.encrypt(mixed.numpy()))
    assert torch.equal(partners, same)
    assert (kept, 0 < kept < 1) == (share, True)


@pytest.mark.parametrize("change", [Recipe(crop=2), Recipe(mirror=True)])
def test_encrypted_images_are_neither_cropped_nor_mirrored(change: Recipe) -> None:
    with pytest.raises(FederationError, match="on plain images, not under le"):
        Changes.of(Descriptor.of("le", SHAPE), change)
    plain = Descriptor.of("plain", SHAPE)
    images = encrypted(plain, 20)
    changed = Changes.of(plain, dataclasses.replace(change, shift=0.0)).to_images(images, np.random.default_rng(1))
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)

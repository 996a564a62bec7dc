"""Every scheme of the table gets a network for its encrypted images; moved by blocks only where that needs no key."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from blindsight.holder.ciphers import cipher_for
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.scheme import SCHEMES, Descriptor
from blindsight.trainer.client_app import shift_of
from blindsight.trainer.config import RunConfig
from blindsight.trainer.model import arch_of, model_for, stem_block
from blindsight.trainer.networks import build
from blindsight.trainer.task import Recipe, shift_blocks
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
    ("name", "shape", "given", "unit", "block", "seen"),
    [
        ("le", (32, 32, 3), {}, "nibble", 4, (32, 32, 3)),
        ("block-shuffle", (32, 48, 1), {"block": 8}, "byte", 8, (32, 48, 1)),
        ("patch-mix", (32, 32, 3), {}, "byte", 2, (16, 16, 3)),
        ("patch-mix", (32, 32, 3), {"block": 16}, "byte", 8, (16, 16, 3)),
        ("plain", (32, 32, 3), {"block": 1}, "byte", 1, (32, 32, 3)),
        ("logistic-xor", (32, 32, 3), {}, "bit", 4, (32, 32, 3)),
        ("pixel", (30, 32, 3), {}, "byte", 2, (30, 32, 3)),
        ("vortex", (32, 31, 3), {}, "byte", 1, (32, 31, 3)),
        ("cat-map", (28, 28, 1), {}, "byte", 4, (28, 28, 1)),
    ],
)
def test_the_stem_follows_from_the_scheme_and_the_size_of_its_encrypted_images(
    name: str,
    shape: tuple[int, int, int],
    given: Mapping[str, int],
    unit: str,
    block: int,
    seen: tuple[int, int, int],
) -> None:
    descriptor = Descriptor.of(name, shape, given)
    arch = arch_of(descriptor, 10, RunConfig(upsample=1))
    assert arch == {"unit": unit, "block": block, "shape": seen, "classes": 10, "upsample": 1}
    assert stem_block(descriptor) == block


def test_a_network_is_built_from_nothing_but_what_a_bundle_states_and_the_seed() -> None:
    descriptor = Descriptor.of("patch-mix", SHAPE)
    mine = model_for(descriptor, 5, RunConfig(seed=3))
    stated = build("small", seed=3, **arch_of(descriptor, 5, RunConfig()))
    assert digest(pack(mine.state_dict())) == digest(pack(stated.state_dict()))


def test_a_scheme_that_does_not_fit_the_shape_gets_no_network() -> None:
    with pytest.raises(SchemeError, match="must be square"):
        model_for(Descriptor("cat-map", 1, (16, 24, 3), {}), 5, RunConfig())


# Shifts.


@pytest.mark.parametrize(("name", "given"), KINDS, ids=lambda value: str(value))
def test_only_aligned_schemes_are_shifted(name: str, given: Mapping[str, str]) -> None:
    change = shift_of(Descriptor.of(name, SHAPE, given), Recipe(), np.random.default_rng(1))
    assert (change is not None) == (name in ALIGNED)


def test_nothing_is_shifted_by_a_recipe_without_shifts() -> None:
    assert shift_of(Descriptor.of("le", SHAPE), Recipe(shift=0.0), np.random.default_rng(1)) is None


@pytest.mark.parametrize("name", sorted(ALIGNED))
def test_a_shifted_encrypted_image_is_the_encrypted_image_of_a_shifted_one(name: str) -> None:
    descriptor = Descriptor.of(name, SHAPE)
    cipher = cipher_for(descriptor, KEY)
    plain = np.random.default_rng(2).integers(0, 256, (20, *SHAPE), dtype=np.uint8)
    change = shift_of(descriptor, Recipe(shift=1.0), np.random.default_rng(3))
    assert change is not None
    moved = shift_blocks(torch.from_numpy(plain), descriptor.block, 1.0, np.random.default_rng(3)).numpy()
    assert not np.array_equal(moved, plain)
    assert np.array_equal(change(torch.from_numpy(cipher.encrypt(plain))).numpy(), cipher.encrypt(moved))

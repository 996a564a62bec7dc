"""Training on encrypted images goes step by step as on plain ones, if the first weights are permuted by the key.

So nothing is lost: an initialisation that is drawn independently for each unit is as likely as its permutation, and
the runs on encrypted images are distributed as the runs on plain ones with the same units. What the key does to units
is not taken from the schemes' definitions; it is found by looking at plain and encrypted blocks side by side.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from blindsight.holder.ciphers import cipher_for
from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.networks import Option
from blindsight.trainer.networks.dropout import reseed
from blindsight.trainer.optimizers import Optimizers
from blindsight.trainer.recipe import Recipe
from blindsight.trainer.stems import Units
from blindsight.trainer.task import Changes, Fitting
from tests.trainer.samples import images, network, one_thread

Losses = npt.NDArray[np.float64]
SHAPE, BLOCK = (8, 12, 3), 4
ROWS, BATCH, STEPS = 64, 8, 60
TOLERANCE = 1e-9
"""Largest difference of two losses in double precision; 6e-13 was the most that any case showed."""
KEY = bytes(range(32))
RECIPES = {
    "sgd": Recipe(optimizer="sgd", lr=0.02),
    "adamw": Recipe(optimizer="adamw", lr=1e-3),
    "muon": Recipe(optimizer="muon", lr=0.02, muon_lr=0.05),
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@dataclass
class Key:
    """What a scheme's key does, as it was seen.

    Args:
        order: (d,) unit j of an encrypted block is unit ``order[j]`` of the plain one, but for its sign.
        sign: (d,) 1 or -1.
        blocks: (n,) block k of the encrypted image was made of block ``blocks[k]``.
    """

    order: Tensor
    sign: Tensor
    blocks: Tensor

    def into(self, module: nn.Module) -> nn.Module:
        """The network that does with encrypted images what this one does with plain ones."""
        keyed = copy.deepcopy(module)
        with torch.no_grad():
            weight = keyed.get_parameter("stem.blocks.weight")  # (o, u, m, m)
            weight.copy_((weight.flatten(1)[:, self.order] * self.sign).view(weight.shape))
            if hasattr(keyed, "positions"):
                keyed.positions.copy_(keyed.positions[self.blocks])
        return keyed


def blocks_of(pictures: Tensor, unit: str) -> Tensor:
    """Centred units of every block: (n, blocks, u * m * m) float64."""
    units = Units(unit)(pictures).double()  # (n, u, h, w)
    return functional.unfold(units, BLOCK, stride=BLOCK).transpose(1, 2)


def seen(plain: Tensor, encrypted: Tensor, unit: str) -> Key:
    """Find a signed permutation of the units, the same in all blocks, and a permutation of the blocks."""
    before, after = blocks_of(plain, unit), blocks_of(encrypted, unit)
    lengths, found = before.norm(dim=2), after.norm(dim=2)  # (n, blocks): no signed permutation changes them
    blocks = (found.T[:, None] - lengths.T[None]).norm(dim=2).argmin(dim=1)  # (blocks,)
    before, after = before[:, blocks].flatten(0, 1), after.flatten(0, 1)  # (n * blocks, d)
    alike = after.T @ before / len(before)  # (d, d)
    order = alike.abs().argmax(dim=1)  # (d,)
    sign = alike.gather(1, order[:, None]).squeeze(1).sign()  # (d,)
    assert torch.equal(order.sort().values, torch.arange(len(order)))
    torch.testing.assert_close(after, before[:, order] * sign)
    return Key(order, sign, blocks)


def data(scheme: str, shape: tuple[int, int, int] = SHAPE) -> tuple[Descriptor, Tensor, Tensor]:
    """A scheme, plain images, encrypted images."""
    descriptor = Descriptor.of(scheme, shape)
    plain = images(ROWS, shape)
    encrypted = cipher_for(descriptor, KEY).encrypt(plain.numpy(), [str(row) for row in range(ROWS)])
    return descriptor, plain, torch.from_numpy(encrypted)


def started(name: str, unit: str) -> nn.Module:
    options: dict[str, Option] = {"dim": 48, "depth": 2, "heads": 4, "mlp": 96} if name == "vit" else {}
    return network(name, unit=unit, block=BLOCK, shape=SHAPE, options=options)


def losses(module: nn.Module, pictures: Tensor, method: str) -> Losses:
    """Train in double precision on batches in one order, with the optimizers that every engine uses."""
    module.train().double()
    optimizers, rng, found = Optimizers(module, RECIPES[method]), np.random.default_rng(1), []
    units = module.get_submodule("stem.units")(pictures).double()  # (n, u, h, w)
    for _ in range(STEPS):
        rows = torch.from_numpy(rng.permutation(ROWS)[:BATCH])
        reseed(module, rng)
        loss = functional.cross_entropy(module(units[rows]), rows % 5)
        optimizers.step(loss, 1.0)
        found.append(loss.item())
    return np.array(found)


@cache
def on_plain(name: str, unit: str, method: str) -> Losses:
    """What others are compared with: the same network on the same units without a key."""
    return losses(started(name, unit), images(ROWS, SHAPE), method)


FAST = [
    ("le", "small", "sgd"),
    ("le", "small", "adamw"),
    ("block-shuffle", "vit", "sgd"),
    ("vit-block", "vit", "sgd"),
    ("vit-block", "vit", "adamw"),
]
SLOW = [
    ("block-shuffle", "small", "sgd"),
    ("block-shuffle", "vit", "adamw"),
    ("le", "small", "muon"),
    ("le", "fast", "muon"),
    ("le", "pyramidal", "adamw"),
    ("le", "convmixer", "adamw"),
    ("le", "resnet18", "sgd"),
    ("le", "wrn-16-4", "muon"),
]


@pytest.mark.parametrize(
    ("scheme", "name", "method"), [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
)
def test_every_step_on_encrypted_images_has_the_loss_of_the_step_on_plain_ones(
    scheme: str, name: str, method: str
) -> None:
    descriptor, plain, encrypted = data(scheme)
    unit = descriptor.traits.unit
    keyed = seen(plain, encrypted, unit).into(started(name, unit))
    expected, found = on_plain(name, unit, method), losses(keyed, encrypted, method)
    assert np.abs(found - expected).max() < TOLERANCE
    assert np.ptp(expected) > 0.1


@pytest.mark.parametrize(("scheme", "name"), [("le", "small"), ("block-shuffle", "vit"), ("vit-block", "vit")])
def test_weights_that_are_not_permuted_give_other_losses_from_the_first_step_on(scheme: str, name: str) -> None:
    descriptor, _, encrypted = data(scheme)
    unit = descriptor.traits.unit
    difference = np.abs(losses(started(name, unit), encrypted, "sgd") - on_plain(name, unit, "sgd"))
    assert difference[0] > 1e4 * TOLERANCE
    assert difference.max() > 1e-2


def test_positions_that_are_not_permuted_give_other_losses() -> None:
    _, plain, encrypted = data("vit-block")
    key = seen(plain, encrypted, "byte")
    keyed = replace(key, blocks=torch.arange(len(key.blocks))).into(started("vit", "byte"))
    assert np.abs(losses(keyed, encrypted, "sgd") - on_plain("vit", "byte", "sgd")).max() > 1e4 * TOLERANCE


@pytest.mark.parametrize(
    ("scheme", "flips", "moves"), [("le", True, False), ("block-shuffle", False, False), ("vit-block", True, True)]
)
def test_the_keys_that_were_seen_do_what_their_schemes_say(scheme: str, flips: bool, moves: bool) -> None:
    descriptor, plain, encrypted = data(scheme)
    key = seen(plain, encrypted, descriptor.traits.unit)
    assert not torch.equal(key.order, torch.arange(len(key.order)))
    assert bool((key.sign < 0).any()) == flips
    assert torch.equal(key.blocks, torch.arange(len(key.blocks))) != moves


@pytest.mark.parametrize("scheme", ["ele", "cat-map", "pixel", "etc"])
def test_a_key_that_is_not_the_same_for_all_blocks_is_not_taken_for_one(scheme: str) -> None:
    descriptor, plain, encrypted = data(scheme, (16, 16, 3))
    with pytest.raises(AssertionError):
        seen(plain, encrypted, descriptor.traits.unit)


class Double(nn.Module):
    """Units in double precision, as they are found where a network in double precision begins."""

    def __init__(self, units: nn.Module) -> None:
        super().__init__()
        self.units = units

    def forward(self, image: Tensor) -> Tensor:
        units: Tensor = self.units(image).double()
        return units


def test_the_loop_of_every_engine_keeps_step_with_all_on_that_is_legal_on_encrypted_images() -> None:
    """Muon, shifts by blocks, CutMix on block borders, Mixup of units, smoothed labels; a loss in single precision."""
    descriptor, plain, encrypted = data("le")
    recipe = replace(RECIPES["muon"], shift=0.5, cutmix=0.5, mixup=0.2, label_smoothing=0.1)
    module, found = started("small", "nibble"), []
    for start, pictures in ((module, plain), (seen(plain, encrypted, "nibble").into(module), encrypted)):
        start.double().train().stem.units = Double(start.get_submodule("stem.units"))
        fitting, rng = Fitting(start, recipe, Changes.of(descriptor, recipe), "fp32"), np.random.default_rng(2)
        batches = [torch.from_numpy(rng.permutation(ROWS)[:BATCH]) for _ in range(STEPS)]
        found.append([fitting.step(pictures[rows], rows % 5, 1.0, rng).item() for rows in batches])
    assert np.abs(np.subtract(*found)).max() < 1e-5

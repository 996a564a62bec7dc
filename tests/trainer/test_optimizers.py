"""Each optimizer goes downhill; Muon moves what stands between stem and head; memories survive an interruption."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from blindsight.trainer.networks import build
from blindsight.trainer.optimizers import Muon, Optimizers, orthogonal
from blindsight.trainer.recipe import Recipe

RATES = {"sgd": 0.05, "adamw": 0.003, "muon": 0.05}


def network() -> nn.Module:
    return build("small", stem="block", unit="byte", block=4, shape=(8, 8, 3), classes=3, upsample=1, seed=1)


def loss_of(module: nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    images = torch.randint(0, 256, (12, 8, 8, 3), dtype=torch.uint8, generator=generator)
    return functional.cross_entropy(module(images), torch.arange(12) % 3)


def recipe(optimizer: str) -> Recipe:
    return Recipe(optimizer=optimizer, lr=RATES[optimizer])


@pytest.mark.parametrize("optimizer", RATES)
def test_a_few_steps_lower_the_loss(optimizer: str) -> None:
    module = network()
    optimizers, before = Optimizers(module, recipe(optimizer)), loss_of(module).item()
    for _ in range(15):
        optimizers.step(loss_of(module), 1.0)
    assert loss_of(module).item() < before / 2


@pytest.mark.parametrize("optimizer", RATES)
def test_a_rate_of_zero_moves_nothing_but_the_scale_that_does_not_matter(optimizer: str) -> None:
    module = network()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    Optimizers(module, recipe(optimizer)).step(loss_of(module), 0.0)
    for name, parameter in module.named_parameters():
        same = functional.cosine_similarity(parameter.flatten(), before[name].flatten(), dim=0)
        assert torch.equal(parameter, before[name]) or same.item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("optimizer", RATES)
def test_what_is_remembered_goes_on_where_it_stopped(optimizer: str) -> None:
    module = network()
    optimizers = Optimizers(module, recipe(optimizer))
    optimizers.step(loss_of(module), 1.0)
    kept, weights = optimizers.state(), {name: value.clone() for name, value in module.state_dict().items()}
    kept = {name: value.contiguous().clone() for name, value in kept.items()}  # as a file gives them back
    optimizers.step(loss_of(module), 0.5)
    again = network()
    again.load_state_dict(weights)
    resumed = Optimizers(again, recipe(optimizer))
    resumed.load(kept)
    resumed.step(loss_of(again), 0.5)
    for (name, one), other in zip(module.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_muon_moves_the_hidden_convolutions_and_leaves_stem_and_head() -> None:
    optimizers = Optimizers(network(), recipe("muon"))
    named = {id(p): name for name, p in optimizers._module.named_parameters()}
    (muon,) = [one for one in optimizers._every if isinstance(one, Muon)]
    moved = {named[id(p)] for group in muon.param_groups for p in group["params"]}
    assert "stem.blocks.weight" not in moved
    assert not any(name.startswith("head") for name in moved)
    assert {"stem.nin.0.weight", "groups.0.0.weight", "groups.1.4.body.0.weight"} <= moved


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (12, 12)])
def test_an_orthogonal_matrix_keeps_directions_and_evens_out_their_lengths(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    values = torch.linalg.svdvals(orthogonal(matrix))
    assert values.max() < 1.6
    assert values.median() > 0.4
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ orthogonal(matrix) @ right.T
    off = turned - torch.diag(turned.diagonal())
    assert off.abs().max() < 0.1


def test_weight_decay_spares_normalisations_and_biases() -> None:
    module = network()
    (general,) = Optimizers(module, Recipe(weight_decay=0.1))._every
    decayed, spared = general.param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert all(p.ndim > 1 for p in decayed["params"])
    assert all(p.ndim == 1 for p in spared["params"])

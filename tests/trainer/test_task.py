"""Local training learns, follows its recipe and gives the same bits in threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blindsight.trainer.mixing import shift_blocks
from blindsight.trainer.networks import build
from blindsight.trainer.recipe import Recipe
from blindsight.trainer.task import Changes, Fitting, Precision, evaluate, train_epoch
from blindsight.trainer.weights import digest, pack

Pairs = list[tuple[Tensor, Tensor]]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """As the client app has it: one thread of computation to a client."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def patterns(seed: int, *, batches: int = 8, size: int = 16) -> Pairs:
    """Four noisy 16x16 patterns, one to a class."""
    rng = np.random.default_rng(seed)
    shapes = np.random.default_rng(0).integers(40, 216, (4, 16, 16, 3))
    labels = rng.integers(0, 4, (batches, size))
    images = np.clip(shapes[labels] + rng.integers(-40, 41, (batches, size, 16, 16, 3)), 0, 255).astype(np.uint8)
    return [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in zip(images, labels, strict=True)]


def network(seed: int = 1) -> nn.Module:
    return build("small", stem="block", unit="nibble", block=4, shape=(16, 16, 3), classes=4, upsample=2, seed=seed)


def fitting(module: nn.Module, recipe: Recipe, precision: Precision = "fp32") -> Fitting:
    return Fitting(module, recipe, Changes(recipe, 4, plain=True), precision)


def train(
    module: nn.Module, batches: Pairs, *, lr: float = 0.05, end: float = 0.0, precision: Precision = "fp32"
) -> float:
    recipe = Recipe(lr=lr or 1.0, shift=0.0)
    rates = (1.0 if lr else 0.0, end)
    return train_epoch(fitting(module, recipe, precision), batches, rates, np.random.default_rng(1))


def state(module: nn.Module) -> str:
    return digest(pack(module.state_dict()))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_epoch_learns_four_patterns(precision: Precision) -> None:
    module = network()
    train(module, patterns(1, batches=48), precision=precision)
    loss, correct, seen = evaluate(module, patterns(2), precision=precision)
    assert seen == 128
    assert correct > 115
    assert loss < 0.9


def test_the_loss_falls() -> None:
    module = network()
    assert train(module, patterns(1)) > train(module, patterns(2))


def test_a_rate_of_zero_leaves_the_weights() -> None:
    module = network()
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    train(module, patterns(1, batches=2), lr=0.0)
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, before[name])


def test_the_rate_moves_in_equal_amounts_from_step_to_step() -> None:
    """The gradient is a constant and there is no momentum: a weight falls by the sum of the rates."""
    step = (torch.ones((1, 1)), torch.zeros(1, dtype=torch.int64))
    assert fallen([step], end=0.0) == pytest.approx(0.4)
    assert fallen([step] * 4, end=0.0) == pytest.approx(0.4 + 0.3 + 0.2 + 0.1)
    assert fallen([step] * 2, end=0.5) == pytest.approx(0.4 + 0.3)


class Slope(nn.Module):
    """Logits whose loss falls by the weight itself, however far it has gone: a margin of -1000."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat((self.weight, torch.full((1,), 1000.0)))[None]  # (1, 2)


def fallen(batches: Pairs, *, end: float) -> float:
    module = Slope()
    recipe = Recipe(lr=0.4, momentum=0.0, weight_decay=0.0, label_smoothing=0.0, shift=0.0)
    train_epoch(fitting(module, recipe), batches, (1.0, end), np.random.default_rng(1))
    return module.weight.item()


def test_a_holder_without_images_changes_nothing() -> None:
    module = network()
    before = state(module)
    assert train(module, []) == 0.0
    assert state(module) == before


def test_evaluation_leaves_every_bit_and_counts_nothing_when_there_is_nothing() -> None:
    module = network()
    before = state(module)
    evaluate(module, patterns(1, batches=2))
    assert state(module) == before
    assert evaluate(module, []) == (0.0, 0, 0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_clients_in_threads_give_the_bits_of_one_after_another(precision: Precision) -> None:
    def client(seed: int) -> str:
        module = network()
        train(module, patterns(seed), precision=precision)
        return state(module)

    alone = [client(seed) for seed in (1, 2, 3, 4)]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(client, (1, 2, 3, 4))) == alone


def test_training_draws_nothing_from_the_global_random_state() -> None:
    before = torch.get_rng_state()
    train(network(), patterns(1, batches=2))
    assert torch.equal(before, torch.get_rng_state())


def test_the_recipe_warms_up_and_cools_down() -> None:
    recipe = Recipe(warm_up=0.2)
    assert recipe.rate_at(0.0) == pytest.approx(0.2)
    assert recipe.rate_at(0.2) == pytest.approx(1.0)
    assert recipe.rate_at(1.0) == pytest.approx(0.01)


def test_a_small_holder_repeats_its_rows_and_a_large_one_does_not() -> None:
    recipe = Recipe(batch=64, least_steps=30)
    assert recipe.local_epochs(479) == 4
    assert recipe.local_epochs(1) == recipe.local_epochs(0) == 30
    assert recipe.local_epochs(10_000) == 1


def places(image: Tensor, block: int) -> list[list[int]]:
    """The value of each block of an image whose blocks are even."""
    return image[::block, ::block, 0].tolist()


def test_a_shift_moves_whole_blocks_and_repeats_the_border() -> None:
    image = torch.arange(9, dtype=torch.uint8).reshape(3, 3).repeat_interleave(2, 0).repeat_interleave(2, 1)[..., None]
    shifted = shift_blocks(image.expand(200, 6, 6, 1), 2, 1.0, np.random.default_rng(6))  # (200, 6, 6, 1)
    seen = {str(places(moved, 2)) for moved in shifted}
    assert len(seen) == 9
    assert str([[0, 0, 1], [0, 0, 1], [3, 3, 4]]) in seen
    assert str([[4, 5, 5], [7, 8, 8], [7, 8, 8]]) in seen


def test_a_shift_leaves_the_inside_of_a_block_in_order() -> None:
    image = torch.arange(4, dtype=torch.uint8).reshape(1, 2, 2, 1)
    assert torch.equal(shift_blocks(image, 2, 1.0, np.random.default_rng(6)), image)


def test_the_share_decides_how_many_images_move() -> None:
    images = patterns(1, batches=1, size=400)[0][0]
    assert torch.equal(shift_blocks(images, 4, 0.0, np.random.default_rng(6)), images)
    moved = shift_blocks(images, 4, 0.5, np.random.default_rng(6))
    same = sum(torch.equal(a, b) for a, b in zip(moved, images, strict=True))
    assert 180 < same < 270

"""Networks are built by name from a seed, for any image made of whole blocks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blindsight.trainer.networks import NETWORKS, build
from blindsight.trainer.weights import digest, pack


def small(
    seed: int = 3, *, unit: str = "nibble", block: int = 4, shape: tuple[int, int, int] = (32, 32, 3)
) -> nn.Module:
    return build("small", unit=unit, block=block, shape=shape, classes=10, upsample=2, seed=seed)


def state(network: nn.Module) -> str:
    return digest(pack(network.state_dict()))


def test_the_same_seed_gives_the_same_weights() -> None:
    assert state(small(3)) == state(small(3))


def test_another_seed_gives_other_weights() -> None:
    assert state(small(3)) != state(small(4))


def test_building_neither_reads_nor_moves_the_global_random_state() -> None:
    torch.manual_seed(1)
    first, before = state(small()), torch.get_rng_state()
    torch.manual_seed(2)
    second = state(small())
    torch.manual_seed(1)
    assert first == second
    assert torch.equal(before, torch.get_rng_state())


def test_every_tensor_is_finite_and_on_the_processor() -> None:
    for tensor in small().state_dict().values():
        assert tensor.device.type == "cpu"
        assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("unit", ["byte", "nibble", "bit"])
@pytest.mark.parametrize(
    ("block", "shape"),
    [(4, (32, 32, 3)), (4, (28, 28, 1)), (8, (8, 8, 3)), (8, (24, 40, 3)), (16, (112, 96, 3))],
)
def test_any_image_of_whole_blocks_is_classified(name: str, unit: str, block: int, shape: tuple[int, int, int]) -> None:
    network = build(name, unit=unit, block=block, shape=shape, classes=7, upsample=2, seed=1).eval()
    logits = network(torch.zeros((2, *shape), dtype=torch.uint8))
    assert logits.shape == (2, 7)
    assert logits.dtype == torch.float32


def test_the_key_dependent_tensor_has_its_name_and_spans_one_block() -> None:
    assert small().state_dict()["stem.blocks.weight"].shape[1:] == (6, 4, 4)
    assert small(unit="byte", block=8).state_dict()["stem.blocks.weight"].shape[1:] == (3, 8, 8)
    assert small(unit="bit", block=2).state_dict()["stem.blocks.weight"].shape[1:] == (24, 2, 2)


def test_convolutions_are_stored_channels_last() -> None:
    weight = small().state_dict()["groups.0.0.weight"]
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="network must be one of small, got 'large'"):
        build("large", unit="byte", block=4, shape=(32, 32, 3), classes=10, upsample=2, seed=0)

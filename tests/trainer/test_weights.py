"""A network's state is one flat array and back, or is refused."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from torch import nn

from blindsight.protocol.errors import FederationError
from blindsight.trainer.networks import build
from blindsight.trainer.weights import digest, layout, pack, unpack


def network(seed: int) -> nn.Module:
    return build("small", stem="block", unit="nibble", block=4, shape=(32, 32, 3), classes=10, upsample=2, seed=seed)


def test_a_packed_state_unpacks_to_the_same_bits() -> None:
    first, second = network(1), network(2)
    flat = pack(first.state_dict())
    unpack(flat, second)
    assert np.array_equal(pack(second.state_dict()), flat)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])


def test_the_layout_lists_names_in_alphabetical_order_and_every_value() -> None:
    entries = layout(network(1))
    assert [name for name, _ in entries] == sorted(name for name, _ in entries)
    assert sum(math.prod(shape) for _, shape in entries) == len(pack(network(1).state_dict()))


def test_the_order_of_a_state_does_not_matter() -> None:
    state = network(1).state_dict()
    assert np.array_equal(pack(dict(reversed(state.items()))), pack(state))


def test_averages_of_normalisations_travel_and_counters_stay() -> None:
    names = {name for name, _ in layout(network(1))}
    assert "stem.norm.running_var" in names
    assert not any("num_batches_tracked" in name for name in names)


def test_values_lie_in_c_order_whatever_the_memory_order() -> None:
    tensor = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    assert pack({"a": tensor}).tolist() == list(range(24))


def test_a_packed_state_is_a_copy() -> None:
    module = nn.Linear(2, 2)
    flat = pack(module.state_dict())
    flat[:] = 7
    assert not (module.weight == 7).any()


@pytest.mark.parametrize("change", [-1, 1])
def test_another_number_of_values_is_refused(change: int) -> None:
    with pytest.raises(FederationError, match="expected weights of 6 float32 values"):
        unpack(np.zeros(6 + change, dtype=np.float32), nn.Linear(2, 2))


def test_another_type_is_refused() -> None:
    with pytest.raises(FederationError, match="got float64"):
        unpack(np.zeros(6), nn.Linear(2, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_and_nothing_is_written(value: float) -> None:
    module = nn.Linear(2, 2)
    before = pack(module.state_dict())
    flat = np.zeros(6, dtype=np.float32)
    flat[5] = value
    with pytest.raises(FederationError, match="1 values that are not"):
        unpack(flat, module)
    assert np.array_equal(pack(module.state_dict()), before)


def test_a_state_without_tensors_is_an_empty_array() -> None:
    assert pack({}).shape == (0,)


def test_the_digest_is_of_little_endian_float32() -> None:
    flat = np.array([1.0, -2.0], dtype=np.float32)
    assert digest(flat) == hashlib.sha256(bytes.fromhex("0000803f000000c0")).hexdigest()
    assert digest(flat.astype(">f4")) == digest(flat)

"""The run configuration is checked wherever it arrives, and names the key at fault."""

from __future__ import annotations

import tomllib

import pytest

from blindsight.protocol.errors import FederationError
from blindsight.trainer.config import CHOICES, LIMITS, RunConfig
from blindsight.trainer.flower_app import run_config
from blindsight.trainer.recipe import Recipe

OTHER = RunConfig(
    rounds=7,
    seed=3,
    upsample=4,
    timeout=12.5,
    precision="bf16",
    recipe=Recipe(batch=32, lr=1e-5, shift=0.0, momentum=0),
)


@pytest.mark.parametrize("config", [RunConfig(), OTHER], ids=["defaults", "others"])
def test_a_configuration_survives_the_flat_mapping(config):
    assert RunConfig.from_flower(config.to_flower()) == config


@pytest.mark.parametrize("config", [RunConfig(), OTHER], ids=["defaults", "others"])
def test_a_configuration_survives_toml(config):
    assert RunConfig.from_flower(tomllib.loads(run_config(config))) == config


def test_what_is_left_out_has_its_default():
    assert RunConfig.from_flower({}) == RunConfig()


def test_keys_have_dashes_and_plain_values():
    for key, value in RunConfig().to_flower().items():
        assert "_" not in key
        assert type(value) in (bool, int, float, str)


def test_a_whole_number_is_taken_for_a_fraction():
    config = RunConfig.from_flower({"lr": 1, "timeout": 60})
    assert (config.recipe.lr, type(config.recipe.lr), config.timeout) == (1.0, float, 60.0)


@pytest.mark.parametrize("key", LIMITS)
def test_both_limits_of_a_key_belong_to_it_and_what_lies_beyond_is_refused(key):
    kind = type(RunConfig().to_flower()[key])
    for limit, beyond in zip(LIMITS[key], (-1, 1), strict=True):
        assert RunConfig.from_flower({key: kind(limit)}).to_flower()[key] == limit
        with pytest.raises(FederationError, match=rf"configuration: {key} must be from"):
            RunConfig.from_flower({key: kind(limit + beyond)})


@pytest.mark.parametrize("key", CHOICES)
def test_a_choice_that_is_not_offered_is_refused_naming_the_key(key):
    kind = type(RunConfig().to_flower()[key])
    with pytest.raises(FederationError, match=rf"{key} must be one of"):
        RunConfig.from_flower({key: kind("77")})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rounds", "3"),
        ("rounds", 2.0),
        ("rounds", True),
        ("lr", "0.1"),
        ("lr", None),
        ("network", 3),
        ("network", b"small"),
    ],
)
def test_a_value_of_another_type_is_refused_naming_the_key(key, value):
    with pytest.raises(FederationError, match=f"{key} must be "):
        RunConfig.from_flower({key: value})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(FederationError, match="lr must be from"):
        RunConfig.from_flower({"lr": value})


def test_an_unknown_key_is_refused_and_the_known_ones_are_listed():
    with pytest.raises(FederationError, match="there is no key 'learning_rate'") as caught:
        RunConfig.from_flower({"learning_rate": 0.1})
    assert "lr" in caught.value.hint


def test_all_faults_are_named_at_once():
    with pytest.raises(FederationError) as caught:
        RunConfig(rounds=0, network="huge", timeout=0.0)
    assert all(f"{key} must be" in caught.value.message for key in ("rounds", "network", "timeout"))


@pytest.mark.parametrize("changes", [{"rounds": 2.5}, {"rounds": True}, {"seed": 1.0}, {"upsample": 2.0}])
def test_a_configuration_cannot_be_made_with_a_value_of_another_type(changes):
    (key,) = changes
    with pytest.raises(FederationError, match=key):
        RunConfig(**changes)


def test_a_long_value_is_not_repeated_whole():
    with pytest.raises(FederationError) as caught:
        RunConfig.from_flower({"network": "n" * 5000})
    assert len(caught.value.message) < 300

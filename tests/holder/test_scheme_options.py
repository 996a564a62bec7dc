"""Options that name a scheme: one way to say it for every verb."""

from __future__ import annotations

import argparse

import pytest

from blindsight.holder import scheme_options
from blindsight.protocol.errors import FormatError, SchemeError
from blindsight.protocol.scheme import Descriptor


def parsed(*words):
    parser = argparse.ArgumentParser()
    scheme_options.add_scheme(parser)
    return parser.parse_args(words)


def described(*words, shape=(32, 32, 3)):
    return scheme_options.descriptor_of(parsed(*words), shape)


def test_nothing_said_is_le_with_its_defaults():
    assert described() == Descriptor.of("le", (32, 32, 3), {"block": 4})


@pytest.mark.parametrize("words", [("--block", "8"), ("--param", "block=8"), ("--block=8",)], ids=" ".join)
def test_block_is_short_for_the_parameter(words):
    assert described(*words).params == {"block": 8}


def test_parameters_add_up():
    words = ("--scheme", "vortex", "--param", "vortices=8", "--param", "strength=800")
    assert described(*words).params == {"vortices": 8, "strength": 800}


@pytest.mark.parametrize(
    "words",
    [("--block", "4", "--param", "block=4"), ("--param", "block=4", "--param", "block=8")],
    ids=" ".join,
)
def test_a_parameter_given_twice_is_refused_even_if_alike(words):
    with pytest.raises(SchemeError, match="parameter block is given more than once"):
        described(*words)


def test_the_refusal_of_a_parameter_says_what_the_scheme_has():
    with pytest.raises(SchemeError, match="scheme vortex has no parameter block; its parameters: vortices, strength"):
        described("--scheme", "vortex", "--block", "4")


@pytest.mark.parametrize("value", ["0", "-1", "257", "4.5", "four", "１６", "9" * 5000])
def test_a_block_that_is_none_is_refused(value):
    with pytest.raises(FormatError, match="block must be an integer from 1 to 256"):
        described(f"--block={value}")


@pytest.mark.parametrize("text", ["scope", "=image", "scope=", "="])
def test_a_parameter_without_name_or_value_is_wrong_usage(text, capsys):
    with pytest.raises(SystemExit):
        parsed("--param", text)
    assert "expected NAME=VALUE" in capsys.readouterr().err

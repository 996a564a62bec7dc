"""``holder schemes``: what is publicly known of every scheme, as people and as programs read it."""

from __future__ import annotations

import json

import pytest

from blindsight.cli import main
from blindsight.protocol.scheme import SCHEMES, Descriptor

NAMES = [name for name, _ in SCHEMES]
WRONG_USAGE = 2


def typed(capsys, *words):
    """Exit status, stdout and stderr."""
    capsys.readouterr()
    try:
        status = main(["holder", *words])
    except SystemExit as stop:
        status = int(stop.code or 0)
    said = capsys.readouterr()
    return status, said.out, said.err


# The table.


def test_every_scheme_stands_in_the_table_once_in_columns(capsys):
    status, out, _ = typed(capsys, "schemes")
    head, *lines = out.splitlines()
    assert (status, [line.split()[0] for line in lines]) == (0, NAMES)
    for column in ("scope", "unit", "invertible", "first layer", "defaults", "source"):
        place = head.index(column)
        assert all(line[place - 1 : place + 1].strip() == line[place] for line in lines)


def test_the_table_shows_defaults_and_says_for_which_images(capsys):
    _, out, err = typed(capsys, "schemes")
    assert "block=4 fixed_blocks=48 fixed_pixels=36" in out
    assert "images of 32x32x3" in err


def test_no_table_goes_without_the_honest_limit(capsys):
    assert "none hides a scene from people who compute" in typed(capsys, "schemes")[2]


def test_programs_get_one_object_a_scheme(capsys):
    found = [json.loads(line) for line in typed(capsys, "schemes", "--json")[1].splitlines()]
    assert [one["scheme"] for one in found] == NAMES
    assert {one["scheme"]: one["invertible"] for one in found if not one["invertible"]} == {
        "patch-mix": False,
        "vortex": False,
    }


# One scheme.


@pytest.mark.parametrize("name", NAMES)
def test_the_details_say_how_a_scheme_falls_and_name_its_parameters(capsys, name):
    status, out, _ = typed(capsys, "schemes", name)
    words, traits = " ".join(out.split()), SCHEMES[name, 1]
    assert status == 0
    for text in (
        traits.title,
        traits.source,
        traits.falls,
        traits.control,
        *(one.words for one in traits.params.values()),
    ):
        assert text in words
    assert all(f"  {parameter} " in out for parameter in traits.params)
    assert max(len(line) for line in out.splitlines()) <= 100


def test_a_default_that_follows_from_the_images_says_so(capsys):
    _, out, _ = typed(capsys, "schemes", "restricted")
    assert "(default: 48 for 32x32x3 images)" in out
    assert "(default: 4)" in out


@pytest.mark.parametrize("name", NAMES)
def test_the_details_for_programs_have_the_defaults_that_descriptors_take(capsys, name):
    (line,) = typed(capsys, "schemes", name, "--json")[1].splitlines()
    facts = json.loads(line)
    defaults = {parameter: one["default"] for parameter, one in facts["parameters"].items()}
    assert defaults == Descriptor.of(name, (32, 32, 3)).params
    assert (facts["falls"], facts["stem"]) == (SCHEMES[name, 1].falls, SCHEMES[name, 1].stem)


def test_a_scheme_that_there_is_not_is_wrong_usage_with_those_there_are(capsys):
    status, _, err = typed(capsys, "schemes", "rot13")
    assert (status, "vortex-ring" in err) == (WRONG_USAGE, True)

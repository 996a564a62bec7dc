"""``--despite-notice``: no reason, no override; and every override is written down before it takes effect."""

from __future__ import annotations

import argparse
import json

import pytest

from blindsight.cli import override
from blindsight.protocol.errors import BlindsightError, PolicyError


@pytest.fixture
def file(state_home):
    return state_home / "blindsight" / override.FILE


def decided(reason, verb="trainer check"):
    return override.decided(argparse.Namespace(despite_notice=reason), verb)


def test_without_the_option_nothing_is_overridden_and_nothing_written(file):
    assert decided(None) is False
    assert not file.exists()


@pytest.mark.parametrize("reason", ["", " ", "\t\n "], ids=repr)
def test_an_empty_reason_is_none(file, reason):
    with pytest.raises(PolicyError, match="needs a reason") as caught:
        decided(reason)
    assert (caught.value.code, "--despite-notice" in caught.value.hint) == ("E_NOTICE", True)
    assert not file.exists()


def test_each_reason_is_kept_with_verb_and_time_for_the_owner_alone(file, capsys):
    assert decided("only to compare") is True
    assert decided(" once more ", "operator predict") is True
    first, second = (json.loads(line) for line in file.read_text().splitlines())
    assert (first["verb"], first["reason"]) == ("trainer check", "only to compare")
    assert (second["verb"], second["reason"]) == ("operator predict", "once more")
    assert first["time"].endswith("Z")
    assert file.stat().st_mode & 0o777 == 0o600
    err = capsys.readouterr().err
    assert "only to compare" in err
    assert str(file) in err


@pytest.mark.parametrize("reason", ["Gerät für Köln", "two\nlines", '"quoted"', "\udcff", "\x1b[2J"], ids=repr)
def test_whatever_the_reason_it_is_one_line_that_programs_read(file, reason):
    assert decided(reason) is True
    (line,) = file.read_bytes().splitlines()
    assert json.loads(line)["reason"] == reason
    assert line.isascii()


def test_a_link_in_its_place_is_not_followed(file, tmp_path):
    file.parent.mkdir(parents=True, exist_ok=True)
    target = tmp_path / "elsewhere"
    target.write_text("untouched")
    file.symlink_to(target)
    with pytest.raises((OSError, BlindsightError)):
        decided("only to compare")
    assert target.read_text() == "untouched"


def test_what_cannot_be_written_down_does_not_take_effect(file):
    file.mkdir(parents=True)
    with pytest.raises((OSError, BlindsightError)):
        decided("only to compare")


def test_the_option_stands_in_the_help():
    parser = argparse.ArgumentParser()
    override.add_override(parser)
    assert parser.parse_args(["--despite-notice", "why"]).despite_notice == "why"
    assert parser.parse_args([]).despite_notice is None
    assert "overrides.jsonl" in parser.format_help()

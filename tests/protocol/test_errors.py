"""The error tree: one root, stable codes, no secrets asked for."""

import inspect
import re

import pytest

from blindsight.protocol import errors
from blindsight.protocol.errors import BlindsightError

CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_every_error_is_a_blindsight_error(kind):
    assert issubclass(kind, BlindsightError)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_every_error_is_described_by_one_sentence(kind):
    assert kind.__doc__.splitlines()[0].endswith(".")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_every_error_has_a_stable_code(kind):
    assert re.fullmatch(r"E_[A-Z_]+", kind("a sentence").code)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda c: c.__name__)
def test_every_error_stands_in_the_drawing(kind):
    assert kind.__name__ in errors.__doc__


def test_no_error_is_a_value_error_so_that_a_bug_stays_a_traceback():
    assert not any(issubclass(kind, (ValueError, TypeError)) for kind in CLASSES)


def test_a_code_given_by_hand_wins_over_the_default():
    assert errors.FormatError("no", code="E_SHARD").code == "E_SHARD"


def test_message_hint_and_evidence_are_kept():
    error = errors.ConflictError("two faces", hint="look", evidence=(b"a", b"b"))
    assert (str(error), error.hint, error.evidence) == ("two faces", "look", (b"a", b"b"))


def test_a_missing_extra_and_a_locked_key_end_with_status_3_and_all_else_with_1():
    three = {kind.__name__ for kind in CLASSES if kind.exit_status == 3}
    assert three == {"MissingExtraError", "LockedKeyError"}
    assert {kind.exit_status for kind in CLASSES} == {1, 3}

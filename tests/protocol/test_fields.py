"""Strict shapes: every fault of a document is named at once, and nothing unknown passes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol import clock, fields
from blindsight.protocol.errors import FormatError
from tests.protocol.worlds import NOW

BRIEFLY = settings(deadline=None, max_examples=60)
SHAPE = fields.mapping({"a": fields.integer(1, 9), "b": fields.text(5)}, {"c": fields.constant(True)})
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
CHECKS = {
    "mapping": SHAPE,
    "dictionary": fields.dictionary(fields.hex32),
    "listing": fields.listing(fields.text()),
    "either": fields.either(fields.integer(), fields.hex16),
    "key": fields.key(4),
    "time": fields.time,
    "decimal": fields.decimal,
    "one of": fields.one_of(["x", 1, None]),
}


def faults(check, value):
    return list(check(value, "it"))


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
@BRIEFLY
@given(value=JSON)
def test_whatever_comes_a_check_answers_with_phrases(check, value):
    assert all(isinstance(fault, str) for fault in check(value, "it"))


def test_all_faults_are_named_in_one_error():
    with pytest.raises(FormatError) as caught:
        fields.demand(SHAPE, {"a": 10, "c": 1, "d": 0}, "the form")
    for part in ("b is missing", "d is unknown", "a must be an integer from 1 to 9", "c must be True"):
        assert part in caught.value.message
    assert caught.value.code == "E_FORMAT"


def test_a_flood_of_faults_is_cut_and_counted():
    with pytest.raises(FormatError, match=r"\(and 12 more\)"):
        fields.demand(fields.listing(fields.integer()), ["x"] * 20, "the list")


def test_a_sound_document_passes():
    fields.demand(SHAPE, {"a": 1, "b": "x", "c": True}, "the form")


@pytest.mark.parametrize("value", [True, "1", 1.0, None, 0, 10])
def test_only_an_integer_in_range_is_an_integer(value):
    assert faults(fields.integer(1, 9), value)


@pytest.mark.parametrize("value", [1, "true", None])
def test_true_is_not_one(value):
    assert faults(fields.constant(True), value)


@pytest.mark.parametrize("value", ["a\nb", "\x1b[31m", "\x7f", "\x9b31m", "\ud800", "x" * 201, 5])
def test_text_with_control_characters_or_too_long_is_refused(value):
    assert faults(fields.text(), value)


@pytest.mark.parametrize("value", ["", "Zürich", "病院", "a b"])
def test_text_of_any_language_is_accepted(value):
    assert not faults(fields.text(), value)


def test_a_fault_never_prints_control_characters_that_a_stranger_wrote():
    with pytest.raises(FormatError) as caught:
        fields.demand(SHAPE, {"a": 1, "b": "x", "\x1b[2J\n": 1}, "the form")
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("value", ["A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "g" * 64, None])
def test_a_digest_is_64_lower_case_hex_characters(value):
    assert faults(fields.hex32, value)


@pytest.mark.parametrize("value", ["2026-11-20T13:00:00Z", "2028-02-29T23:59:59Z", "9999-12-31T23:59:59Z"])
def test_a_time_is_accepted(value):
    assert not faults(fields.time, value)


@pytest.mark.parametrize(
    "value", ["2026-11-20 13:00:00", "2026-11-20T13:00:00+00:00", "2026-11-20T13:00:00Z\n", "²026-11-20T13:00:00Z"]
)
def test_another_spelling_of_a_time_is_refused(value):
    assert faults(fields.time, value)


@pytest.mark.parametrize(
    "value", ["2026-13-20T13:00:00Z", "2026-02-30T13:00:00Z", "0000-01-01T00:00:00Z", "2026-11-20T24:61:61Z"]
)
def test_a_time_that_no_calendar_has_is_refused(value):
    assert faults(fields.time, value)


def test_a_time_is_past_only_after_ten_minutes_of_grace():
    assert not clock.is_past("2026-11-20T12:50:00Z", NOW)
    assert clock.is_past("2026-11-20T12:49:59Z", NOW)


@BRIEFLY
@given(st.datetimes(timezones=st.just(clock.UTC)))
def test_every_time_that_is_accepted_can_be_compared(moment):
    text = clock.to_text(moment.replace(year=max(moment.year, 1000)))
    assert not faults(fields.time, text)
    assert clock.is_past(text, NOW) in (True, False)


def test_a_time_at_the_end_of_the_calendar_is_not_past():
    assert not clock.is_past("9999-12-31T23:59:59Z", NOW)


@pytest.mark.parametrize("value", ["1", "-0.5", "0.123456789012"])
def test_a_decimal_is_a_string_of_digits(value):
    assert not faults(fields.decimal, value)


@pytest.mark.parametrize("value", ["", ".5", "1e3", "1.", "+1", "NaN", 0.5, "١"])
def test_what_is_not_plainly_a_decimal_is_refused(value):
    assert faults(fields.decimal, value)


def test_the_faults_of_the_first_shape_are_shown_when_none_fits():
    check = fields.either(fields.integer(1, 2), fields.hex32)
    assert faults(check, 3) == ["it must be an integer from 1 to 2"]


def test_lists_and_dictionaries_are_bounded():
    assert faults(fields.listing(fields.integer(), most=2), [1, 2, 3])
    assert faults(fields.listing(fields.integer(), least=1), [])
    assert faults(fields.dictionary(fields.integer(), most=1), {"a": 1, "b": 2})

"""Canonical JSON, base64url, tagged hashes, derivation, codes for people."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol import encoding
from blindsight.protocol.encoding import MAX_INTEGER, canonical, from_b64, parse_canonical, parse_json, to_b64
from blindsight.protocol.errors import FormatError

BRIEFLY = settings(deadline=None, max_examples=80)

ASCII_KEYS = st.text(st.characters(max_codepoint=127), max_size=6)
SCALARS = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(max_size=12)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ASCII_KEYS, inner, max_size=4), max_leaves=12
)


@BRIEFLY
@given(VALUES)
def test_parsing_inverts_canonical_writing(value):
    assert parse_canonical(canonical(value), "it") == value


@BRIEFLY
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_whatever_bytes_come_the_parser_answers_or_refuses(data):
    try:
        value = parse_canonical(data, "it")
    except FormatError:
        return
    assert canonical(value) == data


def test_the_order_of_keys_does_not_change_the_bytes():
    assert canonical({"b": 1, "a": [True, None, "ü"]}) == canonical({"a": [True, None, "ü"], "b": 1})


def test_text_is_written_as_itself_in_utf_8():
    assert canonical({"name": "Zürich"}) == '{"name":"Zürich"}'.encode()


REFUSED_VALUES = {
    "a float": 0.5,
    "a float that is whole": 1.0,
    "not a number": float("nan"),
    "infinity": float("inf"),
    "an integer of 2^53": 2**53,
    "an integer of -2^53": -(2**53),
    "a key that is not ASCII": {"ü": 1},
    "a key that is no string": {1: 1},
    "bytes": b"x",
    "a set": {1},
    "a lone surrogate": "\ud800",
    "a float deep inside": {"a": [{"b": [1, 2, 0.1]}]},
}


@pytest.mark.parametrize("value", REFUSED_VALUES.values(), ids=REFUSED_VALUES.keys())
def test_what_has_no_canonical_form_is_refused_when_writing(value):
    with pytest.raises(FormatError) as caught:
        canonical(value)
    assert caught.value.code == "E_CANON"


NOT_STRICT = {
    "a duplicate key": b'{"a":1,"a":1}',
    "a duplicate key spelled with an escape": b'{"a":1,"\\u0061":2}',
    "a float": b"[1.5]",
    "an exponent": b"[1e3]",
    "NaN": b"[NaN]",
    "infinity": b"[-Infinity]",
    "an integer of 2^53": b"9007199254740992",
    "an integer of a thousand digits": b"1" * 1000,
    "a key that is not ASCII": '{"ü":1}'.encode(),
    "an escaped key that is not ASCII": b'{"\\u00fc":1}',
    "a lone surrogate": b'["\\ud800"]',
}
NOT_JSON = {
    "nothing": b"",
    "words": b"hello",
    "two documents": b"{}{}",
    "not UTF-8": b'"\xff"',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "an encoded surrogate": b'"\xed\xa0\x80"',
    "a control character in a string": b'"a\nb"',
    "a hundred thousand brackets": b"[" * 100_000,
}


@pytest.mark.parametrize("data", NOT_STRICT.values(), ids=NOT_STRICT.keys())
def test_json_that_means_more_than_one_thing_is_refused(data):
    with pytest.raises(FormatError) as caught:
        parse_json(data, "it")
    assert caught.value.code == "E_CANON"


@pytest.mark.parametrize("data", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_no_json_is_refused_with_the_name_of_the_document(data):
    with pytest.raises(FormatError, match="the letter is not readable as JSON") as caught:
        parse_json(data, "the letter")
    assert caught.value.code == "E_FORMAT"


NOT_CANONICAL = {
    "a space": b'{"a": 1}',
    "a trailing line end": b'{"a":1}\n',
    "keys out of order": b'{"b":1,"a":1}',
    "a needless escape": b'"\\u0041"',
    "an escaped slash": b'"\\/"',
    "minus zero": b"-0",
}


@pytest.mark.parametrize("data", NOT_CANONICAL.values(), ids=NOT_CANONICAL.keys())
def test_another_spelling_of_the_same_value_is_not_canonical(data):
    assert json.loads(data) is not None
    with pytest.raises(FormatError, match="canonical") as caught:
        parse_canonical(data, "it")
    assert caught.value.code == "E_CANON"


def test_sixteen_levels_are_accepted():
    data = b"[" * 16 + b"1" + b"]" * 16
    assert canonical(parse_json(data, "it")) == data


@pytest.mark.parametrize("inside", [b"", b"1"], ids=["empty", "with a number"])
def test_seventeen_levels_are_refused(inside):
    with pytest.raises(FormatError, match="deeper than 16") as caught:
        parse_json(b"[" * 17 + inside + b"]" * 17, "it")
    assert caught.value.code == "E_CANON"


def test_a_document_above_the_limit_is_refused_before_parsing():
    with pytest.raises(FormatError, match="more than the 10 accepted"):
        parse_json(b"[" * 11, "it", limit=10)


@BRIEFLY
@given(st.binary(max_size=100))
def test_base64url_is_inverted(data):
    assert from_b64(to_b64(data), len(data)) == data


@BRIEFLY
@given(st.text(max_size=12))
def test_only_one_spelling_of_base64url_is_read(text):
    try:
        data = from_b64(text)
    except FormatError:
        return
    assert to_b64(data) == text


OTHER_SPELLINGS = ["AA==", "A", "AB", "+/8", " AAA", "AAA\n", "AA A", "AAAA====", "ÄÄ", "\ud800"]


@pytest.mark.parametrize("text", OTHER_SPELLINGS, ids=ascii)
def test_another_spelling_of_base64url_is_refused(text):
    with pytest.raises(FormatError) as caught:
        from_b64(text)
    assert caught.value.code == "E_CANON"


def test_base64url_of_another_length_is_refused():
    with pytest.raises(FormatError, match="expected 32 bytes of base64url, got 3"):
        from_b64(to_b64(b"abc"), 32)


def test_the_tagged_hash_is_the_published_construction():
    expected = hashlib.sha256(b"blindsight1:mid\0" + (1).to_bytes(8, "big") + b"a" + (2).to_bytes(8, "big") + b"bc")
    assert encoding.tagged_hash("mid", b"a", b"bc") == expected.digest()


@BRIEFLY
@given(st.lists(st.binary(max_size=4), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_different_parts_never_hash_alike(left, right):
    alike = encoding.tagged_hash("t", *left) == encoding.tagged_hash("t", *right)
    assert alike == (left == right)


def test_extract_is_hkdf_extract_of_rfc_5869_test_case_1():
    salt, material = bytes.fromhex("000102030405060708090a0b0c"), b"\x0b" * 22
    expected = "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    assert encoding.extract(salt, material).hex() == expected


def test_another_label_or_part_derives_another_key():
    key = bytes(32)
    derived = {
        encoding.expand(key, "a"),
        encoding.expand(key, "b"),
        encoding.expand(key, "a", b""),
        encoding.expand(key, "a", b"x"),
    }
    assert len(derived) == 4


def test_a_code_for_people_has_ten_groups_of_four_without_look_alikes():
    code = encoding.people_code(hashlib.sha256(b"x").digest())
    groups = code.split("-")
    assert [len(group) for group in groups] == [4] * 10
    assert not set(code) & set("ILOU")


@BRIEFLY
@given(st.binary(min_size=32, max_size=32))
def test_a_code_names_the_first_25_bytes(digest):
    text = encoding.people_code(digest).replace("-", "")
    number = 0
    for character in text:
        number = number * 32 + encoding.CROCKFORD.index(character)
    assert number.to_bytes(25, "big") == digest[:25]


def test_case_spaces_dashes_and_look_alikes_of_a_typed_code_do_not_matter():
    code = encoding.people_code(bytes(range(32)))
    typed = " " + code.lower().replace("-", "  ").replace("0", "o").replace("1", "l") + "\n"
    assert encoding.plain_code(typed) == encoding.plain_code(code)

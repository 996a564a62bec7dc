"""Tensor files: equal content gives equal bytes, and no damage is read as data."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from blindsight.protocol import tensorfile
from blindsight.protocol.errors import FormatError
from blindsight.protocol.tensorfile import DTYPES, MAX_HEADER_BYTES, parse_layout, read_layout, to_bytes

BRIEFLY = settings(deadline=None, max_examples=80)
CONTENT = {
    "b": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "a": np.arange(6, dtype=np.uint8),
    "label": np.array([-1, 2, 2**40]),
    "w": np.array([[0.5, -2]], dtype=np.float32),
}
DATA = to_bytes(CONTENT, {"v": 1})
LENGTH = int.from_bytes(DATA[:8], "little")
HEADER = json.loads(DATA[8 : 8 + LENGTH])


def rebuilt(header, data=DATA[8 + LENGTH :]):
    """A file with another header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def layout_or_code(data):
    try:
        return parse_layout(data, len(data), "x")
    except FormatError as error:
        return error.code


def refused(data):
    with pytest.raises(FormatError) as caught:
        parse_layout(data, len(data), "x")
    assert caught.value.code == "E_SHARD"
    return caught.value.message


@pytest.mark.parametrize("name", CONTENT)
def test_what_was_written_is_read(name, tmp_path):
    (tmp_path / "x").write_bytes(DATA)
    layout = read_layout(tmp_path / "x")
    for array in (tensorfile.view(DATA, layout, name), tensorfile.memory_map(tmp_path / "x", layout, name)):
        np.testing.assert_array_equal(array, CONTENT[name])
        assert array.dtype == CONTENT[name].dtype


ANY_ARRAY = st.sampled_from(list(DTYPES.values())).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
)


@BRIEFLY
@given(
    st.dictionaries(st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126)), ANY_ARRAY, max_size=4)
)
def test_reading_inverts_writing(content):
    content.pop("__metadata__", None)
    data = to_bytes(content, {"v": 1})
    layout = parse_layout(data, len(data), "x")
    assert layout.metadata == '{"v":1}'
    for name, array in content.items():
        assert tensorfile.view(data, layout, name).tobytes() == array.tobytes()


def test_equal_content_gives_equal_bytes_whatever_the_order():
    backwards = dict(reversed(CONTENT.items()))
    assert to_bytes(backwards, {"v": 1}) == DATA


def test_equal_content_gives_equal_bytes_whatever_the_memory_layout():
    fortran = {name: np.asfortranarray(array) for name, array in CONTENT.items()}
    assert to_bytes(fortran, {"v": 1}) == DATA


def test_data_begin_at_a_multiple_of_64_bytes_with_the_largest_items_first():
    assert (8 + LENGTH) % 64 == 0
    tensors = parse_layout(DATA, len(DATA), "x").tensors
    assert sorted(tensors, key=lambda name: tensors[name].offset) == ["label", "w", "a", "b"]


def test_a_plan_states_the_size_and_head_that_the_file_will_have():
    shapes = {"b": ("U8", (3, 4)), "a": ("U8", (6,)), "label": ("I64", (3,)), "w": ("F32", (1, 2))}
    plan = tensorfile.plan(shapes, {"v": 1})
    assert plan.size == len(DATA)
    assert DATA.startswith(plan.head)


def test_arrays_are_read_only():
    layout = parse_layout(DATA, len(DATA), "x")
    with pytest.raises(ValueError, match="read-only"):
        tensorfile.view(DATA, layout, "a")[0] = 1


def test_a_dtype_that_the_format_does_not_know_is_a_bug_of_the_caller():
    with pytest.raises(ValueError, match="not complex128"):
        to_bytes({"a": np.zeros(1, dtype=complex)}, {})


def test_an_empty_tensor_is_mapped(tmp_path):
    (tmp_path / "x").write_bytes(to_bytes({"a": np.zeros((0, 3), dtype=np.uint8)}, {}))
    assert tensorfile.memory_map(tmp_path / "x", read_layout(tmp_path / "x"), "a").shape == (0, 3)


# Damage.


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 64, 8 + LENGTH - 1, 8 + LENGTH, len(DATA) - 1])
def test_a_cut_file_is_refused(keep, tmp_path):
    (tmp_path / "x").write_bytes(DATA[:keep])
    with pytest.raises(FormatError) as caught:
        read_layout(tmp_path / "x")
    assert caught.value.code == "E_SHARD"


@pytest.mark.parametrize("extra", [b"\0", b" ", bytes(64)])
def test_an_extended_file_is_refused(extra):
    assert "bytes of data where its header states" in refused(DATA + extra)


@pytest.mark.parametrize("claim", [0, 1, MAX_HEADER_BYTES + 1, 2**63, 2**64 - 1])
def test_a_header_that_claims_too_little_or_too_much_is_refused_unread(claim, tmp_path):
    data = struct.pack("<Q", claim) + DATA[8:]
    refused(data)
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(FormatError, match=f"claims {claim} bytes"):
        read_layout(tmp_path / "x")


def moved(**offsets):
    return {name: e | ({"data_offsets": offsets[name]} if name in offsets else {}) for name, e in HEADER.items()}


A, B, LABEL, W = (HEADER[name]["data_offsets"] for name in ("a", "b", "label", "w"))
DAMAGES = {
    "swapped places of other sizes": moved(a=B, b=A),
    "overlap": moved(a=[B[0], B[0] + 6]),
    "the same place twice": moved(a=B, b=B),
    "a gap": moved(b=[B[0] + 1, B[1] + 1]),
    "not from zero": moved(label=[1, 25]),
    "negative": moved(label=[-24, 0]),
    "backwards": moved(b=[B[1], B[0]]),
    "past the end": moved(b=[B[0], B[1] + 100]),
    "three offsets": moved(b=[*B, B[1]]),
    "huge offsets": moved(b=[2**52, 2**52 + 12]),
    "another shape": HEADER | {"b": HEADER["b"] | {"shape": [3, 5]}},
    "a huge shape": HEADER | {"b": HEADER["b"] | {"shape": [2**52, 2**52, 2**52, 2**52]}},
    "a negative shape": HEADER | {"b": HEADER["b"] | {"shape": [-3, -4]}},
    "nine dimensions": HEADER | {"b": HEADER["b"] | {"shape": [12, *[1] * 8]}},
    "another dtype": HEADER | {"b": HEADER["b"] | {"dtype": "I64"}},
    "an unknown dtype": HEADER | {"b": HEADER["b"] | {"dtype": "BOOL"}},
    "an unknown field": HEADER | {"b": HEADER["b"] | {"stride": 1}},
    "a missing field": HEADER | {"b": {"dtype": "U8", "shape": [3, 4]}},
    "a missing tensor": {name: entry for name, entry in HEADER.items() if name != "b"},
    "no metadata": {name: entry for name, entry in HEADER.items() if name != "__metadata__"},
    "metadata of somebody else": HEADER | {"__metadata__": {"format": "pt"}},
    "metadata that is no text": HEADER | {"__metadata__": {"blindsight": 1}},
    "a list": [],
    "no JSON": b"{" + b" " * 62 + b"}x",
    "a duplicate tensor": DATA[8 : 8 + LENGTH].rstrip()[:-1] + b',"a":' + json.dumps(HEADER["a"]).encode() + b"}",
    "a float": DATA[8 : 8 + LENGTH].replace(b"[3,4]", b"[3.0,4]"),
}


@pytest.mark.parametrize("header", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_header_is_refused(header):
    assert refused(rebuilt(header)).startswith("tensor file x is damaged: ")


def test_two_tensors_of_one_size_may_not_both_claim_one_place_and_leave_another():
    data = to_bytes({"a": np.zeros(4, np.uint8), "b": np.ones(4, np.uint8)}, {})
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["b"]["data_offsets"] = header["a"]["data_offsets"]
    refused(rebuilt(header, data[8 + length :]))


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_gives_content_of_the_same_size(place, flip):
    changed = bytearray(DATA)
    changed[place] ^= flip
    layout = layout_or_code(bytes(changed))
    if isinstance(layout, str):
        assert layout == "E_SHARD"
        return
    assert layout.size == len(DATA)
    for name in layout.tensors:
        tensorfile.view(bytes(changed), layout, name)


@BRIEFLY
@given(st.binary(max_size=60), st.booleans())
def test_whatever_bytes_come_the_reader_answers_or_refuses(data, framed):
    whole = struct.pack("<Q", len(data)) + data if framed else data
    layout = layout_or_code(whole)
    assert layout == "E_SHARD" or layout.size == len(whole)


def test_a_file_that_is_not_there_is_a_sentence_and_no_traceback(tmp_path):
    with pytest.raises(FormatError) as caught:
        read_layout(tmp_path / "none.safetensors")
    assert caught.value.code in ("E_SHARD", "E_IO")

"""Streams: every draw is in range, every permutation is one, and streams with other labels have nothing in common."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol.keystream import Stream

BRIEFLY = settings(deadline=None, max_examples=60)
KEYS = st.binary(min_size=32, max_size=32)


@BRIEFLY
@given(KEYS, st.integers(1, 300))
def test_a_permutation_holds_every_place_once(key, size):
    assert sorted(Stream(key, "perm").perm(size)) == list(range(size))


@BRIEFLY
@given(KEYS, st.integers(2, 2**32))
def test_a_bounded_draw_is_within_its_bound(key, bound):
    stream = Stream(key, "below")
    assert all(0 <= stream.below(bound) < bound for _ in range(4))


@BRIEFLY
@given(KEYS, st.integers(1, 60), st.data())
def test_a_choice_is_of_different_elements(key, size, data):
    count = data.draw(st.integers(0, size))
    chosen = Stream(key, "choose").choose(size, count).tolist()
    assert len(set(chosen)) == count
    assert set(chosen) <= set(range(size))


@BRIEFLY
@given(KEYS, st.integers(0, 70))
def test_bits_are_those_of_the_bytes_from_the_lowest_up(key, count):
    data = Stream(key, "bits").bytes(-(-count // 8))
    assert Stream(key, "bits").bits(count).tolist() == [bool(data[k >> 3] >> (k & 7) & 1) for k in range(count)]


def test_integers_are_read_little_endian():
    data = Stream(bytes(32), "n").bytes(16)
    stream = Stream(bytes(32), "n")
    assert stream.u32() == int.from_bytes(data[:4], "little")
    assert stream.u64() == int.from_bytes(data[4:12], "little")


def test_draws_go_on_across_the_words_read_ahead():
    data = np.frombuffer(Stream(bytes(32), "n").bytes(4 * 5000), dtype="<u4")
    stream = Stream(bytes(32), "n")
    assert [stream.u32() for _ in range(5000)] == data.tolist()


@pytest.mark.parametrize(
    "other",
    [Stream(bytes(32), "b"), Stream(bytes(32), "a", b"x"), Stream(b"\1" * 32, "a")],
    ids=["label", "context", "key"],
)
def test_another_label_context_or_key_gives_another_stream(other):
    assert Stream(bytes(32), "a").bytes(32) != other.bytes(32)


def test_a_stream_of_the_same_names_is_the_same_stream():
    assert Stream(bytes(32), "a", b"x").bytes(99) == Stream(bytes(32), "a", b"x").bytes(99)


@BRIEFLY
@given(KEYS)
def test_a_logistic_sequence_has_as_many_bytes_as_asked_and_a_shorter_one_is_its_beginning(key):
    assert Stream(key, "l").logistic(40)[:10] == Stream(key, "l").logistic(10)
    assert len(Stream(key, "l").logistic(40)) == 40

"""Streams: what is drawn many at once is what the slow definition draws one by one (tests/holder/scheme_draws.py)."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.protocol.keystream import ImageStreams, Stream, logistic
from tests.holder import scheme_draws

BRIEFLY = settings(deadline=None, max_examples=60)
KEYS = st.binary(min_size=32, max_size=32)
REJECTING = [2**31 + 1, 3 * 2**30, 2**31 + 2**30 + 1, 2**32 - 1]  # nearly half, a quarter, a quarter, few of the words
BOUNDS = st.one_of(st.integers(2, 2**32), st.sampled_from([*REJECTING, 2, 3, 256, 2**16, 2**31, 2**32]))
LABELS = st.text(max_size=12)
IDS = st.lists(st.text(max_size=20), max_size=40)
EDGES = [1, 2, 3, 15, 16, 17, 40]  # around the number of rows from which many are drawn side by side


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


@BRIEFLY
@given(KEYS, LABELS, st.lists(st.text(max_size=8), max_size=2))
def test_a_stream_is_the_keystream_of_its_label_and_context(key, label, context):
    stream = Stream(key, label, *(part.encode() for part in context))
    assert stream.bytes(200) == scheme_draws.stream(key, label, *context).bytes(200)


@BRIEFLY
@given(KEYS, st.lists(BOUNDS, max_size=300))
def test_draws_at_once_are_the_draws_one_by_one(key, bounds):
    slow = scheme_draws.stream(key, "below")
    stream = Stream(key, "below")
    assert stream.belows(bounds).tolist() == [slow.below(bound) for bound in bounds]
    assert stream.u32() == slow.u32(), "both have read as far"


@pytest.mark.parametrize("bound", REJECTING)
@pytest.mark.parametrize("count", [1, 255, 256, 257, 4095, 4096, 4097, 9000])
def test_refused_words_are_passed_over_wherever_they_stand(bound, count):
    slow = scheme_draws.stream(bytes(32), "below")
    stream = Stream(bytes(32), "below")
    assert stream.belows([bound] * count).tolist() == slow.belows(bound, count)
    assert stream.u64() == slow.u64()


def test_nearly_half_of_the_words_are_refused_where_the_tests_say_so():
    words = Stream(bytes(32), "below").words(9000)
    assert 4300 < int((words >= 2**31 + 1).sum()) < 4700


@pytest.mark.parametrize("bound", [0, 1, -5, 2**32 + 1])
def test_a_bound_without_a_uniform_draw_is_refused(bound):
    with pytest.raises(ValueError, match=r"bound must be from 2 to 2\^32"):
        Stream(bytes(32), "below").belows([7, bound])
    with pytest.raises(ValueError, match=r"bound must be from 2 to 2\^32"):
        ImageStreams(bytes(32), "below").belows(["a"], [7, bound])


@BRIEFLY
@given(KEYS, st.integers(1, 400))
def test_a_permutation_is_the_definitions(key, size):
    assert Stream(key, "p").perm(size).tolist() == scheme_draws.stream(key, "p").perm(size)


@BRIEFLY
@given(KEYS, st.sampled_from([0, *EDGES]), st.integers(1, 60))
def test_many_permutations_are_one_after_another(key, count, size):
    slow = scheme_draws.stream(key, "p")
    assert Stream(key, "p").perms(count, size).tolist() == [slow.perm(size) for _ in range(count)]


@BRIEFLY
@given(KEYS, st.integers(1, 90), st.data())
def test_a_choice_is_the_definitions(key, size, data):
    count = data.draw(st.integers(0, size))
    assert Stream(key, "c").choose(size, count).tolist() == scheme_draws.stream(key, "c").choose(size, count)


@BRIEFLY
@given(KEYS, st.integers(0, 90))
def test_bits_are_the_definitions(key, count):
    assert Stream(key, "b").bits(count).tolist() == scheme_draws.stream(key, "b").bits(count)


@settings(deadline=None, max_examples=15)
@given(KEYS, st.integers(0, 300))
def test_a_logistic_sequence_is_the_definitions(key, count):
    slow, stream = scheme_draws.stream(key, "l"), Stream(key, "l")
    for _ in range(2):
        assert list(stream.logistic(count)) == slow.logistic(count)


def test_logistic_maps_side_by_side_are_the_maps_one_by_one():
    slow, seeds = scheme_draws.stream(bytes(32), "l"), Stream(bytes(32), "l").words(3 * 12).reshape(3, 4, 3)
    values = logistic(seeds, 64)
    assert values.shape == (3, 64, 4)
    assert values.transpose(0, 2, 1).tolist() == [[slow.logistic(64) for _ in range(4)] for _ in range(3)]


@pytest.mark.parametrize("low", [0, 2**32 - 1])
@pytest.mark.parametrize("high", [0, 2**32 - 1])
@pytest.mark.parametrize("third", [0, 2**24 - 1, 2**32 - 1])
def test_a_logistic_map_stays_inside_its_interval_from_the_outermost_seeds(low, high, third):
    values = scheme_draws.iterated(*scheme_draws.logistic_start(low | high << 32, third), 1100)
    assert logistic(np.array([[[low, high, third]]], np.uint32), 100)[0, :, 0].tolist() == [
        int(256 * value) for value in values[1000:]
    ]


@BRIEFLY
@given(KEYS, LABELS, IDS, st.integers(0, 90))
def test_the_streams_of_images_are_the_definitions(key, label, ids, count):
    streams = ImageStreams(key, label)
    expected = [list(scheme_draws.istream(key, label, name).bytes(count)) for name in ids]
    assert streams.bytes(ids, count).tolist() == expected
    assert [list(streams.one(name).bytes(count)) for name in ids] == expected


@BRIEFLY
@given(KEYS, IDS, st.lists(BOUNDS, max_size=40))
def test_draws_for_many_images_are_the_draws_of_each(key, ids, bounds):
    slow = [scheme_draws.istream(key, "d", name) for name in ids]
    drawn = ImageStreams(key, "d").belows(ids, bounds)
    assert drawn.shape == (len(ids), len(bounds))
    assert drawn.tolist() == [[one.below(bound) for bound in bounds] for one in slow]


@BRIEFLY
@given(KEYS, IDS, st.integers(1, 60), st.data())
def test_permutations_choices_and_bits_for_many_images_are_those_of_each(key, ids, size, data):
    count = data.draw(st.integers(0, size))
    streams = ImageStreams(key, "m")
    assert streams.perms(ids, size).tolist() == [scheme_draws.istream(key, "m", name).perm(size) for name in ids]
    chosen = [scheme_draws.istream(key, "m", name).choose(size, count) for name in ids]
    assert streams.chosen(ids, size, count).tolist() == chosen
    assert streams.bits(ids, size).tolist() == [scheme_draws.istream(key, "m", name).bits(size) for name in ids]


@pytest.mark.parametrize("count", EDGES)
def test_what_an_image_draws_does_not_depend_on_its_company(count):
    names, streams = [f"set/{row}" for row in range(count)], ImageStreams(bytes(32), "perm/block")
    together = streams.perms(names, 33)
    assert together.tolist() == [streams.perms([name], 33)[0].tolist() for name in names]
    assert together.tolist() == [streams.one(name).perm(33).tolist() for name in names]


def test_two_images_and_two_labels_have_streams_of_their_own():
    drawn = ImageStreams(bytes(32), "a").bytes(["x", "y", "x"], 32)
    assert drawn[0].tolist() == drawn[2].tolist() != drawn[1].tolist()
    assert ImageStreams(bytes(32), "b").bytes(["x"], 32)[0].tolist() != drawn[0].tolist()


def test_a_stream_of_images_shows_no_key():
    assert repr(ImageStreams(bytes(32), "a")) == "ImageStreams()"

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindsight.protocol.errors import DataError
from blindsight.simulation.partition import ALPHA_MAX, ALPHA_MIN, MIN_SAMPLES, Partition, parse, split

partitions = st.one_of(st.just(Partition()), st.floats(ALPHA_MIN, ALPHA_MAX).map(lambda alpha: Partition(alpha=alpha)))
labelled = st.lists(st.integers(0, 6), min_size=12, max_size=400).map(np.array)


@given(labels=labelled, holders=st.integers(1, 12), partition=partitions, seed=st.integers(0, 2**32))
def test_every_sample_goes_to_exactly_one_holder(labels, holders, partition, seed):
    parts = split(labels, holders, partition, seed)
    assert len(parts) == holders
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))


@given(labels=labelled, holders=st.integers(1, 12), partition=partitions, seed=st.integers(0, 2**32))
def test_every_holder_gets_the_floor(labels, holders, partition, seed):
    least = min(MIN_SAMPLES, len(labels) // holders)
    assert min(map(len, split(labels, holders, partition, seed))) >= least >= 1


@given(labels=labelled, partition=partitions, seed=st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_split(labels, partition, seed):
    first, second = split(labels, 3, partition, seed), split(labels, 3, partition, seed)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@given(labels=labelled, partition=partitions)
def test_sample_numbers_come_in_ascending_order_as_int64(labels, partition):
    for part in split(labels, 2, partition, 0):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()


def test_iid_sizes_differ_by_one_at_most():
    sizes = [len(part) for part in split(np.zeros(1000, np.int64), 7, parse("iid"), 0)]
    assert max(sizes) - min(sizes) <= 1


def test_another_seed_gives_another_split():
    labels = np.arange(200) % 10
    assert not np.array_equal(split(labels, 2, Partition(), 0)[0], split(labels, 2, Partition(), 1)[0])


def _skew(spec):
    labels = np.arange(20_000) % 10
    parts = split(labels, 5, parse(spec), 0)
    shares = np.array([np.bincount(labels[part], minlength=10) / len(part) for part in parts])
    return float(np.abs(shares - 0.1).sum(axis=1).mean())  # 0 where every holder has the classes evenly


def test_a_smaller_alpha_skews_the_labels_more():
    assert _skew("dirichlet:1000") < 0.1 < _skew("dirichlet:1") < _skew("dirichlet:0.1")


def test_the_floor_holds_even_where_no_draw_reaches_it():
    parts = split(np.zeros(400, np.int64), 30, Partition(alpha=ALPHA_MIN), 0)
    assert min(map(len, parts)) == MIN_SAMPLES


def test_unsigned_and_negative_labels_are_accepted():
    assert len(split(np.array([3, 3, 200], np.uint8), 3, Partition(alpha=1), 0)) == 3
    assert len(split(np.array([-1, -1, 5]), 3, Partition(alpha=1), 0)) == 3


@pytest.mark.parametrize("spec", ["iid", "dirichlet:0.3", "dirichlet:100", "dirichlet:0.01"])
def test_a_partition_is_written_as_it_was_read(spec):
    assert str(parse(spec)) == spec


@pytest.mark.parametrize(
    "spec",
    [
        "", "IID", " iid", "iid\n", "dirichlet", "dirichlet:", "dirichlet:0", "dirichlet:0.001", "dirichlet:1001",
        "dirichlet:nan", "dirichlet:inf", "dirichlet:-1", "dirichlet:1e2", "dirichlet:1_0", "dirichlet: 1",
        "dirichlet:0.3\n", "dirichlet:٣", "dirichlet:9999999", "shards:2",
    ],
)  # fmt: skip
def test_a_bad_spec_is_refused_with_a_hint_that_can_be_typed(spec):
    with pytest.raises(DataError) as refused:
        parse(spec)
    assert "dirichlet:0.3" in refused.value.hint
    assert repr(spec) in refused.value.message


@given(st.text(max_size=30).filter(lambda spec: spec != "iid"))
def test_any_other_text_is_refused(spec):
    with pytest.raises(DataError):
        parse(spec)


@given(st.integers(10_000, 10**9).map(lambda millionths: millionths / 10**6))
def test_every_alpha_in_the_range_survives_being_written(alpha):
    assert parse(str(Partition(alpha=alpha))).alpha == alpha


def test_fewer_samples_than_holders_are_refused():
    with pytest.raises(DataError, match="4 holders, got 3 samples"):
        split(np.zeros(3, np.int64), 4, Partition(), 0)


@pytest.mark.parametrize("labels", [np.zeros((4, 1), np.int64), np.zeros(4)])
def test_labels_that_are_no_vector_of_integers_are_a_bug(labels):
    with pytest.raises(ValueError, match="vector of integers"):
        split(labels, 2, Partition(), 0)


def test_no_holder_is_a_bug():
    with pytest.raises(ValueError, match="1 holder or more"):
        split(np.zeros(4, np.int64), 0, Partition(), 0)

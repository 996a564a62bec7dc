"""What a ceremony leaves in the drop-box and in keystores grows no worse than with the square of the members.

Seconds and larger federations: ``python -m tests.benchmarks.ceremony``.
"""

from __future__ import annotations

import itertools

import pytest

from tests.benchmarks import ceremony

SIZES = (3, 6, 12)


@pytest.fixture(scope="module")
def costs(tmp_path_factory):
    return [ceremony.measured(tmp_path_factory.mktemp(f"n{n}"), n) for n in SIZES]


@pytest.mark.parametrize("what", ["box", "largest", "keystore", "genesis"])
def test_bytes_grow_no_worse_than_quadratically(costs, what):
    for smaller, larger in itertools.pairwise(costs):
        ratio = (larger.n / smaller.n) ** 2
        assert getattr(larger, what) <= ratio * getattr(smaller, what)


def test_a_member_adds_bytes_in_proportion_to_the_members(costs):
    for smaller, larger in itertools.pairwise(costs):
        assert larger.box / larger.n <= larger.n / smaller.n * smaller.box / smaller.n


def test_one_document_grows_no_worse_than_linearly(costs):
    for smaller, larger in itertools.pairwise(costs):
        assert larger.largest <= larger.n / smaller.n * 1.25 * smaller.largest


def test_the_files_and_steps_of_a_member_do_not_multiply_with_the_members(costs):
    for cost in costs:
        assert cost.files <= 8 * cost.n
        assert cost.steps <= 5 * cost.n


def test_growth_that_is_worse_than_quadratic_would_be_seen(costs):
    smaller, larger = costs[0], costs[-1]
    worse = ceremony.Cost(**(vars(larger) | {"box": smaller.box * (larger.n // smaller.n) ** 3}))
    assert ceremony.exponents(smaller, worse)["box"] == pytest.approx(3)
    assert ceremony.exponents(smaller, larger)["box"] <= 2


def test_the_benchmark_prints_a_row_for_each_size(costs):
    text = ceremony.table(costs)
    assert [line.split()[1] for line in text.splitlines()[2 : 2 + len(SIZES)]] == [str(n) for n in SIZES]
    assert text.count("n^") == 4 * (len(SIZES) - 1)

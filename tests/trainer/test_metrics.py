"""Figures are stated with the number of rows behind them, and an interval; nothing is stated that nobody measured."""

from __future__ import annotations

import pytest

from blindsight.protocol.errors import FederationError
from blindsight.protocol.interval import wilson
from blindsight.trainer import checkpoint, server_app
from blindsight.trainer.checkpoint import LAST, Round
from blindsight.trainer.job import Job
from blindsight.trainer.metrics import holders_of, metrics_of

A, B, C = "aa" * 32, "bb" * 32, "cc" * 32


def counted(correct, rows, loss=1.0):
    return {"val-correct": correct, "val-rows": rows, "val-loss": loss, "num-examples": 9}


def test_a_share_comes_with_its_rows_and_its_interval_overall_and_for_each_holder():
    stated = metrics_of(server_app._round(3, {A: counted(3, 5, 0.5), B: counted(7, 10, 2.0)}))
    low, high = wilson(10, 15)
    assert stated["val-accuracy"] == "0.666667"
    assert (stated["val-n"], stated["val-loss"]) == ("15", "1.500000")
    assert (stated["val-accuracy-low"], stated["val-accuracy-high"]) == (f"{low:.6f}", f"{high:.6f}")
    low, high = wilson(3, 5)
    assert {name: stated[f"holder/{A}/{name}"] for name in ("val-accuracy", "val-n")} == {
        "val-accuracy": "0.600000",
        "val-n": "5",
    }
    assert (stated[f"holder/{A}/val-accuracy-low"], stated[f"holder/{A}/val-accuracy-high"]) == (
        f"{low:.6f}",
        f"{high:.6f}",
    )
    assert (stated[f"holder/{B}/val-n"], holders_of(stated), len(stated)) == ("10", [A, B], 5 + 2 * 4)


def test_a_holder_without_rows_has_no_share():
    stated = metrics_of(server_app._round(1, {A: counted(3, 5), B: counted(0, 0, 0.0)}))
    assert {name for name in stated if B in name} == {f"holder/{B}/val-n"}
    assert (stated[f"holder/{B}/val-n"], stated["val-n"]) == ("0", "5")


def test_without_any_row_no_share_is_stated():
    assert metrics_of(server_app._round(1, {A: counted(0, 0, 0.0)})) == {"val-n": "0", f"holder/{A}/val-n": "0"}


def test_where_rows_were_not_counted_there_is_no_interval():
    stated = metrics_of(Round(1, 0.5, 1.25, {A: 0.5}))
    assert stated == {"val-accuracy": "0.500000", "val-loss": "1.250000", f"holder/{A}/val-accuracy": "0.500000"}


def test_a_finished_run_knows_every_holders_rows(finished, world):
    history = checkpoint.load(finished / LAST, Job.load(finished).digest).history
    assert [one.rows for one in history] == [{key.entry.fpr: 7 for key in world.keys}] * 3


@pytest.mark.parametrize(("correct", "rows"), [(6, 5), (-1, 5), (0, -1), (float("nan"), 5), (0, float("inf"))])
def test_counts_that_cannot_be_are_refused_and_their_holder_is_named(correct, rows):
    with pytest.raises(FederationError, match=f"{B[:12]}: expected no more right answers than val rows"):
        server_app._round(1, {A: counted(3, 5), B: counted(correct, rows), C: counted(1, 1)})

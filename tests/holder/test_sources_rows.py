"""Files of rows: order, runs, and what becomes of the file behind them."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.holder.sources.rows import RowFile, RowImages
from blindsight.protocol.errors import DataError

ROWS = np.arange(60, dtype=np.uint8).reshape(20, 3)


def spooled(rows=ROWS):
    return RowFile.spooled((row.tobytes() for row in rows), "rows", row_bytes=3, count=len(rows))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 19), max_size=30))
def test_any_rows_come_in_the_order_asked(indices):
    order = np.array(indices, np.int64)
    assert np.array_equal(spooled().read(order), ROWS[order])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 39), max_size=30))
def test_images_of_several_files_are_numbered_through(indices):
    order = np.array(indices, np.int64)
    images = RowImages((spooled(), spooled(ROWS + 100)), (1, 1, 3))
    assert np.array_equal(images.read(order).reshape(-1, 3), np.concatenate([ROWS, ROWS + 100])[order])


def test_a_column_is_one_byte_of_every_row():
    assert spooled().column(1).tolist() == ROWS[:, 1].tolist()


@pytest.mark.parametrize("pieces", [[b"abc"], [b"abc", b"def", b"g"], []])
def test_pieces_that_do_not_fill_the_rows_are_refused(pieces):
    with pytest.raises(DataError, match="rows must hold 6 bytes of images"):
        RowFile.spooled(pieces, "rows", row_bytes=3, count=2)


def test_a_full_disk_is_named_as_such(monkeypatch):
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda buffering: full)
        with pytest.raises(DataError, match=r"cannot unpack to .*: No space left on device") as refusal:
            spooled()
    assert "TMPDIR" in refusal.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot open .*gone: No such file"):
        RowFile.open(tmp_path / "gone", offset=0, row_bytes=1, count=1)


def test_the_file_is_closed_when_nobody_holds_the_rows():
    rows = spooled()
    descriptor = rows._descriptor
    del rows
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_the_temporary_file_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    rows = spooled()
    assert list(tmp_path.iterdir()) == []
    assert np.array_equal(rows.read(np.array([0])), ROWS[:1])

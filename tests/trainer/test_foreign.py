"""Tensor files of other programs are read strictly, widened exactly, and pickles are not read at all."""

from __future__ import annotations

import contextlib
import json
import pickle
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save, save_file

from blindsight.protocol import tensorfile
from blindsight.protocol.errors import FormatError
from blindsight.trainer.foreign import read_tensors

TENSORS = {
    "weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(1)),
    "half": torch.randn(5, generator=torch.Generator().manual_seed(2)).half(),
    "brain": torch.randn(2, 2, 2, generator=torch.Generator().manual_seed(3)).bfloat16(),
    "empty": torch.zeros(0, 3),
    "number": torch.tensor(2.5),
}
COUNTERS = {"seen": torch.tensor(7), "index": torch.arange(4, dtype=torch.int32), "mask": torch.ones(3).bool()}

ONE = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
TWICE = b"{" + ONE + b"," + ONE + b"}"


def spelt(header: object, data: bytes = b"", *, padding: int = 0) -> bytes:
    """A tensor file with this header, whatever it says."""
    text = json.dumps(header).encode() + b" " * padding
    return struct.pack("<Q", len(text)) + text + data


def entry(start: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def refused(path, data: bytes) -> FormatError:
    path.write_bytes(data)
    with pytest.raises(FormatError) as caught:
        read_tensors(path)
    assert "Traceback" not in caught.value.message
    return caught.value


def test_what_the_official_library_writes_is_read_bit_for_bit(tmp_path):
    save_file({**TENSORS, **COUNTERS}, tmp_path / "m.safetensors", {"format": "pt", "made by": "somebody"})
    found = read_tensors(tmp_path / "m.safetensors")
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].dtype == np.float32
        assert np.array_equal(found[name], tensor.float().numpy())


def test_what_this_software_writes_is_read_too(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(3, dtype=np.int64)}
    (tmp_path / "m").write_bytes(tensorfile.to_bytes(arrays, {"v": 1}))
    assert np.array_equal(read_tensors(tmp_path / "m")["a"], arrays["a"])


def test_a_file_without_metadata_is_read(tmp_path):
    (tmp_path / "m").write_bytes(spelt({"a": entry(0, 8, [2])}, np.array([1, 2], "<f4").tobytes(), padding=5))
    assert read_tensors(tmp_path / "m")["a"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05",
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 9) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 4) + b"nope",
        spelt({"a": {"dtype": "F32", "shape": [1]}}, bytes(4)),
        spelt({"a": entry(0, 4, [1]) | {"more": 1}}, bytes(4)),
        spelt({"a": entry(0, 4, [2])}, bytes(4)),
        spelt({"a": entry(0, 4, [1])}, bytes(3)),
        spelt({"a": entry(0, 4, [1])}, bytes(5)),
        spelt({"a": entry(0, 4, [1]), "b": entry(8, 12, [1])}, bytes(12)),
        spelt({"a": entry(0, 4, [1]), "b": entry(0, 4, [1])}, bytes(4)),
        spelt({"a": entry(4, 8, [1])}, bytes(8)),
        spelt({"a": entry(4, 0, [1])}, bytes(4)),
        spelt({"a": entry(0, 0, [0, 2**52, 2**52])}),
        spelt({"a": entry(0, 4, [1] * 9)}, bytes(4)),
        spelt({"a": entry(0, 1, [1], "F8_E4M3")}, bytes(1)),
        spelt({"a": entry(0, 8, [1], "F64")}, bytes(8)),
        spelt({"a": entry(0, 4, [-1])}, bytes(4)),
        spelt({"a": entry(0, 4, [1.0])}, bytes(4)),
        spelt({f"t{n}": entry(0, 0, [0]) for n in range(5000)}),
        struct.pack("<Q", len(TWICE)) + TWICE + bytes(4),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, data):
    assert refused(tmp_path / "m.safetensors", data).code == "E_SHARD"


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_a_changed_bit_in_the_head_is_refused_or_read(tmp_path_factory, at, bit):
    data = bytearray(save({"a": TENSORS["weight"], "b": TENSORS["half"]}))
    data[at % (len(data) - 58)] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "changed"
    path.write_bytes(data)
    with contextlib.suppress(FormatError):
        read_tensors(path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "MODEL.PTH", "last.ckpt", "m.pkl"])
def test_files_named_like_pickles_are_refused(tmp_path, name):
    error = refused(tmp_path / name, spelt({}))
    assert (error.code, "runs programs" in error.message, "save_file" in error.hint) == ("E_FORMAT", True, True)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_of_any_name_is_refused(tmp_path, protocol):
    assert "is a pickle" in refused(tmp_path / "model", pickle.dumps({"a": [1]}, protocol)).message


def test_what_torch_saves_is_refused_as_the_pickle_it_is(tmp_path):
    torch.save(TENSORS, tmp_path / "model")
    with pytest.raises(FormatError, match="is a pickle"):
        read_tensors(tmp_path / "model")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FormatError) as caught:
        read_tensors(tmp_path / "none")
    assert caught.value.code == "E_IO"

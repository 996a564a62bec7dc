"""Others read our tensor files: the official safetensors reader."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from blindsight.protocol import shard, tensorfile
from blindsight.protocol.errors import FormatError

safetensors = pytest.importorskip("safetensors")
official = pytest.importorskip("safetensors.numpy")

NAMES = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
ARRAYS = st.sampled_from(list(tensorfile.DTYPES.values())).flatmap(
    lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(NAMES.filter(lambda name: name != "__metadata__"), ARRAYS, min_size=1, max_size=4))
def test_the_official_reader_reads_what_we_wrote(content):
    read = official.load(tensorfile.to_bytes(content, {"v": 1}))
    assert set(read) == set(content)
    for name, array in content.items():
        assert (read[name].dtype, read[name].shape) == (array.dtype, array.shape)
        assert read[name].tobytes() == array.tobytes()


def test_the_official_reader_opens_a_shard_with_its_metadata(tmp_path):
    head = shard.ShardHead("ab" * 16, "cd" * 32, 1, "ef" * 32, 0, 2)
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    path = tmp_path / "00000.safetensors"
    path.write_bytes(tensorfile.to_bytes({"image": images, "label": np.array([1, 0])}, head.to_json()))
    with safetensors.safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["blindsight"]) == head.to_json()
        np.testing.assert_array_equal(file.get_tensor("image"), images)
        assert file.get_tensor("label").tolist() == [1, 0]
    np.testing.assert_array_equal(shard.opened(path).images, images)


def test_we_read_what_the_official_writer_wrote_with_our_one_metadata_key(tmp_path):
    content = {"image": np.arange(12, dtype=np.uint8).reshape(3, 4), "label": np.array([1, 2, 3])}
    official.save_file(content, tmp_path / "x", metadata={"blindsight": "{}"})
    layout = tensorfile.read_layout(tmp_path / "x")
    for name, array in content.items():
        np.testing.assert_array_equal(tensorfile.memory_map(tmp_path / "x", layout, name), array)


def test_a_file_without_our_metadata_is_not_ours(tmp_path):
    official.save_file({"a": np.zeros(3, np.uint8)}, tmp_path / "x")
    with pytest.raises(FormatError, match="no metadata of ours"):
        tensorfile.read_layout(tmp_path / "x")


@settings(deadline=None, max_examples=60)
@given(st.permutations(["a", "b", "c", "d"]))
def test_equal_content_gives_equal_bytes_in_whatever_order_it_comes(order):
    content = {"a": np.zeros(3, np.uint8), "b": np.ones(2), "c": np.ones(1, np.int32), "d": np.ones(4, np.float32)}
    content["b"] = content["b"].astype(np.float16)
    expected = tensorfile.to_bytes(content, {"x": 1, "y": 2})
    assert tensorfile.to_bytes({name: content[name] for name in order}, {"y": 2, "x": 1}) == expected

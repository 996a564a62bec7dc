"""Shards: images and labels, and what they say of themselves."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blindsight.protocol import shard, tensorfile
from blindsight.protocol.errors import FormatError
from blindsight.protocol.shard import ShardHead

HEAD = ShardHead("ab" * 16, "cd" * 32, 1, "ef" * 32, 16, 4)
IMAGES = np.arange(4 * 8 * 8 * 3, dtype=np.uint8).reshape(4, 8, 8, 3)
LABELS = np.array([0, 2, 1, 2])
SOUND = {"image": IMAGES, "label": LABELS}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "00000.safetensors"


def written(path, arrays=SOUND, **changes):
    path.write_bytes(tensorfile.to_bytes(arrays, HEAD.to_json() | changes))
    return path


def opened_or_code(path):
    try:
        return shard.opened(path)
    except FormatError as error:
        return error.code


def refused(path):
    with pytest.raises(FormatError) as caught:
        shard.opened(path)
    assert caught.value.code == "E_SHARD"
    return caught.value.message


def test_images_labels_and_head_are_read_as_written(path):
    opened = shard.opened(written(path))
    assert opened.head == HEAD
    np.testing.assert_array_equal(opened.images, IMAGES)
    np.testing.assert_array_equal(opened.labels, LABELS)


def test_images_and_labels_are_memory_maps(path):
    opened = shard.opened(written(path))
    assert isinstance(opened.images, np.memmap)
    assert isinstance(opened.labels, np.memmap)


def test_a_shard_without_labels_has_none(path):
    assert shard.opened(written(path, {"image": IMAGES})).labels is None


@pytest.mark.parametrize("labelled", [True, False])
def test_the_planned_layout_is_that_of_the_written_file(path, labelled):
    arrays = SOUND if labelled else {"image": IMAGES}
    _, found = shard.read_head(written(path, arrays))
    plan = shard.layout(HEAD, (8, 8, 3), labelled=labelled)
    assert (found, plan.size) == (plan, path.stat().st_size)


def test_a_manifest_states_the_tensors_with_n_rows():
    assert shard.tensors_of((8, 8, 3), labelled=True) == {
        "image": {"dtype": "U8", "shape": ["N", 8, 8, 3]},
        "label": {"dtype": "I64", "shape": ["N"]},
    }
    assert set(shard.tensors_of((8, 8, 3), labelled=False)) == {"image"}


BAD_HEADS = {
    "another version": {"v": 2},
    "no rows": {"rows": 0},
    "other rows": {"rows": 5},
    "a negative row": {"first_row": -1},
    "a short digest": {"scheme_digest": "ef"},
    "a short data set": {"dataset": ""},
    "epoch 0": {"epoch": 0},
    "an unknown field": {"camera": "door"},
}


@pytest.mark.parametrize("change", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_a_bad_head_is_refused(path, change):
    refused(written(path, **change))


BAD_TENSORS = {
    "no image": {"label": LABELS},
    "images as floats": {"image": IMAGES.astype(np.float32)},
    "flat images": {"image": IMAGES.reshape(4, -1)},
    "fewer images": {"image": IMAGES[:3], "label": LABELS},
    "fewer labels": {"image": IMAGES, "label": LABELS[:3]},
    "labels as bytes": {"image": IMAGES, "label": LABELS.astype(np.uint8)},
    "labels in two columns": {"image": IMAGES, "label": LABELS.reshape(4, 1)},
    "a tensor too many": {**SOUND, "exif": LABELS},
}


@pytest.mark.parametrize("arrays", BAD_TENSORS.values(), ids=BAD_TENSORS.keys())
def test_other_tensors_are_refused(path, arrays):
    assert "not those of 4 images" in refused(written(path, arrays))


def metadata(path, text):
    """A file whose metadata are exactly this JSON string literal."""
    data = written(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    tensors = json.dumps({k: v for k, v in header.items() if k != "__metadata__"})
    head = b'{"__metadata__":{"blindsight":' + text + b"}," + tensors[1:].encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data[8 + length :])
    return path


@pytest.mark.parametrize(
    "text",
    [b'""', b'"junk"', b'"{}"', b'"[]"', b'"\\ud800"', json.dumps(json.dumps(HEAD.to_json())).encode()],
    ids=["empty", "junk", "empty object", "array", "lone surrogate", "not canonical"],
)
def test_odd_metadata_are_refused(path, text):
    refused(metadata(path, text))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1200), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_gives_rows_of_the_same_shape(path, place, flip):
    data = bytearray(written(path).read_bytes())
    data[place % len(data)] ^= flip
    path.write_bytes(data)
    opened = opened_or_code(path)
    if isinstance(opened, str):
        assert opened == "E_SHARD"
        return
    assert opened.images.size == IMAGES.size
    assert opened.labels is None or opened.labels.shape == (4,)

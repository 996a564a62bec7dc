"""Inputs are admitted when key, scheme, shape and labels fit the bundle, and refused before any inference else."""

import shutil

import numpy as np
import pytest
from PIL import Image

from blindsight.operator import inputs
from blindsight.operator.admission import Terms
from blindsight.protocol.errors import BlindsightError, DataError, FormatError, SchemeError
from blindsight.protocol.manifest import task_of
from blindsight.protocol.scheme import Descriptor
from tests.operator import bundles
from tests.protocol.worlds import LE


@pytest.fixture
def opened(world, loaded):
    def run(path, tag=None):
        return inputs.opened(path, Terms.of(loaded, tag), world.log)

    return run


@pytest.fixture
def tag(loaded):
    return loaded.tag.digest


def png_folder(path, pictures, suffix="png", **options):
    path.mkdir()
    for place, picture in enumerate(pictures):
        Image.fromarray(picture).save(path / f"{place:03}.{suffix}", **options)
    return path


def all_images(source, size=4):
    return np.concatenate([batch.images for batch in source.batches(size)])


def test_a_shard_gives_its_images_and_labels_in_order(opened, world, tmp_path):
    pictures, labels = bundles.images(10), np.arange(10) % 3
    source = opened(bundles.write_shard(tmp_path / "s", world, pictures, labels))
    batches = list(source.batches(4))
    assert [(batch.first, len(batch.images)) for batch in batches] == [(0, 4), (4, 4), (8, 2)]
    assert np.array_equal(all_images(source), pictures)
    assert np.concatenate([batch.labels for batch in batches]).tolist() == labels.tolist()


def test_a_data_set_gives_the_rows_of_its_shards(opened, world, tmp_path):
    source = opened(bundles.write_data_set(tmp_path / "data", world))
    assert [batch.first for batch in source.batches(3)] == [0, 3, 4, 7]
    assert np.array_equal(all_images(source), np.concatenate([bundles.images(4, 0), bundles.images(4, 1)]))


def test_an_array_with_the_declared_tag_is_read_by_memory_map(opened, tag, tmp_path):
    np.save(tmp_path / "x.npy", bundles.images(7))
    source = opened(tmp_path / "x.npy", tag)
    assert isinstance(source.parts[0].images, np.memmap)
    assert np.array_equal(all_images(source), bundles.images(7))


def test_a_folder_of_png_images_keeps_every_bit_and_goes_by_name(opened, tag, tmp_path):
    source = opened(png_folder(tmp_path / "p", bundles.images(5)), tag)
    assert np.array_equal(all_images(source, 2), bundles.images(5))
    assert next(source.batches(2)).names == ("000.png", "001.png")


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        ({"epoch": 2}, "another epoch: expected 1, got 2"),
        ({"scheme_digest": "00" * 32}, "another encryption scheme, version or shape: expected .*, got 0000"),
        ({"fed": "00" * 32}, "another federation: expected .*, got 0000"),
    ],
)
def test_a_shard_of_another_key_or_scheme_is_refused_with_expected_and_got(opened, world, tmp_path, claim, words):
    path = bundles.write_shard(tmp_path / "s", world, bundles.images(3), **claim)
    with pytest.raises(SchemeError, match=words) as caught:
        opened(path)
    assert caught.value.code == "E_SCHEME"


def test_a_data_set_of_a_later_epoch_is_refused(world, loaded, tmp_path):
    later = world.next_epoch()
    path = bundles.write_data_set(tmp_path / "data", later, epoch=2, record=later.log.epoch(2).record)
    with pytest.raises(SchemeError, match="epoch: expected 1, got 2"):
        inputs.opened(path, Terms.of(loaded, None), later.log)


@pytest.mark.parametrize("field", ["record", "kcv", "scv"])
def test_every_field_of_a_manifests_tag_is_compared(opened, world, tmp_path, field):
    path = bundles.write_data_set(tmp_path / "data", world, **{field: "00" * 32})
    with pytest.raises(SchemeError, match="got 0000"):
        opened(path)


def test_a_data_set_of_another_scheme_is_refused(opened, world, tmp_path):
    other = Descriptor("le", 1, LE.shape, {"block": 8})
    path = bundles.write_data_set(tmp_path / "data", world, scheme=other.to_json(), scheme_digest=other.digest)
    with pytest.raises(SchemeError, match="encryption scheme"):
        opened(path)


def test_a_data_set_with_other_classes_is_refused(opened, world, tmp_path):
    path = bundles.write_data_set(tmp_path / "data", world, task=task_of(["cat", "dog", "cow"]))
    with pytest.raises(SchemeError) as caught:
        opened(path)
    assert caught.value.code == "E_TASK"


def test_a_changed_shard_of_a_data_set_is_refused(opened, world, tmp_path):
    folder = bundles.write_data_set(tmp_path / "data", world)
    shard = folder / "shards" / "00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + bytes([shard.read_bytes()[-1] ^ 1]))
    with pytest.raises(BlindsightError) as caught:
        opened(folder)
    assert caught.value.code == "E_SHA"


@pytest.mark.parametrize("kind", ["array", "folder"])
def test_untagged_input_is_refused_with_what_to_type(opened, tmp_path, kind):
    np.save(tmp_path / "x.npy", bundles.images(2))
    path = tmp_path / "x.npy" if kind == "array" else png_folder(tmp_path / "p", bundles.images(2))
    with pytest.raises(SchemeError, match="got none") as caught:
        opened(path)
    assert "--tag" in caught.value.hint


def test_a_wrong_declared_tag_is_refused_for_every_kind(opened, world, tmp_path):
    np.save(tmp_path / "x.npy", bundles.images(2))
    tagged = bundles.write_shard(tmp_path / "s", world, bundles.images(2))
    for path in (tmp_path / "x.npy", png_folder(tmp_path / "p", bundles.images(2)), tagged):
        with pytest.raises(SchemeError, match=r"expected .*, got abab"):
            opened(path, "ab" * 32)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif"])
def test_a_lossy_format_is_refused_with_the_reason(opened, tag, tmp_path, suffix):
    folder = png_folder(tmp_path / "p", bundles.images(1))
    Image.fromarray(bundles.images(1)[0]).save(folder / f"z.{suffix}")
    with pytest.raises(DataError, match="does not keep pixels") as caught:
        opened(folder, tag)
    assert "PNG" in caught.value.hint


def test_a_jpeg_that_is_called_png_is_refused(opened, tag, tmp_path):
    folder = png_folder(tmp_path / "p", bundles.images(1), "jpg")
    (folder / "000.jpg").rename(folder / "000.png")
    with pytest.raises(DataError, match="no PNG"):
        opened(folder, tag)


def test_anything_else_among_the_images_is_refused(opened, tag, tmp_path):
    folder = png_folder(tmp_path / "p", bundles.images(1))
    (folder / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"notes\.txt"):
        opened(folder, tag)


@pytest.mark.parametrize(
    "picture", [np.zeros((8, 8), np.uint8), np.zeros((8, 9, 3), np.uint8), np.zeros((8, 8, 4), np.uint8)]
)
def test_images_of_another_shape_are_refused(opened, tag, tmp_path, picture):
    with pytest.raises(DataError, match=r"000\.png is"):
        opened(png_folder(tmp_path / "p", [picture]), tag)


def test_a_damaged_image_is_named_when_its_batch_is_taken(opened, tag, tmp_path):
    folder = png_folder(tmp_path / "p", bundles.images(2))
    whole = (folder / "001.png").read_bytes()
    (folder / "001.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"001\.png is damaged"):
        list(opened(folder, tag).batches(2))


@pytest.mark.parametrize(
    "array", [np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 3, 8, 8), np.uint8), np.zeros(4, np.uint8)]
)
def test_arrays_of_another_shape_or_type_are_refused(opened, tag, tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(SchemeError, match="another shape or type"):
        opened(tmp_path / "x.npy", tag)


def test_an_array_of_objects_is_refused_unread(opened, tag, tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="no array of numbers"):
        opened(tmp_path / "x.npy", tag)


def test_an_array_that_is_cut_short_is_refused(opened, tag, tmp_path):
    np.save(tmp_path / "x.npy", bundles.images(3))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-1])
    with pytest.raises(DataError, match="damaged"):
        opened(tmp_path / "x.npy", tag)


def test_a_shard_that_is_cut_short_is_refused(opened, world, tmp_path):
    path = bundles.write_shard(tmp_path / "s", world, bundles.images(3))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError) as caught:
        opened(path)
    assert caught.value.code == "E_SHARD"


def test_empty_inputs_are_refused(opened, tag, tmp_path):
    np.save(tmp_path / "x.npy", bundles.images(0))
    (tmp_path / "p").mkdir()
    (tmp_path / "s").write_bytes(b"")
    for path in ("x.npy", "p", "s"):
        with pytest.raises(BlindsightError, match=r"no images|damaged"):
            opened(tmp_path / path, tag)


def test_an_input_that_is_not_there_is_refused(opened, tmp_path):
    with pytest.raises(FormatError) as caught:
        opened(tmp_path / "none")
    assert caught.value.code == "E_IO"


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_that_the_model_does_not_know_are_refused(opened, world, tmp_path, labels):
    path = bundles.write_shard(tmp_path / "s", world, bundles.images(2), np.array(labels))
    with pytest.raises(SchemeError) as caught:
        opened(path)
    assert caught.value.code == "E_TASK"


def test_a_data_set_whose_shard_is_missing_is_refused(opened, world, tmp_path):
    folder = bundles.write_data_set(tmp_path / "data", world)
    shutil.rmtree(folder / "shards")
    with pytest.raises(FormatError, match="missing"):
        opened(folder)

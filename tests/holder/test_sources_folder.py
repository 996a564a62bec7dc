"""Folders of image files: layouts, labels, ``dataset.yaml``."""

import numpy as np
import pytest
from PIL import Image

from blindsight.holder.geometry import Fit
from blindsight.holder.sources import open_source
from blindsight.protocol.errors import DataError


def save(path, *, shape=(8, 8, 3), value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)


@pytest.fixture
def pets(tmp_path):
    for place in range(10):
        save(tmp_path / "pets" / "cat" / f"{place}.png", value=place)
        save(tmp_path / "pets" / "dog" / f"{place}.png", value=100 + place)
    return tmp_path / "pets"


def say(folder, text):
    (folder / "dataset.yaml").write_text(text)


def first_values(part):
    return [int(image[0, 0, 0]) for image in part.read(np.arange(len(part)))]


def test_class_folders_become_labels_in_alphabetical_order(pets):
    source = open_source(str(pets))
    assert (source.name, source.classes, source.mirror) == ("pets", ("cat", "dog"), True)
    assert source.splits["train"].labels.tolist() == [0] * 10 + [1] * 10
    assert first_values(source.splits["train"]) == [*range(10), *range(100, 110)]


def test_images_of_a_folder_are_brought_to_colour_unless_said_otherwise(pets):
    assert open_source(str(pets)).fit == Fit(channels=3)


def test_folders_named_like_splits_above_the_classes_are_splits(tmp_path):
    for part in ("train", "val", "test"):
        save(tmp_path / part / "cat" / "1.png")
        save(tmp_path / part / "dog" / "1.jpg")
    source = open_source(f"folder:{tmp_path}")
    assert list(source.splits) == ["train", "val", "test"]
    assert all(part.labels.tolist() == [0, 1] for part in source.splits.values())


def test_a_class_that_one_split_lacks_keeps_its_label(tmp_path):
    save(tmp_path / "train" / "cat" / "1.png")
    save(tmp_path / "train" / "dog" / "1.png")
    save(tmp_path / "test" / "dog" / "1.png")
    assert open_source(str(tmp_path)).splits["test"].labels.tolist() == [1]


def test_a_class_named_train_among_other_classes_is_a_class(tmp_path):
    save(tmp_path / "car" / "1.png")
    save(tmp_path / "train" / "1.png")
    assert open_source(str(tmp_path)).classes == ("car", "train")


def test_splits_beside_class_folders_are_refused(tmp_path):
    save(tmp_path / "train" / "cat" / "1.png")
    save(tmp_path / "cat" / "1.png")
    with pytest.raises(DataError, match=r"holds splits \(train\) beside other folders \(cat\)"):
        open_source(str(tmp_path))


def test_images_without_class_folders_have_no_labels(tmp_path):
    save(tmp_path / "1.png", value=1)
    save(tmp_path / "2.png", value=2)
    source = open_source(str(tmp_path))
    assert source.classes == ()
    assert source.splits["train"].labels is None
    assert first_values(source.splits["train"]) == [1, 2]


def test_images_beside_class_folders_are_refused(pets):
    save(pets / "stray.png")
    with pytest.raises(DataError, match=r"holds both images and class folders: stray\.png, cat"):
        open_source(str(pets))


def test_images_of_one_size_have_a_shape_and_others_have_none(pets):
    assert open_source(str(pets)).splits["train"].shape == (8, 8, 3)
    save(pets / "cat" / "tall.png", shape=(9, 8, 3))
    part = open_source(str(pets)).splits["train"]
    assert part.shape is None
    assert {image.shape for image in part.read(np.arange(21))} == {(8, 8, 3), (9, 8, 3)}


def test_hidden_files_and_notes_are_passed_over(pets):
    for name in (".DS_Store", "Thumbs.db", "README.md", "labels.csv"):
        (pets / "cat" / name).write_bytes(b"x")
    assert len(open_source(str(pets)).splits["train"]) == 20


def test_a_file_of_an_unknown_kind_is_refused_by_name(pets):
    (pets / "cat" / "scan.tiff").write_bytes(b"x")
    with pytest.raises(DataError, match=r"scan\.tiff is no image of a known kind"):
        open_source(str(pets))


def test_a_folder_without_images_is_refused_with_the_layout(tmp_path):
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="holds no images") as refusal:
        open_source(str(tmp_path))
    assert "FOLDER/train/cat/1.png" in refusal.value.hint


def test_dataset_yaml_says_everything(pets):
    say(
        pets,
        "classes: [dog, cat]\nsplit: 0.2\nfit: {policy: resize, size: [16, 24]}\nchannels: 1\nviews: {mirror: false}\n",
    )
    source = open_source(str(pets))
    assert source.classes == ("dog", "cat")
    assert source.fit == Fit("resize", (16, 24), 1)
    assert not source.mirror
    assert {name: len(part) for name, part in source.splits.items()} == {"train": 16, "test": 4}


def test_a_held_out_fraction_takes_evenly_from_every_class(pets):
    say(pets, "split: 0.2")
    splits = open_source(str(pets)).splits
    assert splits["test"].labels.tolist() == [0, 0, 1, 1]
    assert first_values(splits["test"]) == [4, 9, 104, 109]
    assert not set(first_values(splits["train"])) & {4, 9, 104, 109}


def test_dataset_yaml_names_the_folders_of_the_splits(tmp_path):
    save(tmp_path / "left" / "cat" / "1.png", value=1)
    save(tmp_path / "right" / "cat" / "1.png", value=2)
    say(tmp_path, "split: {train: left, test: right}")
    splits = open_source(str(tmp_path)).splits
    assert [first_values(splits[name]) for name in ("train", "test")] == [[1], [2]]


def test_a_class_that_dataset_yaml_does_not_name_is_refused(pets):
    say(pets, "classes: [dog]")
    with pytest.raises(DataError, match=r"holds the class cat, which dataset\.yaml does not name"):
        open_source(str(pets))


def test_a_fraction_of_a_set_that_has_a_test_split_is_refused(tmp_path):
    save(tmp_path / "train" / "cat" / "1.png")
    save(tmp_path / "test" / "cat" / "1.png")
    say(tmp_path, "split: 0.5")
    with pytest.raises(DataError, match="has train, test"):
        open_source(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour: 3", "unknown keys: colour"),
        ("fit: {policy: pad, mode: edge}", "fit has unknown keys: mode"),
        ("views: {crop: 4}", "views has unknown keys: crop"),
        ("split: {training: left}", "split has unknown keys: training"),
        ("[]", "must be a mapping with keys classes"),
        ("classes: cat", "classes must be a list of names"),
        ("classes: [0, 1]", "classes must be a list of names"),
        ("classes: [cat, cat]", "names a class twice"),
        ("split: 1.5", "a number between 0 and 1, got 1.5"),
        ("split: true", "a number between 0 and 1"),
        ("split: {train: 3}", "split must name a folder"),
        ("split: {train: nowhere}", "nowhere is no folder"),
        ("fit: {policy: squeeze}", "fit policy must be one of"),
        ("fit: {policy: resize, size: 224}", r"size must be \[height, width\]"),
        ("channels: 2", "channels must be 1, 3 or keep"),
        ("channels: true", "channels must be 1, 3 or keep"),
        ("channels: [1]", "channels must be 1, 3 or keep"),
        ("views: {mirror: 1}", "mirror must be true or false"),
        ("a: [", "not readable as YAML"),
        ("!!python/object/apply:os.getcwd []", "not readable as YAML"),
    ],
)
def test_a_dataset_yaml_that_is_not_understood_is_refused(pets, text, message):
    say(pets, text)
    with pytest.raises(DataError, match=message):
        open_source(str(pets))


def test_an_unknown_key_comes_with_the_accepted_ones(pets):
    say(pets, "colour: 3")
    with pytest.raises(DataError) as refusal:
        open_source(str(pets))
    assert refusal.value.hint == "accepted are classes, split, fit, channels, views"


def test_a_file_that_vanishes_after_opening_is_named(pets):
    part = open_source(str(pets)).splits["train"]
    (pets / "cat" / "3.png").unlink()
    with pytest.raises(DataError, match=r"3\.png is gone"):
        part.read(np.array([3]))

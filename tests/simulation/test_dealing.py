"""Dealing gives every image to one holder and to one of its splits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from blindsight.holder.sources import open_source
from blindsight.protocol.errors import BlindsightError, DataError
from blindsight.simulation.dealing import IMAGES, MOST_VAL, SUMMARY, deal, demand_dealable
from blindsight.simulation.settings import Settings

COUNT, CLASSES = 120, 3


def images(count, seed=0):
    """No two alike."""
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


@pytest.fixture
def source(tmp_path):
    """120 training and 30 test images of three classes, as an .npz: the settings to deal them to three holders."""
    arrays = {"train_images": images(COUNT), "train_labels": np.arange(COUNT) % CLASSES}
    arrays |= {"test_images": images(30, 1), "test_labels": np.arange(30) % CLASSES}
    (tmp_path / "out").mkdir()
    np.savez(tmp_path / "pets.npz", classes=np.array(["cat", "dog", "owl"]), **arrays)
    return Settings(data=str(tmp_path / "pets.npz"), holders=3)


def splits(out, settings):
    """Holder → split → (images, labels)."""
    found = {}
    for name in settings.names:
        parts = open_source(f"npz:{out / name / IMAGES}").splits
        found[name] = {split: (np.asarray(p.read(np.arange(len(p)))), p.labels) for split, p in parts.items()}
    return found


def held(found, *names):
    return sorted(image.tobytes() for parts in found.values() for name in names for image in parts[name][0])


@pytest.mark.parametrize("partition", ["iid", "dirichlet:0.5"])
def test_every_image_goes_to_one_holder_and_one_split(source, tmp_path, partition):
    settings = dataclasses.replace(source, partition=partition)
    deal(settings, tmp_path / "out")
    found = splits(tmp_path / "out", settings)
    assert held(found, "train", "val") == sorted(image.tobytes() for image in images(COUNT))
    assert held(found, "test") == sorted(image.tobytes() for image in images(30, 1))


def test_labels_follow_their_images(source, tmp_path):
    deal(source, tmp_path)
    truth = {image.tobytes(): place % CLASSES for place, image in enumerate(images(COUNT))}
    for parts in splits(tmp_path, source).values():
        for name in ("train", "val"):
            pictures, labels = parts[name]
            assert [truth[picture.tobytes()] for picture in pictures] == labels.tolist()


def test_a_tenth_of_the_training_images_is_held_out(source, tmp_path):
    deal(source, tmp_path)
    for parts in splits(tmp_path, source).values():
        assert (len(parts["train"][0]), len(parts["val"][0]), len(parts["test"][0])) == (36, 4, 10)


def test_at_most_five_hundred_are_held_out():
    assert MOST_VAL == 500


@pytest.mark.parametrize("val", [0, 1, 39])
def test_so_many_are_held_out_as_are_asked_for(source, tmp_path, val):
    settings = dataclasses.replace(source, val=val)
    deal(settings, tmp_path)
    sizes = {"train": 40 - val, "val": val, "test": 10}
    for parts in splits(tmp_path, settings).values():
        assert {name: len(part[0]) for name, part in parts.items()} == {n: size for n, size in sizes.items() if size}


def test_holding_out_others_leaves_the_partition_as_it_is(source, tmp_path):
    found = []
    for val in (None, 7):
        settings, out = dataclasses.replace(source, val=val), tmp_path / str(val)
        out.mkdir()
        deal(settings, out)
        found.append({name: held({name: parts}, "train", "val") for name, parts in splits(out, settings).items()})
    assert found[0] == found[1]


def test_a_holder_with_too_few_images_to_hold_out_is_named_before_anything_is_dealt(source, tmp_path):
    settings = dataclasses.replace(source, val=40)
    for refuse in (demand_dealable, deal):
        with pytest.raises(DataError, match="holder-1 has 40 training images, too few to hold out 40"):
            refuse(settings, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("changes", [{"crop": 8}, {"cutout": 8}], ids=str)
def test_views_that_the_images_are_too_small_for_are_refused_before_anything_is_dealt(source, tmp_path, changes):
    settings = dataclasses.replace(source, views=2, **changes)
    for refuse in (demand_dealable, deal):
        with pytest.raises(DataError, match="8x8 images are too small for") as caught:
            refuse(settings, tmp_path / "out")
        assert "--views 1" in caught.value.hint
    assert not list((tmp_path / "out").iterdir())


def test_what_was_dealt_is_said(source, tmp_path):
    dealt = deal(source, tmp_path)
    assert (dealt.name, dealt.classes, dealt.tests) == ("pets", ("cat", "dog", "owl"), 30)
    assert dealt.counts.sum(axis=0).tolist() == [40, 40, 40]
    assert dealt.counts.sum(axis=1).tolist() == [40, 40, 40]


def test_the_same_seed_deals_the_same_and_another_one_does_not(source, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        deal(dataclasses.replace(source, seed=seed), tmp_path / name)
    content = {name: (tmp_path / name / "holder-2" / IMAGES).read_bytes() for name in "abc"}
    assert content["a"] == content["b"] != content["c"]


def test_dealing_again_leaves_everything_as_it_is(source, tmp_path):
    first = deal(source, tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    second = deal(source, tmp_path)
    assert np.array_equal(first.counts, second.counts)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == stamps


def test_an_interrupted_deal_is_dealt_again(source, tmp_path):
    deal(source, tmp_path)
    before = (tmp_path / "holder-3" / IMAGES).read_bytes()
    (tmp_path / SUMMARY).unlink()
    (tmp_path / "holder-3" / IMAGES).unlink()
    deal(source, tmp_path)
    assert (tmp_path / "holder-3" / IMAGES).read_bytes() == before


def test_the_plain_images_are_for_their_holder_alone(source, tmp_path):
    deal(source, tmp_path)
    assert {(tmp_path / name / IMAGES).stat().st_mode & 0o777 for name in source.names} == {0o600}


def test_a_limit_leaves_so_many_training_images_and_all_tests(source, tmp_path):
    dealt = deal(dataclasses.replace(source, limit=50), tmp_path)
    assert (int(dealt.counts.sum()), dealt.tests) == (50, 30)


def test_without_a_test_split_a_fifth_becomes_one(source, tmp_path):
    np.savez(tmp_path / "bare.npz", images=images(COUNT), labels=np.arange(COUNT) % CLASSES)
    dealt = deal(dataclasses.replace(source, data=str(tmp_path / "bare.npz")), tmp_path / "out")
    assert (int(dealt.counts.sum()), dealt.tests) == (96, 24)


def test_images_that_are_not_whole_blocks_are_refused_before_anything_is_dealt(source, tmp_path):
    np.savez(tmp_path / "odd.npz", images=images(COUNT)[:, :7], labels=np.arange(COUNT) % CLASSES)
    with pytest.raises(DataError, match="multiples of") as caught:
        deal(dataclasses.replace(source, data=str(tmp_path / "odd.npz")), tmp_path / "out")
    assert "dataset.yaml" in caught.value.hint
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("scheme", "params", "words"),
    [
        ("cat-map", {}, "must be square with an even side, got 8x6"),
        ("patch-mix", {}, "multiples of"),
        ("patch-mix", {"block": "1"}, "blocks must be an even number of pixels wide"),
        ("vortex", {"vortices": "0"}, "vortices"),
        ("vortex", {"scope": "image"}, "has no parameter scope"),
        ("restricted", {"block": "2"}, "blocks must be at least 3 pixels wide"),
        ("pixel", {"scope": "nobody"}, "scope"),
    ],
)
def test_a_scheme_that_does_not_fit_the_images_is_refused_before_anything_is_dealt(
    source, tmp_path, scheme, params, words
):
    np.savez(tmp_path / "wide.npz", images=images(COUNT)[:, :, :6], labels=np.arange(COUNT) % CLASSES)
    settings = dataclasses.replace(source, data=str(tmp_path / "wide.npz"), scheme=scheme, params=params)
    with pytest.raises(BlindsightError, match=words) as caught:
        demand_dealable(settings, tmp_path / "out")
    assert "--fit" not in caught.value.hint
    with pytest.raises(BlindsightError, match=words):
        deal(settings, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("scheme", ["vortex", "pixel", "logistic-xor"])
def test_a_scheme_without_blocks_takes_any_size(source, tmp_path, scheme):
    np.savez(tmp_path / "odd.npz", images=images(COUNT)[:, :7, :6], labels=np.arange(COUNT) % CLASSES)
    deal(dataclasses.replace(source, data=str(tmp_path / "odd.npz"), scheme=scheme), tmp_path / "out")
    (split, *_) = open_source(f"npz:{tmp_path / 'out' / 'holder-1' / IMAGES}").splits.values()
    assert split.shape == (7, 6, 3)


def test_images_are_padded_to_what_the_scheme_asks_for(source, tmp_path):
    np.savez(tmp_path / "odd.npz", images=images(COUNT)[:, :7, :7], labels=np.arange(COUNT) % CLASSES)
    (tmp_path / "dataset.yaml").write_text("fit: {policy: pad}\n")
    for scheme, side in (("cat-map", 8), ("le", 8), ("pixel", 7)):
        settings = dataclasses.replace(source, data=str(tmp_path / "odd.npz"), scheme=scheme)
        (tmp_path / scheme).mkdir()
        deal(settings, tmp_path / scheme)
        (split, *_) = open_source(f"npz:{tmp_path / scheme / 'holder-1' / IMAGES}").splits.values()
        assert split.shape == (side, side, 3)


def test_images_without_labels_are_refused(source, tmp_path):
    np.savez(tmp_path / "bare.npz", images=images(COUNT))
    with pytest.raises(DataError, match="labelled images"):
        deal(dataclasses.replace(source, data=str(tmp_path / "bare.npz")), tmp_path / "out")

"""A fingerprint turns with the key, bit for bit, tells one key from another, and is there where one key serves all."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from blindsight.holder.absorption import Layout, key_of
from blindsight.holder.ciphers import cipher_for
from blindsight.protocol import shard, tensorfile
from blindsight.protocol.scheme import SCHEMES, Descriptor
from blindsight.trainer import fingerprint
from blindsight.trainer.config import RunConfig
from blindsight.trainer.fingerprint import fingerprint_of, has_fingerprint
from blindsight.trainer.model import arch_of

SHAPE = (16, 16, 3)
PLAIN = Descriptor.of("plain", SHAPE)


def pictures(count, seed=0):
    """``(count, 16, 16, 3)`` uint8 in which neighbours are alike, as in photographs."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (count, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    slopes = rng.integers(-4, 5, (count, 2, 1, 3)) * np.arange(16)[None, None, :, None]
    smooth = coarse + slopes[:, 0][:, :, None] + slopes[:, 1][:, None]
    return (smooth + rng.integers(-6, 7, (count, *SHAPE))).clip(0, 255).astype(np.uint8)


def encrypted(descriptor, images, key="A"):
    if descriptor.id == "plain":
        return images
    cipher = cipher_for(descriptor, hashlib.sha256(key.encode()).digest())
    return cipher.encrypt(images, [str(number) for number in range(len(images))])


def shards(folder, images, parts=2):
    """Shards with these images, in their order."""
    folder.mkdir(parents=True)
    return [written(folder / f"{place}.safetensors", part) for place, part in enumerate(np.array_split(images, parts))]


def written(path, images):
    head = shard.ShardHead("00" * 16, "11" * 32, 1, "22" * 32, 0, len(images))
    layout = shard.layout(head, images.shape[1:], labelled=False)
    path.write_bytes(layout.head + images.tobytes())
    return path


def arch(descriptor, **changes):
    return arch_of(descriptor, 3, RunConfig(**changes))


def found(folder, images, descriptor=PLAIN, **changes):
    return fingerprint_of(shards(folder, images), arch(descriptor, **changes))


@pytest.mark.parametrize(("scheme", "unit"), [("le", "nibble"), ("block-shuffle", "byte"), ("vit-block", "byte")])
def test_under_a_key_it_is_the_signed_permutation_of_that_of_plain_units(tmp_path, scheme, unit):
    descriptor, images = Descriptor.of(scheme, SHAPE), pictures(40)
    plain = found(tmp_path / "plain", images, unit=unit)
    key = key_of(cipher_for(descriptor, hashlib.sha256(b"A").digest()), Layout(unit, 4, SHAPE))
    turned = found(tmp_path / "encrypted", encrypted(descriptor, images), descriptor)
    assert np.abs(plain - np.eye(len(plain))).max() > 0.5  # there is something to be turned
    assert not np.array_equal(turned, plain)
    assert np.array_equal(turned, key.correlations(plain))


@pytest.mark.parametrize("unit", ["byte", "nibble", "bit"])
def test_it_holds_the_correlations_of_the_units_of_all_blocks(tmp_path, unit):
    images = pictures(12)
    units = Layout(unit, 4, SHAPE).units(images).reshape(12 * 16, -1).astype(np.float64)
    correlations = found(tmp_path / "s", images, unit=unit)
    assert correlations.dtype == np.float32
    assert np.allclose(correlations, np.corrcoef(units.T), atol=1e-6)


def test_constant_units_are_correlated_with_nothing(tmp_path):
    images = pictures(12)
    images[..., 1] = 77
    correlations = found(tmp_path / "s", images)
    constant = np.zeros((3, 4, 4), bool)
    constant[1] = True
    assert np.array_equal(correlations[constant.ravel()], np.eye(48)[constant.ravel()])
    assert np.isfinite(correlations).all()


def test_images_of_one_colour_each_or_one_image_alone_give_numbers_too(tmp_path):
    assert np.array_equal(found(tmp_path / "s", np.full((2, *SHAPE), 9, np.uint8)), np.eye(48))
    assert np.isfinite(fingerprint_of(shards(tmp_path / "t", pictures(1), 1), arch(PLAIN))).all()


def test_by_it_images_under_the_same_key_are_told_from_those_under_another_or_none(tmp_path):
    descriptor = Descriptor.of("le", SHAPE)
    off = ~np.eye(96, dtype=bool)
    streams = {
        name: found(tmp_path / name, encrypted(descriptor, pictures(60, seed), key), descriptor)[off]
        for name, (seed, key) in {"train": (0, "A"), "same": (1, "A"), "other": (1, "B")}.items()
    }
    streams["plain"] = found(tmp_path / "plain", pictures(60, 1), unit="nibble")[off]
    alike = {name: np.corrcoef(streams["train"], stream)[0, 1] for name, stream in streams.items()}
    assert alike["same"] > 0.9
    assert max(alike["other"], alike["plain"]) < 0.3


def test_images_are_drawn_evenly_over_all_shards_and_not_more_than_are_needed(tmp_path, monkeypatch):
    images = np.repeat(np.arange(100, dtype=np.uint8), 768).reshape(100, *SHAPE)  # each shows its number
    files = shards(tmp_path / "s", images, 5)
    monkeypatch.setattr(fingerprint, "MOST_IMAGES", 40)
    monkeypatch.setattr(fingerprint, "CHUNK_BYTES", 3000)
    drawn = numbers(files)
    assert len(drawn) == 40
    assert sorted(set(drawn)) == drawn
    assert all(2 <= sum(part * 20 <= one < part * 20 + 20 for one in drawn) <= 14 for part in range(5))
    assert drawn == numbers(files)


def numbers(files):
    """Which of the images that show their number are looked at, a number for each."""
    units = fingerprint.Units("byte")
    blocks = np.concatenate([part.numpy() for part in fingerprint._samples(files, units, 16)])
    return ((blocks[:, 0] + 255) / 2).astype(int).tolist()


def test_of_images_with_many_blocks_some_blocks_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "MOST_BLOCKS", 100)
    files, units = shards(tmp_path / "s", pictures(20)), fingerprint.Units("byte")
    (blocks,) = fingerprint._samples(files, units, 4)
    whole = {block.tobytes() for block in Layout("byte", 4, SHAPE).units(pictures(20)).reshape(-1, 48)}
    assert blocks.shape == (100, 48)
    assert {((block + 255) / 2).astype(np.uint8).tobytes() for block in blocks.numpy()} <= whole


def test_of_very_large_images_few_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "MOST_BYTES", 5 * 768)
    files = shards(tmp_path / "s", pictures(20))
    assert sum(map(len, fingerprint._samples(files, fingerprint.Units("byte"), 16))) == 5


@pytest.mark.parametrize("scheme", sorted({name for name, _ in SCHEMES}))
def test_only_where_one_key_serves_all_blocks_there_is_one(scheme):
    descriptor = Descriptor.of(scheme, SHAPE)
    wanted = scheme in {"plain", "block-shuffle", "le", "vit-block"}
    assert has_fingerprint(descriptor, arch(descriptor)) == wanted


def test_blocks_that_are_not_the_schemes_or_too_large_have_none():
    assert not has_fingerprint(Descriptor.of("le", SHAPE), arch(Descriptor.of("le", SHAPE), block=8))
    large = Descriptor.of("le", (32, 32, 3), {"block": 32})
    assert not has_fingerprint(large, arch(large))


def test_the_file_is_a_tensor_file_that_says_what_it_is(tmp_path):
    data = fingerprint.to_bytes(found(tmp_path / "s", pictures(4)))
    layout = tensorfile.parse_layout(data, len(data), "fingerprint")
    assert layout.metadata == '{"kind":"fingerprint","v":1}'
    assert {name: (t.dtype, t.shape) for name, t in layout.tensors.items()} == {"correlations": ("F32", (48, 48))}

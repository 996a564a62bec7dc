"""Dealing one set of images to simulated holders: each gets an .npz of its own, as if it had always owned it.

Every holder has three splits. ``train`` is dealt by the partition. A tenth of it, at most 500 images, or as many as
``--val`` says, becomes ``val``, on which models are compared while training. ``test`` is dealt evenly and touched once,
by the operator.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.holder import geometry
from blindsight.holder.sources import Source, Split, open_source
from blindsight.holder.views import demand_room
from blindsight.protocol.errors import DataError, SchemeError
from blindsight.protocol.files import replacing, write_whole
from blindsight.protocol.scheme import Descriptor, multiple_of
from blindsight.simulation.partition import Partition, parse, split
from blindsight.simulation.settings import Settings

VAL_SHARE = 0.1
MOST_VAL = 500
TEST_SHARE = 0.2
TEST = "test"
IMAGES, SUMMARY = "images/images.npz", "dealt.json"
FIT = (
    "choose other parameters of the scheme, or say fit: {policy: pad}, or fit: {policy: resize, size: [32, 32]}, in a "
    "dataset.yaml beside the images"
)


@dataclass(frozen=True, slots=True)
class Dealt:
    """What was dealt.

    Args:
        name: the data set's name.
        classes: class names in label order.
        counts: ``(holders, classes)`` training images, val included.
        tests: number of test images of all holders.
    """

    name: str
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    tests: int


def deal(settings: Settings, out: Path) -> Dealt:
    """Deal the images, unless they are dealt already.

    Args:
        settings: what is played.
        out: the simulation's folder.

    Raises:
        DataError: the source has no labels or too few images, or they do not come to one shape, or are too small for
            the views.
        SchemeError: E_SCHEME, the scheme has no such parameters, or does not fit the images.
        FormatError: E_FORMAT, a parameter is out of range.
    """
    if not (out / SUMMARY).exists():
        source = open_source(settings.data)
        dealt = _deal(source, settings, out)
        write_whole(out / SUMMARY, json.dumps(dealt, ensure_ascii=False).encode())
    document = json.loads((out / SUMMARY).read_bytes())
    counts = np.array(document["counts"], dtype=np.int64)
    return Dealt(document["name"], tuple(document["classes"]), counts, document["tests"])


def demand_dealable(settings: Settings, out: Path) -> None:
    """Refuse, before anything is written, images that are not there or do not fit the scheme.

    Raises:
        DataError: they cannot be dealt.
        SchemeError: E_SCHEME, the scheme has no such parameters, or does not fit the images.
        FormatError: E_FORMAT, a parameter is out of range.
    """
    if not (out / SUMMARY).exists():
        source = open_source(settings.data)
        train, _ = _train_and_test(source, settings)
        _descriptor(source, train, settings)
        _train_parts(train, settings)


def _descriptor(source: Source, train: Split, settings: Settings) -> Descriptor:
    """The scheme on the shape that all images are brought to."""
    multiple = multiple_of(settings.scheme, settings.params)
    try:
        shape = geometry.target_shape(source.fit, train.shape, multiple)
        descriptor = Descriptor.of(settings.scheme, shape, settings.params)
    except (DataError, SchemeError) as error:
        raise type(error)(error.message, code=error.code, hint=error.hint and FIT) from error
    demand_room(shape, settings.views, settings.crop, settings.cutout)
    return descriptor


def _deal(source: Source, settings: Settings, out: Path) -> dict[str, Any]:
    train, test = _train_and_test(source, settings)
    shape = _descriptor(source, train, settings).shape
    parts = _train_parts(train, settings)
    tests = _parts(test, settings, Partition())
    counts: list[list[int]] = []
    for name, mine, my_tests in zip(settings.names, parts, tests, strict=True):
        order = np.random.default_rng([settings.seed, len(counts)]).permutation(mine)
        held = _held_out(settings, len(order))
        chosen = {"val": train.part(order[:held]), "train": train.part(order[held:]), "test": test.part(my_tests)}
        _write(out / name, source, {n: s for n, s in chosen.items() if len(s)}, shape)
        counts.append(np.bincount(_labels(train)[mine], minlength=len(source.classes)).tolist())
    return {"name": source.name, "classes": list(source.classes), "counts": counts, "tests": sum(map(len, tests))}


def _train_and_test(source: Source, settings: Settings) -> tuple[Split, Split]:
    if "train" not in source.splits:
        raise DataError(f"{source.name} has no train split")
    train = source.splits["train"]
    if "test" in source.splits:
        test = source.splits["test"]
    else:
        train, test = train.divided(TEST_SHARE)
    if settings.limit is not None and settings.limit < len(train):
        chosen = np.random.default_rng(settings.seed).permutation(len(train))[: settings.limit]
        train = train.part(chosen)
    return train, test


def _labels(split: Split) -> NDArray[np.int64]:
    if split.labels is None:
        raise DataError("a simulation needs labelled images")
    return split.labels


def _parts(whole: Split, settings: Settings, partition: Partition) -> list[NDArray[np.int64]]:
    return split(_labels(whole), settings.holders, partition, settings.seed)


def _train_parts(train: Split, settings: Settings) -> list[NDArray[np.int64]]:
    """Each holder's training images, ``val`` included; at least one is left to train on."""
    parts = _parts(train, settings, parse(settings.partition))
    for name, mine in zip(settings.names, parts, strict=True):
        if len(mine) <= (held := _held_out(settings, len(mine))):
            raise DataError(
                f"{name} has {len(mine)} training images, too few to hold out {held}", hint="name a smaller --val"
            )
    return parts


def _held_out(settings: Settings, count: int) -> int:
    return min(int(count * VAL_SHARE), MOST_VAL) if settings.val is None else settings.val


def _write(folder: Path, source: Source, splits: Mapping[str, Split], shape: tuple[int, int, int]) -> None:
    arrays: dict[str, NDArray[Any]] = {"classes": np.array(source.classes)}
    for name, part in splits.items():
        images = part.read(np.arange(len(part)))
        arrays[f"{name}_images"] = geometry.apply_all(source.fit, images, shape)
        arrays[f"{name}_labels"] = _labels(part)
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / IMAGES).parent.mkdir(exist_ok=True)
    mirror = str(source.mirror).lower()
    write_whole((folder / IMAGES).with_name("dataset.yaml"), f"views: {{mirror: {mirror}}}\n".encode())
    with replacing(folder / IMAGES, mode=0o600) as file:
        np.savez(file, allow_pickle=False, **arrays)

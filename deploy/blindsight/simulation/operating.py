"""The operator's part: unseal the test images, verify the bundle and predict.

It predicts in a process of its own that has neither torch nor Flower, from the folder into which it has unsealed.

The controls show what the model makes of images under another key and of plain ones. Both inputs are made and measured
in the holders' own folders, with the operator's program: plain images are not sent to anybody. A control that could
say nothing is not measured: a scheme without a key has no other key, and without encryption plain images are the
result itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.cli.output import progress
from blindsight.cli.unseal import Offer, Opener, folder_of, offers, unseal_dataset
from blindsight.holder import geometry
from blindsight.holder.ciphers import cipher_for
from blindsight.holder.sources import Split, open_source
from blindsight.protocol import bundle
from blindsight.protocol.clock import now
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.errors import ServingError
from blindsight.protocol.files import replacing
from blindsight.protocol.log import Log
from blindsight.protocol.scheme import Descriptor, Images
from blindsight.simulation.agreeing import OPERATOR, opened
from blindsight.simulation.chance import entropy
from blindsight.simulation.dealing import IMAGES, TEST
from blindsight.simulation.settings import Settings

MOST_CONTROLS = 2000
BUNDLE, UNSEALED = "bundle", "data"
OTHER_KEY, PLAIN = "other-key", "plain"


@dataclass(frozen=True, slots=True)
class Answers:
    """How many images were asked and how many were named rightly."""

    asked: int = 0
    right: int = 0

    def plus(self, asked: int, right: int) -> Answers:
        """Both counts increased."""
        return Answers(self.asked + asked, self.right + right)

    @property
    def accuracy(self) -> float:
        """Share of right answers, 0 to 1."""
        return self.right / max(self.asked, 1)


@dataclass(frozen=True, slots=True)
class Measured:
    """What the exported model makes of test images.

    Args:
        encrypted: under the epoch's key, of all holders.
        other_key: the same images, or some of them, under another key; None where the scheme has no key.
        plain: as many of them, plain and of the size that the model takes; None where nothing was encrypted.
    """

    encrypted: Answers
    other_key: Answers | None
    plain: Answers | None

    @property
    def controls(self) -> int:
        """Number of images behind each control; 0 where there is none."""
        return max(control.asked for control in (self.other_key, self.plain, Answers()) if control is not None)


def operate(settings: Settings, out: Path, log: Log, model: Path) -> Measured:
    """Take the bundle and the sealed test images from the drop-box, and measure the model on them.

    Args:
        settings: what is played.
        out: the simulation's folder.
        log: the membership log.
        model: the bundle in the drop-box.

    Raises:
        ServingError: test images are not sealed to the operator, or its process refuses or fails.
        ProtocolError: what lies in the drop-box is damaged or not genuine.
    """
    own = _fetch(model, out / OPERATOR / BUNDLE)
    loaded = bundle.load(own, log, now())
    folders = unseal_all(out, log)
    encrypted, controls = Answers(), {name: Answers() for name in controls_of(loaded.descriptor)}
    with progress("the operator predicts", len(folders) + len(settings.names)) as advance:
        for folder in folders:
            score = _predict(own, folder, out, OPERATOR, f"predictions-{folder.parent.name}")[-1]["summary"]
            encrypted = encrypted.plus(score["n"], score["hits"])
            advance(1)
        for name in settings.names:
            found = _controls(settings, out, name, model, loaded.descriptor, loaded.tag.digest)
            controls = {control: controls[control].plus(*found[control]) for control in controls}
            advance(1)
    return Measured(encrypted, controls.get(OTHER_KEY), controls.get(PLAIN))


def controls_of(descriptor: Descriptor) -> tuple[str, ...]:
    """The controls that can say something about a model trained under a scheme.

    Returns:
        Some of ``OTHER_KEY`` and ``PLAIN``.
    """
    if descriptor.id == "plain":
        return ()
    return (PLAIN,) if descriptor.traits.scope == "none" else (OTHER_KEY, PLAIN)


def unseal_all(out: Path, log: Log) -> list[Path]:
    """The operator opens all test images in the drop-box, in its own folder; goes on where it was interrupted.

    Args:
        out: the simulation's folder.
        log: the membership log.

    Returns:
        A folder for each holder that offers test images.

    Raises:
        ServingError: some are not sealed to the operator.
        ProtocolError: they are damaged or not genuine.
    """
    box = DropBox(out / "dropbox")
    with opened(out / OPERATOR) as store:
        opener = Opener.of(store, log.fed)
    return [_unsealed(box, offer, opener, out) for offer in offers(box, log, dataset=TEST)]


def _unsealed(box: DropBox, offer: Offer, opener: Opener, out: Path) -> Path:
    for fault in offer.faults.values():
        raise fault
    for sealed in opener.mine(offer):
        folder = folder_of(out / OPERATOR / UNSEALED, offer.place, sealed)
        unseal_dataset(box, offer.place, sealed, opener.data_key(sealed), folder, lambda shards: None)
        return folder
    raise ServingError(f"the test images in {offer.place} are not sealed to the operator")


def _fetch(model: Path, target: Path) -> Path:
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(model, target)
    return target


def _predict(own: Path, source: Path, out: Path, party: str, name: str, *more: str) -> list[dict[str, Any]]:
    """Run the operator's command and read its lines."""
    answers = out / party / f"{name}.jsonl"
    command = [sys.executable, "-P", "-m", "blindsight.cli", "operator", "predict", str(own), str(source)]
    command += ["--log", str(out / "dropbox"), "--json", "--out", str(answers), *more]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment(), check=False)
    if done.returncode:
        raise ServingError(f"the operator's process ended with status {done.returncode}: {done.stderr.strip()[-400:]}")
    return [json.loads(line) for line in answers.read_text().splitlines()]


def _environment() -> dict[str, str]:
    """For predicting no keystore is opened, so the process gets no passphrase."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BLINDSIGHT_")}
    return {**kept, "PYTHONSAFEPATH": "1"}


def _controls(
    settings: Settings, out: Path, name: str, model: Path, descriptor: Descriptor, tag: str
) -> Mapping[str, tuple[int, int]]:
    """At one holder's site: control → images asked and right answers."""
    images, labels = test_images(settings, out, name, MOST_CONTROLS // settings.holders)
    made = {OTHER_KEY: partial(under_other_key, settings, descriptor), PLAIN: partial(at_models_size, descriptor)}
    found = {}
    for control in controls_of(descriptor):
        file = out / name / "controls" / f"{control}.npy"
        _save(file, made[control](images))
        lines = _predict(model, file, out, name, f"controls/{control}", "--tag", tag)
        answers = np.array([line["index"] for line in lines if "index" in line])
        found[control] = len(images), int((answers == labels).sum())
    return found


def test_images(settings: Settings, out: Path, name: str, most: int) -> tuple[Images, NDArray[np.int64]]:
    """A holder's first plain test images and their labels, at most so many."""
    splits = open_source(f"npz:{out / name / IMAGES}").splits
    if "test" not in splits:
        return np.empty((0, 1, 1, 1), np.uint8), np.empty(0, np.int64)
    chosen: Split = splits["test"].part(np.arange(min(most, len(splits["test"]))))
    images: Sequence[Images] | Images = chosen.read(np.arange(len(chosen)))
    return np.asarray(images), np.asarray(chosen.labels)


def under_other_key(settings: Settings, descriptor: Descriptor, images: Images, *, undo: bool = False) -> Images:
    """Encrypt (or decrypt) with a key that has nothing to do with the epoch's; the ids are ``ids_of``."""
    cipher = cipher_for(descriptor, entropy(settings.seed, "another key")(32))
    return cipher.decrypt(images, ids_of(images)) if undo else cipher.encrypt(images, ids_of(images))


def ids_of(images: Images) -> list[str]:
    """Names for images that are encrypted to be shown or to be controls: their places."""
    return [str(number) for number in range(len(images))]


def at_models_size(descriptor: Descriptor, images: Images) -> Images:
    """Plain images as the model takes them: scaled down where the scheme shrinks images."""
    height, width, channels = descriptor.encrypted_shape
    fit = geometry.Fit("resize", size=(height, width))
    return geometry.apply_all(fit, images, (height, width, channels))


def _save(file: Path, array: Images) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file, mode=0o600) as target:
        np.save(target, array, allow_pickle=False)

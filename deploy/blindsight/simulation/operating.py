"""The operator's part: unseal the test images, verify the bundle and predict.

It predicts in a process of its own that has neither torch nor Flower, from the folder into which it has unsealed.

The controls show what the model makes of images under another key and of plain ones. Both inputs are made and measured
in the holders' own folders, with the operator's program: plain images are not sent to anybody.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blindsight.cli.output import progress
from blindsight.cli.unseal import Offer, Opener, folder_of, offers, unseal_dataset
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
        other_key: the same images under another key.
        plain: the same images, plain.
    """

    encrypted: Answers
    other_key: Answers
    plain: Answers


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
    encrypted, others, plains = Answers(), Answers(), Answers()
    with progress("the operator predicts", len(folders) + len(settings.names)) as advance:
        for folder in folders:
            score = _predict(own, folder, out, OPERATOR, f"predictions-{folder.parent.name}")[-1]["summary"]
            encrypted = encrypted.plus(score["n"], score["hits"])
            advance(1)
        for name in settings.names:
            asked, other, plain = _controls(settings, out, name, model, loaded.descriptor, loaded.tag.digest)
            others, plains = others.plus(asked, other), plains.plus(asked, plain)
            advance(1)
    return Measured(encrypted, others, plains)


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
) -> tuple[int, int, int]:
    """At one holder's site: images asked, right answers under another key, right answers on plain images."""
    images, labels = test_images(settings, out, name, MOST_CONTROLS // settings.holders)
    variants = {"other-key": under_other_key(settings, descriptor, images), "plain": images}
    right = []
    for variant, array in variants.items():
        file = out / name / "controls" / f"{variant}.npy"
        _save(file, array)
        lines = _predict(model, file, out, name, f"controls/{variant}", "--tag", tag)
        answers = np.array([line["index"] for line in lines if "index" in line])
        right.append(int((answers == labels).sum()))
    return len(images), right[0], right[1]


def test_images(settings: Settings, out: Path, name: str, most: int) -> tuple[Images, NDArray[np.int64]]:
    """A holder's first plain test images and their labels, at most so many."""
    splits = open_source(f"npz:{out / name / IMAGES}").splits
    if "test" not in splits:
        return np.empty((0, 1, 1, 1), np.uint8), np.empty(0, np.int64)
    chosen: Split = splits["test"].part(np.arange(min(most, len(splits["test"]))))
    images: Sequence[Images] | Images = chosen.read(np.arange(len(chosen)))
    return np.asarray(images), np.asarray(chosen.labels)


def under_other_key(settings: Settings, descriptor: Descriptor, images: Images, *, undo: bool = False) -> Images:
    """Encrypt (or decrypt) with a key that has nothing to do with the epoch's."""
    cipher = cipher_for(descriptor, entropy(settings.seed, "another key")(32))
    ids = [str(number) for number in range(len(images))]
    return cipher.decrypt(images, ids) if undo else cipher.encrypt(images, ids)


def _save(file: Path, array: Images) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file, mode=0o600) as target:
        np.save(target, array, allow_pickle=False)

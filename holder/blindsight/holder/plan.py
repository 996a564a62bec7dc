"""What is to be published: images, views, scheme and key, checked to go together before anything is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from blindsight.holder import geometry
from blindsight.holder.ciphers import Cipher, cipher_for
from blindsight.holder.sources import Split
from blindsight.holder.views import demand_room
from blindsight.protocol import fields, shard
from blindsight.protocol.encoding import canonical
from blindsight.protocol.errors import DataError, SchemeError
from blindsight.protocol.log import Epoch, Log
from blindsight.protocol.scheme import Descriptor, multiple_of, scheme_key

LEAST_JITTER = 0.01
SAMPLE = 64  # images that show whether a resumed publish still has the same source


@dataclass(frozen=True, slots=True)
class Views:
    """How many views of each image are published, and how they differ.

    Args:
        count: views an image; 1 publishes the image alone.
        crop: largest shift in pixels.
        mirror: whether every second view is mirrored.
        jitter: strength of the changes of brightness, contrast and saturation: 0, or from 0.01 to 1.
        cutout: side of the square that is covered, in pixels; 0 for none.

    Raises:
        DataError: no view, a negative shift or square, a strength out of range, or one view that is to differ.
    """

    count: int = 1
    crop: int = 4
    mirror: bool = False
    jitter: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or self.crop < 0:
            raise DataError(f"there must be at least 1 view and no negative shift, got {self.count} and {self.crop}")
        if self.jitter != 0 and not LEAST_JITTER <= self.jitter <= 1:
            raise DataError(f"--jitter must be 0 or from {LEAST_JITTER} to 1, got {self.jitter}")
        if self.cutout < 0:
            raise DataError(f"--cutout must be 0 or the side of a square in pixels, got {self.cutout}")
        if self.count == 1 and (self.jitter or self.cutout):
            raise DataError("jitter and cutout change all views but the first, and there is only 1", hint="--views 2")

    def words(self) -> str:
        """For the manifest's description."""
        if self.count == 1:
            return "1 view an image (the image itself)"
        mirrored = ", every second one mirrored" if self.mirror else ""
        jittered = f", colour jitter of strength {self.jitter:g}" if self.jitter else ""
        covered = f", a square of {self.cutout} pixels covered with the mean colour" if self.cutout else ""
        first = f"{self.count} views an image: the image itself, then shifts of up to {self.crop} pixels"
        return first + mirrored + jittered + covered


@dataclass(frozen=True, eq=False)
class Plan:
    """What is to be published; everything that decides the content of the shards.

    Args:
        split: the images and labels.
        split_name: ``train``, ``val``, ``test``, ``calibration`` or ``inference``.
        name: the data set's name, at most 120 characters.
        classes: class names in label order.
        fit: how images come to the descriptor's shape.
        views: augmentation before encryption.
        cipher: scheme, shape and key.
        key: the scheme key, 32 bytes, for the check value.
        epoch: the epoch whose key it is.
        log: the membership log.
        shard_bytes: size aimed at for one shard's images.

    Raises:
        FormatError: E_FORMAT, a name that no manifest can state, or fewer than two classes.
    """

    split: Split
    split_name: str
    name: str
    classes: tuple[str, ...]
    fit: geometry.Fit
    views: Views
    cipher: Cipher
    key: bytes
    epoch: Epoch
    log: Log
    shard_bytes: int = shard.TARGET_BYTES

    def __post_init__(self) -> None:
        fields.demand(fields.text(120), self.name, "the data set's name")
        if self.labelled:
            fields.demand(
                fields.listing(fields.text(200), least=2), list(self.classes), "the list of at least 2 classes"
            )

    def __repr__(self) -> str:
        return f"Plan({self.name!r}, {self.split_name!r})"

    @property
    def descriptor(self) -> Descriptor:
        """The scheme and shape."""
        return self.cipher.descriptor

    @property
    def rows(self) -> int:
        """Images to be written, views counted."""
        return len(self.split) * self.views.count

    @property
    def row_bytes(self) -> int:
        """Size of one encrypted image."""
        return int(np.prod(self.descriptor.encrypted_shape))

    @property
    def labelled(self) -> bool:
        """Whether a label stands for each image."""
        return self.split.labels is not None

    @cached_property
    def digest(self) -> str:
        """What a resumed publish must have in common with the one that was interrupted."""
        labels = b"" if self.split.labels is None else self.split.labels.tobytes()
        places = np.linspace(0, len(self.split) - 1, SAMPLE if len(self.split) else 0)
        pixels = hashlib.sha256()
        for image in self.split.each(np.unique(places.astype(np.int64))):
            pixels.update(image.tobytes())
        document = {
            "dataset": [self.name, self.split_name, len(self.split), hashlib.sha256(labels).hexdigest()],
            "classes": list(self.classes),
            "sample": pixels.hexdigest(),
            "views": [str(value) for value in astuple(self.views)],
            "fit": [self.fit.policy, list(self.fit.size or []), str(self.fit.channels)],
            "scheme": self.descriptor.to_json(),
            "record": self.epoch.record,
            "shard_bytes": self.shard_bytes,
        }
        return hashlib.sha256(canonical(document)).hexdigest()


def make_plan(
    split: Split,
    *,
    split_name: str,
    name: str,
    classes: tuple[str, ...],
    fit: geometry.Fit,
    views: Views,
    scheme: tuple[str, Mapping[str, Any]],
    epoch: Epoch,
    epoch_secret: bytes,
    log: Log,
    workers: int = 1,
) -> Plan:
    """Derive shape, descriptor and key, and check that all of it goes together.

    Args:
        split: images and labels.
        split_name: ``train``, ``val``, ``test``, ``calibration`` or ``inference``.
        name: the data set's name.
        classes: class names in label order.
        fit: how images come to one shape.
        views: augmentation before encryption.
        scheme: name and public parameters, values perhaps as text; what is left out takes the scheme's default.
        epoch: an agreed epoch.
        epoch_secret: its secret, 32 bytes.
        log: the membership log.
        workers: threads that encrypt.

    Raises:
        DataError: the images do not come to whole blocks, or views are asked for that cannot be.
        SchemeError: E_SCHEME, the scheme does not fit the images or is not allowed in the epoch.
        FormatError: E_FORMAT, a parameter of the scheme is out of range.
    """
    identifier, given = scheme
    shape = geometry.target_shape(fit, split.shape, multiple_of(identifier, given))
    demand_room(shape, views.count, views.crop, views.cutout)
    descriptor = Descriptor.of(identifier, shape, given)
    if not epoch.allows(descriptor):
        allowed = ", ".join(str(one["id"]) for one in epoch.schemes)
        raise SchemeError(
            f"scheme {identifier} is not allowed in epoch {epoch.number}; allowed: {allowed}",
            hint="blindsight holder epoch propose "
            + " ".join(f"--scheme {name}" for name in [*(str(one["id"]) for one in epoch.schemes), identifier]),
        )
    key = scheme_key(epoch_secret, log.fed, epoch.number, descriptor.digest)
    cipher = cipher_for(descriptor, key, workers)
    return Plan(split, split_name, name, classes, fit, views, cipher, key, epoch, log)

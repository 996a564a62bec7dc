"""What a report knows about a run: frozen values, checked when made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from blindsight.protocol.scheme import Descriptor, Traits

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Setup:
    """What was asked for.

    Args:
        descriptor: scheme, shape of the plain images and parameters; a scheme that is known here.
        data: name of the data set.
        holders: names of the holders, in the order used everywhere else in the report.
        rounds: rounds of federated training.
        engine: ``inprocess`` or ``ray``.
        network: name of the network.
        seed: seed of the simulation.
        views: encrypted views per image.
        partition: ``iid`` or ``dirichlet:ALPHA``.

    Raises:
        ValueError: no holder is named.
    """

    descriptor: Descriptor
    data: str
    holders: tuple[str, ...]
    rounds: int
    engine: str
    network: str
    seed: int
    views: int
    partition: str

    def __post_init__(self) -> None:
        if not self.holders:
            raise ValueError("expected the name of at least one holder")

    @property
    def scheme(self) -> str:
        """Name of the scheme, such as ``le``."""
        return self.descriptor.id

    @property
    def traits(self) -> Traits:
        """What is publicly known of the scheme."""
        return self.descriptor.traits

    @property
    def is_plain(self) -> bool:
        """Whether nothing was encrypted."""
        return self.scheme == "plain"

    @property
    def has_key(self) -> bool:
        """Whether anything depends on a key."""
        return self.traits.scope != "none"

    @property
    def can_bind(self) -> bool:
        """Whether one key serves all images, so that a model can be bound to it."""
        return self.traits.scope in ("common", "block")


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares of test images that the final model names rightly, each 0 to 1.

    Args:
        encrypted: images encrypted under the epoch's key.
        other_key: the same images encrypted under another key; None where the scheme has no key.
        plain_images: the same images, plain; None where nothing was encrypted.
        chance: what guessing reaches.
        control_plain: the same network trained and tested on plain images; None where that was not run.

    Raises:
        ValueError: a share is outside 0 to 1.
    """

    encrypted: float
    other_key: float | None
    plain_images: float | None
    chance: float
    control_plain: float | None = None

    def __post_init__(self) -> None:
        shares = (self.encrypted, self.other_key, self.plain_images, self.chance, self.control_plain)
        _check_shares(*(share for share in shares if share is not None))


@dataclass(frozen=True, slots=True)
class Round:
    """One round of training.

    Args:
        number: as counted by the trainer; 0 is the untrained network.
        accuracy: of the aggregated model, 0 to 1.
        loss: of the aggregated model.
        holders: accuracy at each holder, 0 to 1, in the order of ``Setup.holders``; empty where it was not measured.

    Raises:
        ValueError: an accuracy is outside 0 to 1.
    """

    number: int
    accuracy: float
    loss: float
    holders: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _check_shares(self.accuracy, *self.holders)


@dataclass(frozen=True, slots=True)
class Federation:
    """What the parties agreed on and what came out.

    Args:
        code: federation code, as members read it to each other.
        epoch: number of the epoch.
        kcv: key check value, shortened.
        bundle: path of the model bundle.
        digest: digest of the bundle.
    """

    code: str
    epoch: int
    kcv: str
    bundle: str
    digest: str


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """The same few images in three forms, at their own size; eight or so are enough to see.

    Args:
        plain: (k, h, w, c) uint8, c 1 or 3.
        encrypted: the same images, perceptually encrypted; smaller where the scheme shrinks them.
        other: what another key gives; None where there is no key or no decryption.
        labels: (k,) class number of each image.
        other_name: how ``other`` came about, as a caption.

    Raises:
        ValueError: an array is not (k, h, w, 1|3) uint8, or the counts differ.
    """

    plain: Images
    encrypted: Images
    other: Images | None
    labels: tuple[int, ...]
    other_name: str = "decrypted with another key"

    def __post_init__(self) -> None:
        for images in (self.plain, self.encrypted, self.other):
            if images is not None:
                _check_images(images, len(self.labels))


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """Everything that the page shows.

    Args:
        title: heading of the page.
        setup: what was asked for.
        accuracy: results and controls.
        test_count: number of test images behind ``accuracy``.
        control_count: number of those behind its controls under another key and on plain images; 0 without any.
        history: the rounds, in order; may be empty.
        class_names: names of the classes.
        label_split: (holders, classes) number of images.
        sizes: what was written or sent, in bytes.
        seconds: stage and its duration in seconds.
        versions: software and its version.
        federation: agreed keys and the bundle.
        sheet: images in three forms.
        curve_note: a sentence on how the accuracies of the rounds were measured.

    Raises:
        ValueError: the parts do not fit each other.
    """

    title: str
    setup: Setup
    accuracy: Accuracy
    test_count: int
    control_count: int
    history: tuple[Round, ...]
    class_names: tuple[str, ...]
    label_split: npt.NDArray[np.integer]
    sizes: Mapping[str, int]
    seconds: Mapping[str, float]
    versions: Mapping[str, str]
    federation: Federation
    sheet: Sheet
    curve_note: str = ""

    def __post_init__(self) -> None:
        _check_report(self)


def _check_shares(*shares: float) -> None:
    for share in shares:
        if not 0 <= share <= 1:
            raise ValueError(f"expected an accuracy from 0 to 1, got {share}")


def _check_images(images: Images, count: int) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise ValueError(f"expected images (k, h, w, 1|3) uint8, got {images.dtype} of shape {images.shape}")
    if len(images) != count or not all(images.shape[1:3]):
        raise ValueError(f"expected {count} images that are not empty, got shape {images.shape}")


def _check_report(report: Report) -> None:
    holders, classes = len(report.setup.holders), len(report.class_names)
    controls = {report.accuracy.other_key, report.accuracy.plain_images} - {None}
    if report.test_count < 1 or report.control_count < bool(controls):
        raise ValueError(f"expected at least one test image, got {report.test_count} and {report.control_count}")
    if report.label_split.shape != (holders, classes):
        raise ValueError(f"expected a label split of shape {(holders, classes)}, got {report.label_split.shape}")
    if any(len(entry.holders) not in (0, holders) for entry in report.history):
        raise ValueError(f"expected accuracies of {holders} holders, or none, in every round")
    if any(not 0 <= label < classes for label in report.sheet.labels):
        raise ValueError(f"expected labels of the sheet from 0 to {classes - 1}, got {report.sheet.labels}")

"""What a simulation is asked to play; stored beside its results so that it can be resumed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from blindsight.holder.plan import Views
from blindsight.protocol.errors import DataError
from blindsight.protocol.files import write_whole
from blindsight.protocol.scheme import SCHEMES
from blindsight.simulation.partition import parse

FILE_NAME = "simulation.json"
MAX_HOLDERS = 256


@dataclass(frozen=True, slots=True)
class Settings:
    """A whole federation in a few words.

    Args:
        data: source of images as ``holder publish`` takes it.
        holders: number of holders.
        scheme: name of the encryption scheme.
        params: public parameters of the scheme, name → value as typed; what is left out takes the scheme's default.
        views: encrypted views of each training image.
        crop: largest shift of a view in pixels.
        jitter: strength of a view's changes of colour, from 0 to 1.
        cutout: side of the square that is covered in a view, in pixels.
        partition: ``iid`` or ``dirichlet:ALPHA``.
        network: name of the network.
        rounds: exchanges of weights.
        engine: ``inprocess`` or ``ray``.
        limit: at most so many training images in all; None for no limit.
        val: training images that each holder holds out for validation; None for a tenth, at most 500.
        seed: everything random follows from it, keys too.
        control: ``plain`` to play the same federation without encryption, or empty.
        options: further keys of the run configuration, ``KEY=VALUE``.

    Raises:
        DataError: a number that nobody can play.
    """

    data: str = "digits"
    holders: int = 3
    scheme: str = "le"
    params: Mapping[str, str] = field(default_factory=dict)
    views: int = 1
    crop: int = 4
    jitter: float = 0.0
    cutout: int = 0
    partition: str = "iid"
    network: str = "small"
    rounds: int = 5
    engine: str = "inprocess"
    limit: int | None = None
    val: int | None = None
    seed: int = 0
    control: str = ""
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.holders <= MAX_HOLDERS:
            raise DataError(f"--holders must be from 1 to {MAX_HOLDERS}, got {self.holders}")
        if self.limit is not None and self.limit < 1:
            raise DataError(f"--limit must be at least 1, got {self.limit}")
        if self.views < 1:
            raise DataError(f"--views must be at least 1, got {self.views}")
        if self.val is not None and self.val < 0:
            raise DataError(f"--val must be at least 0, got {self.val}")
        self.augmentation(mirror=False)
        if self.scheme not in (known := sorted({name for name, _ in SCHEMES})):
            raise DataError(f"--scheme must be one of {', '.join(known)}, got {self.scheme[:40]!r}")
        parse(self.partition)

    def augmentation(self, *, mirror: bool) -> Views:
        """The views of training images.

        Args:
            mirror: whether a mirrored image keeps its label.

        Raises:
            DataError: views that cannot be made.
        """
        return Views(self.views, self.crop, mirror, self.jitter, self.cutout)

    @property
    def names(self) -> tuple[str, ...]:
        """The holders' names, which are also their folders."""
        return tuple(f"holder-{number}" for number in range(1, self.holders + 1))

    def begin(self, out: Path, *, resume: bool) -> None:
        """Claim a folder, or go on in one.

        Args:
            out: the simulation's folder.
            resume: whether it may hold a simulation already.

        Raises:
            DataError: E_EXISTS, the folder is not empty, or holds a simulation with other settings.
        """
        stored = out / FILE_NAME
        if resume and stored.exists():
            self._demand_same(stored)
        elif out.exists() and any(out.iterdir()):
            hint = "add --resume to go on, or name another --out" if stored.exists() else "name another --out"
            raise DataError(f"{out} is not empty", code="E_EXISTS", hint=hint)
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(stored, json.dumps(dataclasses.asdict(self), indent=1).encode() + b"\n")

    def _demand_same(self, stored: Path) -> None:
        document = json.loads(stored.read_bytes())
        mine, defaults = (json.loads(json.dumps(dataclasses.asdict(one))) for one in (self, Settings()))
        if different := [name for name in mine if document.get(name, defaults[name]) != mine[name]]:
            raise DataError(
                f"{stored.parent} holds a simulation with other settings: {', '.join(different)}",
                code="E_EXISTS",
                hint="repeat the same options with --resume, or name another --out",
            )

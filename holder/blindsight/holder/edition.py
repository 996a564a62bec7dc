"""Editions of a data set: what a manifest says besides its images, and how a later one replaces an earlier one.

FORMAT.md section H: ``dataset.id`` stays over all editions, ``serial`` grows by one, ``supersedes`` names the manifest
that is replaced. Whoever offers the same name and split again without saying so would be taken for two data sets.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from blindsight.protocol import fields, manifest
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.errors import DataError, MembershipError, ProtocolError
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest

MAX_REASON = 1_000


@dataclass(frozen=True, slots=True)
class Edition:
    """What a manifest says besides the plan.

    Args:
        version: for people, at most 40 characters.
        license: under which the data set is given, at most 200 characters; empty for none stated.
        dataset: id of the data set that is replaced, 32 hex characters; empty for a new one.
        serial: 1, and one more for each edition.
        supersedes: id of the manifest that is replaced, hex, or None.
        despite: why the epoch is used in spite of a warning; empty when nobody warns.

    Raises:
        FormatError: E_FORMAT, text that no manifest can state.
    """

    version: str = "1"
    license: str = ""
    dataset: str = ""
    serial: int = 1
    supersedes: str | None = None
    despite: str = ""

    def __post_init__(self) -> None:
        fields.demand(fields.text(40), self.version, "the version")
        fields.demand(fields.text(), self.license, "the licence")
        fields.demand(fields.text(MAX_REASON), self.despite, "the reason")

    @property
    def remark(self) -> str:
        """For the manifest's description."""
        return f"; epoch used in spite of a warning: {self.despite}" if self.despite else ""

    def to_json(self) -> dict[str, object]:
        """What a resumed publish must have in common with the interrupted one; a warning may come in between."""
        named = {"version": self.version, "license": self.license, "dataset": self.dataset}
        return named | {"serial": self.serial, "supersedes": self.supersedes}

    @classmethod
    def after(cls, former: Manifest, *, version: str = "", license: str = "") -> Edition:
        """The edition that replaces a manifest.

        Args:
            former: the verified manifest that is replaced.
            version: for people; the serial if empty.
            license: as in the manifest.

        Raises:
            FormatError: E_FORMAT, text that no manifest can state.
        """
        dataset, serial = former.predicate["dataset"]["id"], former.predicate["serial"] + 1
        return cls(version or str(serial), license, dataset, serial, former.envelope.mid)


FIRST = Edition()


def demand_replaceable(former: Manifest, holder: str, name: str, split: str) -> None:
    """Refuse to replace what is not an earlier edition of the same data set.

    Raises:
        MembershipError: E_ROSTER, another holder published it.
        DataError: it has another name or split.
    """
    if former.predicate["holder"] != holder:
        raise MembershipError(f"this data set belongs to {former.holder}, not to this keystore", code="E_ROSTER")
    dataset = former.predicate["dataset"]
    if (dataset["name"], dataset["split"]) != (name, split):
        raise DataError(
            f"the replaced data set is {dataset['name']}/{dataset['split']}, the new one {name}/{split}",
            hint="name it alike with --name and --split, or leave --replaces out",
        )


def demand_newest(offers: Sequence[Manifest], stated: Edition) -> None:
    """Refuse a manifest whose serial would not grow.

    Args:
        offers: the holder's other offers of the same name and split.
        stated: the edition that is to be published.

    Raises:
        DataError: E_EXISTS.
    """
    newest = max(offers, key=lambda one: (one.predicate["serial"], one.envelope.mid), default=None)
    if newest and newest.predicate["serial"] >= stated.serial:
        dataset, serial = newest.predicate["dataset"], newest.predicate["serial"]
        raise DataError(
            f"{dataset['name']}/{dataset['split']} was offered before, last with serial {serial}",
            code="E_EXISTS",
            hint="to take its place: --replaces FOLDER, the one it was published from; else another --name",
        )


def offers_of(box: DropBox, log: Log, holder: str, name: str, split: str) -> list[Manifest]:
    """What a holder offers under a name and split in the drop-box, verified; junk is passed over.

    Args:
        box: the drop-box.
        log: the membership log.
        holder: the holder's fingerprint.
        name: the data set's name.
        split: the data set's split.
    """
    place, found = box.data(log.fed, holder), []
    for folder in box.transport.folders(place):
        for envelope in box.envelopes(f"{place}/{folder}"):
            with contextlib.suppress(ProtocolError):
                found.append(manifest.read(envelope, log))
    wanted = (holder, name, split)
    return [one for one in found if (one.predicate["holder"], one.predicate["dataset"]["name"], one.split) == wanted]

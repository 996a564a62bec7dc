"""Fetching what is sealed to this site: manifests and sealings verified, shards opened one at a time.

A data set's folder gets its manifest last: what has one is complete. A shard that is there already, by its SHA-256, is
not fetched again. What anybody can write into the drop-box is reported and passed over, never obeyed.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from blindsight.cli import passphrase
from blindsight.cli.output import emit_facts, progress, say
from blindsight.protocol import manifest, recipient, sealedfile, sealing, statement
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import from_b64
from blindsight.protocol.envelope import IN_TOTO, Envelope
from blindsight.protocol.errors import BlindsightError, DataError, FormatError, ProtocolError, SignatureError
from blindsight.protocol.files import sweep_parts, write_whole
from blindsight.protocol.identity import Entry
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log
from blindsight.protocol.logfile import read_log
from blindsight.protocol.manifest import Manifest
from blindsight.protocol.sealing import SEALING, SealedShard, Sealing
from blindsight.protocol.transport.names import demand_safe

WAITING = 75
WORK_FOLDER = ".unseal"


@dataclass(slots=True)
class Offer:
    """What one data set's folder in the drop-box holds.

    Args:
        place: the folder, below the box.
        sealings: verified, newest first.
        faults: what cannot be read or does not verify: name → why.
    """

    place: str
    sealings: list[Sealing] = field(default_factory=list)
    faults: dict[str, BlindsightError] = field(default_factory=dict)

    @contextlib.contextmanager
    def noting(self, name: str) -> Iterator[None]:
        """Note a refusal among the faults and go on."""
        try:
            yield
        except ProtocolError as error:
            self.faults[name] = error


def offers(box: DropBox, log: Log, *, holder: str | None = None, dataset: str | None = None) -> Iterator[Offer]:
    """Every data set folder of a federation's drop-box.

    Args:
        box: the drop-box.
        log: the verified membership log.
        holder: only what the holder of that fingerprint offers.
        dataset: only folders of that name.
    """
    data = f"{box.federation(log.fed)}/data"
    for site in box.transport.folders(data):
        for name in box.transport.folders(f"{data}/{site}"):
            if dataset in (None, name) and (holder is None or site == holder[:12]):
                yield _offer(box, log, f"{data}/{site}/{name}")


def _offer(box: DropBox, log: Log, place: str) -> Offer:
    offer = Offer(place)
    manifests: dict[str, Manifest] = {}
    sealed: list[tuple[str, Envelope]] = []
    for found in box.found(place):
        with offer.noting(found.short):
            if found.envelope is None:
                raise found.fault or FormatError("the document cannot be read")
            if found.envelope.type == SEALING:
                sealed.append((found.short, found.envelope))
            elif found.envelope.type == IN_TOTO:
                manifests[found.envelope.mid] = manifest.read(found.envelope, log)
    for name, envelope in sealed:
        with offer.noting(name):
            offer.sealings.append(_verified(envelope, log, manifests))
    offer.sealings.sort(key=lambda one: (one.body["created"], one.envelope.mid), reverse=True)
    return offer


def _verified(envelope: Envelope, log: Log, manifests: Mapping[str, Manifest]) -> Sealing:
    named = sealing.parse_unsigned(envelope)["manifest"]
    if named not in manifests:
        raise FormatError("the manifest that this sealing names is not beside it, or does not verify", code="E_IO")
    return sealing.read_sealing(envelope, log, manifests[named])


def folder_of(out: Path, place: str, sealed: Sealing) -> Path:
    """Where a data set goes: ``<holder12>/<dataset>`` below a folder.

    Args:
        out: the folder for everything that is unsealed.
        place: the data set's folder in the drop-box; its last part is the data set's name here, too.
        sealed: the verified sealing.

    Raises:
        FormatError: E_FORMAT, the name is not fit for a folder here, or a shard lies outside ``shards/``.
        DataError: E_EXISTS, another data set stands there.
    """
    name = demand_safe(place.rsplit("/", 1)[-1])  # the transport has looked already, but is trusted with nothing
    if not all(shard["path"].startswith("shards/") for shard in sealed.manifest.predicate["shards"]):
        raise FormatError(f"a shard of {sealed.manifest.holder} does not lie in the folder shards")
    folder = out / str(sealed.manifest.predicate["holder"])[:12] / name
    file = folder / manifest.FILE_NAME
    if file.exists() and Envelope.from_bytes(file.read_bytes(), str(file)).mid != sealed.manifest.envelope.mid:
        raise DataError(
            f"{folder} holds another data set, or another version of it",
            code="E_EXISTS",
            hint="remove that folder, or name another with --out",
        )
    return folder


def unseal_dataset(
    box: DropBox, place: str, sealed: Sealing, data_key: bytes, folder: Path, advance: Callable[[int], None]
) -> int:
    """Fetch and open the shards of one data set; go on where an interrupted call was.

    Args:
        box: the drop-box.
        place: the data set's folder below it.
        sealed: the verified sealing.
        data_key: 32 bytes, from one of its boxes.
        folder: the data set's folder here, made if missing.
        advance: called with 1 for every shard that is there.

    Returns:
        How many shards were fetched.

    Raises:
        FormatError: E_IO, a file is missing; E_SHARD, it has another size.
        SignatureError: E_TAMPERED, E_SHA.
    """
    work = folder / WORK_FOLDER
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True, mode=0o700)
    try:
        count = 0
        for shard in sealed.shards(data_key):
            count += _arrived(box, place, shard, folder)
            advance(1)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    write_whole(folder / manifest.FILE_NAME, sealed.manifest.envelope.to_bytes())
    return count


def _arrived(box: DropBox, place: str, shard: SealedShard, folder: Path) -> bool:
    """Make sure that one shard is there; whether it had to be fetched."""
    with contextlib.suppress(ProtocolError):
        statement.demand_file(folder, shard.path, shard.plain.sha256, shard.plain.bytes)
        return False
    target, fetched = folder / shard.path, folder / WORK_FOLDER / "sealed"
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep_parts(target.parent)
    box.transport.fetch(f"{place}/{shard.sealed_path}", fetched, shard.sealed.bytes)
    sealedfile.unseal_file(fetched, target, shard.key, shard.context, shard.sealed, shard.plain)
    fetched.unlink()
    return True


@dataclass(frozen=True, slots=True)
class Opener:
    """Who opens, and with which keys. Shows nothing of them.

    Args:
        entry: this site's identity.
        seeds: id of the recipient document → 32 bytes.
    """

    entry: Entry
    seeds: Mapping[str, bytes]

    def __repr__(self) -> str:
        return f"Opener({self.entry.name!r})"

    @classmethod
    def of(cls, store: Keystore, fed: str) -> Opener:
        """The keys that a keystore holds for a federation."""
        kept = store.data.get("recipients", {}).items()
        return cls(store.key.entry, {mid: from_b64(one["seed"], 32) for mid, one in kept if one["fed"] == fed})

    def mine(self, offer: Offer) -> list[Sealing]:
        """The sealings that name this identity, newest first."""
        return [one for one in offer.sealings if self.entry.fpr in one.recipients.values()]

    def data_key(self, sealed: Sealing) -> bytes:
        """Open the box addressed to one of this identity's keys: 32 bytes.

        Raises:
            SignatureError: E_BOX, it is not here, or the box does not open.
        """
        for mid, fpr in sealed.recipients.items():
            if fpr == self.entry.fpr and mid in self.seeds:
                return sealed.data_key(fpr, mid, self.seeds[mid])
        raise SignatureError(
            f"{sealed.manifest.holder} sealed to a key of yours that is not in this keystore, or was erased",
            code="E_BOX",
            hint=f"{recipient.offer_hint(self.entry)}, then the holder seals again",
        )


def unseal(options: argparse.Namespace) -> int:
    """Do what ``unseal`` says: fetch and open all that is sealed to this site and asked for.

    Args:
        options: the verb's options.

    Returns:
        0 done, 1 something was refused, 75 nothing is sealed to this site.

    Raises:
        BlindsightError: keystore or log cannot be read; what is wrong with one data set is only said.
    """
    box = DropBox(options.dropbox)
    log = read_log(options.log or options.dropbox, options.federation)
    with passphrase.opened(options) as store:  # and closed again: fetching takes long, and the lock is exclusive
        opener = Opener.of(store, log.fed)
    results = [result for offer in _chosen(box, log, options) for result in _opened(box, offer, opener, options)]
    if not results:
        say(f"nothing is sealed to this site yet; {recipient.offer_hint(opener.entry)}, then the holders publish")
        return WAITING
    return 0 if all(results) else 1


def _chosen(box: DropBox, log: Log, options: argparse.Namespace) -> Iterator[Offer]:
    holder = recipient.person(log.roster.members, options.holder).fpr if options.holder else None
    return offers(box, log, holder=holder, dataset=options.dataset)


def _opened(box: DropBox, offer: Offer, opener: Opener, options: argparse.Namespace) -> Iterator[bool]:
    """Open one offer: a value for each thing done (true) or refused (false), none if it is not for this site."""
    for name, fault in offer.faults.items():
        _say_refused(name, fault)
        yield False
    mine = opener.mine(offer)
    if mine:
        yield _first_that_opens(box, offer, mine, opener, options)
    elif offer.sealings:
        say(f"{offer.place} is sealed to others; passed over")


def _first_that_opens(
    box: DropBox, offer: Offer, mine: list[Sealing], opener: Opener, options: argparse.Namespace
) -> bool:
    for sealed in mine:
        try:
            _report(offer, sealed, *_written(box, offer, sealed, opener, options), as_json=options.json)
        except BlindsightError as error:
            _say_refused(offer.place, error)
        else:
            return True
    return False


def _written(
    box: DropBox, offer: Offer, sealed: Sealing, opener: Opener, options: argparse.Namespace
) -> tuple[Path, int]:
    data_key = opener.data_key(sealed)
    folder = folder_of(options.out, offer.place, sealed)
    with progress(f"unsealing {folder.name}", len(sealed.body["files"])) as advance:
        return folder, unseal_dataset(box, offer.place, sealed, data_key, folder, advance)


def _report(offer: Offer, sealed: Sealing, folder: Path, fetched: int, *, as_json: bool) -> None:
    facts = {"dataset": str(folder), "holder": sealed.manifest.holder, "rows": sealed.manifest.predicate["rows"]}
    emit_facts(facts | {"shards": len(sealed.body["files"]), "fetched": fetched}, as_json=as_json)


def _say_refused(name: str, error: BlindsightError) -> None:
    say(f"refused: {name}: {error.message} [{error.code}]" + (f"; {error.hint}" if error.hint else ""))

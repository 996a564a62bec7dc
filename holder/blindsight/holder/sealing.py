"""Sealing a published data set for travel: shard by shard into the drop-box, the sealing itself last.

The data key of an unfinished sealing stays in a job file (mode 0600) beside the shards that it seals, until the sealing
is in the drop-box; a sealing that was killed goes on after its last whole shard.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from pathlib import Path

from blindsight.protocol import manifest, recipient, sealing
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import canonical, from_b64, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import DataError, MembershipError, PolicyError, ProtocolError
from blindsight.protocol.files import sweep_parts, write_whole
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest
from blindsight.protocol.recipient import Recipient
from blindsight.protocol.sealedfile import KEY_BYTES, Stamp, seal_file

JOB_FOLDER = ".sealing"


@dataclass(frozen=True, slots=True)
class Job:
    """What must survive a kill until the sealing is in the drop-box. Shows nothing of its key.

    Args:
        manifest: id of the manifest whose shards are sealed, hex.
        place: the drop-box.
        id: of the sealing, 32 hex characters.
        data_key: 32 random bytes.
        files: the sealed shards that are in the drop-box, in manifest order.
    """

    manifest: str
    place: str
    id: str
    data_key: bytes
    files: tuple[Stamp, ...] = ()

    def __repr__(self) -> str:
        return f"Job({self.id})"

    def to_bytes(self) -> bytes:
        """For the job file."""
        files = [[file.bytes, file.sha256] for file in self.files]
        document = {"v": 1, "manifest": self.manifest, "place": self.place, "id": self.id, "files": files}
        return canonical({**document, "key": to_b64(self.data_key)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Job:
        """From the job file."""
        document = json.loads(data)
        files = tuple(Stamp(*file) for file in document["files"])
        key = from_b64(document["key"], KEY_BYTES)
        return cls(document["manifest"], document["place"], document["id"], key, files)


def seal_dataset(
    folder: Path,
    box: DropBox,
    log: Log,
    key: SigningKey,
    recipients: Sequence[Recipient],
    created: str,
    advance: Callable[[int], None],
    *,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Envelope:
    """Seal a published data set's shards into the drop-box; go on where an interrupted call was.

    Shards go first, then the manifest, then the sealing, so that no sealing names what is not there. What is sealed to
    the same keys already is not sealed again.

    Args:
        folder: the published data set, with manifest and shards.
        box: the drop-box.
        log: the verified membership log.
        key: the holder who signed the manifest.
        recipients: from ``recipients_in``; at least one.
        created: the present time.
        advance: called with the number of shards just sealed.
        entropy: gives so many random bytes: the sealing's id and data key.

    Returns:
        The signed sealing.

    Raises:
        MembershipError: E_ROSTER, another holder published the data set.
        SignatureError: E_SHA, a shard is not the one that was signed.
        FormatError: E_SHARD, E_IO.
        DataError: the drop-box takes documents only.
    """
    offer = manifest.load(folder, log)
    if offer.predicate["holder"] != key.entry.fpr:
        raise MembershipError(f"only {offer.holder} may seal the shards of its manifest", code="E_ROSTER")
    place = f"{box.data(log.fed, key.entry.fpr)}/{folder.name}"
    envelope = _sealed_already(box, place, log, offer, recipients)
    if envelope is None:
        job = _all_sent(_begin(folder, box, place, offer, entropy), folder, box, place, offer, advance)
        envelope = sealing.make_sealing(
            key, offer, log.head, recipients, name=job.id, data_key=job.data_key, files=job.files, created=created
        )
        box.put(f"{place}/{manifest.FILE_NAME}", offer.envelope)
        box.put(f"{place}/sealing-{envelope.mid[:12]}.json", envelope)
    shutil.rmtree(folder / JOB_FOLDER, ignore_errors=True)
    return envelope


def _sealed_already(
    box: DropBox, place: str, log: Log, offer: Manifest, recipients: Sequence[Recipient]
) -> Envelope | None:
    """A sealing of the same shards to all these keys, if it and its files are in the drop-box."""
    for envelope in box.envelopes(place):
        try:
            found = sealing.read_sealing(envelope, log, offer)
        except ProtocolError:
            continue
        names = set(box.transport.files(f"{place}/{sealing.sealed_folder(found.body['id'])}"))
        whole = {file["path"].rsplit("/", 1)[-1] for file in found.body["files"]} <= names
        if whole and {one.mid for one in recipients} <= set(found.recipients):
            return envelope
    return None


def _begin(folder: Path, box: DropBox, place: str, offer: Manifest, entropy: Callable[[int], bytes]) -> Job:
    """The interrupted job for the same shards and drop-box, or a new one."""
    work = folder / JOB_FOLDER
    job = _kept(work / "job.json")
    if job and (job.manifest, job.place) == (offer.envelope.mid, box.transport.place):
        sweep_parts(work)
        names = set(box.transport.files(f"{place}/{sealing.sealed_folder(job.id)}"))
        paths = [sealing.sealed_path(job.id, number) for number in range(len(job.files))]
        there = takewhile(lambda path: path.rsplit("/", 1)[-1] in names, paths)
        return replace(job, files=job.files[: len(list(there))])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    job = Job(offer.envelope.mid, box.transport.place, entropy(16).hex(), entropy(KEY_BYTES))
    write_whole(work / "job.json", job.to_bytes(), mode=0o600)
    return job


def _kept(file: Path) -> Job | None:
    try:
        return Job.from_bytes(file.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, ProtocolError):
        return None  # a job that cannot be read is begun anew: nothing names its files yet


def _all_sent(job: Job, folder: Path, box: DropBox, place: str, offer: Manifest, advance: Callable[[int], None]) -> Job:
    work = folder / JOB_FOLDER
    advance(len(job.files))
    for number, shard in enumerate(offer.predicate["shards"]):
        if number < len(job.files):
            continue
        sealed, key = work / "sealed", sealing.file_key(job.data_key, offer, shard)
        plain = sealing.plain_stamp(shard)
        stamp = seal_file(folder / shard["path"], sealed, key, sealing.context(offer, shard), plain)
        box.transport.send(sealed, f"{place}/{sealing.sealed_path(job.id, number)}")
        sealed.unlink()
        job = replace(job, files=(*job.files, stamp))
        write_whole(work / "job.json", job.to_bytes(), mode=0o600)
        advance(1)
    return job


def interrupted(folder: Path) -> bool:
    """Whether the sealing of this data set has begun and not ended."""
    return (folder / JOB_FOLDER / "job.json").exists()


def recipients_in(box: DropBox, log: Log, moment: datetime, names: Sequence[str]) -> list[Recipient]:
    """The keys of the trainers and operators that a person named: of each the newest that is valid.

    Args:
        box: the drop-box.
        log: the verified membership log.
        moment: the present time.
        names: names or fingerprint codes (two groups or more), as ``--seal-to`` gives them.

    Raises:
        MembershipError: E_ROSTER, a name is nobody's or several people's.
        PolicyError: E_EXPIRED, somebody offers expired keys only.
        DataError: somebody offers no key.
    """
    people = (*log.roster.trainers, *log.roster.operators)
    named = {entry.fpr: entry for entry in (recipient.person(people, name) for name in names)}
    documents = box.signed(log.fed, recipient.FOLDER)
    return [_newest(documents, entry, log, moment) for _, entry in sorted(named.items())]


def _newest(documents: Sequence[Envelope], entry: Entry, log: Log, moment: datetime) -> Recipient:
    valid: list[Recipient] = []
    expired: PolicyError | None = None
    for envelope in documents:
        if entry.fpr in envelope.signatures:
            try:
                valid.append(recipient.read_recipient(envelope, log, moment))
            except PolicyError as error:
                expired = error
            except ProtocolError:
                continue  # whoever writes junk into the box must not keep anybody from sealing
    if valid:
        return max(valid, key=lambda one: (one.created, one.mid))
    raise expired or DataError(
        f"{entry.label} offers no key to seal to", hint=f"{entry.name} types: {recipient.offer_hint(entry)}"
    )

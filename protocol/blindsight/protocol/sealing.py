"""Sealings: to whom the shards of one manifest are sealed, and under which names they travel. FORMAT.md section H.

One data key for a sealing, sealed to each recipient key; a file key for each shard follows from it. The holder who
signed the manifest signs the sealing: a box alone would not say who made it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blindsight.protocol import fields, kem, statement
from blindsight.protocol.encoding import canonical, expand, from_b64, tagged_hash, to_b64
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.errors import ConflictError, FormatError, MembershipError, SignatureError
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest
from blindsight.protocol.recipient import Recipient
from blindsight.protocol.sealedfile import KEY_BYTES, Stamp, sealed_bytes

SEALING = payload_type("sealing")
MAX_RECIPIENTS = 256
_BOX_BYTES = KEY_BYTES + kem.OVERHEAD_BYTES

_SHAPE = fields.mapping(
    {
        "v": fields.constant(1),
        "type": fields.constant("sealing"),
        "id": fields.hex16,
        "fed": fields.hex32,
        "head": statement.HEAD,
        "from": fields.hex32,
        "manifest": fields.hex32,
        "to": fields.listing(
            fields.mapping({"fpr": fields.hex32, "recipient": fields.hex32, "box": fields.key(_BOX_BYTES)}),
            least=1,
            most=MAX_RECIPIENTS,
        ),
        "files": fields.listing(
            fields.mapping({"path": statement.PATH, "bytes": fields.integer(1), "sha256": fields.hex32}), least=1
        ),
        "created": fields.time,
    }
)


@dataclass(frozen=True, slots=True)
class SealedShard:
    """One shard of a sealing.

    Args:
        path: where it lies plain, beside the manifest.
        plain: what the manifest says of it.
        sealed_path: where it lies sealed, beside the sealing.
        sealed: what the sealing says of it.
        key: 32 bytes, its file key.
        context: what it is bound to.
    """

    path: str
    plain: Stamp
    sealed_path: str
    sealed: Stamp
    key: bytes
    context: bytes

    def __repr__(self) -> str:
        return f"SealedShard({self.path!r})"


@dataclass(frozen=True, slots=True)
class Sealing:
    """A verified sealing.

    Args:
        envelope: as signed.
        manifest: whose shards are sealed.
        body: its content, checked.
    """

    envelope: Envelope
    manifest: Manifest
    body: Mapping[str, Any]

    @property
    def recipients(self) -> dict[str, str]:
        """Id of the recipient document → fingerprint of the recipient."""
        return {to["recipient"]: to["fpr"] for to in self.body["to"]}

    def data_key(self, fpr: str, recipient: str, seed: bytes) -> bytes:
        """Open the box of one recipient key: 32 bytes.

        Args:
            fpr: the recipient's fingerprint.
            recipient: id of its recipient document, hex.
            seed: 32 bytes, of that document's key.

        Raises:
            SignatureError: E_BOX, nothing here is sealed to that key, or the box does not open.
        """
        for to in self.body["to"]:
            if (to["fpr"], to["recipient"]) == (fpr, recipient):
                info = _info(self.body, recipient, fpr)
                return kem.unseal(seed, from_b64(to["box"], _BOX_BYTES), info, KEY_BYTES)
        raise SignatureError(
            f"what {self.manifest.holder} sealed is not sealed to key {recipient[:12]}… of {fpr[:12]}…", code="E_BOX"
        )

    def shards(self, data_key: bytes) -> list[SealedShard]:
        """The shards in manifest order, each with the key that opens it."""
        listed = zip(self.manifest.predicate["shards"], self.body["files"], strict=True)
        return [
            SealedShard(
                shard["path"],
                plain_stamp(shard),
                file["path"],
                Stamp(file["bytes"], file["sha256"]),
                file_key(data_key, self.manifest, shard),
                context(self.manifest, shard),
            )
            for shard, file in listed
        ]


def make_sealing(
    key: SigningKey,
    manifest: Manifest,
    head: Mapping[str, Any],
    recipients: Sequence[Recipient],
    *,
    name: str,
    data_key: bytes,
    files: Sequence[Stamp],
    created: str,
) -> Envelope:
    """Seal the data key to every recipient and sign what was sealed.

    Args:
        key: the holder who signed the manifest.
        manifest: the verified manifest.
        head: the holder's log head.
        recipients: verified recipient documents.
        name: id of the sealing, 32 hex characters; it stands in the sealed files' paths.
        data_key: 32 fresh random bytes.
        files: the sealed shards, in manifest order.
        created: time of creation.

    Raises:
        MembershipError: E_ROSTER, another holder signed the manifest.
        FormatError: E_FORMAT.
    """
    body: dict[str, Any] = {
        "v": 1,
        "type": "sealing",
        "id": name,
        "fed": manifest.predicate["fed"],
        "head": dict(head),
        "from": key.entry.fpr,
        "manifest": manifest.envelope.mid,
        "files": [
            {"path": sealed_path(name, number), "bytes": file.bytes, "sha256": file.sha256}
            for number, file in enumerate(files)
        ],
        "created": created,
    }
    body["to"] = [_addressed(body, recipient, data_key) for recipient in sorted(recipients, key=_place)]
    envelope = Envelope.of("sealing", body)
    parse_unsigned(envelope)
    _demand_fits(body, manifest)
    return envelope.signed(key)


def read_sealing(envelope: Envelope, log: Log, manifest: Manifest) -> Sealing:
    """Verify a sealing and that it is about this manifest. To whom else it is sealed is the holder's business.

    Args:
        envelope: as received.
        log: the verified membership log.
        manifest: the verified manifest that it names.

    Raises:
        FormatError: E_FORMAT, E_CANON; E_SHARD, a sealed file cannot have that size.
        MembershipError: E_ROSTER, E_QUORUM, E_FED.
        SignatureError: E_SIG; E_SHA, it is about another manifest.
        ConflictError: E_HEAD, its log head is not on this log.
    """
    body = parse_unsigned(envelope)
    holder = log.roster.member(body["from"])
    if set(envelope.signatures) != {holder.fpr}:
        raise MembershipError(f"the sealing must carry the signature of {holder.label} alone", code="E_QUORUM")
    envelope.verify(holder, "the sealing")
    if body["fed"] != log.fed:
        raise MembershipError(f"the sealing of {holder.label} is for another federation", code="E_FED")
    if body["head"] not in log.history:
        raise ConflictError(
            f"the log head in the sealing of {holder.label} is not on this log: a fork, or a record withheld from one",
            code="E_HEAD",
            hint="fetch the newest records, then repeat; if it stays, show both logs to the members",
        )
    _demand_fits(body, manifest)
    return Sealing(envelope, manifest, body)


def sealed_folder(name: str) -> str:
    """Where the sealed shards of a sealing lie, below the data set's folder in the drop-box."""
    return f"sealed/{name}"


def sealed_path(name: str, number: int) -> str:
    """Where the sealed shard of that number lies."""
    return f"{sealed_folder(name)}/{number:05d}.cobblestone"


def plain_stamp(shard: Mapping[str, Any]) -> Stamp:
    """What a manifest's list of shards says of one."""
    return Stamp(shard["bytes"], shard["sha256"])


def file_key(data_key: bytes, manifest: Manifest, shard: Mapping[str, Any]) -> bytes:
    """The key of one sealed shard: 32 bytes."""
    return expand(data_key, "sealed-shard", manifest.envelope.id, bytes.fromhex(shard["sha256"]))


def context(manifest: Manifest, shard: Mapping[str, Any]) -> bytes:
    """What a sealed shard is bound to, whatever its name."""
    place = {"v": 1, "fed": manifest.predicate["fed"], "manifest": manifest.envelope.mid}
    return canonical(place | {name: shard[name] for name in ("path", "bytes", "sha256")})


def parse_unsigned(envelope: Envelope) -> dict[str, Any]:
    """Check what a sealing says for form, without a log: its body.

    Raises:
        FormatError: E_FORMAT, E_CANON.
    """
    body: dict[str, Any] = envelope.body("sealing")
    if envelope.type != SEALING:
        raise FormatError(f"expected a sealing, got {envelope.type[:80]}")
    fields.demand(_SHAPE, body, "sealing")
    if any(file["path"] != sealed_path(body["id"], number) for number, file in enumerate(body["files"])):
        raise FormatError("the files of the sealing do not lie where its id and their order say")
    named = [(to["fpr"], to["recipient"]) for to in body["to"]]
    if named != sorted(named) or len({recipient for _, recipient in named}) != len(named):
        raise FormatError("the recipients of the sealing must stand in ascending order, each key once")
    return body


def _demand_fits(body: Mapping[str, Any], manifest: Manifest) -> None:
    shards = manifest.predicate["shards"]
    if body["manifest"] != manifest.envelope.mid:
        raise SignatureError(f"the sealing is about another manifest of {manifest.holder}", code="E_SHA")
    if body["from"] != manifest.predicate["holder"]:
        raise MembershipError(f"only {manifest.holder} may seal the shards of its manifest", code="E_ROSTER")
    if [file["bytes"] for file in body["files"]] != [sealed_bytes(shard["bytes"]) for shard in shards]:
        raise FormatError("the files of the sealing do not have the sizes of the manifest's shards", code="E_SHARD")


def _addressed(body: Mapping[str, Any], recipient: Recipient, data_key: bytes) -> dict[str, str]:
    box = kem.seal(recipient.kem, data_key, _info(body, recipient.mid, recipient.entry.fpr))
    return {"fpr": recipient.entry.fpr, "recipient": recipient.mid, "box": to_b64(box)}


def _place(recipient: Recipient) -> tuple[str, str]:
    return recipient.entry.fpr, recipient.mid


def _info(body: Mapping[str, Any], recipient: str, to: str) -> bytes:
    """The box's context: it opens as part of this sealing by this holder and nowhere else."""
    ids = (body["fed"], body["head"]["id"], body["id"], body["manifest"], recipient, body["from"], to)
    return tagged_hash("seal", *(bytes.fromhex(one) for one in ids))

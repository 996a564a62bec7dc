"""Dataset manifests: what a holder offers for training, signed. FORMAT.md section H."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blindsight.protocol import fields, shard, statement, tag
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, FormatError, MembershipError, SchemeError
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.scheme import SCHEMES, Descriptor
from blindsight.protocol.scheme import SHAPE as DESCRIPTOR
from blindsight.protocol.tag import Tag

PREDICATE_TYPE = "https://blindsight.dev/dataset-manifest/v1"
FILE_NAME = "manifest.dsse.json"
SPLITS = ("train", "val", "test", "calibration", "inference")

_CLASSIFICATION = fields.mapping(
    {"kind": fields.constant("classification"), "classes": fields.integer(2), "labels_digest": fields.hex32},
    {"labels": fields.listing(fields.text(200))},
)
_NO_TASK = fields.mapping({"kind": fields.constant("none")})
_TREE = fields.mapping(
    {"alg": fields.constant("rfc6962-sha256"), "leaf": fields.constant(1_048_576), "root": fields.hex32}
)
_PREDICATE = fields.mapping(
    {
        "v": fields.constant(1),
        "dataset": fields.mapping(
            {
                "id": fields.hex16,
                "name": fields.text(120),
                "version": fields.text(40),
                "split": fields.one_of(SPLITS),
            },
            {"license": fields.text(), "description": fields.text(4000)},
        ),
        "holder": fields.hex32,
        **tag.FIELDS,
        "head": statement.HEAD,
        "scheme": DESCRIPTOR,
        "task": fields.either(_CLASSIFICATION, _NO_TASK),
        "tensors": fields.dictionary(
            fields.mapping(
                {
                    "dtype": fields.one_of(["U8", "I32", "I64", "F16", "F32"]),
                    "shape": fields.listing(fields.either(fields.integer(1), fields.one_of(["N", "N+1", "T"])), most=8),
                }
            )
        ),
        "rows": fields.integer(),
        "shards": fields.listing(
            fields.mapping(
                {
                    "path": statement.PATH,
                    "rows": fields.integer(1),
                    "bytes": fields.integer(16),
                    "sha256": fields.hex32,
                },
                {"tree": _TREE},
            ),
            least=1,
        ),
        "serial": fields.integer(1),
        "supersedes": fields.either(fields.hex32, fields.constant(None)),
        "created": fields.time,
    },
    {"software": fields.dictionary(fields.text())},
)
_SHAPE = statement.shape(PREDICATE_TYPE, _PREDICATE)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A verified manifest.

    Args:
        envelope: as signed.
        holder: label of the signer.
        predicate: its content, checked.
    """

    envelope: Envelope
    holder: str
    predicate: Mapping[str, Any]

    @property
    def descriptor(self) -> Descriptor:
        """The scheme its images are encrypted with."""
        return Descriptor.from_json(self.predicate["scheme"])

    @property
    def tag(self) -> Tag:
        """Key and scheme of its images."""
        return Tag.of(self.predicate)

    @property
    def series(self) -> str:
        """What its serials count for: holder and data set. Ids are free: another holder may state the same one."""
        return f"{self.predicate['holder']}/{self.predicate['dataset']['id']}"

    @property
    def split(self) -> str:
        """``train``, ``val``, ``test``, ``calibration`` or ``inference``."""
        return str(self.predicate["dataset"]["split"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order; empty without a classification task."""
        return tuple(self.predicate["task"].get("labels", ()))


def labels_digest(classes: Sequence[str]) -> str:
    """What shows that two holders mean the same classes in the same order: hex of 32 bytes."""
    return hashlib.sha256(canonical(list(classes))).hexdigest()


def task_of(classes: Sequence[str]) -> dict[str, Any]:
    """The task of a labelled data set."""
    return {
        "kind": "classification",
        "classes": len(classes),
        "labels_digest": labels_digest(classes),
        "labels": list(classes),
    }


def make(key: SigningKey, predicate: Mapping[str, Any]) -> Envelope:
    """Sign a manifest.

    Args:
        key: the holder.
        predicate: see FORMAT.md; the subjects are taken from its shards.

    Raises:
        FormatError: E_FORMAT, the predicate is malformed.
    """
    subjects = {entry["path"]: entry["sha256"] for entry in predicate["shards"]}
    envelope = statement.make(PREDICATE_TYPE, subjects, predicate)
    parse_unsigned(envelope)
    return envelope.signed(key)


def read(envelope: Envelope, log: Log) -> Manifest:
    """Verify a manifest's form and signature; whether it fits the federation's others is for ``admission``.

    Raises:
        FormatError: E_FORMAT, E_CANON.
        MembershipError: E_ROSTER, E_QUORUM, E_FED.
        SignatureError: E_SIG.
        SchemeError: E_SCHEME, the digest is not that of the descriptor.
    """
    predicate = parse_unsigned(envelope)
    holder = log.roster.member(predicate["holder"])
    if set(envelope.signatures) != {holder.fpr}:
        raise MembershipError(f"the manifest must carry the signature of {holder.label} alone", code="E_QUORUM")
    envelope.verify(holder, "the manifest")
    if predicate["fed"] != log.fed:
        raise MembershipError(f"the manifest of {holder.label} is for another federation", code="E_FED")
    return Manifest(envelope, holder.label, predicate)


def parse_unsigned(envelope: Envelope) -> dict[str, Any]:
    """Check what a manifest says for form and consistency, without a log: the predicate.

    Raises:
        FormatError: E_FORMAT, E_CANON.
        SchemeError: E_SCHEME, E_TASK: a digest is not that of what it names.
    """
    subjects, predicate = statement.parse(envelope, _SHAPE, "manifest")
    shards = {entry["path"]: entry["sha256"] for entry in predicate["shards"]}
    if subjects != shards or len(shards) != len(predicate["shards"]):
        raise FormatError("the manifest's subjects are not its shards")
    if sum(entry["rows"] for entry in predicate["shards"]) != predicate["rows"]:
        raise FormatError("the rows of the manifest's shards do not add up")
    descriptor = Descriptor.from_json(predicate["scheme"])
    if descriptor.digest != predicate["scheme_digest"]:
        raise SchemeError("the scheme digest of the manifest is not that of its descriptor")
    if not _holds_images(predicate["tensors"].get("image"), descriptor):
        raise FormatError("the manifest's image tensor is not that of its scheme's encrypted images")
    task = predicate["task"]
    if "labels" in task and (labels_digest(task["labels"]), len(task["labels"])) != (
        task["labels_digest"],
        task["classes"],
    ):
        raise SchemeError("the labels digest of the manifest is not that of its labels", code="E_TASK")
    return predicate


def _holds_images(tensor: Mapping[str, Any] | None, descriptor: Descriptor) -> bool:
    """Whether a tensor is one of encrypted images; of a scheme that is not known here their shape is not known."""
    if (descriptor.id, descriptor.v) in SCHEMES:
        return tensor == {"dtype": "U8", "shape": ["N", *descriptor.encrypted_shape]}
    return tensor is not None and (tensor["dtype"], tensor["shape"][:1], len(tensor["shape"])) == ("U8", ["N"], 4)


def load(path: Path, log: Log) -> Manifest:
    """Read a manifest file, or the one in a folder, and verify it.

    Raises:
        BlindsightError: see ``read``; E_IO, the file cannot be read.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        data = file.read_bytes()
    except OSError as error:
        raise FormatError(f"manifest {file} cannot be read: {error.strerror}", code="E_IO") from error
    return read(Envelope.from_bytes(data, str(file)), log)


def offers_in(paths: Sequence[Path]) -> dict[str, bytes]:
    """Read manifest files, unverified and unparsed: path → bytes.

    Args:
        paths: manifest files, or folders that hold one.

    Raises:
        FormatError: E_IO, one cannot be read.
    """
    offers = {}
    for path in paths:
        file = path / FILE_NAME if path.is_dir() else path
        try:
            offers[str(file)] = file.read_bytes()
        except OSError as error:
            raise FormatError(f"manifest {file} cannot be read: {error.strerror}", code="E_IO") from error
    return offers


def offers_in_box(box: DropBox, fed: str) -> dict[str, bytes]:
    """Read the manifests that a drop-box holds, unverified: where they lie → bytes of the envelope.

    Args:
        box: the drop-box, at whatever place.
        fed: the federation.
    """
    data, way = f"{box.federation(fed)}/data", box.transport
    folders = [f"{data}/{site}/{name}" for site in way.folders(data) for name in way.folders(f"{data}/{site}")]
    found = [document for folder in folders for document in box.found(folder)]
    return {one.name: one.envelope.to_bytes() for one in found if one.envelope and one.name.endswith("/" + FILE_NAME)}


def shard_faults(manifest: Manifest, folder: Path) -> list[BlindsightError]:
    """What is wrong with the shards beside a manifest: missing, of another size, of another content."""
    return shard_faults_of(manifest.predicate, folder)


def shard_faults_of(predicate: Mapping[str, Any], folder: Path) -> list[BlindsightError]:
    """The same for a manifest that is not verified, at the holder's own site."""
    faults: list[BlindsightError] = []
    first_row = 0
    for entry in predicate["shards"]:
        try:
            statement.demand_file(folder, entry["path"], entry["sha256"], entry["bytes"])
            _demand_head(folder / entry["path"], predicate, (first_row, entry["rows"]))
        except BlindsightError as error:
            faults.append(error)
        first_row += entry["rows"]
    return faults


def _demand_head(path: Path, predicate: Mapping[str, Any], place: tuple[int, int]) -> None:
    """A shard must say of itself what its manifest says; ``place`` is its first row and its number of rows."""
    head, layout = shard.read_head(path)
    claims = (head.dataset, head.fed, head.epoch, head.scheme_digest, (head.first_row, head.rows))
    stated = (predicate["dataset"]["id"], *(predicate[n] for n in ("fed", "epoch", "scheme_digest")), place)
    shape = Descriptor.from_json(predicate["scheme"]).encrypted_shape
    if claims != stated or layout.tensors["image"].shape[1:] != shape:
        raise SchemeError(f"shard {path.name} is of another data set, epoch or scheme than its manifest states")

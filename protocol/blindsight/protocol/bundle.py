"""Model bundles: what a trainer gives to operators and holders, signed. FORMAT.md section J.

    model.onnx           what operators run: images (n, H, W, C) uint8 in, logits (n, classes) float32 out
    weights.safetensors  the same network's tensors, for trainers and for following a new key
    config.json          which network, with which parameters
    labels.json          class names in label order
    bundle.dsse.json     the signed statement that names every other file with its SHA-256

and, where they are there,

    fingerprint.safetensors, selftest.safetensors, MODEL_CARD.md
    origin.dsse.json     of a re-keyed bundle: the first statement, as its trainer signed it

Later kinds of files need no new version: whatever the statement names is verified; whatever it does not name is
refused. A bundle is loaded into memory whole, so that the bytes used are the bytes that were verified.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from blindsight.protocol import fields, provenance, statement, tag
from blindsight.protocol.encoding import MAX_DOCUMENT_BYTES, canonical, parse_canonical
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import (
    FormatError,
    MembershipError,
    PolicyError,
    SchemeError,
    SignatureError,
)
from blindsight.protocol.files import sync_folder, write_whole
from blindsight.protocol.identity import Entry, SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import labels_digest
from blindsight.protocol.scheme import CHANNELS, MAX_SIDE, Descriptor
from blindsight.protocol.scheme import SHAPE as DESCRIPTOR
from blindsight.protocol.tag import Tag

PREDICATE_TYPE = "https://blindsight.dev/model-bundle/v1"
STATEMENT = "bundle.dsse.json"
MODEL = "model.onnx"
WEIGHTS = "weights.safetensors"
CONFIG = "config.json"
LABELS = "labels.json"
REQUIRED = (MODEL, WEIGHTS, CONFIG, LABELS)
FINGERPRINT = "fingerprint.safetensors"
SELFTEST = "selftest.safetensors"
CARD = "MODEL_CARD.md"
ORIGIN = "origin.dsse.json"
MAX_FILES = 32
MAX_FILE_BYTES = 2**30
MAX_TEXT_BYTES = 2**20
MAX_CLASSES = 100_000
MAX_METRICS = 4096

_PARAMETER = (fields.integer(), fields.one_of([True, False]), fields.text(80), fields.listing(fields.integer()))
_PARAMETERS = fields.dictionary(fields.either(*_PARAMETER, fields.dictionary(fields.either(*_PARAMETER))))
_PREDICATE = fields.mapping(
    {
        "v": fields.constant(1),
        "model": fields.mapping({"id": fields.hex16, "name": fields.text(120), "version": fields.text(40)}),
        "trainer": fields.either(fields.hex32, fields.constant(None)),
        **tag.FIELDS,
        "head": statement.HEAD,
        "scheme": DESCRIPTOR,
        "arch": fields.mapping({"id": fields.text(80), "params": _PARAMETERS}),
        "input": fields.mapping(
            {
                "shape": fields.listing(fields.integer(1, MAX_SIDE), least=3, most=3),
                "dtype": fields.constant("u8"),
                "layout": fields.constant("NHWC"),
                "mean": fields.listing(fields.decimal, least=1, most=max(CHANNELS)),
                "std": fields.listing(fields.decimal, least=1, most=max(CHANNELS)),
            }
        ),
        "task": fields.mapping(
            {
                "kind": fields.constant("classification"),
                "classes": fields.integer(2, MAX_CLASSES),
                "labels_digest": fields.hex32,
            },
            {"labels": fields.listing(fields.text(200))},
        ),
        "labels_digest": fields.hex32,
        "training": fields.mapping(
            {
                "manifests": fields.listing(fields.hex32),
                "rounds": fields.integer(),
                "strategy": fields.text(80),
                "clients": fields.integer(),
                "seed": fields.integer(),
                "software": fields.dictionary(fields.text()),
            }
        ),
        "metrics": fields.dictionary(fields.decimal, most=MAX_METRICS),
        "serial": fields.integer(1),
        "supersedes": fields.either(fields.hex32, fields.constant(None)),
        "created": fields.time,
    },
    {"derived": provenance.SHAPE},
)
_SHAPE = statement.shape(PREDICATE_TYPE, _PREDICATE)
_CONFIG = fields.mapping({"v": fields.constant(1), "network": fields.text(80), "params": _PARAMETERS})
_LABELS = fields.listing(fields.text(200), least=2, most=MAX_CLASSES)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle.

    Args:
        envelope: the statement as signed.
        signer: label of who signed it: the trainer, or the holder who re-keyed or imported the model.
        trainer: label of the trainer; None of an imported model, which nobody here trained.
        predicate: its content, checked.
        files: name → verified bytes; read nothing of the folder again.
    """

    envelope: Envelope
    signer: str
    trainer: str | None
    predicate: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def tag(self) -> Tag:
        """Key and scheme of the images it understands."""
        return Tag.of(self.predicate)

    @property
    def descriptor(self) -> Descriptor:
        """The scheme its images are encrypted with."""
        return Descriptor.from_json(self.predicate["scheme"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order."""
        return read_labels(self.files[LABELS])

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(H, W, C)`` of every encrypted image."""
        return self.descriptor.encrypted_shape


def config_file(network: str, params: Mapping[str, Any]) -> bytes:
    """Write ``config.json``: canonical JSON and a newline.

    Args:
        network: the architecture's name, as in the predicate's ``arch.id``.
        params: its parameters, as in ``arch.params``.
    """
    return canonical({"v": 1, "network": network, "params": dict(params)}) + b"\n"


def labels_file(classes: Sequence[str]) -> bytes:
    """Write ``labels.json``: the canonical list of class names and a newline."""
    return canonical(list(classes)) + b"\n"


def read_labels(data: bytes) -> tuple[str, ...]:
    """Read ``labels.json``.

    Raises:
        FormatError: E_FORMAT, E_CANON.
    """
    return tuple(_read_text(data, LABELS, _LABELS))


def read_config(data: bytes) -> dict[str, Any]:
    """Read ``config.json``: the network and its parameters, as ``arch`` states them (``id``, ``params``).

    Raises:
        FormatError: E_FORMAT, E_CANON.
    """
    config = _read_text(data, CONFIG, _CONFIG)
    return {"id": config["network"], "params": config["params"]}


def make(folder: Path, key: SigningKey, predicate: Mapping[str, Any], files: Mapping[str, bytes]) -> Envelope:
    """Sign a bundle and write its folder, whole or not at all.

    Args:
        folder: the target; must not exist. Folders above it are made.
        key: the trainer that ``predicate`` names or, if it has ``derived``, the holder named there.
        predicate: see FORMAT.md; the subjects are taken from ``files``.
        files: name → content, at least ``REQUIRED``.

    Returns:
        The signed statement.

    Raises:
        FormatError: E_FORMAT, E_CANON, the predicate or a file is malformed; E_IO, it cannot be written.
        SchemeError: E_SCHEME, E_TASK, E_ORIGIN, the predicate contradicts itself or the files.
        PolicyError: E_EXISTS, something stands at the target.
        ValueError: the key is not that of the trainer or holder whom the predicate names.
    """
    derived = predicate.get("derived")
    if key.entry.fpr != (derived["by"] if derived else predicate.get("trainer")):
        raise ValueError("the predicate names another trainer or holder than the signing key's")
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)}
    envelope = statement.make(PREDICATE_TYPE, digests, predicate)
    _, checked = parse_unsigned(envelope)
    demand_contents(checked, files)
    envelope = envelope.signed(key)
    _write(folder, {**files, STATEMENT: envelope.to_bytes()})
    return envelope


def load(folder: Path, log: Log, moment: datetime, *, despite_notice: bool = False) -> Bundle:
    """Read a bundle's folder and verify everything about it, the signature first.

    Args:
        folder: the bundle.
        log: the verified membership log.
        moment: the present time.
        despite_notice: whether a person has decided to use the epoch in spite of a warning.

    Raises:
        FormatError: E_FORMAT, E_CANON, malformed; E_IO, a file is missing or cannot be read.
        MembershipError: E_ROSTER, E_QUORUM, E_FED, E_EPOCH.
        SignatureError: E_SIG, E_KCV, E_SHA.
        ConflictError: E_HEAD.
        PolicyError: E_RETIRED, E_NOTICE, E_EXPIRED.
        SchemeError: E_SCHEME, E_TASK, E_ORIGIN.
    """

    def demand_usable(number: int) -> None:
        log.demand_usable(number, moment, despite_notice=despite_notice)

    return _loaded(folder, log, demand_usable)


def read(folder: Path, log: Log) -> Bundle:
    """Verify as ``load`` does, whatever there is to object to its epoch: for leading a model out of that epoch.

    Raises:
        BlindsightError: as ``load``, but for PolicyError.
    """
    return _loaded(folder, log, lambda number: None)


def _loaded(folder: Path, log: Log, demand_usable: Callable[[int], None]) -> Bundle:
    envelope = read_statement(folder)
    subjects, predicate = _parse_form(envelope)
    signer = demand_signed(envelope, predicate, log)
    _demand_epoch(predicate, log, "the bundle")
    demand_usable(predicate["epoch"])
    _demand_coherent(predicate)
    _demand_allowed(predicate, log)
    files = read_files(folder, subjects)
    demand_contents(predicate, files)
    if ORIGIN in files:
        _demand_first(files[ORIGIN], predicate, log)
    named = predicate["trainer"]
    trainer = log.roster.trainer(named).label if named else None
    return Bundle(envelope, signer.label, trainer, predicate, files)


def read_statement(folder: Path) -> Envelope:
    """Read the statement in a bundle's folder; nothing is verified here.

    Raises:
        FormatError: E_IO, it is not there; E_FORMAT, E_CANON.
    """
    return Envelope.from_bytes(_read(folder / STATEMENT, MAX_DOCUMENT_BYTES), STATEMENT)


def parse_unsigned(envelope: Envelope) -> tuple[dict[str, str], dict[str, Any]]:
    """Check all of a statement that depends on neither the log nor the files.

    Returns:
        Its subjects (file name → SHA-256) and its predicate.

    Raises:
        FormatError: E_FORMAT, E_CANON.
        SchemeError: E_SCHEME, E_TASK, it contradicts itself.
    """
    subjects, predicate = _parse_form(envelope)
    _demand_coherent(predicate)
    return subjects, predicate


def demand_signed(envelope: Envelope, predicate: Mapping[str, Any], log: Log, what: str = "the bundle") -> Entry:
    """Demand the signature of whom the statement names, and no other: its trainer, or who re-keyed or imported it.

    Returns:
        Who signed.

    Raises:
        MembershipError: E_ROSTER, the federation has no such trainer or member; E_QUORUM, other signatures than that
            one.
        SignatureError: E_SIG.
    """
    signer = provenance.signer(predicate, log)
    if set(envelope.signatures) != {signer.fpr}:
        raise MembershipError(f"{what} must carry the signature of {signer.label} alone", code="E_QUORUM")
    envelope.verify(signer, what)
    return signer


def read_files(folder: Path, subjects: Mapping[str, str]) -> dict[str, bytes]:
    """Read the files of a bundle: all that were signed, and nothing that was not.

    Args:
        folder: the bundle.
        subjects: file name → SHA-256 in hex.

    Raises:
        FormatError: E_IO, a file is missing; E_FORMAT, one is too large or was not signed.
        SignatureError: E_SHA, one is not the file that was signed.
    """
    present = {path.name for path in folder.iterdir()} - {STATEMENT}
    if missing := sorted(set(subjects) - present):
        raise FormatError(f"the bundle lacks files that were signed: {', '.join(missing)}", code="E_IO")
    if extra := sorted(present - set(subjects)):
        names = ", ".join(name[:60] for name in extra[:8])
        raise FormatError(f"the bundle holds files that nobody signed: {names}", hint="move them out of its folder")
    return {name: _read_signed(folder / name, sha256) for name, sha256 in subjects.items()}


def demand_contents(predicate: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Demand that configuration, labels and first statement are readable and are those that the statement states.

    Who signed the first statement is for ``load``.

    Raises:
        FormatError: E_FORMAT, E_CANON.
        SchemeError: E_SCHEME, another network; E_TASK, other labels; E_ORIGIN, another model.
    """
    if read_config(files[CONFIG]) != predicate["arch"]:
        raise SchemeError(f"the network in {CONFIG} is not the one that the bundle states")
    classes = read_labels(files[LABELS])
    if (labels_digest(classes), len(classes)) != (predicate["labels_digest"], predicate["task"]["classes"]):
        raise SchemeError(f"the class names in {LABELS} are not those that the bundle states", code="E_TASK")
    if CARD in files:
        _demand_card(files[CARD])
    if ORIGIN in files:
        envelope, first = _first_statement(files[ORIGIN])
        provenance.demand_origin(predicate, first, envelope.mid)


def _demand_card(data: bytes) -> None:
    if len(data) > MAX_TEXT_BYTES:
        raise FormatError(f"{CARD} has {len(data)} bytes, more than the {MAX_TEXT_BYTES} accepted")
    try:
        data.decode()
    except UnicodeDecodeError:
        raise FormatError(f"{CARD} is not UTF-8 text") from None


def _first_statement(data: bytes) -> tuple[Envelope, dict[str, Any]]:
    envelope = Envelope.from_bytes(data, ORIGIN)
    return envelope, _parse_form(envelope)[1]


def _demand_first(data: bytes, predicate: Mapping[str, Any], log: Log) -> None:
    """Demand that the first statement is genuine and that every epoch since was one of this federation."""
    envelope, first = _first_statement(data)
    demand_signed(envelope, first, log, "the first statement")
    _demand_epoch(first, log, "the first statement")
    for number in predicate["derived"]["epochs"]:
        log.epoch(number)


def _parse_form(envelope: Envelope) -> tuple[dict[str, str], dict[str, Any]]:
    subjects, predicate = statement.parse(envelope, _SHAPE, "bundle statement")
    if absent := sorted(set(REQUIRED) - set(subjects)):
        raise FormatError(f"the bundle statement does not name {', '.join(absent)}")
    if STATEMENT in subjects or len(subjects) > MAX_FILES or any("/" in name for name in subjects):
        raise FormatError(f"a bundle has at most {MAX_FILES} files in one folder, and {STATEMENT} is not among them")
    provenance.demand_form(predicate, has_origin=ORIGIN in subjects)
    return subjects, predicate


def _demand_epoch(predicate: Mapping[str, Any], log: Log, what: str) -> None:
    if predicate["fed"] != log.fed:
        raise MembershipError(f"{what} is for another federation", code="E_FED")
    epoch = log.epoch(predicate["epoch"])
    if epoch.record != predicate["record"]:
        raise MembershipError(f"{what}'s record of epoch {epoch.number} is not on the log", code="E_EPOCH")
    if epoch.kcv != predicate["kcv"]:
        raise SignatureError(
            f"{what}'s key check value {predicate['kcv'][:12]}… is not the epoch's {epoch.kcv[:12]}…", code="E_KCV"
        )
    log.demand_head(predicate["head"], what)


def _demand_allowed(predicate: Mapping[str, Any], log: Log) -> None:
    descriptor = Descriptor.from_json(predicate["scheme"])
    descriptor.check()
    if not log.epoch(predicate["epoch"]).allows(descriptor):
        raise SchemeError(
            f"the bundle's scheme {descriptor.id} v{descriptor.v} is not allowed in epoch {predicate['epoch']}"
        )


def _demand_coherent(predicate: Mapping[str, Any]) -> None:
    descriptor = Descriptor.from_json(predicate["scheme"])
    if descriptor.digest != predicate["scheme_digest"]:
        raise SchemeError("the scheme digest of the bundle is not that of its descriptor")
    if predicate["input"]["shape"] != list(descriptor.encrypted_shape):
        raise SchemeError("the bundle's input is not of the shape of its scheme's encrypted images")
    task = predicate["task"]
    digests = {task["labels_digest"], labels_digest(task["labels"])} if "labels" in task else {task["labels_digest"]}
    if digests != {predicate["labels_digest"]}:
        raise SchemeError("the labels digest of the bundle is not that of its task", code="E_TASK")


def _read_text(data: bytes, name: str, check: fields.Check) -> Any:
    if len(data) > MAX_TEXT_BYTES:
        raise FormatError(f"{name} has {len(data)} bytes, more than the {MAX_TEXT_BYTES} accepted")
    document = parse_canonical(data.removesuffix(b"\n"), name)
    fields.demand(check, document, name)
    return document


def _read_signed(path: Path, sha256: str) -> bytes:
    data = _read(path, MAX_FILE_BYTES)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SignatureError(f"{path.name} is not the file that was signed: its SHA-256 differs", code="E_SHA")
    return data


def _read(path: Path, limit: int) -> bytes:
    try:
        if path.is_symlink() or not path.is_file():
            raise FormatError(f"{path} is missing or no regular file", code="E_IO")
        if path.stat().st_size > limit:
            raise FormatError(f"{path.name} has more than the {limit} bytes accepted")
        return path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}", code="E_IO") from error


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write beside the target under a fixed hidden name, which the next attempt clears, then rename."""
    _demand_absent(folder)
    temporary = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, data in files.items():
            write_whole(temporary / name, data)
        temporary.rename(folder)
        sync_folder(folder.parent)
    except OSError as error:
        _demand_absent(folder)
        raise FormatError(f"the bundle cannot be written to {folder}: {error.strerror}", code="E_IO") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _demand_absent(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise PolicyError(
            f"something stands at {folder} already; a bundle is never overwritten",
            code="E_EXISTS",
            hint="name another folder, or move that one away",
        )

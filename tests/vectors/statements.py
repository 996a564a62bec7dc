"""Vectors of statements: manifest, admission, bundle statement, bundle, tag. FORMAT.md sections H and J."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from blindsight.protocol import bundle as bundles
from blindsight.protocol import manifest as manifests
from blindsight.protocol import statement, tensorfile
from blindsight.protocol.clock import to_text
from blindsight.protocol.envelope import IN_TOTO, Envelope
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.manifest import labels_digest, task_of
from blindsight.protocol.tag import Tag
from tests.protocol import worlds
from tests.vectors.federation import AGREED, FIRST, GENESIS, KEYS, LAB, LOG, OPERATOR, RECORD, SECOND, SECRET
from tests.vectors.vector import MISSING, Vector, changed, forged, misspelt, refusals, signed, table

WORLD = worlds.World(KEYS, AGREED, SECRET)
CHAIN = [GENESIS, RECORD]
SOUND = WORLD.predicate(FIRST)
NOW = worlds.CREATED
ZEROS = "00" * 32
Changes = Mapping[str, Any]


def _statement(kind: str, predicate: Changes, subjects: Mapping[str, str], outer: Changes) -> dict[str, Any]:
    return changed(statement.make(kind, subjects, predicate).body(), outer)


def _manifest(predicate: Changes, key: SigningKey = FIRST, **outer: Any) -> Envelope:
    """A manifest with these fields; its subjects are its shards unless it says otherwise."""
    stated = changed({**SOUND, "holder": key.entry.fpr}, predicate)
    subjects = {entry["path"]: entry["sha256"] for entry in stated["shards"]}
    return signed(IN_TOTO, _statement(manifests.PREDICATE_TYPE, stated, subjects, outer), [key])


def _at(path: str) -> dict[str, Any]:
    return {"shards": [{**SOUND["shards"][0], "path": path}]}


def manifest() -> list[Vector]:
    """H, what a manifest says of itself; admission is another matter."""
    sound = _manifest({})
    (listed,) = SOUND["shards"]
    subject = {"name": listed["path"], "digest": {"sha256": listed["sha256"]}}
    floating = sound.payload.replace(b'"serial":1,', b'"serial":1.0,')
    codes = {
        "E_FORMAT": {
            **{f"a shard path with {what}": _manifest(_at(path)) for what, path in _PATHS.items()},
            "rows do not add up": _manifest({"rows": 9}),
            "a shard without rows": _manifest({"rows": 0, "shards": [{**listed, "rows": 0}]}),
            "no shards": _manifest({"rows": 0, "shards": []}),
            "one shard twice": _manifest({"rows": 16, "shards": [listed, listed]}),
            "a subject with another digest than its shard": _manifest(
                {}, subject=[{**subject, "digest": {"sha256": ZEROS}}]
            ),
            "a subject that is no shard": _manifest({}, subject=[subject, {**subject, "name": "notes.txt"}]),
            "one subject twice": _manifest({}, subject=[subject, subject]),
            "a subject with a second digest": _manifest(
                {}, subject=[{**subject, "digest": {**subject["digest"], "md5": "00"}}]
            ),
            "no image tensor": _manifest({"tensors": {"label": SOUND["tensors"]["label"]}}),
            "an image tensor of another shape than the scheme's": _manifest(
                {"tensors": {"image": {"dtype": "U8", "shape": ["N", 8, 8, 1]}}}
            ),
            "an image tensor of floats": _manifest({"tensors": {"image": {"dtype": "F32", "shape": ["N", 8, 8, 3]}}}),
            "an unknown field": _manifest({"patients": 8}),
            "an unknown field of the statement": _manifest({}, comment=""),
            "a missing head": _manifest({"head": MISSING}),
            "an unknown split": _manifest({"dataset": {**SOUND["dataset"], "split": "dev"}}),
            "a description with a newline": _manifest({"dataset": {**SOUND["dataset"], "description": "a\nb"}}),
            "one class": _manifest({"task": task_of(["cat"])}),
            "serial 0": _manifest({"serial": 0}),
            "another predicate type": _manifest({}, predicateType=bundles.PREDICATE_TYPE),
            "another statement type": _manifest({}, _type="https://in-toto.io/Statement/v0.1"),
            "another payload type": signed("manifest", sound.payload, [FIRST]),
        },
        "E_CANON": {
            "the payload is not canonical": misspelt(sound, [FIRST]),
            "a serial with a fraction": signed(IN_TOTO, floating, [FIRST]),
        },
        "E_SCHEME": {
            "a scheme digest of another scheme": _manifest({"scheme_digest": ZEROS}),
            "a scheme parameter changed": _manifest({"scheme": {**SOUND["scheme"], "params": {"block": 8}}}),
        },
        "E_TASK": {
            "a labels digest of other labels": _manifest({"task": {**SOUND["task"], "labels_digest": ZEROS}}),
            "fewer labels than classes": _manifest({"task": {**SOUND["task"], "classes": 4}}),
        },
        "E_ROSTER": {
            "a trainer as holder": _manifest({}, LAB),
            "a stranger as holder": _manifest({}, worlds.identity("x")),
        },
        "E_QUORUM": {
            "no signature": Envelope(sound.type, sound.payload, {}),
            "two signatures": sound.signed(SECOND),
            "the signature of another holder": signed(IN_TOTO, sound.payload, [SECOND]),
        },
        "E_SIG": {
            "changed after it was signed": Envelope(IN_TOTO, _manifest({"serial": 2}).payload, sound.signatures),
            "signed by another holder under the keyid of its holder": forged(sound, FIRST, SECOND),
        },
        "E_FED": {"of another federation": _manifest({"fed": ZEROS})},
    }
    plain = {"task": {"kind": "none"}, "tensors": {"image": SOUND["tensors"]["image"]}}
    optional = {
        "dataset": {**SOUND["dataset"], "license": "CC0-1.0", "description": "caf\u00e9"},
        "software": {"blindsight": "0.1.0"},
        "supersedes": "ab" * 32,
        "serial": 2,
    }
    accepted: dict[str, Changes] = {"a manifest": {}, "no labels and no task": plain, "all optional fields": optional}
    return [
        *table("manifest", codes, lambda found: {"log": CHAIN, "message": found}),
        *(
            Vector("manifest", n, {"log": CHAIN, "message": (m := _manifest(c))}, _facts(m))
            for n, c in accepted.items()
        ),
    ]


_PATHS = {
    "two dots": "shards/../../00000.safetensors",
    "two dots at the end": "shards/..",
    "one dot": "./00000.safetensors",
    "a leading slash": "/etc/00000.safetensors",
    "an empty part": "shards//00000.safetensors",
    "a trailing slash": "shards/",
    "a backslash": "shards\\00000.safetensors",
    "a drive": "C:00000.safetensors",
    "a blank": "shards/0 0.safetensors",
    "a letter beyond ASCII": "shards/\u00e9.safetensors",
    "256 characters": "s" * 256,
    "no characters": "",
}


def _facts(found: Envelope) -> dict[str, str]:
    predicate = found.body()["predicate"]
    return {"mid": found.mid, "holder": predicate["holder"], "tag": Tag.of(predicate).digest}


def admission() -> list[Vector]:
    """H, admission: sound manifests that must not be trained on, each with one fault."""
    later = to_text(worlds.NOW + timedelta(days=366))
    other = WORLD.predicate(SECOND)
    split = {**other["dataset"], "split": "val"}
    blocked = worlds.LE.__class__("block-shuffle", 1, (8, 8, 3), {"block": 4})
    unknown = worlds.LE.__class__("rot13", 1, (8, 8, 3), {})
    codes: dict[str, dict[str, Any]] = {
        "E_EPOCH": {
            "an epoch that is not agreed": [_manifest({"epoch": 2})],
            "another record of the epoch": [_manifest({"record": ZEROS})],
        },
        "E_KCV": {"another key check value": [_manifest({"kcv": ZEROS})]},
        "E_HEAD": {"a head that the log never had": [_manifest({"head": {"seq": 1, "id": ZEROS}})]},
        "E_SCHEME": {
            "a scheme that the epoch does not allow": [_manifest(_scheme(blocked))],
            "a scheme that nobody knows": [_manifest(_scheme(unknown))],
            "a block that does not divide the shape": [_manifest(_scheme(_with_block(5)))],
            "a block that is too small": [_manifest(_scheme(_with_block(2)))],
        },
        "E_SCV": {"two holders with different scheme check values": [_manifest({}), _of(SECOND, scv=ZEROS)]},
        "E_TASK": {"two holders with different labels": [_manifest({}), _of(SECOND, task=task_of(("cat", "dog")))]},
        "E_ROSTER": {"one split twice by one holder": [_manifest({}), _manifest({"serial": 2})]},
        "E_SIG": {"a manifest whose signature does not fit": [forged(_manifest({}), FIRST, SECOND)]},
    }
    accepted = {
        "one manifest": [_manifest({})],
        "two holders": [_manifest({}), _of(SECOND)],
        "a head of the past": [_manifest({"head": LOG.head})],
        "one holder with two splits": [_manifest({}), _manifest({"dataset": {**SOUND["dataset"], "split": "val"}})],
        "two holders with different splits": [_manifest({}), _of(SECOND, dataset=split)],
    }
    return [
        *table("admission", codes, _offered),
        Vector("admission", "an epoch that has ended", {**_offered([_manifest({})]), "at": later}, "E_EXPIRED"),
        *(Vector("admission", name, _offered(found), {"admitted": len(found)}) for name, found in accepted.items()),
    ]


def _offered(found: list[Envelope]) -> dict[str, Any]:
    return {"log": CHAIN, "manifests": found, "at": NOW}


def _of(key: SigningKey, **changes: Any) -> Envelope:
    return _manifest({"dataset": WORLD.predicate(key)["dataset"], **changes}, key)


def _with_block(block: int) -> Any:
    return worlds.LE.__class__("le", 1, (8, 8, 3), {"block": block})


def _scheme(descriptor: Any) -> dict[str, Any]:
    return {"scheme": descriptor.to_json(), "scheme_digest": descriptor.digest}


PARAMETERS = {"block": 4, "upsample": 1, "wide": True}
# The model is not read here: what ONNX may contain is for the operator.
FILES = {
    bundles.MODEL: b"a model",
    bundles.WEIGHTS: tensorfile.to_bytes({}, {"v": 1, "kind": "weights"}),
    bundles.CONFIG: bundles.config_file("linear", PARAMETERS),
    bundles.LABELS: bundles.labels_file(worlds.CLASSES),
}
DIGESTS = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
BUNDLE = {
    "v": 1,
    "model": {"id": "0a" * 16, "name": "pets", "version": "1"},
    "trainer": LAB.entry.fpr,
    **{name: SOUND[name] for name in ("fed", "head", "epoch", "record", "kcv", "scv", "scheme", "scheme_digest")},
    "arch": {"id": "linear", "params": PARAMETERS},
    "input": {"shape": [8, 8, 3], "dtype": "u8", "layout": "NHWC", "mean": ["0.5"], "std": ["-0.25"]},
    "task": task_of(worlds.CLASSES),
    "labels_digest": labels_digest(worlds.CLASSES),
    "training": {
        "manifests": ["ab" * 32],
        "rounds": 3,
        "strategy": "fedavg",
        "clients": 2,
        "seed": 0,
        "software": {"blindsight": "0.1.0"},
    },
    "metrics": {"val-accuracy": "0.970000"},
    "serial": 1,
    "supersedes": None,
    "created": NOW,
}


def _bundle(predicate: Changes, digests: Mapping[str, str] = DIGESTS, key: SigningKey = LAB, **outer: Any) -> Envelope:
    stated = changed({**BUNDLE, "trainer": key.entry.fpr}, predicate)
    return signed(IN_TOTO, _statement(bundles.PREDICATE_TYPE, stated, digests, outer), [key])


def bundle_statement() -> list[Vector]:
    """J: the statement, without its files."""
    sound = _bundle({})
    fitting, image = BUNDLE["task"], BUNDLE["input"]
    codes = {
        "E_FORMAT": {
            **{
                f"it does not name {name}": _bundle({}, {n: d for n, d in DIGESTS.items() if n != name})
                for name in FILES
            },
            "a file in a subfolder": _bundle({}, {**DIGESTS, "more/model.onnx": ZEROS}),
            "a file above the folder": _bundle({}, {**DIGESTS, "../model.onnx": ZEROS}),
            "the statement among its own subjects": _bundle({}, {**DIGESTS, bundles.STATEMENT: ZEROS}),
            "33 files": _bundle({}, {**DIGESTS, **{f"file-{place}": ZEROS for place in range(29)}}),
            "an unknown field": _bundle({"author": "x"}),
            "missing metrics": _bundle({"metrics": MISSING}),
            "channels first": _bundle({"input": {**image, "layout": "NCHW"}}),
            "a metric with an exponent": _bundle({"metrics": {"val-accuracy": "9.7e-1"}}),
            "a metric with two points": _bundle({"metrics": {"val-accuracy": "0.97.1"}}),
            "a metric of 13 digits": _bundle({"metrics": {"val-accuracy": "1234567890123"}}),
            "another task": _bundle({"task": {**fitting, "kind": "detection"}}),
            "another predicate type": _bundle({}, predicateType=manifests.PREDICATE_TYPE),
            "another payload type": signed("bundle", sound.payload, [LAB]),
        },
        "E_CANON": {"the payload is not canonical": misspelt(sound, [LAB])},
        "E_SCHEME": {
            "a scheme digest of another scheme": _bundle({"scheme_digest": ZEROS}),
            "an input of another shape than the scheme's": _bundle({"input": {**image, "shape": [8, 8, 1]}}),
        },
        "E_TASK": {
            "a labels digest other than the task's": _bundle({"labels_digest": ZEROS}),
            "labels that do not fit their digest": _bundle({"task": {**fitting, "labels": ["cat", "dog", "fox"]}}),
        },
        "E_ROSTER": {
            "a holder as trainer": _bundle({}, key=FIRST),
            "an operator as trainer": _bundle({}, key=OPERATOR),
        },
        "E_QUORUM": {
            "no signature": Envelope(IN_TOTO, sound.payload, {}),
            "two signatures": sound.signed(FIRST),
            "the signature of a holder": signed(IN_TOTO, sound.payload, [FIRST]),
        },
        "E_SIG": {"changed after it was signed": Envelope(IN_TOTO, _bundle({"serial": 2}).payload, sound.signatures)},
    }
    facts = {"mid": sound.mid, "trainer": LAB.entry.fpr, "tag": Tag.of(BUNDLE).digest}
    return [
        *table("bundle-statement", codes, lambda found: {"log": CHAIN, "message": found}),
        Vector("bundle-statement", "a statement", {"log": CHAIN, "message": sound}, facts),
    ]


def bundle() -> list[Vector]:
    """J: a folder with its statement, against a log at a moment."""
    blocked = worlds.LE.__class__("block-shuffle", 1, (8, 8, 3), {"block": 4})
    log_faults: dict[str, dict[str, Changes]] = {
        "E_FED": {"of another federation": {"fed": ZEROS}},
        "E_EPOCH": {"of an epoch that is not agreed": {"epoch": 2}, "of another record": {"record": ZEROS}},
        "E_KCV": {"another key check value": {"kcv": ZEROS}},
        "E_HEAD": {"a head that the log never had": {"head": {"seq": 1, "id": ZEROS}}},
        "E_SCHEME": {"a scheme that the epoch does not allow": _scheme(blocked)},
    }
    file_faults = {
        "E_IO": {"a file is missing": {n: data for n, data in FILES.items() if n != bundles.WEIGHTS}},
        "E_SHA": {"a file of other content": {**FILES, bundles.MODEL: b"b model"}},
        "E_FORMAT": {"a file that nobody signed": {**FILES, "model.bin": b""}},
    }
    signed_faults = {
        "E_SCHEME": {"a configuration of another network": _files(CONFIG=bundles.config_file("deep", PARAMETERS))},
        "E_TASK": {"labels in another order": _files(LABELS=bundles.labels_file(("dog", "cat", "owl")))},
        "E_CANON": {"labels with blanks": _files(LABELS=b'["cat", "dog", "owl"]\n')},
        "E_FORMAT": {
            "an unknown field in the configuration": _files(CONFIG=b'{"network":"linear","params":{},"v":1,"w":0}\n')
        },
    }
    facts = {"tag": Tag.of(BUNDLE).digest, "classes": list(worlds.CLASSES), "shape": [8, 8, 3]}
    extra = {**FILES, "README.txt": b"signed too"}
    return [
        *table("bundle", log_faults, lambda stated: _folder(_bundle(stated), FILES)),
        *table("bundle", file_faults, lambda files: _folder(_bundle({}), files)),
        *table("bundle", signed_faults, lambda files: _folder(_bundle({}, _digests(files)), files)),
        Vector(
            "bundle",
            "an epoch that has ended",
            {**_folder(_bundle({}), FILES), "at": "2027-11-21T00:00:00Z"},
            "E_EXPIRED",
        ),
        Vector("bundle", "four files", _folder(_bundle({}), FILES), facts),
        Vector("bundle", "a further file that is signed", _folder(_bundle({}, _digests(extra)), extra), facts),
    ]


def _files(**changes: bytes) -> dict[str, bytes]:
    return {**FILES, **{getattr(bundles, name): data for name, data in changes.items()}}


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def _folder(found: Envelope, files: Mapping[str, bytes]) -> dict[str, Any]:
    encoded = {name: b64encode(data).decode() for name, data in files.items()}
    return {"log": CHAIN, "message": found, "files_b64": encoded, "at": NOW}


def tag() -> list[Vector]:
    """J: what a stream states, against the tag of a model."""
    stated = {name: BUNDLE[name] for name in Tag.__slots__}
    others = {"fed": ZEROS, "epoch": 2, "record": ZEROS, "kcv": ZEROS, "scheme_digest": ZEROS, "scv": ZEROS}
    cases = {f"another {name}": {"tag": stated, "claims": {name: value}} for name, value in others.items()}
    digest = {"tag": stated, "claims": {"digest": ZEROS}}
    return [
        *refusals("tag", "E_SCHEME", cases),
        Vector("tag", "another digest", digest, "E_SCHEME"),
        Vector("tag", "all fields fit", {"tag": stated, "claims": stated}, {"digest": Tag(**stated).digest}),
    ]

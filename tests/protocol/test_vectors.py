"""Every vector with one property is answered as its file says (tests/vectors/README.md)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from blindsight.protocol import agreement, bundle, fields, manifest, shard, tensorfile
from blindsight.protocol.admission import verify_federation
from blindsight.protocol.clock import is_past
from blindsight.protocol.dropbox import read_card
from blindsight.protocol.encoding import canonical, from_b64, parse_canonical, people_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError
from blindsight.protocol.identity import Entry
from blindsight.protocol.log import Log
from blindsight.protocol.records import read_epoch, read_genesis
from blindsight.protocol.tag import Tag
from tests.vectors import make

FOLDER = make.FOLDER
REFUSED, ACCEPTED = (sorted((FOLDER / side).glob("*.json")) for side in make.SIDES)
FIELDS = {"property", "kind", "expected", "made_by"}
LARGEST = 20_000


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def envelope(document: Any) -> Envelope:
    return Envelope.from_bytes(json.dumps(document).encode())


def envelopes(documents: list[Any]) -> list[Envelope]:
    return [envelope(document) for document in documents]


def log_of(given: dict[str, Any]) -> Log:
    return Log.build(envelopes(given["log"]))


# One reader a kind: it is given what the file gives, and finds facts or refuses.


def read_canonical(data: bytes) -> dict[str, Any]:
    value = parse_canonical(data, "the payload")
    assert canonical(value) == data
    return {"value": value}


def read_b64(given: dict[str, Any]) -> dict[str, Any]:
    return {"hex": from_b64(given["text"], given.get("length")).hex()}


def read_time(given: Any) -> dict[str, Any]:
    fields.demand(fields.time, given, "the time")
    return {"past": lambda moments: {text: is_past(given, moment(text)) for text in moments}}


def read_key(given: dict[str, Any]) -> dict[str, Any]:
    entry = Entry.from_json(given)
    assert entry.to_json() == given
    return {"fpr": entry.fpr, "code": entry.code}


def read_code(given: dict[str, Any]) -> dict[str, Any]:
    if "digest" in given:
        return {"code": people_code(bytes.fromhex(given["digest"]))}
    log = log_of(given)
    log.demand_code(given["typed"])
    return {"code": log.code}


def read_envelope(data: bytes) -> dict[str, Any]:
    found = Envelope.from_bytes(data)
    return {"mid": found.mid, "signers": sorted(found.signatures)}


def read_identity_card(given: Any) -> dict[str, Any]:
    entry = read_card(envelope(given))
    return {"fpr": entry.fpr, "code": entry.code}


def read_records(given: list[Any]) -> dict[str, Any]:
    copies = envelopes(given)
    for copy in copies:
        read_genesis(copy)
    log = Log.build(copies)
    return {"fed": log.fed, "code": log.code, "members": [member.fpr for member in log.roster.members]}


def read_chain(given: dict[str, Any]) -> dict[str, Any]:
    records = envelopes(given["records"])
    bodies = [read_epoch(record) for record in records]
    log = Log.build([*envelopes(given["log"]), *records])
    epoch = log.epoch(max(body["epoch"] for body in bodies))
    return {"epoch": epoch.number, "record": epoch.record, "kcv": epoch.kcv, "seq": log.seq}


def read_proposal(given: dict[str, Any]) -> dict[str, Any]:
    message = envelope(given["message"])
    body = agreement.read_proposal(log_of(given), message)
    return {"sid": message.mid, "epoch": body["epoch"], "seq": body["seq"]}


def read_message(given: dict[str, Any]) -> dict[str, Any]:
    log, message = log_of(given), envelope(given["message"])
    me, *_ = log.roster.members
    session = agreement.Session(me.fpr, log.roster.members, envelope(given["proposal"]), agreement.Phase.COMMITTED)
    for known in [*envelopes(given["before"]), message]:
        session = agreement.receive(session, known)
    author = message.body()["from"]
    taken = session.commits if message.type == agreement.COMMIT else session.reveals
    return {"author": author, "mid": taken[author].mid}


def read_manifest(given: dict[str, Any]) -> dict[str, Any]:
    found = manifest.read(envelope(given["message"]), log_of(given))
    return {"mid": found.envelope.mid, "holder": found.predicate["holder"], "tag": found.tag.digest}


def read_offers(given: dict[str, Any]) -> dict[str, Any]:
    offers = {f"offer {place}": envelope(document) for place, document in enumerate(given["manifests"])}
    found, faults = verify_federation(log_of(given), offers, moment(given["at"]))
    if faults:
        (code,) = {fault.code for fault in faults}
        raise BlindsightError(str(faults[0]), code=code)
    return {"admitted": len(found)}


def read_statement(given: dict[str, Any]) -> dict[str, Any]:
    message = envelope(given["message"])
    _, predicate = bundle.parse_unsigned(message)
    trainer = bundle.demand_signed(message, predicate, log_of(given))
    return {"mid": message.mid, "trainer": trainer.fpr, "tag": Tag.of(predicate).digest}


def read_bundle(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    for name, text in given["files_b64"].items():
        (folder / name).write_bytes(base64.b64decode(text, validate=True))
    (folder / bundle.STATEMENT).write_bytes(envelope(given["message"]).to_bytes())
    found = bundle.load(folder, log_of(given), moment(given["at"]))
    return {"tag": found.tag.digest, "classes": list(found.classes), "shape": list(found.shape)}


def read_tag(given: dict[str, Any]) -> dict[str, Any]:
    tag = Tag(**given["tag"])
    tag.demand("the stream", **given["claims"])
    return {"digest": tag.digest}


def read_tensor_file(data: bytes, folder: Path) -> dict[str, Any]:
    (folder / "x.safetensors").write_bytes(data)
    layout = tensorfile.read_layout(folder / "x.safetensors")
    return {"offsets": {name: tensor.offset for name, tensor in layout.tensors.items()}}


def read_shard(data: bytes, folder: Path) -> dict[str, Any]:
    (folder / "00000.safetensors").write_bytes(data)
    found = shard.opened(folder / "00000.safetensors")
    head = {"rows": found.head.rows, "first_row": found.head.first_row}
    labels = None if found.labels is None else found.labels.tolist()
    return {**head, "shape": list(found.images.shape), "sum": int(found.images.sum()), "labels": labels}


READERS: dict[str, Callable[..., dict[str, Any]]] = {
    "canonical": read_canonical,
    "b64": read_b64,
    "time": read_time,
    "key": read_key,
    "people-code": read_code,
    "envelope": read_envelope,
    "card": read_identity_card,
    "genesis": read_records,
    "epoch": read_chain,
    "propose": read_proposal,
    "commit": read_message,
    "reveal": read_message,
    "manifest": read_manifest,
    "admission": read_offers,
    "bundle-statement": read_statement,
    "bundle": read_bundle,
    "tag": read_tag,
    "tensor-file": read_tensor_file,
    "shard": read_shard,
}
OF_BYTES = {"canonical", "envelope"}
OF_FILES = {"bundle", "tensor-file", "shard"}


def answer(vector: dict[str, Any], folder: Path) -> dict[str, Any]:
    kind = vector["kind"]
    given = base64.b64decode(vector["given_b64"]) if "given_b64" in vector else vector["given"]
    if kind in OF_BYTES and isinstance(given, str):
        given = given.encode()
    return READERS[kind](given, folder) if kind in OF_FILES else READERS[kind](given)


@pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)
def test_what_is_wrong_is_refused_with_its_code(path, tmp_path):
    vector = json.loads(path.read_bytes())
    with pytest.raises(BlindsightError) as caught:
        answer(vector, tmp_path)
    assert caught.value.code == vector["expected"], caught.value.message


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.stem)
def test_what_is_sound_is_accepted_with_its_facts(path, tmp_path):
    vector = json.loads(path.read_bytes())
    found, expected = answer(vector, tmp_path), vector["expected"]
    assert {name: fact(expected[name]) if callable(fact) else fact for name, fact in found.items()} == expected


def test_there_are_vectors_of_every_kind_on_both_sides():
    for paths in (REFUSED, ACCEPTED):
        assert {json.loads(path.read_bytes())["kind"] for path in paths} == set(READERS)


def test_every_vector_says_its_property_and_who_made_it_in_one_small_file():
    for path in REFUSED + ACCEPTED:
        vector = json.loads(path.read_bytes())
        assert set(vector) - {"given", "given_b64"} == FIELDS, path.name
        assert len(vector) == len(FIELDS) + 1, path.name
        assert vector["made_by"] == "python -m tests.vectors.make"
        assert path.stat().st_size < LARGEST, path.name


def test_the_command_that_every_vector_names_makes_exactly_these():
    lying = {f"{path.parent.name}/{path.name}": path.read_bytes() for path in REFUSED + ACCEPTED}
    made = make.everything()
    assert sorted(lying) == sorted(made)
    assert [name for name in made if made[name] != lying[name]] == []


def test_making_removes_what_is_made_no_longer_and_leaves_other_files(tmp_path):
    (tmp_path / "refused").mkdir()
    (tmp_path / "refused" / "old.json").write_text("{}")
    (tmp_path / "key_expansion.json").write_text("{}")
    count = make.write(tmp_path)
    assert count == len(list(tmp_path.glob("*/*.json")))
    assert not (tmp_path / "refused" / "old.json").exists()
    assert (tmp_path / "key_expansion.json").exists()

"""Every vector with one property is answered as its file says (tests/vectors/README.md)."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from blindsight.holder.ciphers import cipher_for
from blindsight.protocol import agreement, bundle, fields, kem, keystore, logfile, manifest, shard, tensorfile, verdict
from blindsight.protocol.admission import verify_federation
from blindsight.protocol.clock import is_past
from blindsight.protocol.copies import assembled
from blindsight.protocol.delegate import open_delegate
from blindsight.protocol.dropbox import read_card
from blindsight.protocol.encoding import canonical, from_b64, parse_canonical, people_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, MembershipError, SchemeError
from blindsight.protocol.grant import open_grant, read_join
from blindsight.protocol.identity import Entry
from blindsight.protocol.keystore import Unlock, recovery
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest
from blindsight.protocol.recipient import read_recipient
from blindsight.protocol.records import ROSTER, read_epoch, read_genesis, read_record
from blindsight.protocol.scheme import check_value
from blindsight.protocol.sealedfile import Stamp, unseal_file
from blindsight.protocol.sealing import context, file_key, plain_stamp, read_sealing
from blindsight.protocol.tag import Tag, read_stream_tag
from blindsight.protocol.transport.names import demand_safe
from tests.protocol import vaults
from tests.vectors import boxes, make
from tests.vectors.vector import COMMAND, SEALED

FOLDER = make.FOLDER
REFUSED, ACCEPTED = (sorted((FOLDER / side).glob("*.json")) for side in make.SIDES)
FIELDS = {"property", "kind", "expected", "made_by"}
LARGEST = 30_000


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


def taken_in(given: dict[str, Any]) -> tuple[agreement.Session, Envelope, str]:
    """A member's session that has taken a message in, the message, and its author."""
    log, message = log_of(given), envelope(given["message"])
    me, *_ = log.roster.members
    session = agreement.Session(me.fpr, log.roster.members, envelope(given["proposal"]), agreement.Phase.COMMITTED)
    for known in [*envelopes(given["before"]), message]:
        session = agreement.receive(session, known)
    return session, message, message.body()["from"]


def read_message(given: dict[str, Any]) -> dict[str, Any]:
    session, message, author = taken_in(given)
    taken = {"commit": session.commits, "reveal": session.reveals, "abort": session.aborts}
    return {"author": author, "mid": taken[message.body()["type"]][author].mid}


def read_complaint(given: dict[str, Any]) -> dict[str, Any]:
    session, message, author = taken_in(given)
    found = verdict.judge(session, message)
    faulty = {" rightly": message.body()["about"], " falsely": author}
    fault = next((fpr for word, fpr in faulty.items() if found and word in found), None)
    return {"author": author, "mid": session.complaints[author].mid, "void": found is not None, "at_fault": fault}


def read_change(given: dict[str, Any]) -> dict[str, Any]:
    log, copies = log_of(given), envelopes(given["records"])
    quorum, grown = log.following(copies[0])
    record = assembled(copies, quorum.entries)
    if quorum.missing(record.signatures):
        raise MembershipError("signatures are missing", code="E_QUORUM")
    assert Log.build([*log.records, *copies]).head == grown.head == {"seq": grown.seq, "id": record.mid}
    facts: dict[str, Any] = {"record": record.mid, "seq": grown.seq}
    if record.type != ROSTER:
        return {**facts, "retired": list(grown.retired)}
    lists = {place: getattr(grown.roster, place) for place in ("members", "trainers", "operators")}
    return facts | {place: [entry.fpr for entry in entries] for place, entries in lists.items()}


def read_notices(given: dict[str, Any]) -> dict[str, Any]:
    found = envelopes(given["notices"])
    for notice in found:
        fields.demand(fields.constant("notice"), read_record(notice)["type"], "the notice")
    log = Log.build([*envelopes(given["log"]), *found])
    objections = [objection.code for objection in log.objections(1, moment(given["at"]))]
    return {"counts": [notice.mid for notice in log.notices], "objections": objections}


def read_log_file(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    (folder / "log").write_bytes(given["text"].encode())
    log = logfile.read_log(folder / "log", given.get("code"))
    return {"code": log.code, "seq": log.seq, "records": len(log.records), "notices": len(log.notices)}


def read_request(given: dict[str, Any]) -> dict[str, Any]:
    found = read_join(envelope(given["message"]), log_of(given).fed, moment(given["at"]))
    return {"mid": found.envelope.mid, "fpr": found.entry.fpr, "role": found.entry.role, "code": found.entry.code}


def asked(given: dict[str, Any]) -> dict[str, Any]:
    """What whoever asked for a secret knows of its own request."""
    return {"me": given["me"], "join": given["join"], "kem_seed": bytes.fromhex(given["kem_seed"])}


def read_grant(given: dict[str, Any]) -> dict[str, Any]:
    secrets = open_grant(envelope(given["message"]), log_of(given), **asked(given))
    return {"secrets": {str(number): secret.hex() for number, secret in secrets.items()}}


def read_delegation(given: dict[str, Any]) -> dict[str, Any]:
    lent = open_delegate(envelope(given["message"]), log_of(given), **asked(given))
    if check_value(lent.descriptor, lent.key, cipher_for(lent.descriptor, lent.key).encrypt) != lent.tag.scv:
        raise SchemeError("the key does not give the check value", code="E_SCV")
    return {"key": lent.key.hex()}


def read_offer(given: dict[str, Any]) -> dict[str, Any]:
    found = read_recipient(envelope(given["message"]), log_of(given), moment(given["at"]))
    return {"mid": found.mid, "fpr": found.entry.fpr}


def read_sealed(given: dict[str, Any]) -> dict[str, Any]:
    log, mine = log_of(given), given["open"]
    found = read_sealing(envelope(given["message"]), log, manifest.read(envelope(given["manifest"]), log))
    data_key = found.data_key(mine["fpr"], mine["recipient"], bytes.fromhex(mine["kem_seed"]))
    sizes = [one.sealed.bytes for one in found.shards(data_key)]
    return {"mid": found.envelope.mid, "holder": found.body["from"], "sizes": sizes, "data_key": data_key.hex()}


def read_sealed_file(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    signed = envelope(given["manifest"])
    offer = Manifest(signed, "site-0", signed.body()["predicate"])
    (listed,) = offer.predicate["shards"]
    key, bound = file_key(bytes.fromhex(given["data_key"]), offer, listed), context(offer, listed)
    source, target = folder / "00000.cobblestone", folder / "00000.safetensors"
    source.write_bytes(base64.b64decode(given["file_b64"], validate=True))
    try:
        unseal_file(source, target, key, bound, Stamp(**given["sealed"]), plain_stamp(listed))
    except BlindsightError:
        assert not target.exists()
        raise
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    size = source.stat().st_size
    return {"file_key": key.hex(), "context": bound.decode(), "size": size, "plain_sha256": digest}


@contextlib.contextmanager
def unlocking(given: dict[str, str], folder: Path) -> Iterator[Unlock]:
    """What somebody has, with the keyring or the key service that keeps it put in place."""
    with pytest.MonkeyPatch.context() as patch:
        if "keyring" in given:
            held = vaults.install_keyring(patch)
            held.update({("blindsight", entry): key for entry, key in given["keyring"].items()})
            yield Unlock(keyring=True)
        elif "vault" in given:
            vaults.install_vault(folder / "plugin", patch)
            (folder / "plugin" / "key").write_bytes(bytes.fromhex(given["vault"]))
            patch.chdir(folder / "plugin")
            yield Unlock(pin=vaults.asked)
        elif "recovery" in given:
            yield Unlock(recovery=lambda: recovery.read_code(given["recovery"]))
        else:
            yield Unlock.of(given["passphrase"].encode())


def written_keystore(given: dict[str, Any], folder: Path) -> Path:
    """The keystore and its marker as they lie on a disk."""
    path = folder / "keystore.json"
    for place, text in ((path, given["file"]), (folder / "keystore.json.gen", given["marker"])):
        if text is not None:
            place.write_bytes(text.encode())
            place.chmod(0o600)
    return path


def read_keystore(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = written_keystore(given, folder)
    with unlocking(given["unlock"], folder) as unlock, keystore.opened(path, unlock) as store:
        return {"fpr": store.key.entry.fpr, "slot": store.number}


def read_marker(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    read_keystore(given, folder)
    return {"after": (folder / "keystore.json.gen").read_text()}


def read_paper(given: dict[str, Any]) -> dict[str, Any]:
    seed = recovery.read_code(given["typed"])
    paper = recovery.label(recovery.maker(kem.public_key(seed))(bytes(32), "00" * 16))
    return {"seed": seed.hex(), "code": recovery.write_code(seed), "paper": paper}


def read_stated(given: dict[str, Any]) -> dict[str, Any]:
    digest, head = read_stream_tag(given["text"])
    if head is not None:
        log_of(given).demand_head(head, "the stream")
    return {"digest": digest, "head": head}


def read_name(given: str) -> dict[str, Any]:
    return {"parts": demand_safe(given).split("/")}


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
    "complaint": read_complaint,
    "abort": read_message,
    "roster": read_change,
    "retire": read_change,
    "notice": read_notices,
    "log-file": read_log_file,
    "join": read_request,
    "grant": read_grant,
    "delegate": read_delegation,
    "keystore": read_keystore,
    "marker": read_marker,
    "recovery-code": read_paper,
    "recipient": read_offer,
    "sealing": read_sealed,
    "sealed-file": read_sealed_file,
    "stream-tag": read_stated,
    "name": read_name,
    "manifest": read_manifest,
    "admission": read_offers,
    "bundle-statement": read_statement,
    "bundle": read_bundle,
    "tag": read_tag,
    "tensor-file": read_tensor_file,
    "shard": read_shard,
}
OF_BYTES = {"canonical", "envelope"}
OF_FILES = {"bundle", "tensor-file", "shard", "log-file", "sealed-file", "keystore", "marker"}


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
        assert vector["made_by"] in (COMMAND, SEALED)
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
    assert (tmp_path / boxes.NAME).read_bytes() == (FOLDER / boxes.NAME).read_bytes()
    assert not (tmp_path / "refused" / "old.json").exists()
    assert (tmp_path / "key_expansion.json").exists()

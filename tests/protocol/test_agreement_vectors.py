"""The ceremony reproduces the published vectors bit for bit (tests/vectors/ceremony.json)."""

import hashlib
import json
from pathlib import Path

import pytest

from blindsight.protocol import agreement, kem
from blindsight.protocol.encoding import people_code, tagged_hash
from blindsight.protocol.envelope import Envelope, payload_type
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Log
from blindsight.protocol.session import Phase, Session, commit_set

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "ceremony.json").read_text())
NAMES = ("site-A", "site-B", "site-C")
KEYS = [
    SigningKey("holder", name, bytes.fromhex(entry["seed"]))
    for name, entry in zip(NAMES, VECTORS["identities"], strict=True)
]


@pytest.fixture
def log() -> Log:
    genesis = Envelope(payload_type("genesis"), VECTORS["genesis_payload"].encode(), {})
    for key in KEYS:
        genesis = genesis.signed(key)
    return Log.build([genesis])


@pytest.fixture
def sessions(log) -> dict[str, Session]:
    proposal = Envelope(payload_type("propose"), VECTORS["propose_payload"].encode(), {}).signed(KEYS[0])
    assert proposal.mid == VECTORS["sid"]
    secrets = {m["fpr"]: (bytes.fromhex(m["kem_seed"]), bytes.fromhex(m["s"])) for m in VECTORS["members"]}
    return {
        key.entry.fpr: agreement.accept(
            key, log, proposal, kem_seed=secrets[key.entry.fpr][0], contribution=secrets[key.entry.fpr][1]
        )
        for key in KEYS
    }


def test_identities_have_the_published_keys_fingerprints_and_codes():
    for key, expected in zip(KEYS, VECTORS["identities"], strict=True):
        entry = key.entry
        assert (entry.pub.hex(), entry.fpr, entry.code) == (expected["pub"], expected["fpr"], expected["code"])


def test_the_federation_id_is_the_published_one(log):
    assert (log.fed, log.code) == (VECTORS["fed"], VECTORS["fed_code"])


def test_commits_are_the_published_ones(sessions):
    for expected in VECTORS["members"]:
        commit = sessions[expected["fpr"]].commits[expected["fpr"]]
        public = kem.public_key(bytes.fromhex(expected["kem_seed"]))
        assert hashlib.sha256(public).hexdigest() == expected["kem_pub_sha256"]
        assert (commit.body()["com"], commit.mid) == (expected["com"], expected["commit_mid"])


def test_commit_set_salt_secret_and_check_value_are_the_published_ones(sessions):
    session = next(iter(sessions.values()))
    for other in sessions.values():
        session = agreement.receive(session, other.outbox[0])
    commits = commit_set(session)
    assert commits.hex() == VECTORS["cr"]
    assert tagged_hash("epoch-salt", session.proposal.id, commits).hex() == VECTORS["epoch_salt"]
    contributions = [bytes.fromhex(member["s"]) for member in sorted(VECTORS["members"], key=lambda m: m["fpr"])]
    secret = agreement.epoch_secret(session.proposal.id, commits, contributions)
    assert secret.hex() == VECTORS["epoch_secret"]
    assert agreement.key_check_value(secret, VECTORS["fed"], 1) == VECTORS["kcv"]


def test_three_members_end_with_the_published_secret_and_one_record(sessions, log):
    for _ in range(3):
        messages = [message for session in sessions.values() for message in session.outbox]
        for key in KEYS:
            session = sessions[key.entry.fpr]
            for message in messages:
                session = agreement.receive(session, message)
            sessions[key.entry.fpr] = agreement.advance(session, key)
    assert {session.phase for session in sessions.values()} == {Phase.ACTIVE}
    assert {session.secret.hex() for session in sessions.values()} == {VECTORS["epoch_secret"]}
    records = {session.record.to_bytes() for session in sessions.values()}
    assert len(records) == 1
    longer = Log.build([*log.records, *(session.record for session in sessions.values())])
    assert longer.latest.kcv == VECTORS["kcv"]


def test_codes_for_people_follow_crockford():
    assert people_code(bytes(25)) == "-".join(["0000"] * 10)

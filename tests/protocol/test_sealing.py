"""Recipients and sealings: only whom the holder named opens them, and only as part of what the holder signed."""

import hashlib
import json
import random
from datetime import timedelta
from pathlib import Path

import pytest

from blindsight.protocol import kem, sealing
from blindsight.protocol.encoding import canonical, from_b64, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, FormatError, MembershipError
from blindsight.protocol.manifest import Manifest
from blindsight.protocol.recipient import make_recipient, person, read_recipient
from blindsight.protocol.sealedfile import Stamp, unseal, unseal_file
from blindsight.protocol.sealing import Sealing
from tests.protocol import sealings, worlds
from tests.protocol.sealings import DATA_KEY, LAB, RIVAL, WARD, offered, recipient, seed_of
from tests.protocol.worlds import CREATED, NOW, resigned


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    return sealings.sealed(tmp_path_factory.mktemp("dataset"))


@pytest.fixture(scope="module")
def log(sealed):
    return sealed.log


@pytest.fixture(scope="module")
def envelope(sealed):
    return sealed.envelope()


@pytest.fixture(scope="module")
def read(sealed, envelope):
    return sealed.read(envelope)


def code_of(act, *arguments):
    with pytest.raises(BlindsightError) as caught:
        act(*arguments)
    return caught.value.code


# Recipients.


@pytest.mark.parametrize("key", [LAB, RIVAL, WARD], ids=lambda key: key.entry.name)
def test_a_trainer_and_an_operator_may_be_sealed_to(log, key):
    found = recipient(key, log)
    assert (found.entry, found.kem) == (key.entry, kem.public_key(seed_of(key)))


def test_a_holder_may_not(log, sealed):
    assert code_of(read_recipient, offered(sealed.world.keys[0], log), log, NOW) == "E_ROSTER"


def test_nobody_else_may(log):
    assert code_of(read_recipient, offered(worlds.identity("stranger", "trainer"), log), log, NOW) == "E_ROSTER"


def test_a_trainer_that_is_off_the_roster_may_not():
    world = sealings.federation(trainers=(LAB,))
    assert code_of(read_recipient, offered(RIVAL, world.log), world.log, NOW) == "E_ROSTER"


def test_a_recipient_key_ends_when_it_says_and_ten_minutes_of_clock_are_forgiven(log):
    document = offered(LAB, log)
    read_recipient(document, log, NOW + timedelta(days=30, minutes=9))
    assert code_of(read_recipient, document, log, NOW + timedelta(days=30, minutes=11)) == "E_EXPIRED"


def test_whoever_has_an_expired_key_is_told_what_to_type(log):
    with pytest.raises(BlindsightError) as caught:
        read_recipient(offered(WARD, log), log, NOW + timedelta(days=40))
    assert "blindsight operator recipient new" in caught.value.hint


def test_a_recipient_of_another_federation_is_refused(log):
    other = sealings.federation(name="other").log
    assert code_of(read_recipient, offered(LAB, other), log, NOW) == "E_FED"


def test_a_key_that_nobody_can_seal_to_is_refused(log):
    good = offered(LAB, log)
    public = from_b64(good.body()["kem"])
    for bad in (public[:1184] + bytes(32), b"\xff" * 1184 + public[1184:]):
        assert code_of(read_recipient, resigned(good, [LAB], kem=to_b64(bad)), log, NOW) == "E_KEM"


def test_one_trainer_cannot_offer_a_key_in_the_name_of_another(log):
    document = offered(LAB, log)
    forged = Envelope(document.type, document.payload, {}).signed(RIVAL)
    assert code_of(read_recipient, forged, log, NOW) == "E_QUORUM"
    renamed = Envelope(forged.type, forged.payload, {LAB.entry.fpr: forged.signatures[RIVAL.entry.fpr]})
    assert code_of(read_recipient, renamed, log, NOW) == "E_SIG"
    assert code_of(read_recipient, document.signed(RIVAL), log, NOW) == "E_QUORUM"


@pytest.mark.parametrize(
    "change",
    [{"v": 2}, {"type": "join"}, {"more": 1}, {"kem": "AA"}, {"nonce": "0"}, {"expires": "tomorrow"}, {"identity": {}}],
    ids=lambda change: next(iter(change)),
)
def test_a_malformed_recipient_is_refused(log, change):
    assert code_of(read_recipient, resigned(offered(LAB, log), [LAB], **change), log, NOW) == "E_FORMAT"


def test_a_document_of_another_type_is_no_recipient(log, envelope):
    assert code_of(read_recipient, envelope, log, NOW) == "E_FORMAT"
    document = offered(LAB, log)
    retyped = Envelope.of("join", document.body()).signed(LAB)
    assert code_of(read_recipient, retyped, log, NOW) == "E_FORMAT"


def test_a_recipient_with_a_false_time_is_not_made(log):
    with pytest.raises(FormatError):
        make_recipient(LAB, log.fed, kem_seed=bytes(32), nonce=bytes(32), created=CREATED, expires="never")


def test_a_person_is_found_by_name_or_by_code(log):
    for text in ("lab", LAB.entry.code, LAB.entry.code[:9].lower(), LAB.entry.code.replace("-", " ")):
        assert person(log.roster.trainers, text) == LAB.entry


@pytest.mark.parametrize("text", ["nobody", "", LAB.entry.code[:4], "LAB", "\x1b[2J"])
def test_nobody_is_found_by_anything_else(log, text):
    with pytest.raises(MembershipError, match="nobody is called") as caught:
        person(log.roster.trainers, text)
    assert caught.value.message.isprintable()


def test_who_calls_itself_like_the_code_of_another_is_not_taken_for_it():
    thief = worlds.identity(LAB.entry.code[:9], "trainer")
    with pytest.raises(MembershipError, match="several are called"):
        person([LAB.entry, thief.entry], LAB.entry.code[:9])


# Sealings.


@pytest.mark.parametrize("key", [LAB, WARD], ids=lambda key: key.entry.name)
def test_every_recipient_opens_every_shard(sealed, log, read, key, tmp_path):
    data_key = read.data_key(key.entry.fpr, recipient(key, log).mid, seed_of(key))
    assert data_key == DATA_KEY
    for shard in read.shards(data_key):
        target = tmp_path / shard.path.replace("/", "-")
        unseal_file(sealed.folder / shard.sealed_path, target, shard.key, shard.context, shard.sealed, shard.plain)
        assert target.read_bytes() == (sealed.folder / shard.path).read_bytes()


def test_a_trainer_that_is_not_named_opens_nothing(log, read):
    for mid in (recipient(RIVAL, log).mid, recipient(LAB, log).mid):
        assert code_of(read.data_key, RIVAL.entry.fpr, mid, seed_of(RIVAL)) == "E_BOX"


def test_another_key_of_the_same_trainer_opens_nothing(log, read):
    assert code_of(read.data_key, LAB.entry.fpr, recipient(LAB, log, "new").mid, seed_of(LAB, "new")) == "E_BOX"
    assert code_of(read.data_key, LAB.entry.fpr, recipient(LAB, log).mid, seed_of(LAB, "new")) == "E_BOX"


def test_no_shard_opens_with_the_key_or_at_the_place_of_another(sealed, read, tmp_path):
    first, second = read.shards(DATA_KEY)
    for key, context in ((second.key, first.context), (first.key, second.context)):
        source = sealed.folder / first.sealed_path
        arguments = (source, tmp_path / "out", key, context, first.sealed, first.plain)
        assert code_of(unseal_file, *arguments) == "E_TAMPERED"


def test_a_box_does_not_open_in_another_sealing_even_if_the_holder_signs_it(sealed, log, read, envelope):
    to = {"to": envelope.body()["to"]}
    for changed in (sealed.envelope(name="66" * 16), _under_another_head(sealed)):
        moved = resigned(changed, sealed.world.keys[:1], **to)
        body = sealing.Sealing(moved, sealed.manifest, moved.body())
        assert code_of(body.data_key, LAB.entry.fpr, recipient(LAB, log).mid, seed_of(LAB)) == "E_BOX"


def _under_another_head(sealed):
    return sealed.envelope(head={"seq": 0, "id": sealed.log.fed})


def test_a_box_does_not_open_for_another_recipient_even_if_the_holder_swaps_them(sealed, log, envelope):
    first, second = envelope.body()["to"]
    swapped = [first | {"box": second["box"]}, second | {"box": first["box"]}]
    found = sealed.read(resigned(envelope, sealed.world.keys[:1], to=swapped))
    assert code_of(found.data_key, LAB.entry.fpr, recipient(LAB, log).mid, seed_of(LAB)) == "E_BOX"


def test_neither_another_holder_nor_a_trainer_seals_in_the_holders_name(sealed, envelope):
    other = sealed.world.keys[1]
    assert code_of(lambda: sealed.envelope(key=other)) == "E_ROSTER"
    assert code_of(sealed.read, resigned(envelope, [other], **{"from": other.entry.fpr})) == "E_ROSTER"
    assert code_of(sealed.read, resigned(envelope, [LAB], **{"from": LAB.entry.fpr})) == "E_ROSTER"


def test_a_sealing_needs_the_signature_of_its_author_alone(sealed, envelope):
    first, second = sealed.world.keys
    assert code_of(sealed.read, Envelope(envelope.type, envelope.payload, {})) == "E_QUORUM"
    assert code_of(sealed.read, envelope.signed(second)) == "E_QUORUM"
    forged = Envelope(envelope.type, envelope.payload, {}).signed(second).signatures[second.entry.fpr]
    assert code_of(sealed.read, Envelope(envelope.type, envelope.payload, {first.entry.fpr: forged})) == "E_SIG"


def test_a_sealing_is_about_one_manifest(sealed, envelope, log, tmp_path):
    other = sealings.publish(tmp_path, sealed.world, sealed.world.keys[0], rows=91)
    assert code_of(sealing.read_sealing, envelope, log, other) == "E_SHA"


def test_a_sealing_is_about_one_federation_and_a_head_of_its_log(sealed, envelope):
    keys = sealed.world.keys[:1]
    assert code_of(sealed.read, resigned(envelope, keys, fed="00" * 32)) == "E_FED"
    assert code_of(sealed.read, resigned(envelope, keys, head={"seq": 1, "id": "00" * 32})) == "E_HEAD"
    older = sealed.read(_under_another_head(sealed))
    assert older.body["head"]["seq"] == 0


def without_last(body):
    return {"files": body["files"][:-1]}


MALFORMED = {
    "version": (lambda body: {"v": 2}, "E_FORMAT"),
    "unknown field": (lambda body: {"more": 1}, "E_FORMAT"),
    "no recipient": (lambda body: {"to": []}, "E_FORMAT"),
    "recipients twice": (lambda body: {"to": body["to"][:1] * 2}, "E_FORMAT"),
    "recipients in another order": (lambda body: {"to": body["to"][::-1]}, "E_FORMAT"),
    "short box": (lambda body: {"to": [body["to"][0] | {"box": "AA"}]}, "E_FORMAT"),
    "a path outside": (lambda body: {"files": [f | {"path": "../up"} for f in body["files"]]}, "E_FORMAT"),
    "a path elsewhere": (lambda body: {"files": [f | {"path": "shards/0"} for f in body["files"]]}, "E_FORMAT"),
    "files in another order": (lambda body: {"files": body["files"][::-1]}, "E_FORMAT"),
    "another id": (lambda body: {"id": "00" * 16}, "E_FORMAT"),
    "a file missing": (without_last, "E_SHARD"),
    "another size": (lambda body: {"files": [f | {"bytes": f["bytes"] + 1} for f in body["files"]]}, "E_SHARD"),
    "another manifest": (lambda body: {"manifest": "00" * 32}, "E_SHA"),
}


@pytest.mark.parametrize(("change", "code"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_sealing_that_does_not_fit_is_refused_even_if_the_holder_signs_it(sealed, envelope, change, code):
    changed = resigned(envelope, sealed.world.keys[:1], **change(envelope.body()))
    assert code_of(sealed.read, changed) == code


def test_a_document_of_another_type_is_no_sealing(sealed, log):
    assert code_of(sealed.read, sealed.manifest.envelope) == "E_FORMAT"
    assert code_of(sealing.parse_unsigned, offered(LAB, log)) == "E_FORMAT"


def test_the_wrong_number_of_files_is_not_sealed(sealed):
    assert code_of(lambda: sealed.envelope(files=sealed.stamps[:1])) == "E_SHARD"


def test_nothing_secret_stands_in_a_sealing_or_is_shown(envelope, read):
    shard = read.shards(DATA_KEY)[0]
    for secret in (DATA_KEY, shard.key):
        assert secret.hex().encode() not in envelope.payload
        assert to_b64(secret).encode() not in envelope.payload
        assert repr(secret) not in repr(shard)


# Whatever changes on the way.


def mutations(data, count=300):
    draws = random.Random(3)
    for _ in range(count):
        changed = bytearray(data)
        changed[draws.randrange(len(data) - 1)] ^= draws.randrange(1, 256)  # the newline at the end says nothing
        yield bytes(changed)


REFUSALS = {"E_FORMAT", "E_CANON", "E_QUORUM", "E_SIG", "E_ROSTER", "E_FPR", "E_KEY"}


def test_no_changed_byte_of_a_recipient_passes(log):
    for changed in mutations(offered(LAB, log).to_bytes()):
        assert code_of(lambda data: read_recipient(Envelope.from_bytes(data), log, NOW), changed) in REFUSALS


def test_no_changed_byte_of_a_sealing_passes(sealed, envelope):
    for changed in mutations(envelope.to_bytes()):
        assert code_of(lambda data: sealed.read(Envelope.from_bytes(data)), changed) in REFUSALS


def test_a_box_that_the_holder_changed_afterwards_does_not_open(sealed, log, envelope):
    to = envelope.body()["to"]
    place = next(place for place, one in enumerate(to) if one["fpr"] == LAB.entry.fpr)
    box = from_b64(to[place]["box"])
    for changed in mutations(box, 30):
        others = [one | ({"box": to_b64(changed)} if at == place else {}) for at, one in enumerate(to)]
        found = sealed.read(resigned(envelope, sealed.world.keys[:1], to=others))
        assert code_of(found.data_key, LAB.entry.fpr, recipient(LAB, log).mid, seed_of(LAB)) == "E_BOX"


def test_the_id_of_a_recipient_covers_all_it_says(log):
    document = offered(LAB, log)
    changed = Envelope(document.type, canonical({**document.body(), "nonce": "11" * 32}), {})
    assert changed.mid != document.mid


def test_a_sealing_to_nobody_is_not_made(sealed):
    assert code_of(lambda: sealed.envelope(recipients=[])) == "E_FORMAT"


# Another implementation's work.


VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "sealing.json").read_text())


def of_vector(name):
    return Envelope.from_bytes(VECTOR[name].encode())


@pytest.fixture(scope="module")
def foreign():
    offer = of_vector("manifest")
    stated = Manifest(offer, "site-A", offer.body()["predicate"])
    return Sealing(of_vector("sealing"), stated, of_vector("sealing").body())


def test_the_box_of_the_vector_opens(foreign):
    fpr = of_vector("recipient").body()["identity"]["fpr"]
    seed = bytes.fromhex(VECTOR["recipient_seed"])
    assert to_b64(kem.public_key(seed)) == of_vector("recipient").body()["kem"]
    assert foreign.data_key(fpr, VECTOR["recipient_mid"], seed).hex() == VECTOR["data_key"]


def test_the_box_of_the_vector_is_bound_as_it_says(foreign):
    (to,) = foreign.body["to"]
    plain = kem.unseal(bytes.fromhex(VECTOR["recipient_seed"]), from_b64(to["box"]), bytes.fromhex(VECTOR["info"]), 32)
    assert plain.hex() == VECTOR["data_key"]


def test_the_sealed_file_of_the_vector_opens(foreign):
    (shard,) = foreign.shards(bytes.fromhex(VECTOR["data_key"]))
    assert (shard.key.hex(), shard.context.decode()) == (VECTOR["file_key"], VECTOR["context"])
    data = from_b64(VECTOR["sealed"])
    assert Stamp(len(data), hashlib.sha256(data).hexdigest()) == shard.sealed
    plain = b"".join(unseal([data], shard.key, shard.context))
    assert plain == bytes(7 * place % 251 for place in range(shard.plain.bytes))

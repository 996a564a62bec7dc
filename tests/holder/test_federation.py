"""A member's side of the federation, over real keystores and a real drop-box."""

from pathlib import Path

import pytest

from blindsight.holder import federation
from blindsight.protocol import keystore
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import people_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, MembershipError, PolicyError, ProtocolError
from blindsight.protocol.log import Log
from blindsight.protocol.records import GENESIS
from tests.protocol import worlds

NONCE = bytes(32)


@pytest.fixture
def box(tmp_path):
    return DropBox(tmp_path / "box")


@pytest.fixture
def stores(tmp_path, box):
    """Three keystores that have offered their cards."""
    stores = [worlds.keystore_of(tmp_path, name) for name in ("anna", "bert", "cleo")]
    for store in stores:
        box.put_card(store.key, worlds.CREATED)
    return stores


def created(store, box, *, name="ward", cards=None):
    cards = box.cards() if cards is None else cards
    return federation.create(store, box, name=name, cards=cards, policy="all", nonce=NONCE, created=worlds.CREATED)


def founded(stores, box, **options):
    genesis = created(stores[0], box, **options)
    for store in stores[1:]:
        federation.sign(store, box, None)
    return genesis.mid


def again(store):
    """The keystore as the next command finds it."""
    return keystore.opened(store.path, worlds.PASSPHRASE)


def test_a_genesis_that_all_sign_is_a_federation_for_all(stores, box):
    fed = founded(stores, box)
    logs = {federation.follow(store, box, fed).code for store in stores}
    assert len(logs) == 1


def test_until_all_have_signed_those_missing_are_named(stores, box):
    fed = created(stores[0], box).mid
    with pytest.raises(MembershipError, match=r"bert.*cleo|cleo.*bert") as caught:
        federation.follow(stores[0], box, fed)
    assert caught.value.code == "E_QUORUM"


def test_the_founder_is_a_member_even_without_a_card(stores, box):
    genesis = created(stores[0], box, cards=[stores[1].key.entry])
    assert len(genesis.body()["members"]) == 2


def test_trainers_are_listed_apart_from_members(tmp_path, stores, box):
    lab = worlds.keystore_of(tmp_path, "lab", "trainer")
    box.put_card(lab.key, worlds.CREATED)
    body = created(stores[0], box).body()
    assert ([e["name"] for e in body["trainers"]], len(body["members"])) == (["lab"], 3)


def test_a_trainer_founds_no_federation(tmp_path, stores, box):
    lab = worlds.keystore_of(tmp_path, "lab", "trainer")
    with pytest.raises(ProtocolError):
        created(lab, box)


def test_signing_again_changes_nothing(stores, box):
    fed = founded(stores, box)
    before = {path: path.read_bytes() for path in box.transport.root.rglob("*.json")}
    for store in stores:
        federation.sign(store, box, None)
        federation.follow(store, box, fed)
    assert {path: path.read_bytes() for path in box.transport.root.rglob("*.json")} == before


def test_a_signer_killed_before_its_signature_left_signs_again(stores, box):
    created(stores[0], box)
    federation.sign(stores[1], box, None)
    for path in box.transport.root.rglob(f"*-{stores[1].key.entry.fpr[:12]}.json"):
        path.unlink()
    with again(stores[1]) as store:
        federation.sign(store, box, None)
    federation.sign(stores[2], box, None)
    assert len(box.log().roster.members) == 3


def test_without_a_genesis_that_names_me_there_is_nothing_to_sign(tmp_path, stores, box):
    created(stores[0], box)
    stranger = worlds.keystore_of(tmp_path, "mallory")
    with pytest.raises(MembershipError, match="no genesis in the drop-box names this identity"):
        federation.sign(stranger, box, None)


def test_of_two_genesis_records_the_code_chooses_which_to_sign(stores, box):
    one, other = (created(stores[0], box, name=name) for name in ("ward", "clinic"))
    with pytest.raises(MembershipError, match="several federations"):
        federation.sign(stores[1], box, None)
    assert federation.sign(stores[1], box, people_code(other.id)[:9].lower()).mid == other.mid
    assert one.mid not in stores[1].data["feds"]


def test_a_member_signs_in_its_own_name_only(stores, box):
    created(stores[0], box)
    signed = federation.sign(stores[1], box, None)
    assert set(signed.signatures) == {stores[1].key.entry.fpr}


JUNK = {
    "an empty object": Envelope(GENESIS, b"{}", {}),
    "no JSON": Envelope(GENESIS, b"junk", {}),
    "of another type": Envelope.of("letter", {}),
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK.keys())
def test_junk_among_the_records_stops_nobody_from_signing(stores, box, junk):
    created(stores[0], box)
    folder = next(box.transport.root.glob("*/records"))
    (folder / "0-junk.json").write_bytes(junk.to_bytes())
    assert federation.sign(stores[1], box, None).type == GENESIS


def test_a_forged_signature_in_my_name_does_not_hide_mine(stores, box):
    fed = founded(stores, box)
    genesis = box.log(fed).records[0]
    forged = Envelope(genesis.type, genesis.payload, dict.fromkeys(genesis.signatures, bytes(64)))
    (box.transport.root / box.federation(fed) / "records" / "0-aaa.json").write_bytes(forged.to_bytes())
    assert federation.follow(stores[0], box, fed).fed == fed


def test_the_log_is_remembered_without_the_box(tmp_path, stores, box):
    fed = founded(stores, box)
    federation.follow(stores[0], box, fed)
    with again(stores[0]) as store:
        assert federation.follow(store, DropBox(tmp_path / "empty"), fed).fed == fed


def test_a_chain_with_a_greater_sequence_counts_and_the_one_passed_by_is_told_of(stores, box):
    fed = founded(stores, box)
    log = federation.follow(stores[0], box, fed)
    keys = [store.key for store in stores]
    known = worlds.record(log, keys, seq=1, epoch=1)
    rival = worlds.record(log, keys, seq=2, epoch=1, kcv="44" * 32)
    box.put_record(known, fed, 1, keys[0].entry.fpr)
    federation.follow(stores[0], box, fed)
    box.put_record(rival, fed, 2, keys[0].entry.fpr)
    told = []
    assert federation.follow(stores[0], box, fed, told.append).seq == 2
    assert any("passed by" in sentence for sentence in told)


def test_a_longer_remembered_chain_is_not_left_for_a_shorter_one(stores, box):
    fed = founded(stores, box)
    log = federation.follow(stores[0], box, fed)
    keys = [store.key for store in stores]
    path = Path(box.put_record(worlds.record(log, keys, seq=2, epoch=1), fed, 2, keys[0].entry.fpr))
    federation.follow(stores[0], box, fed)
    path.unlink()
    box.put_record(worlds.record(log, keys, seq=1, epoch=1, kcv="44" * 32), fed, 1, keys[0].entry.fpr)
    assert federation.follow(stores[0], box, fed).seq == 2


def test_records_withheld_from_the_box_do_not_shorten_my_log(stores, box):
    fed = founded(stores, box)
    log = federation.follow(stores[0], box, fed)
    path = Path(box.put_record(worlds.record(log, [s.key for s in stores], seq=1, epoch=1), fed, 1, "aa" * 32))
    federation.follow(stores[0], box, fed)
    path.unlink()
    with again(stores[0]) as store:
        assert federation.follow(store, box, fed).seq == 1


def test_a_fork_is_shown_with_both_records(stores, box):
    fed = founded(stores, box)
    log = federation.follow(stores[0], box, fed)
    keys = [store.key for store in stores]
    for place, kcv in enumerate(("33" * 32, "44" * 32)):
        box.put_record(worlds.record(log, keys, seq=1, epoch=1, kcv=kcv), fed, 1, f"{place}" * 64)
    with pytest.raises(ConflictError) as caught:
        federation.follow(stores[0], box, fed)
    assert caught.value.code == "E_FORK"
    assert len(caught.value.evidence) == 2


def test_the_only_federation_needs_no_code(stores, box):
    fed = founded(stores, box)
    assert federation.choose(stores[0], None) == fed


def test_of_several_federations_the_start_of_a_code_chooses(stores, box):
    feds = [created(stores[0], box, name=name) for name in ("ward", "clinic")]
    with pytest.raises(MembershipError, match="several federations"):
        federation.choose(stores[0], None)
    for genesis in feds:
        assert federation.choose(stores[0], people_code(genesis.id)[:4].lower()) == genesis.mid


def test_no_federation_is_named_as_that(stores):
    with pytest.raises(MembershipError, match="belongs to no such federation"):
        federation.choose(stores[0], None)


def test_nobody_agrees_on_keys_before_a_person_compared_the_code(stores, box):
    log = federation.follow(stores[0], box, founded(stores, box))
    with pytest.raises(PolicyError, match="nobody has compared") as caught:
        federation.demand_verified(stores[0], log)
    assert caught.value.code == "E_UNVERIFIED"
    federation.demand_verified(stores[0], log, accept_unverified=True)


def test_a_compared_code_is_remembered(stores, box):
    log = federation.follow(stores[0], box, founded(stores, box))
    federation.verify(stores[0], log, log.code.lower())
    with again(stores[0]) as store:
        federation.demand_verified(store, log)


def test_another_code_is_refused_and_nothing_is_remembered(stores, box):
    log = federation.follow(stores[0], box, founded(stores, box))
    with pytest.raises(MembershipError) as caught:
        federation.verify(stores[0], log, Log.build([worlds.genesis(worlds.holders(1))]).code)
    assert caught.value.code == "E_FED"
    assert stores[0].data["feds"][log.fed]["verified"] == "none"


def test_a_secret_that_this_keystore_does_not_hold_is_refused(stores, box):
    fed = founded(stores, box)
    log = federation.follow(stores[0], box, fed)
    box.put_record(worlds.record(log, [s.key for s in stores], seq=1, epoch=1), fed, 1, "aa" * 32)
    log = federation.follow(stores[0], box, fed)
    with pytest.raises(MembershipError, match="does not hold the secret of epoch 1") as caught:
        federation.epoch_secret(stores[0], log, None)
    assert caught.value.code == "E_EPOCH"


def test_a_remembered_removal_is_kept_until_a_person_follows_the_greater_chain(stores, box):
    fed = founded(stores, box)
    log = federation.follow(stores[0], box, fed)
    keys = sorted((store.key for store in stores), key=lambda key: key.entry.fpr)
    removal = worlds.roster_record(log, [key.entry for key in keys[:2]], signers=keys[:2], seq=1)
    rival = worlds.roster_record(log, [key.entry for key in keys[1:]], signers=keys[1:], seq=5)
    box.put_record(removal, fed, 1, keys[0].entry.fpr)
    federation.follow(stores[0], box, fed)
    box.put_record(rival, fed, 5, keys[0].entry.fpr)
    told = []
    kept = federation.follow(stores[0], box, fed, told.append)
    assert (kept.seq, any(rival.mid[:12] in sentence for sentence in told)) == (1, True)
    with pytest.raises(MembershipError):
        federation.decide(stores[0], box, fed, "ffffffffffff")
    federation.decide(stores[0], box, fed, rival.mid[:12])
    assert federation.follow(stores[0], box, fed).seq == 5


def test_an_epoch_that_all_have_signed_counts_for_who_saw_a_slower_change_first(stores, box):
    fed = founded(stores, box)
    log = federation.follow(stores[0], box, fed)
    keys = sorted((store.key for store in stores), key=lambda key: key.entry.fpr)
    change = worlds.roster_record(log, [key.entry for key in keys[:2]], signers=keys[:2], seq=1)
    box.put_record(change, fed, 1, keys[0].entry.fpr)
    assert federation.follow(stores[0], box, fed).seq == 1
    epoch = worlds.record(log, keys, seq=2, epoch=1)
    box.put_record(epoch, fed, 2, keys[0].entry.fpr)
    logs = [federation.follow(store, box, fed) for store in stores]
    assert {log.records[-1].mid for log in logs} == {epoch.mid}


def test_a_late_epoch_that_all_have_signed_does_not_outbid_what_came_after_the_change(stores, box):
    fed = founded(stores, box)
    log = federation.follow(stores[0], box, fed)
    keys = sorted((store.key for store in stores), key=lambda key: key.entry.fpr)
    removal = worlds.roster_record(log, [key.entry for key in keys[:2]], signers=keys[:2], seq=3)
    box.put_record(removal, fed, 3, keys[0].entry.fpr)
    federation.follow(stores[0], box, fed)
    late = worlds.record(log, keys, seq=2, epoch=1)
    box.put_record(late, fed, 2, keys[0].entry.fpr)
    stolen = worlds.roster_record(worlds.grown(log, late), [key.entry for key in keys[1:]], signers=keys[1:], seq=9)
    box.put_record(stolen, fed, 9, keys[1].entry.fpr)
    assert federation.follow(stores[0], box, fed).seq == 3


def test_a_signature_of_ones_own_that_the_keystore_has_forgotten_still_binds(stores, box):
    fed = founded(stores, box)
    log = federation.follow(stores[0], box, fed)
    mine = stores[0].key
    box.put_record(worlds.record(log, [mine], seq=7, epoch=1), fed, 7, mine.entry.fpr)
    told = []
    federation.follow(stores[0], box, fed, told.append)
    assert stores[0].data["feds"][fed]["promised_seq"] == 7
    assert any("E_ROLLBACK" in sentence for sentence in told)


def test_a_signature_of_ones_own_in_another_federation_binds_nothing_here(stores, box):
    fed = founded(stores, box)
    log, mine = federation.follow(stores[0], box, fed), stores[0].key
    elsewhere = worlds.record(log, [mine], seq=2**39, epoch=1, fed="ab" * 32, prev="ab" * 32, roster="ab" * 32)
    box.put_record(elsewhere, fed, 7, mine.entry.fpr)
    told = []
    federation.follow(stores[0], box, fed, told.append)
    assert (stores[0].data["feds"][fed]["promised_seq"], told) == (0, [])


def test_a_signature_that_only_claims_to_be_ones_own_binds_nobody(stores, box):
    fed = founded(stores, box)
    log = federation.follow(stores[0], box, fed)
    record = worlds.spoilt(worlds.record(log, [stores[0].key], seq=7, epoch=1))
    box.put_record(record, fed, 7, "aa" * 32)
    federation.follow(stores[0], box, fed)
    assert stores[0].data["feds"][fed]["promised_seq"] == 0

"""Who joins and who leaves, and which epochs have ended: real keystores, both policies."""

from __future__ import annotations

import json

import pytest

from blindsight.holder import ceremony, membership
from blindsight.protocol.agreement import MAX_SEQ_STEP
from blindsight.protocol.errors import BlindsightError
from blindsight.protocol.grant import make_join
from tests.holder import lives
from tests.protocol import worlds
from tests.protocol.worlds import NOW

POLICIES = ("all", "majority")


@pytest.fixture(scope="module")
def federations(tmp_path_factory):
    return {policy: lives.agreed(tmp_path_factory.mktemp(policy), policy) for policy in POLICIES}


@pytest.fixture(params=POLICIES)
def life(request, federations, tmp_path):
    return lives.Life(lives.copied(federations[request.param], tmp_path / "life"))


@pytest.fixture
def unanimous(federations, tmp_path):
    return lives.Life(lives.copied(federations["all"], tmp_path / "life"))


@pytest.fixture
def majority(federations, tmp_path):
    return lives.Life(lives.copied(federations["majority"], tmp_path / "life"))


def code_of(act, *arguments, **options):
    with pytest.raises(BlindsightError) as caught:
        act(*arguments, **options)
    return caught.value.code


def names(life):
    return {entry.name for entry in life.log().roster.members}


def promised(life, name):
    return life.state(name)["promised_seq"]


# Admission.


def test_under_all_everybody_signs_an_admission_and_the_newcomer_too(unanimous):
    key = unanimous.comes("dora")
    unanimous.asks("dora")
    record = unanimous.act("anna", membership.admit, key.entry.code, NOW)
    for name in ("bert", "cleo"):
        unanimous.act(name, membership.approve, record.mid)
        assert unanimous.is_open(record)
    unanimous.act("dora", membership.approve, record.mid[:12])
    assert names(unanimous) == {"anna", "bert", "cleo", "dora"}


def test_under_majority_two_of_three_and_the_newcomer_sign(majority):
    key = majority.comes("dora")
    majority.asks("dora")
    record = majority.act("anna", membership.admit, key.entry.code, NOW)
    majority.act("dora", membership.approve, record.mid)
    assert majority.is_open(record)
    majority.act("cleo", membership.approve, record.mid)
    assert names(majority) == {"anna", "bert", "cleo", "dora"}


def test_nobody_becomes_a_member_without_signing(life):
    key = life.comes("dora")
    life.asks("dora")
    record = life.act("anna", membership.admit, key.entry.code, NOW)
    for name in ("bert", "cleo"):
        life.act(name, membership.approve, record.mid)
    assert "dora" not in names(life)
    (waiting,) = life.act("bert", membership.pending)
    assert [entry.name for entry in waiting.missing] == ["dora"]


def test_admission_takes_the_whole_code_and_nothing_less(life):
    key = life.comes("dora")
    life.asks("dora")
    for shorter in ("", "dora", key.entry.code[:9], key.entry.code[:-5], key.entry.code[:-1], key.entry.fpr):
        assert code_of(life.act, "anna", membership.admit, shorter, NOW) == "E_ROSTER"
    record = life.act("anna", membership.admit, f" {key.entry.code.lower().replace('-', ' ')} ", NOW)
    assert record.body()["members"] != life.log().records[0].body()["members"]


def test_an_imitator_whose_code_begins_alike_is_not_admitted_in_its_place(life):
    key = life.comes("dora")
    wrong = key.entry.code[:-4] + ("0000" if key.entry.code[-4:] != "0000" else "1111")
    life.asks("dora")
    with pytest.raises(BlindsightError, match="nobody with that fingerprint code asks to join") as caught:
        life.act("anna", membership.admit, wrong, NOW)
    assert key.entry.label in str(caught.value)
    assert "all ten groups" in caught.value.hint


def test_who_has_not_asked_is_not_admitted(life):
    assert code_of(life.act, "anna", membership.admit, worlds.identity("dora").entry.code, NOW) == "E_ROSTER"


def test_a_request_that_has_ended_admits_nobody(life):
    key = life.comes("dora")
    life.asks("dora", days=1)
    late = NOW.replace(day=NOW.day + 2)
    assert code_of(life.act, "anna", membership.admit, key.entry.code, late) == "E_ROSTER"


def test_a_card_in_the_box_does_not_make_a_holder_and_a_request_does_not_make_a_trainer(life):
    life.box.put_card(worlds.identity("dora"), worlds.CREATED)
    trainer = worlds.identity("second-lab", "trainer")
    stated = {"kem_seed": bytes(32), "nonce": bytes(32), "created": worlds.CREATED, "expires": worlds.NOT_AFTER}
    life.puts("join", make_join(trainer, life.fed, **stated))
    assert membership.strangers(life.box, life.log(), NOW) == []


def test_trainers_and_operators_are_admitted_by_their_cards_and_sign_nothing(life):
    clinic = worlds.identity("clinic", "operator")
    life.box.put_card(clinic, worlds.CREATED)
    record = life.act("anna", membership.admit, clinic.entry.code, NOW)
    for name in ("bert", "cleo"):
        if life.is_open(record):
            life.act(name, membership.approve, record.mid)
    assert life.log().roster.operators == (clinic.entry,)


def test_a_device_is_never_a_member(life):
    camera = life.comes("camera", "device")
    life.asks("camera")
    assert camera.entry not in membership.strangers(life.box, life.log(), NOW)
    assert code_of(life.act, "anna", membership.admit, camera.entry.code, NOW) == "E_ROSTER"


def test_of_two_requests_of_one_identity_the_one_that_ends_last_counts(life):
    key = life.comes("dora")
    first = life.asks("dora", days=2)
    stated = {"kem_seed": bytes(32), "nonce": bytes(32), "created": worlds.CREATED, "expires": worlds.NOT_AFTER}
    longer = make_join(key, life.fed, **stated)
    life.puts("join", longer)
    (found,) = membership.requests(life.box, life.log(), NOW)
    assert (found.envelope.mid, found.envelope.mid == first.mid) == (longer.mid, False)


def test_junk_among_the_requests_keeps_nobody_out(life):
    key = life.comes("dora")
    document = life.asks("dora")
    stranger = worlds.identity("mallory")
    life.puts(
        "join",
        worlds.spoilt(document),
        worlds.resigned(document, [stranger]),
        worlds.resigned(document, [key], fed="00" * 32),
        worlds.resigned(document, [key], expires="2020-01-01T00:00:00Z"),
        worlds.notice_of(life.log(), life.keys["anna"]),
    )
    (life.box.transport.root / life.box.federation(life.fed) / "join" / "junk.json").write_bytes(b"\xff{")
    assert [join.entry for join in membership.requests(life.box, life.log(), NOW)] == [key.entry]


def test_two_members_who_admit_the_same_newcomer_have_made_the_same_record(life):
    key = life.comes("dora")
    life.asks("dora")
    one = life.act("anna", membership.admit, key.entry.code, NOW)
    other = life.act("bert", membership.admit, key.entry.code, NOW)
    assert one.mid == other.mid
    assert len(life.act("cleo", membership.pending)) == 1


# Promises.


def test_the_promise_is_kept_in_the_keystore_before_the_signature_leaves(life, monkeypatch):
    key = life.comes("dora")
    life.asks("dora")
    before = promised(life, "anna")

    def lost(*_):
        raise OSError("the folder is gone")

    monkeypatch.setattr(type(life.box), "put_record", lost)
    with pytest.raises(OSError, match="gone"):
        life.act("anna", membership.admit, key.entry.code, NOW)
    monkeypatch.undo()
    assert promised(life, "anna") == before + 1
    record = life.act("anna", membership.admit, key.entry.code, NOW)
    assert record.body()["seq"] == before + 2


def test_a_signature_that_never_arrived_is_sent_again_at_the_next_step(life):
    record = life.act("anna", membership.retire, [1], "spent")
    path = life.record(record.body()["seq"], "anna")
    path.unlink()
    life.act("anna", ceremony.step, NOW)
    assert path.exists()


def test_a_member_does_not_sign_two_records_of_one_sequence(life):
    first = life.act("anna", membership.retire, [1], "spent")
    second = life.act("bert", membership.retire, [1], "another reason")
    assert first.body()["seq"] == second.body()["seq"]
    assert code_of(life.act, "anna", membership.approve, second.mid) == "E_SEQ"
    life.act("anna", membership.approve, first.mid)


def test_a_member_that_has_confirmed_an_epoch_signs_no_change_of_that_sequence(life):
    life.propose("anna")
    for name in ("bert", "cleo", "anna", "bert"):
        life.step(name)
    record = life.act("anna", membership.retire, [1], "spent")
    assert life.session("bert").phase.value == "confirmed"
    assert record.body()["seq"] == promised(life, "bert")
    assert code_of(life.act, "bert", membership.approve, record.mid) == "E_SEQ"


def test_a_change_far_above_all_known_sequences_is_not_signed(life):
    log = life.log()
    mallory = life.keys["bert"]
    record = worlds.roster_record(log, log.roster.members, [mallory], trainers=[], seq=log.seq + MAX_SEQ_STEP + 1)
    life.box.put_record(record, life.fed, record.body()["seq"], mallory.entry.fpr)
    assert code_of(life.act, "anna", membership.approve, record.mid) == "E_SEQ"
    assert promised(life, "anna") < record.body()["seq"]


# Approving.


def test_a_change_is_named_by_the_start_of_its_id_and_must_be_the_only_one(life):
    one = life.act("anna", membership.retire, [1], "spent")
    other = life.act("bert", membership.retire, [1], "another reason")
    for start in ("", "zz", one.mid[:1] if one.mid[0] == other.mid[0] else "zz", "not hex"):
        assert code_of(life.act, "cleo", membership.approve, start) == "E_ROSTER"
    assert life.act("cleo", membership.approve, one.mid[:12]).mid == one.mid


def test_the_refusal_names_the_changes_that_are_open(life):
    record = life.act("anna", membership.retire, [1], "spent")
    with pytest.raises(BlindsightError) as caught:
        life.act("bert", membership.approve, "zz")
    assert record.mid[:12] in str(caught.value)


def test_a_stranger_who_meets_the_federation_has_no_say(life):
    record = life.act("anna", membership.retire, [1], "spent")
    life.comes("mallory")
    life.asks("mallory")
    assert code_of(life.act, "mallory", membership.approve, record.mid) == "E_ROSTER"


@pytest.mark.parametrize("act", ["admit", "remove", "retire"])
def test_who_is_no_member_makes_no_change(life, act):
    life.comes("mallory")
    life.asks("mallory")
    arguments = {"admit": (life.keys["mallory"].entry.code, NOW), "remove": (life.keys["bert"].entry,)}
    arguments |= {"retire": ([1], "mine now")}
    assert code_of(life.act, "mallory", getattr(membership, act), *arguments[act]) == "E_ROSTER"
    assert life.act("mallory", membership.pending) == []
    assert promised(life, "mallory") == 0


def test_a_change_says_what_it_does_and_whose_signature_would_help(life):
    key = life.comes("dora")
    life.asks("dora")
    life.act("anna", membership.admit, key.entry.code, NOW)
    (one,) = life.act("bert", membership.pending)
    facts = membership.described(life.log(), one)
    assert facts["joins"] == [f"holder dora ({key.entry.code})"]
    assert facts["signed"] == [life.label("anna")]
    assert set(facts["may still sign"]) == {life.label("bert"), life.label("cleo"), key.entry.label}


# Leaving.


@pytest.mark.parametrize("gone", ["anna", "cleo"])
def test_a_member_is_removed_by_those_who_stay(life, gone):
    by = "bert"
    life.removed(gone, by=by)
    assert names(life) == {"anna", "bert", "cleo"} - {gone}


def test_a_member_that_wants_to_leave_is_told_that_another_must_propose_it(life):
    with pytest.raises(BlindsightError, match="who leaves does not count") as caught:
        life.act("cleo", membership.remove, life.keys["cleo"].entry)
    assert f"federation remove {life.keys['cleo'].entry.code[:9]}" in caught.value.hint
    assert promised(life, "cleo") == 1


def test_a_minority_cannot_throw_the_majority_out(life):
    lists = [life.keys["anna"].entry]
    record = worlds.roster_record(life.log(), lists, [life.keys["anna"]])
    life.box.put_record(record, life.fed, record.body()["seq"], life.fpr("anna"))
    assert life.is_open(record)
    assert life.act("bert", membership.pending) == []
    assert code_of(life.act, "bert", membership.approve, record.mid) == "E_ROSTER"
    life.removed("cleo")
    assert code_of(life.act, "anna", membership.remove, life.keys["bert"].entry) == "E_ROSTER"


def test_a_minority_with_invented_members_is_no_majority(life):
    invented = [worlds.identity(f"puppet-{number}") for number in range(5)]
    entries = [life.keys["anna"].entry, *(key.entry for key in invented)]
    record = worlds.roster_record(life.log(), entries, [life.keys["anna"], *invented])
    life.box.put_record(record, life.fed, record.body()["seq"], life.fpr("anna"))
    assert names(life) == {"anna", "bert", "cleo"}
    every = [member for name in life.names for member in [life.keys[name].entry]] + [key.entry for key in invented]
    record = worlds.roster_record(life.log(), every, [life.keys["anna"], *invented])
    life.box.put_record(record, life.fed, record.body()["seq"], life.fpr("anna"))
    assert names(life) == {"anna", "bert", "cleo"}


def test_whoever_was_removed_has_no_say_in_anything_later(life):
    life.removed("cleo")
    record = life.act("anna", membership.retire, [1], "spent")
    assert code_of(life.act, "cleo", membership.approve, record.mid) == "E_ROSTER"
    assert code_of(life.act, "cleo", membership.remove, life.keys["anna"].entry) == "E_ROSTER"
    signed = worlds.signed_by(record, [life.keys["anna"], life.keys["cleo"]])
    life.box.put_record(signed, life.fed, record.body()["seq"], life.fpr("cleo"))
    assert life.is_open(record)


def test_whoever_was_removed_comes_back_only_by_asking_again(life):
    life.removed("cleo")
    life.asks("cleo")
    record = life.act("anna", membership.admit, life.keys["cleo"].entry.code, NOW)
    for name in ("bert", "cleo"):
        life.act(name, membership.approve, record.mid)
    assert names(life) == {"anna", "bert", "cleo"}


# Retiring.


def test_under_all_every_member_ends_an_epoch(unanimous):
    record = unanimous.act("anna", membership.retire, [1], "spent")
    unanimous.act("bert", membership.approve, record.mid)
    assert unanimous.log().retired == {}
    unanimous.act("cleo", membership.approve, record.mid)
    assert unanimous.log().retired == {1: "spent"}


def test_under_majority_two_of_three_end_an_epoch(majority):
    record = majority.act("anna", membership.retire, [1], "spent")
    assert majority.log().retired == {}
    majority.act("bert", membership.approve, record.mid)
    assert majority.log().retired == {1: "spent"}


@pytest.mark.parametrize(
    ("epochs", "code"), [([2], "E_EPOCH"), ([], "E_FORMAT"), ([0], "E_FORMAT"), ([1, 9], "E_EPOCH")]
)
def test_what_is_not_agreed_cannot_be_ended(life, epochs, code):
    assert code_of(life.act, "anna", membership.retire, epochs, "spent") == code
    assert promised(life, "anna") == 1


def test_an_epoch_is_ended_once(life):
    life.retired(1)
    assert code_of(life.act, "anna", membership.retire, [1], "again") == "E_RETIRED"


@pytest.mark.parametrize("reason", ["x" * 401, "two\nlines", "\x1b[2J"], ids=repr)
def test_a_reason_that_no_terminal_should_show_is_refused_before_anything_is_promised(life, reason):
    before = promised(life, "anna")
    assert code_of(life.act, "anna", membership.retire, [1], reason) == "E_FORMAT"
    assert promised(life, "anna") == before


def test_a_member_that_steps_learns_of_the_change_and_forgets_the_signature_it_need_not_send(life):
    life.retired(1)
    assert [len(life.state(name)["signed"]) for name in life.names if life.act(name, lambda *_: True)] == [0, 0, 0]
    assert json.dumps(life.state("anna")["records"]).count("retire") > 0

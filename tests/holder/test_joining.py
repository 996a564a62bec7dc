"""Asking for secrets, giving them, taking them in: newcomers, and members who lost theirs."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from blindsight.holder import ceremony, federation, joining
from blindsight.protocol import grant, kem
from blindsight.protocol.encoding import from_b64, to_b64
from blindsight.protocol.errors import BlindsightError
from tests.holder import lives
from tests.protocol import worlds
from tests.protocol.worlds import NOW


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return lives.agreed(tmp_path_factory.mktemp("agreed"), "majority")


@pytest.fixture(scope="module")
def grown(founded, tmp_path_factory):
    """The same with a fourth member that has asked and has been granted nothing yet."""
    life = lives.Life(lives.copied(founded, tmp_path_factory.mktemp("grown") / "life"))
    life.admitted("dora")
    return life.root


@pytest.fixture
def life(founded, tmp_path):
    return lives.Life(lives.copied(founded, tmp_path / "life"))


@pytest.fixture
def ward(grown, tmp_path):
    return lives.Life(lives.copied(grown, tmp_path / "life"))


def code_of(act, *arguments, **options):
    with pytest.raises(BlindsightError) as caught:
        act(*arguments, **options)
    return caught.value.code


def taken(life, name):
    """What a site takes in: the epochs, and code and sentence of each refusal."""
    epochs, refused = life.act(name, joining.take)
    return epochs, [(refusal.error.code, refusal.error.message) for refusal in refused]


# Meeting.


def test_a_newcomer_meets_the_one_federation_with_the_whole_code(life):
    life.comes("dora")
    with life.store("dora") as store:
        log = joining.meet(store, life.box, f" {life.log().code.lower()} ")
        assert (log.fed, store.data["feds"][log.fed]["verified"]) == (life.fed, "code")


def test_a_part_of_the_code_or_another_code_meets_nobody(life):
    life.comes("dora")
    code = life.log().code
    for wrong in ("", code[:9], code[:-1], "0000-" * 9 + "0000"):
        with life.store("dora") as store:
            assert code_of(joining.meet, store, life.box, wrong) == "E_FED"
            assert store.data["feds"] == {}


def test_a_forged_federation_of_that_name_is_not_met(life):
    life.comes("dora")
    mallory, code = worlds.identity("mallory"), life.log().code
    forged_genesis = worlds.genesis([mallory], name="ward")
    life.box.put_record(forged_genesis, forged_genesis.mid, 0, mallory.entry.fpr)
    with life.store("dora") as store:
        assert joining.meet(store, life.box, code).fed == life.fed


# Asking.


def test_the_seed_is_in_the_keystore_before_the_request_leaves(life, monkeypatch):
    life.comes("dora")

    def lost(*_):
        raise OSError("the folder is gone")

    monkeypatch.setattr(type(life.box), "put_signed", lost)
    with pytest.raises(OSError, match="gone"):
        life.asks("dora")
    monkeypatch.undo()
    kept = life.state("dora")["join"]
    again = life.asks("dora")
    assert again.to_bytes().decode() == kept["document"]
    assert from_b64(again.body()["kem"]) == kem.public_key(from_b64(kept["seed"]))


def test_an_open_request_is_offered_again_and_an_ended_one_is_made_anew(life):
    life.comes("dora")
    first = life.asks("dora", days=2)
    assert life.asks("dora", days=14).mid == first.mid
    later = life.asks("dora", moment=NOW + timedelta(days=3))
    assert later.mid != first.mid
    assert later.body()["kem"] != first.body()["kem"]


@pytest.mark.parametrize("days", [1, 14, 30])
def test_a_second_request_is_the_one_that_is_answered_however_soon_it_ends(life, days):
    """The key of the first one is erased; nobody could open what is sealed to it."""
    life.loses("bert")
    life.asks("bert", days=14)
    life.act("anna", joining.give, "bert", NOW)
    assert taken(life, "bert")[0] == [1]
    life.loses("bert")
    second = life.asks("bert", days=days)
    assert lives.request_of(life, "bert").envelope.mid == second.mid
    life.act("anna", joining.give, "bert", NOW)
    assert taken(life, "bert") == ([1], [])


# Granting.


def test_a_newcomer_is_granted_the_key_that_all_have_and_erases_its_seed(ward):
    seed = ward.state("dora")["join"]["seed"]
    document, epochs = ward.act("anna", joining.give, "dora", NOW)
    assert epochs == [1]
    assert taken(ward, "dora") == ([1], [])
    assert ward.secret("dora") == ward.secret("anna") == ward.secret("bert")
    assert ward.state("dora")["join"] is None
    assert seed not in json.dumps(ward.state("dora"))
    assert document.mid not in json.dumps(ward.state("dora"))


def test_what_was_taken_in_stays_after_the_next_steps(ward):
    ward.act("anna", joining.give, "dora", NOW)
    assert ward.act("dora", ceremony.step, NOW).phase == "active"
    secret = ward.secret("dora")
    for _ in range(2):
        assert ward.act("dora", ceremony.step, NOW).refused == ()
    assert ward.secret("dora") == secret


def test_the_grown_federation_agrees_on_the_next_epoch_with_the_newcomer(ward):
    ward.act("anna", joining.give, "dora", NOW)
    taken(ward, "dora")
    ward.agree()
    assert len({ward.secret(name, 2) for name in ward.names}) == 1
    assert ward.secret("dora", 2) != ward.secret("dora", 1)


def test_any_member_may_be_the_sponsor_and_several_grants_are_one(ward):
    for name in ("anna", "bert", "cleo"):
        ward.act(name, joining.give, "dora", NOW)
    assert taken(ward, "dora") == ([1], [])


def test_nobody_grants_a_newcomer_before_the_roster_record(life):
    life.comes("dora")
    life.asks("dora")
    assert code_of(life.act, "anna", joining.give, "dora", NOW) == "E_ROSTER"


def test_a_grant_from_before_the_roster_record_is_refused_and_told_of(life):
    life.comes("dora")
    life.asks("dora")
    life.puts(
        "grant", lives.forged_grant(life, life.keys["anna"], lives.request_of(life, "dora"), {1: life.secret("anna")})
    )
    epochs, refused = taken(life, "dora")
    assert (epochs, [code for code, _ in refused]) == ([], ["E_ROSTER"])
    assert life.state("dora")["join"] is not None


def test_a_wrong_secret_is_refused_naming_the_sponsor_and_the_request_stays_open(ward):
    ward.puts("grant", lives.forged_grant(ward, ward.keys["cleo"], lives.request_of(ward, "dora"), {1: bytes(32)}))
    epochs, ((code, sentence),) = taken(ward, "dora")
    assert (epochs, code) == ([], "E_KCV")
    assert ward.label("cleo") in sentence
    ward.act("anna", joining.give, "dora", NOW)
    epochs, ((code, _),) = taken(ward, "dora")
    assert (epochs, code) == ([1], "E_KCV")


def test_a_step_reports_a_false_grant_as_refused(ward):
    ward.puts("grant", lives.forged_grant(ward, ward.keys["cleo"], lives.request_of(ward, "dora"), {1: bytes(32)}))
    progress = ward.act("dora", ceremony.step, NOW)
    assert [refusal.error.code for refusal in progress.refused] == ["E_KCV"]


def test_a_grant_sealed_to_another_key_does_not_open(ward):
    join = lives.request_of(ward, "dora")
    wrong = grant.Join(join.envelope, join.entry, kem.public_key(bytes(32)), join.expires)
    ward.puts("grant", lives.forged_grant(ward, ward.keys["anna"], wrong, {1: ward.secret("anna")}))
    assert [code for code, _ in taken(ward, "dora")[1]] == ["E_BOX"]


def test_a_grant_for_another_request_of_mine_is_passed_over(ward):
    old = lives.request_of(ward, "dora")
    ward.puts("grant", lives.forged_grant(ward, ward.keys["anna"], old, {1: ward.secret("anna")}))
    with ward.store("dora") as store:
        store.data["feds"][ward.fed]["join"] = None
        store.save()
    ward.asks("dora")
    assert taken(ward, "dora") == ([], [])


def test_a_grant_to_somebody_else_is_passed_over(ward):
    ward.loses("bert")
    ward.asks("bert")
    ward.act("anna", joining.give, "bert", NOW)
    assert taken(ward, "dora") == ([], [])


def test_a_grant_of_another_federation_in_the_same_folder_is_refused(ward):
    join = lives.request_of(ward, "dora")
    foreign = lives.forged_grant(ward, ward.keys["anna"], join, {1: ward.secret("anna")}, fed="00" * 32)
    ward.puts("grant", foreign)
    assert [code for code, _ in taken(ward, "dora")[1]] == ["E_FED"]


def test_a_grant_by_a_removed_member_is_refused_and_named(ward):
    secret, join = ward.secret("cleo"), lives.request_of(ward, "dora")
    early = lives.forged_grant(ward, ward.keys["cleo"], join, {1: secret})
    ward.removed("cleo")
    ward.puts("grant", early, lives.forged_grant(ward, ward.keys["cleo"], join, {1: secret}))
    epochs, refused = taken(ward, "dora")
    assert (epochs, [code for code, _ in refused]) == ([], ["E_ROSTER", "E_ROSTER"])
    assert all(ward.keys["cleo"].entry.code[:9] in sentence for _, sentence in refused)
    assert code_of(ward.act, "cleo", joining.give, "dora", NOW) == "E_ROSTER"


def test_an_ended_request_is_answered_by_nobody(ward):
    late = NOW + timedelta(days=15)
    assert code_of(ward.act, "anna", joining.give, "dora", late) == "E_ROSTER"


def test_who_has_not_asked_is_not_granted(life):
    with pytest.raises(BlindsightError, match="nobody is called 'bert'"):
        life.act("anna", joining.give, "bert", NOW)


def test_the_sponsor_gives_no_epoch_to_which_there_is_an_objection(ward):
    ward.act("anna", joining.give, "dora", NOW)
    taken(ward, "dora")
    ward.agree()
    ward.retired(1)
    ward.loses("dora")
    ward.asks("dora")
    _, epochs = ward.act("anna", joining.give, "dora", NOW)
    assert epochs == [2]


def test_a_sponsor_without_secrets_has_nothing_to_give(ward):
    ward.loses("anna")
    assert code_of(ward.act, "anna", joining.give, "dora", NOW) == "E_EPOCH"


def test_after_the_only_epoch_was_retired_there_is_nothing_to_give(ward):
    ward.retired(1)
    assert code_of(ward.act, "anna", joining.give, "dora", NOW) == "E_EPOCH"


def test_a_documents_box_and_file_show_nothing_of_the_secret(ward):
    ward.act("anna", joining.give, "dora", NOW)
    secret = ward.secret("anna")
    for spelling in (secret, to_b64(secret).encode(), secret.hex().encode()):
        assert not any(spelling in data for _, data in ward.pieces())


# Losing, and getting back.


def test_a_member_that_lost_its_secret_gets_it_back_without_a_roster_record(life):
    before, seq = life.secret("bert"), life.log().seq
    life.loses("bert")
    assert code_of(life.secret, "bert") == "E_EPOCH"
    assert life.act("bert", lambda store, box, log: joining.demand_lost(store, log, NOW)) == [1]
    life.asks("bert")
    life.act("cleo", joining.give, "bert", NOW)
    assert life.act("bert", ceremony.step, NOW).phase == "active"
    assert (life.secret("bert"), life.log().seq) == (before, seq)


def test_who_lacks_nothing_has_nothing_to_ask_for(life):
    assert code_of(life.act, "bert", lambda store, box, log: joining.demand_lost(store, log, NOW)) == "E_EXISTS"


def test_a_retired_epoch_is_not_asked_for(life):
    life.agree()
    life.retired(1)
    life.loses("bert")
    assert life.act("bert", lambda store, box, log: joining.demand_lost(store, log, NOW)) == [2]


def test_who_is_no_member_has_lost_nothing(ward):
    ward.removed("cleo")
    assert code_of(ward.act, "cleo", lambda store, box, log: joining.demand_lost(store, log, NOW)) == "E_ROSTER"


def test_a_member_from_whom_the_relay_withheld_the_last_confirms_comes_back_by_a_grant(life):
    """Bert sees neither confirms nor record, his keystore forgets the session, and he gets the second epoch granted."""
    deadline = NOW + timedelta(days=7)
    life.propose("anna", deadline=deadline)
    for _ in range(2):
        for name in ("bert", "cleo", "anna"):
            life.step(name)
    life.step("cleo")
    life.step("anna")
    with life.store("bert") as store:
        store.data["feds"][life.fed] |= {"session": None}
        store.data["feds"][life.fed]["secrets"] = {
            mid: held for mid, held in store.data["feds"][life.fed]["secrets"].items() if held["epoch"] == 1
        }
        store.save()
    assert life.act("bert", lambda store, box, log: joining.lacking(store, log, NOW)) == [2]
    life.asks("bert")
    life.act("anna", joining.give, "bert", NOW)
    life.act("bert", ceremony.step, NOW)
    assert life.secret("bert", 2) == life.secret("anna", 2)


def test_a_member_that_forgot_everything_meets_the_federation_again_by_its_code(life):
    secret = life.secret("bert")
    with life.store("bert") as store:
        store.data["feds"] = {}
        store.save()
    life.asks("bert")
    life.act("anna", joining.give, "bert", NOW)
    with life.store("bert") as store:
        log = federation.follow(store, life.box, life.fed)
        assert joining.take(store, life.box, log) == ([1], [])
    assert life.secret("bert") == secret


def test_junk_among_the_grants_keeps_nobody_from_the_true_one(ward):
    ward.puts("grant", worlds.notice_of(ward.log(), ward.keys["anna"]))
    ward.act("anna", joining.give, "dora", NOW)
    epochs, refused = taken(ward, "dora")
    assert epochs == [1]
    assert {code for code, _ in refused} <= {"E_FORMAT"}


# A removed member goes on sending.


def test_a_removed_member_that_goes_on_sending_is_refused_and_named(ward):
    ward.act("anna", joining.give, "dora", NOW)
    taken(ward, "dora")
    ward.removed("cleo")
    gone = ward.keys["cleo"]
    proposal = ward.propose("anna", deadline=NOW + timedelta(days=7))
    session = worlds.accepted(gone, worlds.constituted([gone]), worlds.proposal(gone, worlds.constituted([gone])))
    (commit,) = [one for one in session.outbox if one.type.endswith("commit.v1+json")]
    ward.box.put_message(
        worlds.resigned(commit, [gone], sid=proposal.mid), ward.fed, proposal.mid, "commit", gone.entry.fpr
    )
    progress = ward.step("bert")
    assert [refusal.error.code for refusal in progress.refused] == ["E_ROSTER"]
    assert gone.entry.fpr[:12] in progress.refused[0].file or gone.entry.code[:9] in progress.refused[0].error.message
    log = ward.log()
    foreign = worlds.resigned(proposal, [gone], **{"from": gone.entry.fpr})
    ward.box.put_message(foreign, ward.fed, foreign.mid, "propose", gone.entry.fpr)
    ward.puts("notices", worlds.notice_of(log, gone))
    confirm = worlds.record(log, [gone], seq=log.seq + 1, epoch=2, sid=proposal.mid)
    ward.box.put_message(confirm, ward.fed, proposal.mid, "confirm", gone.entry.fpr)
    refused = {(refusal.file.split("/")[-1].split("-")[0], refusal.error.code) for refusal in ward.step("dora").refused}
    assert refused == {("commit", "E_ROSTER"), ("propose", "E_ROSTER"), ("confirm", "E_ROSTER")}
    assert ward.log().notices == ()
    for path in ward.sessions.glob(f"*/*-{gone.entry.fpr[:12]}.json"):
        path.unlink()
    ward.finish()
    ward.agreed()


def test_a_removed_member_joins_no_ceremony(ward):
    ward.removed("cleo")
    ward.propose("anna", deadline=NOW + timedelta(days=7))
    before = sorted(name for name, _ in ward.pieces() if "/sessions/" in name)
    assert code_of(ward.step, "cleo") == "E_ROSTER"
    assert code_of(ward.propose, "cleo", deadline=NOW + timedelta(days=7)) == "E_ROSTER"
    assert sorted(name for name, _ in ward.pieces() if "/sessions/" in name) == before

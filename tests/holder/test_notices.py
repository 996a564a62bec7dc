"""Warnings: any one member makes one, everybody heeds it, and a shown key makes every member warn."""

from __future__ import annotations

import itertools

import pytest

from blindsight.holder import ceremony, device, notices
from blindsight.protocol import bundle, manifest
from blindsight.protocol.admission import verify_federation
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, PolicyError
from blindsight.protocol.logfile import read_log
from blindsight.protocol.messages import COMMIT
from blindsight.protocol.scheme import Descriptor
from tests.holder import lives, rooms
from tests.operator import bundles
from tests.protocol import worlds
from tests.protocol.worlds import NOW, World

TEXT = "a laptop was stolen"


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    return lives.agreed(tmp_path_factory.mktemp("agreed"), "majority")


@pytest.fixture
def life(founded, tmp_path):
    return lives.Life(lives.copied(founded, tmp_path / "life"))


def code_of(act, *arguments, **options):
    with pytest.raises(BlindsightError) as caught:
        act(*arguments, **options)
    return caught.value.code


def warn(life, name, number=1, text=TEXT):
    return life.act(name, notices.warn, number, text, NOW)


def objections(log, number=1):
    return [error.code for error in log.objections(number, NOW)]


def test_one_members_word_is_enough_and_everybody_hears_it(life):
    warn(life, "bert")
    for name in life.names:
        log = life.act(name, lambda store, box, log: log)
        assert objections(log) == ["E_NOTICE"]
        with pytest.raises(PolicyError, match=TEXT) as caught:
            log.demand_usable(1, NOW)
        assert life.label("bert") in str(caught.value)


def test_a_warning_is_remembered_when_the_folder_forgets_it(life):
    document = warn(life, "bert")
    life.act("anna", lambda *_: None)
    for path in (life.sessions.parent / "notices").iterdir():
        path.unlink()
    assert objections(life.log()) == []
    assert objections(life.act("anna", lambda store, box, log: log)) == ["E_NOTICE"]
    assert document.to_bytes().decode() in life.state("anna")["notices"]


def test_the_warning_is_kept_before_it_leaves(life, monkeypatch):
    def lost(*_):
        raise OSError("the folder is gone")

    monkeypatch.setattr(type(life.box), "put_signed", lost)
    with pytest.raises(OSError, match="gone"):
        warn(life, "bert")
    monkeypatch.undo()
    assert objections(life.act("bert", lambda store, box, log: log)) == ["E_NOTICE"]


def test_the_same_member_warns_of_an_epoch_once_and_others_may_warn_too(life):
    warn(life, "bert")
    assert code_of(warn, life, "bert") == "E_EXISTS"
    warn(life, "anna")
    assert objections(life.log()) == ["E_NOTICE", "E_NOTICE"]


def test_nobody_warns_of_an_epoch_that_is_not_agreed(life):
    assert code_of(warn, life, "bert", 2) == "E_EPOCH"


@pytest.mark.parametrize("text", ["x" * 401, "two\nlines", "\x1b[2J", "\u202e"], ids=repr)
def test_a_text_that_no_terminal_should_show_is_refused(life, text):
    assert code_of(warn, life, "bert", 1, text) == "E_FORMAT"
    assert life.state("bert")["notices"] == []


def test_a_stranger_and_a_removed_member_warn_nobody(life):
    life.comes("mallory")
    life.asks("mallory")
    assert code_of(warn, life, "mallory") == "E_ROSTER"
    life.removed("cleo")
    assert code_of(warn, life, "cleo") == "E_ROSTER"
    for key in (life.keys["mallory"], life.keys["cleo"], lives.LAB):
        life.puts("notices", worlds.notice_of(life.log(), key))
    assert objections(life.log()) == []


def test_a_warning_ends_with_the_membership_of_its_author(life):
    warn(life, "cleo")
    life.removed("cleo")
    assert objections(life.log()) == []


def test_a_warning_about_another_record_of_that_number_does_not_count(life):
    life.puts("notices", worlds.notice_of(life.log(), life.keys["anna"], record="00" * 32))
    assert objections(life.log()) == []


def test_after_the_retirement_nobody_can_override(life):
    warn(life, "bert")
    life.retired(1)
    assert "E_RETIRED" in objections(life.log())
    with pytest.raises(PolicyError) as caught:
        life.log().demand_usable(1, NOW, despite_notice=True)
    assert caught.value.code == "E_RETIRED"


def test_a_person_may_go_on_despite_a_warning(life):
    warn(life, "bert")
    life.log().demand_usable(1, NOW, despite_notice=True)


# Who heeds it.


def world_of(life):
    return World([life.keys[name] for name in life.names], life.log(), life.secret("anna"))


@pytest.mark.parametrize("after", ["warned", "retired"])
def test_the_trainers_check_names_it_for_every_manifest(life, after):
    world = world_of(life)
    offers = {name: world.manifest(life.keys[name]) for name in life.names}
    assert verify_federation(life.log(), offers, NOW)[1] == []
    if after == "warned":
        warn(life, "bert")
        _, faults = verify_federation(life.log(), offers, NOW, despite_notice=True)
        assert faults == []
    else:
        life.retired(1)
    _, faults = verify_federation(life.log(), offers, NOW)
    code = {"warned": "E_NOTICE", "retired": "E_RETIRED"}[after]
    assert [fault.code for fault in faults] == [code] * 3
    assert {fault.holder for fault in faults} == {life.label(name) for name in life.names}
    _, faults = verify_federation(life.log(), offers, NOW, despite_notice=True)
    assert [fault.code for fault in faults] == ([] if after == "warned" else ["E_RETIRED"] * 3)


@pytest.mark.parametrize("after", ["warned", "retired"])
def test_a_bundle_of_the_epoch_is_not_loaded(life, tmp_path, after):
    folder = bundles.write(tmp_path / "bundle", world_of(life))
    bundle.load(folder, life.log(), NOW)
    warn(life, "bert") if after == "warned" else life.retired(1)
    code = {"warned": "E_NOTICE", "retired": "E_RETIRED"}[after]
    assert code_of(bundle.load, folder, life.log(), NOW) == code
    if after == "warned":
        assert bundle.load(folder, life.log(), NOW, despite_notice=True)
    else:
        assert code_of(bundle.load, folder, life.log(), NOW, despite_notice=True) == code


def test_no_key_of_the_epoch_is_lent(life):
    key = life.comes("camera", "device")
    life.asks("camera")
    warn(life, "bert")
    descriptor = Descriptor("le", 1, (8, 8, 3), {"block": 4})
    assert code_of(life.act, "anna", device.lend, key.entry.code, descriptor, None, NOW) == "E_NOTICE"


def test_a_manifest_by_a_removed_member_is_refused_and_named(life):
    offer = world_of(life).manifest(life.keys["cleo"])
    manifest.read(offer, life.log())
    life.removed("cleo")
    with pytest.raises(BlindsightError) as caught:
        manifest.read(offer, life.log())
    assert caught.value.code == "E_ROSTER"
    assert life.keys["cleo"].entry.code[:9] in str(caught.value)


# Replay.


def test_old_records_and_manifests_of_an_old_epoch_do_not_pass_for_new_ones(life):
    old = world_of(life)
    old_log, offers = life.log(), {name: old.manifest(life.keys[name]) for name in life.names}
    life.agree()
    life.retired(1)
    _, faults = verify_federation(life.log(), offers, NOW)
    assert [fault.code for fault in faults] == ["E_RETIRED"] * 3
    new = World(old.keys, life.log(), life.secret("anna", 2))
    mixed = {"anna": new.manifest(life.keys["anna"], epoch=2), "bert": offers["bert"]}
    codes = {fault.code for fault in verify_federation(life.log(), mixed, NOW)[1]}
    assert {"E_RETIRED", "E_EPOCH"} <= codes
    for record in old_log.records:
        life.box.put_record(record, life.fed, 9, life.fpr("anna"))
    assert life.log().head["seq"] == life.act("anna", lambda store, box, log: log).seq > old_log.seq
    assert read_log(life.root / "box").epochs.keys() == {1, 2}


# Shown keys.


def exposed(life, name="bert"):
    """A member that shows the seed of its commit after the epoch has become active, as a valid complaint does."""
    seeds = {}

    def drawing(size):
        seeds.setdefault(name, []).append(bytes([len(seeds.get(name, [])) + 1]) * size)
        return seeds[name][-1]

    life.propose("anna")
    life.step(name, entropy=drawing)
    for _, other in itertools.product(range(4), life.names):
        life.step(other)
    life.agreed()
    sid = life.log().epochs[2].sid
    (commit,) = [
        envelope
        for path in life.sessions.glob(f"{sid[:12]}/*.json")
        if (envelope := Envelope.from_bytes(path.read_bytes())).type == COMMIT
        and envelope.body()["from"] == life.fpr(name)
    ]
    return sid, commit, seeds[name][0]


def complaint(life, name, sid, seed, about="anna"):
    body = {"v": 1, "type": "complaint", "sid": sid, "from": life.fpr(name), "about": life.fpr(about)}
    body |= {"code": "E_BOX", "kem_seed": to_b64(seed)}
    return Envelope.of("complaint", body).signed(life.keys[name])


def test_a_complaint_after_activation_makes_every_member_warn(life):
    sid, commit, seed = exposed(life)
    assert commit.body()["sid"] == sid
    life.box.put_message(complaint(life, "bert", sid, seed), life.fed, sid, "complaint", life.fpr("bert"))
    for name in life.names:
        life.step(name)
    log = life.log()
    authors = {body["from"] for body in log.warnings(2)}
    assert authors == {life.fpr(name) for name in life.names}
    assert {body["text"] for body in log.warnings(2)} == {notices.SHOWN_KEY}
    assert log.warnings(1) == []
    before = len(log.notices)
    for name in life.names:
        life.step(name)
    assert len(life.log().notices) == before


@pytest.mark.parametrize("fault", ["another seed", "a stranger's name", "another signature", "another session"])
def test_a_complaint_that_proves_nothing_makes_nobody_warn(life, fault):
    sid, _, seed = exposed(life)
    told = complaint(life, "bert", sid, bytes(32) if fault == "another seed" else seed)
    if fault == "a stranger's name":
        mallory = worlds.identity("mallory")
        told = worlds.resigned(told, [mallory], **{"from": mallory.entry.fpr})
    elif fault == "another signature":
        told = worlds.signed_by(told, [life.keys["anna"]])
    elif fault == "another session":
        told = worlds.resigned(told, [life.keys["bert"]], sid="00" * 32)
    life.box.put_message(told, life.fed, sid, "complaint", life.fpr("bert"))
    for name in life.names:
        life.step(name)
    assert life.log().notices == ()


def test_of_a_retired_epoch_nobody_needs_to_warn(life):
    sid, _, seed = exposed(life)
    life.retired(2)
    life.box.put_message(complaint(life, "bert", sid, seed), life.fed, sid, "complaint", life.fpr("bert"))
    life.step("anna")
    assert life.log().notices == ()


def test_who_is_no_member_steps_past_a_complaint_and_warns_nobody(life):
    sid, _, seed = exposed(life)
    life.box.put_message(complaint(life, "bert", sid, seed), life.fed, sid, "complaint", life.fpr("bert"))
    life.comes("dora")
    life.asks("dora")
    progress = life.act("dora", ceremony.step, NOW)
    assert (progress.refused, life.log().notices) == ((), ())
    assert rooms.codes(progress) == set()


def test_an_old_manifest_with_the_new_epochs_number_is_no_manifest_of_it(life):
    old = world_of(life)
    life.agree()
    claimed = old.predicate(life.keys["bert"]) | {"epoch": 2, "head": life.log().head}
    for changes, code in (({}, "E_EPOCH"), ({"record": life.log().epochs[2].record}, "E_KCV")):
        offer = manifest.make(life.keys["bert"], claimed | changes)
        assert code in {fault.code for fault in verify_federation(life.log(), {"bert": offer}, NOW)[1]}

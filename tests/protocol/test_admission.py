"""Admission: manifests that must not be trained together are refused, and the one who differs is named."""

import dataclasses
from datetime import timedelta

import pytest

from blindsight.protocol.admission import demand_admitted, verify_federation
from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import FederationError
from blindsight.protocol.manifest import labels_digest, read, task_of
from blindsight.protocol.scheme import Descriptor
from tests.protocol import worlds
from tests.protocol.worlds import LE, NOW

WORLD = worlds.world()
ANNA, BERT, CLEO = WORLD.keys
LATER = WORLD.next_epoch()


def admitted(odd=None, *, world=WORLD, moment=NOW, serials=None, keys=WORLD.keys):
    """Verify one manifest a holder; ``odd`` stands in for Bert's."""
    offers = {key.entry.name: world.manifest(key) for key in keys}
    if odd is not None:
        offers[BERT.entry.name] = odd
    return verify_federation(world.log, offers, moment, serials)


def faults(odd=None, **options):
    return {(fault.holder, fault.code) for fault in admitted(odd, **options)[1]}


def blames_bert(odd, code, **options):
    found = faults(odd, **options)
    assert (BERT.entry.label, code) in found
    assert {holder for holder, _ in found} == {BERT.entry.label}


def test_manifests_that_fit_have_no_faults():
    manifests, found = admitted()
    assert ([m.holder for m in manifests], found) == ([key.entry.label for key in WORLD.keys], [])


def test_one_holder_alone_is_admitted():
    assert faults(keys=[ANNA]) == set()


def test_nothing_offered_has_no_faults_and_no_manifests():
    assert verify_federation(WORLD.log, {}, NOW) == ([], [])


def test_another_block_size_names_the_holder_and_both_schemes():
    odd = WORLD.manifest(BERT, dataclasses.replace(LE, params={"block": 8}))
    blames_bert(odd, "E_SCHEME")
    sentences = [fault.sentence for fault in admitted(odd)[1] if fault.code == "E_SCHEME"]
    assert any('"block":8' in sentence and '"block":4' in sentence for sentence in sentences)


def test_another_shape_names_the_holder():
    blames_bert(WORLD.manifest(BERT, dataclasses.replace(LE, shape=(16, 16, 3))), "E_SCHEME")


def test_another_scheme_version_names_the_holder():
    blames_bert(WORLD.manifest(BERT, dataclasses.replace(LE, v=2)), "E_SCHEME")


def test_another_scheme_names_the_holder():
    blames_bert(WORLD.manifest(BERT, Descriptor("plain", 1, (8, 8, 3), {"block": 4})), "E_SCHEME")


def test_an_epoch_that_the_log_does_not_have_names_the_holder():
    blames_bert(LATER.manifest(BERT, epoch=2), "E_EPOCH")


def test_an_older_epoch_names_the_holder():
    offers = {key.entry.name: LATER.manifest(key, epoch=2) for key in (ANNA, CLEO)}
    offers[BERT.entry.name] = dataclasses.replace(LATER, secret=WORLD.secret).manifest(BERT, epoch=1)
    _, found = verify_federation(LATER.log, offers, NOW)
    assert (BERT.entry.label, "E_EPOCH") in {(fault.holder, fault.code) for fault in found}
    assert {fault.holder for fault in found} == {BERT.entry.label}


def test_another_record_for_the_same_epoch_names_the_holder():
    blames_bert(WORLD.manifest(BERT, record="00" * 32), "E_EPOCH")


def test_another_key_names_the_holder():
    blames_bert(WORLD.manifest(BERT, kcv="00" * 32), "E_KCV")


def test_another_program_or_option_names_the_holder():
    blames_bert(WORLD.manifest(BERT, scv="00" * 32), "E_SCV")


def last_digit_changed(text):
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def test_check_values_that_differ_in_the_last_digit_differ():
    scv = WORLD.predicate(BERT)["scv"]
    blames_bert(WORLD.manifest(BERT, scv=last_digit_changed(scv)), "E_SCV")


def test_label_digests_that_differ_in_the_last_digit_differ():
    bare = {"kind": "classification", "classes": 3, "labels_digest": labels_digest(worlds.CLASSES)}
    blames_bert(
        WORLD.manifest(BERT, task=bare | {"labels_digest": last_digit_changed(bare["labels_digest"])}), "E_TASK"
    )


def test_a_task_that_leaves_out_its_class_names_agrees_by_digest():
    bare = {"kind": "classification", "classes": 3, "labels_digest": labels_digest(worlds.CLASSES)}
    assert faults(WORLD.manifest(BERT, task=bare)) == set()


@pytest.mark.parametrize("classes", [("dog", "cat", "owl"), ("cat", "dog"), ("cat", "dog", "emu")], ids=str)
def test_other_classes_or_another_order_name_the_holder(classes):
    blames_bert(WORLD.manifest(BERT, task=task_of(classes)), "E_TASK")


def test_other_tensors_name_the_holder():
    tensors = {"image": {"dtype": "U8", "shape": ["N", 8, 8, 3]}}
    blames_bert(WORLD.manifest(BERT, tensors=tensors), "E_TASK")


def test_a_head_that_the_log_never_had_names_the_holder():
    blames_bert(WORLD.manifest(BERT, head={"seq": 1, "id": "00" * 32}), "E_HEAD")


def test_an_older_head_of_the_same_log_is_no_fault():
    assert faults(WORLD.manifest(BERT, head=WORLD.log.history[0])) == set()


def test_an_older_serial_than_seen_before_names_the_holder():
    blames_bert(WORLD.manifest(BERT), "E_ROLLBACK", serials={read(WORLD.manifest(BERT), WORLD.log).series: 2})


def test_the_serial_seen_before_may_come_again():
    assert faults(serials={read(WORLD.manifest(BERT), WORLD.log).series: 1}) == set()


def test_a_holder_that_names_anothers_data_set_does_not_age_it():
    cleo = next(key for key in WORLD.keys if key is not BERT)
    bold = WORLD.manifest(cleo, dataset=WORLD.predicate(BERT)["dataset"], serial=2**53 - 1)
    assert faults(serials={read(bold, WORLD.log).series: 2**53 - 1}, keys=[BERT]) == set()


def test_an_epoch_that_has_ended_names_everybody():
    found = faults(moment=NOW + timedelta(days=366))
    assert found == {(key.entry.label, "E_EXPIRED") for key in WORLD.keys}


def test_a_scheme_that_the_epoch_does_not_allow_names_everybody_who_uses_it():
    plain = Descriptor("plain", 1, (8, 8, 3), {"block": 4})
    offers = {key.entry.name: WORLD.manifest(key, plain) for key in WORLD.keys}
    _, found = verify_federation(WORLD.log, offers, NOW)
    assert {(fault.holder, fault.code) for fault in found} == {(key.entry.label, "E_SCHEME") for key in WORLD.keys}


@pytest.mark.parametrize(
    "changes", [{"v": 9}, {"params": {"block": 5}}, {"params": {}}], ids=["version", "block", "none"]
)
def test_a_scheme_that_this_software_cannot_read_is_a_fault_before_any_training(changes):
    odd = dataclasses.replace(LE, **changes)
    keys = worlds.holders(3)
    log, secret = worlds.agreed(
        keys, worlds.founded(keys), worlds.proposal(keys[0], worlds.founded(keys), schemes=[odd.to_json()])
    )
    world = worlds.World(keys, log, secret)
    _, found = verify_federation(log, {key.entry.name: world.manifest(key, odd) for key in keys}, NOW)
    assert {fault.code for fault in found} & {"E_SCHEME", "E_FORMAT"}


def test_two_manifests_of_one_split_by_one_holder_are_a_fault():
    offers = {f"{n}": WORLD.manifest(ANNA) for n in range(2)}
    _, found = verify_federation(WORLD.log, offers, NOW)
    assert {fault.holder for fault in found} == {ANNA.entry.label}
    assert len(found) == 2


def test_training_and_test_split_of_one_holder_go_together():
    dataset = WORLD.predicate(ANNA)["dataset"]
    offers = {split: WORLD.manifest(ANNA, dataset=dataset | {"split": split}) for split in ("train", "test")}
    assert verify_federation(WORLD.log, offers, NOW)[1] == []


def test_when_there_is_no_majority_everybody_is_named():
    offers = {"a": WORLD.manifest(ANNA), "b": WORLD.manifest(BERT, scv="00" * 32)}
    _, found = verify_federation(WORLD.log, offers, NOW)
    assert {(fault.holder, fault.code) for fault in found} == {(k.entry.label, "E_SCV") for k in (ANNA, BERT)}


def test_a_manifest_that_cannot_be_read_is_a_fault_under_its_file_name_and_hides_no_other():
    unsigned = Envelope(WORLD.manifest(BERT).type, WORLD.manifest(BERT).payload, {})
    offers = {"anna.json": WORLD.manifest(ANNA, kcv="00" * 32), "bert.json": unsigned}
    manifests, found = verify_federation(WORLD.log, offers, NOW)
    assert [m.holder for m in manifests] == [ANNA.entry.label]
    assert {(fault.holder, fault.code) for fault in found} >= {("bert.json", "E_QUORUM"), (ANNA.entry.label, "E_KCV")}


def test_a_changed_manifest_is_a_fault_that_names_the_holder_in_its_sentence():
    sound = WORLD.manifest(BERT)
    changed = Envelope(
        sound.type, canonical(sound.body() | {"predicate": WORLD.predicate(BERT, serial=2)}), sound.signatures
    )
    (fault,) = admitted(changed)[1]
    assert fault.code == "E_SIG"
    assert BERT.entry.name in fault.sentence


def test_all_faults_of_all_holders_are_listed():
    offers = {
        "a": WORLD.manifest(ANNA, kcv="00" * 32, head={"seq": 9, "id": "00" * 32}),
        "b": WORLD.manifest(BERT, scv="00" * 32),
        "c": WORLD.manifest(CLEO),
    }
    _, found = verify_federation(WORLD.log, offers, NOW)
    assert {(fault.holder, fault.code) for fault in found} == {
        (ANNA.entry.label, "E_KCV"),
        (ANNA.entry.label, "E_HEAD"),
        (BERT.entry.label, "E_SCV"),
    }


def test_training_does_not_start_while_there_is_a_fault_and_all_are_shown():
    _, found = admitted(WORLD.manifest(BERT, scv="00" * 32, kcv="00" * 32))
    with pytest.raises(FederationError) as caught:
        demand_admitted(found)
    assert caught.value.code == "E_FEDERATION"
    for part in ("2 fault(s)", BERT.entry.label, "[E_SCV]", "[E_KCV]"):
        assert part in caught.value.message


def test_training_starts_without_a_fault():
    demand_admitted([])

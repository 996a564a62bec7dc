"""A bundle that a holder re-keyed or imported says so, and is refused where it says anything that does not hold."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace

import pytest

from blindsight.protocol import bundle, provenance, statement
from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import IN_TOTO, Envelope
from blindsight.protocol.errors import (
    ConflictError,
    FormatError,
    MembershipError,
    PolicyError,
    SchemeError,
    SignatureError,
)
from tests.operator import bundles
from tests.protocol import worlds
from tests.protocol.worlds import NOW

ONE = worlds.world()
WORLD = ONE.next_epoch().next_epoch()
ANNA, BERT, CLEO = WORLD.keys
LAB = bundles.TRAINER
LOG = WORLD.log


def at(epoch):
    """What a statement says of an epoch."""
    agreed = LOG.epoch(epoch)
    return {"epoch": epoch, "record": agreed.record, "kcv": agreed.kcv, "head": LOG.head, "scv": f"{epoch}a" * 32}


def signed(stated, content, key):
    """A statement about files, whatever it says."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    return statement.make(bundle.PREDICATE_TYPE, digests, stated).signed(key)


FIRST = bundles.predicate(ONE)
ORIGIN = signed(FIRST, bundles.files(), LAB)
DERIVED = {"by": ANNA.entry.fpr, "how": "rekeyed", "origin": ORIGIN.mid, "epochs": [1]}
REKEYED = FIRST | at(2) | {"serial": 2, "supersedes": ORIGIN.mid, "derived": DERIVED}
IMPORTED = FIRST | {
    "trainer": None,
    "derived": {"by": BERT.entry.fpr, "how": "imported", "origin": None, "epochs": []},
}


def files(origin=ORIGIN, **more):
    return bundles.files(**{bundle.ORIGIN: origin.to_bytes()}, **more)


def put(folder, envelope, content):
    folder.mkdir()
    for name, data in {**content, bundle.STATEMENT: envelope.to_bytes()}.items():
        (folder / name).write_bytes(data)
    return folder


def written(tmp_path, stated=REKEYED, content=None, key=ANNA):
    """A bundle in a folder, signed, whatever it says."""
    content = files() if content is None else content
    return put(tmp_path / "bundle", signed(stated, content, key), content)


def refused(error, code, folder, log=LOG):
    for act in (lambda: bundle.load(folder, log, NOW), lambda: bundle.read(folder, log)):
        with pytest.raises(error) as caught:
            act()
        assert caught.value.code == code
    return caught.value.message


def test_a_re_keyed_bundle_names_its_holder_and_its_trainer(tmp_path):
    loaded = bundle.load(written(tmp_path), LOG, NOW)
    assert (loaded.signer, loaded.trainer) == (ANNA.entry.label, LAB.entry.label)
    assert loaded.tag.epoch == 2


def test_what_is_made_is_what_is_loaded(tmp_path):
    bundle.make(tmp_path / "two", ANNA, REKEYED, files())
    assert bundle.load(tmp_path / "two", LOG, NOW).predicate == REKEYED


def test_an_imported_bundle_names_its_holder_and_no_trainer(tmp_path):
    loaded = bundle.load(written(tmp_path, IMPORTED, bundles.files(), BERT), LOG, NOW)
    assert (loaded.signer, loaded.trainer) == (BERT.entry.label, None)


def test_a_trainers_bundle_names_the_trainer_twice(tmp_path):
    loaded = bundle.load(bundles.write(tmp_path / "one", ONE), LOG, NOW)
    assert loaded.signer == loaded.trainer == LAB.entry.label


def test_an_imported_bundle_that_was_re_keyed_names_who_imported_it_first(tmp_path):
    first = signed(IMPORTED, bundles.files(), BERT)
    stated = REKEYED | {"trainer": None, "derived": DERIVED | {"origin": first.mid}}
    loaded = bundle.load(written(tmp_path, stated, files(first)), LOG, NOW)
    assert (loaded.signer, loaded.trainer) == (ANNA.entry.label, None)


def test_the_key_that_makes_a_re_keyed_bundle_is_the_holders(tmp_path):
    with pytest.raises(ValueError, match="another trainer or holder"):
        bundle.make(tmp_path / "two", LAB, REKEYED, files())
    with pytest.raises(ValueError, match="another trainer or holder"):
        bundle.make(tmp_path / "two", BERT, REKEYED, files())


# Who signed.


def test_a_trainer_cannot_sign_what_names_a_holder(tmp_path):
    refused(MembershipError, "E_QUORUM", written(tmp_path, key=LAB))


@pytest.mark.parametrize("key", [LAB, worlds.identity("stranger")], ids=["trainer", "stranger"])
def test_whoever_is_no_member_cannot_re_key(tmp_path, key):
    stated = REKEYED | {"derived": DERIVED | {"by": key.entry.fpr}}
    refused(MembershipError, "E_ROSTER", written(tmp_path, stated, key=key))


def test_another_member_cannot_sign_in_the_place_of_the_one_named(tmp_path):
    refused(MembershipError, "E_QUORUM", written(tmp_path, key=BERT))


@pytest.mark.parametrize("more", [LAB, BERT], ids=["trainer", "member"])
def test_a_second_signature_is_refused(tmp_path, more):
    folder = put(tmp_path / "b", signed(REKEYED, files(), ANNA).signed(more), files())
    refused(MembershipError, "E_QUORUM", folder)


def test_a_member_who_was_removed_does_not_count_any_more(tmp_path):
    record = worlds.roster_record(LOG, [key.entry for key in (BERT, CLEO)], [BERT, CLEO])
    refused(MembershipError, "E_ROSTER", written(tmp_path), worlds.grown(LOG, record))


def test_a_signature_that_does_not_fit_is_refused(tmp_path):
    folder = put(tmp_path / "b", worlds.spoilt(signed(REKEYED, files(), ANNA)), files())
    refused(SignatureError, "E_SIG", folder)


# The first statement.


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_byte_in_the_first_statement_is_found(tmp_path, place):
    folder = written(tmp_path)
    data = bytearray((folder / bundle.ORIGIN).read_bytes())
    data[int(len(data) * place)] ^= 1
    (folder / bundle.ORIGIN).write_bytes(data)
    refused(SignatureError, "E_SHA", folder)


def test_the_first_statement_must_be_there(tmp_path):
    folder = written(tmp_path)
    (folder / bundle.ORIGIN).unlink()
    refused(FormatError, "E_IO", folder)


def test_a_first_statement_that_does_not_carry_the_trainers_signature_is_refused(tmp_path):
    by_holder = replace(ORIGIN, signatures={}).signed(ANNA)
    refused(MembershipError, "E_QUORUM", written(tmp_path, content=files(by_holder)))


def test_a_first_statement_with_a_signature_that_does_not_fit_is_refused(tmp_path):
    folder = written(tmp_path, content=files(worlds.spoilt(ORIGIN)))
    assert "first statement" in refused(SignatureError, "E_SIG", folder)


def test_a_first_statement_that_is_no_document_is_refused(tmp_path):
    content = bundles.files(**{bundle.ORIGIN: b"{}\n"})
    refused(FormatError, "E_FORMAT", written(tmp_path, content=content))


def test_a_first_statement_of_another_kind_is_refused(tmp_path):
    refused(FormatError, "E_FORMAT", written(tmp_path, content=files(ONE.manifest(ANNA))))


def test_another_statement_than_the_one_named_is_refused(tmp_path):
    other = signed(FIRST | {"metrics": {"accuracy": "0.999"}}, bundles.files(), LAB)
    refused(SchemeError, "E_ORIGIN", written(tmp_path, content=files(other)))


def test_a_first_statement_that_is_a_re_keyed_one_is_refused(tmp_path):
    second = signed(REKEYED, files(), ANNA)
    derived = DERIVED | {"by": BERT.entry.fpr, "origin": second.mid, "epochs": [2]}
    stated = REKEYED | at(3) | {"serial": 3, "derived": derived}
    folder = written(tmp_path, stated, files(second), BERT)
    assert "re-keyed one itself" in refused(SchemeError, "E_ORIGIN", folder)


OTHERS = {
    "arch": {"id": "linear", "params": {**bundles.PARAMETERS, "wide": 1}},  # in Python 1 equals true
    "metrics": {"accuracy": "0.999"},
    "model": FIRST["model"] | {"name": "pets, better"},
    "training": FIRST["training"] | {"rounds": 300},
    "input": FIRST["input"] | {"mean": ["0.4"]},
    "trainer": worlds.identity("rival", "trainer").entry.fpr,
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_the_trainer_stated_cannot_be_changed(tmp_path, name):
    content = files()
    if name == "arch":
        content[bundle.CONFIG] = bundle.config_file("linear", OTHERS["arch"]["params"])
    folder = written(tmp_path, REKEYED | {name: OTHERS[name]}, content)
    assert refused(SchemeError, "E_ORIGIN", folder).endswith(f"it states another {name}")


def test_other_labels_than_the_trainers_are_refused(tmp_path):
    names = ["owl", "dog", "cat"]
    task = bundles.task_of(names)
    stated = REKEYED | {"task": task, "labels_digest": task["labels_digest"]}
    folder = written(tmp_path, stated, files() | {bundle.LABELS: bundle.labels_file(names)})
    assert refused(SchemeError, "E_ORIGIN", folder).endswith("labels_digest, task")


@pytest.mark.parametrize("changes", [{"serial": 1}, {"derived": DERIVED | {"epochs": [3, 1]}}])
def test_epochs_and_serial_follow_from_the_first_statement(tmp_path, changes):
    assert "follow" in refused(SchemeError, "E_ORIGIN", written(tmp_path, REKEYED | changes))


def test_an_epoch_between_that_the_log_does_not_know_is_refused(tmp_path):
    stated = REKEYED | {"derived": DERIVED | {"epochs": [1, 7]}, "serial": 3}
    refused(MembershipError, "E_EPOCH", written(tmp_path, stated))


FOREIGN = {
    "E_FED": {"fed": "ab" * 32},
    "E_EPOCH": {"record": "ab" * 32},
    "E_KCV": {"kcv": "ab" * 32},
    "E_HEAD": {"head": {"seq": 1, "id": "ab" * 32}},
}


@pytest.mark.parametrize("code", sorted(set(FOREIGN) - {"E_FED"}))
def test_a_first_statement_about_another_log_is_refused(tmp_path, code):
    first = signed(FIRST | FOREIGN[code], bundles.files(), LAB)
    stated = REKEYED | {"derived": DERIVED | {"origin": first.mid}}
    error = {"E_EPOCH": MembershipError, "E_KCV": SignatureError, "E_HEAD": ConflictError}[code]
    refused(error, code, written(tmp_path, stated, files(first)))


def test_a_first_statement_of_another_federation_is_refused(tmp_path):
    first = signed(FIRST | FOREIGN["E_FED"], bundles.files(), LAB)
    stated = REKEYED | {"derived": DERIVED | {"origin": first.mid}}
    refused(SchemeError, "E_ORIGIN", written(tmp_path, stated, files(first)))


def test_a_trainer_who_left_does_not_count_any_more(tmp_path):
    members = [key.entry for key in WORLD.keys]
    record = worlds.roster_record(LOG, members, WORLD.keys, trainers=[])
    refused(MembershipError, "E_ROSTER", written(tmp_path), worlds.grown(LOG, record))


# The form.


def without(stated, name):
    return {key: value for key, value in stated.items() if key != name}


MALFORMED = {
    "no trainer": (FIRST | {"trainer": None}, bundles.files(), LAB),
    "a first statement of nothing": (FIRST, files(), LAB),
    "re-keyed without its first statement's file": (REKEYED, bundles.files(), ANNA),
    "re-keyed without an origin": (REKEYED | {"derived": DERIVED | {"origin": None}}, files(), ANNA),
    "re-keyed from no epoch": (REKEYED | {"derived": DERIVED | {"epochs": []}}, files(), ANNA),
    "re-keyed from epoch 0": (REKEYED | {"derived": DERIVED | {"epochs": [0]}}, files(), ANNA),
    "re-keyed far too often": (REKEYED | {"derived": DERIVED | {"epochs": [1] * 1025}}, files(), ANNA),
    "made in another way": (REKEYED | {"derived": DERIVED | {"how": "distilled"}}, files(), ANNA),
    "by nobody": (REKEYED | {"derived": without(DERIVED, "by")}, files(), ANNA),
    "with a reason": (REKEYED | {"derived": DERIVED | {"why": "new epoch"}}, files(), ANNA),
    "derived from null": (REKEYED | {"derived": None}, files(), ANNA),
    "imported with a trainer": (IMPORTED | {"trainer": LAB.entry.fpr}, bundles.files(), BERT),
    "imported with an origin": (
        IMPORTED | {"derived": IMPORTED["derived"] | {"origin": ORIGIN.mid}},
        bundles.files(),
        BERT,
    ),
    "imported from an epoch": (IMPORTED | {"derived": IMPORTED["derived"] | {"epochs": [1]}}, bundles.files(), BERT),
    "imported with a first statement": (IMPORTED, files(), BERT),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_statement_that_mixes_the_kinds_is_refused(tmp_path, fault):
    stated, content, key = MALFORMED[fault]
    refused(FormatError, "E_FORMAT", written(tmp_path, stated, content, key))


@pytest.mark.parametrize("fault", MALFORMED)
def test_nor_can_it_be_made(tmp_path, fault):
    stated, content, key = MALFORMED[fault]
    if fault not in ("by nobody", "derived from null", "no trainer"):
        with pytest.raises(FormatError):
            bundle.make(tmp_path / "b", key, stated, content)
    assert list(tmp_path.iterdir()) == []


# Its epoch.


def test_an_ended_epoch_is_no_obstacle_to_reading_and_one_to_loading(tmp_path):
    folder = bundles.write(tmp_path / "one", ONE)
    retired = worlds.grown(LOG, worlds.retire_record(LOG, [1], WORLD.keys))
    with pytest.raises(PolicyError) as caught:
        bundle.load(folder, retired, NOW)
    assert caught.value.code == "E_RETIRED"
    assert bundle.read(folder, retired).predicate == FIRST


def test_a_re_keyed_bundle_outlives_the_epoch_it_comes_from(tmp_path):
    retired = worlds.grown(LOG, worlds.retire_record(LOG, [1], WORLD.keys))
    assert bundle.load(written(tmp_path), retired, NOW).tag.epoch == 2


# Companions.


@pytest.mark.parametrize(("card", "words"), [(b"\xff\xfe", "UTF-8"), (b"x" * (2**20 + 1), "1048576")])
def test_a_card_that_is_no_text_or_too_long_is_refused(tmp_path, card, words):
    folder = written(tmp_path, FIRST, bundles.files(**{bundle.CARD: card}), LAB)
    assert words in refused(FormatError, "E_FORMAT", folder)


def test_names_of_the_optional_files():
    assert (bundle.FINGERPRINT, bundle.SELFTEST) == ("fingerprint.safetensors", "selftest.safetensors")
    assert (bundle.CARD, bundle.ORIGIN) == ("MODEL_CARD.md", "origin.dsse.json")


def test_a_copy_in_another_folder_is_the_same_bundle(tmp_path):
    folder = shutil.copytree(written(tmp_path), tmp_path / "copy")
    assert bundle.load(folder, LOG, NOW).envelope.type == IN_TOTO


def test_an_unverified_statement_shows_its_kind():
    _, predicate = bundle.parse_unsigned(Envelope(IN_TOTO, canonical(signed(REKEYED, files(), ANNA).body()), {}))
    assert predicate["derived"]["how"] == provenance.REKEYED

"""Slots: every way of opening a keystore, adding and removing them, and what each refuses."""

import hashlib
import json
import random
import shutil
import traceback

import pytest
from cryptography.exceptions import InvalidTag

from blindsight.protocol import kem, keystore
from blindsight.protocol.encoding import CROCKFORD, canonical, from_b64, to_b64
from blindsight.protocol.errors import (
    BlindsightError,
    KeyExistsError,
    KeystoreError,
    LockedKeyError,
    MissingExtraError,
    SignatureError,
    WrongPassphraseError,
)
from blindsight.protocol.keystore import TYPES, Unlock, kms, opened, os_keyring, passphrase, recovery, wrapping
from tests.protocol import vaults, worlds
from tests.protocol.test_keystore import rewritten

SLOTS = {"passphrase": Unlock.of(worlds.PASSPHRASE), "recovery": vaults.PAPER, "keyring": vaults.RING}
SLOTS["kms"] = vaults.SERVICE


@pytest.fixture
def uri(tmp_path, monkeypatch):
    return vaults.install_vault(tmp_path / "plugin", monkeypatch)


@pytest.fixture
def held(monkeypatch):
    return vaults.install_keyring(monkeypatch)


@pytest.fixture
def path(tmp_path, uri, held):
    """A keystore with a slot of every type."""
    return vaults.filled(tmp_path, uri)


def read(path):
    return json.loads(path.read_bytes())


def refusal(path, unlock):
    with pytest.raises(BlindsightError) as caught, opened(path, unlock):
        pass
    return caught.value


# Opening.


def test_a_file_of_the_first_version_still_opens(tmp_path):
    path = tmp_path / "keystore.json"
    shutil.copy("tests/vectors/keystore-v1.json", path)
    path.chmod(0o600)
    with opened(path, worlds.PASSPHRASE) as store:
        assert store.data["identity"]["seed"] == to_b64(bytes([1]) * 32)
        store.save()


@pytest.mark.parametrize(("number", "kind"), list(enumerate(TYPES, start=1)), ids=TYPES)
def test_every_slot_alone_opens_the_keystore(path, number, kind):
    assert [slot["type"] for slot in read(path)["slots"]] == list(TYPES)
    with opened(path, SLOTS[kind]) as store:
        assert (store.number, store.key.entry.name) == (number, "anna")
        store.save()
    with opened(path, worlds.PASSPHRASE) as store:
        assert store.data["feds"] == {}


@pytest.mark.parametrize("kind", TYPES)
def test_a_keystore_with_one_slot_left_opens_with_that(path, kind):
    with opened(path, worlds.PASSPHRASE) as store:
        for other in TYPES:
            if other != kind:
                store.remove([slot["type"] for slot in store.slots].index(other) + 1)
    with opened(path, SLOTS[kind]) as store:
        assert [slot["type"] for slot in store.slots] == [kind]


def test_of_several_passphrases_each_opens(path):
    with opened(path, worlds.PASSPHRASE) as store:
        assert store.add(passphrase.maker(b"second", worlds.CHEAP), Unlock.of(b"second")) == 5
    for secret, number in ((worlds.PASSPHRASE, 1), (b"second", 5)):
        with opened(path, secret) as store:
            assert store.number == number
    assert refusal(path, b"third").code == "E_PASSPHRASE"


def test_what_is_out_of_reach_is_told_and_the_passphrase_opens(path, held):
    held.clear()
    told = []
    everything = Unlock(passphrase=lambda: worlds.PASSPHRASE, keyring=True, notice=told.append)
    with opened(path, everything) as store:
        assert store.number == 1
    assert told == ["the keyring of this machine and user has no key for the keystore"]


def test_nobody_is_asked_for_a_passphrase_when_the_keyring_opens(path):
    with opened(path, Unlock(passphrase=pytest.fail, recovery=pytest.fail, keyring=True)) as store:
        assert store.number == 3


def test_a_secret_without_a_slot_of_its_type_is_told_which_types_there_are(tmp_path, held):
    store = worlds.keystore_of(tmp_path, "anna")
    error = refusal(store.path, vaults.PAPER)
    assert isinstance(error, WrongPassphraseError)
    assert "it has: passphrase" in error.message


def test_a_recovery_code_is_not_asked_for_after_a_wrong_passphrase(path):
    unlock = Unlock(passphrase=lambda: b"wrong", recovery=lambda: pytest.fail("asked"))
    assert refusal(path, unlock).message == "the passphrase does not open this keystore"


# The code on paper.


def test_a_recovery_code_is_fourteen_groups_and_reads_back():
    code = recovery.write_code(vaults.SEED)
    assert [len(group) for group in code.split("-")] == [4] * 14
    assert recovery.read_code(code) == vaults.SEED


def test_a_recovery_code_is_read_as_people_write():
    code = recovery.write_code(vaults.SEED)
    spelled = code.lower().replace("-", " \n").replace("0", "o").replace("1", "l")
    assert recovery.read_code(spelled) == vaults.SEED


def test_the_recovery_code_of_the_format_document_is_written_and_read():
    code = "-".join(["0W3G-E1R7"] * 6) + "-0W3P-NGM2"
    assert recovery.write_code(bytes([7]) * 32) == code
    assert recovery.read_code(code) == bytes([7]) * 32
    assert recovery.label({"public": to_b64(kem.public_key(bytes([7]) * 32))}) == "XVF6-CRM6"


def test_every_mistyped_letter_is_told_from_a_wrong_code():
    code = recovery.write_code(vaults.SEED)
    for place, letter in enumerate(code):
        if letter != "-":
            other = CROCKFORD[(CROCKFORD.index(letter) + 1) % 32]
            with pytest.raises(KeystoreError, match="mistyped") as caught:
                recovery.read_code(code[:place] + other + code[place + 1 :])
            assert caught.value.code == "E_FORMAT"


def test_two_groups_in_the_wrong_order_are_mistyped():
    first, second, *rest = recovery.write_code(vaults.SEED).split("-")
    with pytest.raises(KeystoreError, match="mistyped"):
        recovery.read_code("-".join([second, first, *rest]))


@pytest.mark.parametrize("text", ["", "ABCD", "U" * 56, "é" * 56, "0" * 57], ids=ascii)
def test_what_is_no_recovery_code_is_refused(text):
    with pytest.raises(KeystoreError, match="56 letters and digits") as caught:
        recovery.read_code(text)
    assert caught.value.code == "E_FORMAT"


def test_a_well_typed_code_of_another_keystore_is_named_as_that(path):
    error = refusal(path, Unlock(recovery=lambda: bytes(32)))
    assert (error.code, "well typed" in error.message) == ("E_PASSPHRASE", True)


def test_a_recovery_slot_that_its_own_code_does_not_open_was_tampered_with(path):
    slots = read(path)["slots"]
    box = bytearray(from_b64(slots[1]["wrap"]))
    box[-1] ^= 1
    slots[1]["wrap"] = to_b64(bytes(box))
    rewritten(path, slots=slots)
    assert refusal(path, vaults.PAPER).code == "E_TAMPERED"


# The keyring.


def test_the_keyring_holds_a_key_that_is_not_the_passphrase_and_not_in_the_file(path, held):
    ((place, key),) = held.items()
    assert place == (os_keyring.SERVICE, read(path)["slots"][2]["entry"])
    assert len(from_b64(key)) == 32
    assert key.encode() not in path.read_bytes()


@pytest.mark.parametrize("entry", [None, "no key", to_b64(bytes(32)), to_b64(bytes(31))], ids=str)
def test_a_keyring_without_the_right_key_leaves_the_keystore_locked(path, held, entry):
    place = next(iter(held))
    held.clear()
    if entry is not None:
        held[place] = entry
    error = refusal(path, vaults.RING)
    assert (error.code, error.exit_status) == ("E_LOCKED_KEY", 3)


def test_a_machine_without_a_keyring_is_a_sentence_and_writes_nothing(tmp_path, monkeypatch):
    keyring = pytest.importorskip("keyring")
    from keyring.backends.fail import Keyring

    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    keyring.set_keyring(Keyring())
    store = worlds.keystore_of(tmp_path, "anna")
    before = store.path.read_bytes()
    with pytest.raises(LockedKeyError, match="NoKeyringError"):
        store.add(os_keyring.maker(), vaults.RING)
    assert store.path.read_bytes() == before


def test_a_keyring_that_forgets_at_once_gets_no_slot(tmp_path, monkeypatch):
    keyring = pytest.importorskip("keyring")
    from keyring.backends.null import Keyring

    monkeypatch.setattr(keyring.core, "_keyring_backend", None)
    keyring.set_keyring(Keyring())
    store = worlds.keystore_of(tmp_path, "anna")
    with pytest.raises(LockedKeyError):
        store.add(os_keyring.maker(), vaults.RING)
    assert len(store.slots) == 1


# Key services.


def test_a_key_service_gets_a_context_that_names_keystore_type_and_key(path, uri):
    import a_vault

    document, service = read(path), a_vault.Vault(uri, vaults.asked)
    wrapped = from_b64(document["slots"][3]["wrapped"])
    context = {"ks": document["id"], "type": "kms", "uri": uri}
    assert len(service.unwrap(wrapped, canonical(context))) == 32
    for other in ({"ks": "00" * 16}, {"type": "keyring"}, {"uri": "vault:x"}):
        with pytest.raises(InvalidTag):
            service.unwrap(wrapped, canonical(context | other))


@pytest.mark.parametrize("scheme", ["nowhere", "needy"])
def test_a_missing_plug_in_is_named_with_what_to_install(tmp_path, uri, scheme):
    store = worlds.keystore_of(tmp_path, "anna")
    with pytest.raises(MissingExtraError) as caught:
        store.add(kms.maker(f"{scheme}:x", vaults.asked), vaults.SERVICE)
    assert scheme in caught.value.message
    assert len(store.slots) == 1


@pytest.mark.parametrize("bad", ["", "x", "no scheme", ":x", "VAULT:x", "1:x", "\x1b:x"], ids=ascii)
def test_a_uri_without_a_scheme_is_refused(tmp_path, bad):
    store = worlds.keystore_of(tmp_path, "anna")
    with pytest.raises((KeystoreError, MissingExtraError)):
        store.add(kms.maker(bad, vaults.asked), vaults.SERVICE)


@pytest.mark.parametrize("scheme", ["broken", "short", "absent"])
def test_a_service_that_does_not_give_back_what_it_was_given_gets_no_slot(tmp_path, uri, scheme):
    store = worlds.keystore_of(tmp_path, "anna")
    before = store.path.read_bytes()
    with pytest.raises(KeystoreError):
        store.add(kms.maker(uri.replace("vault:", f"{scheme}:"), vaults.asked), vaults.SERVICE)
    assert store.path.read_bytes() == before


def test_whatever_a_service_raises_is_a_sentence_without_its_words(path):
    error = refusal(path, Unlock(pin=lambda token: b"4321"))
    assert error.code == "E_LOCKED_KEY"
    assert "1234" not in "".join(traceback.format_exception(error))


# Adding, replacing, removing.


def test_slots_change_and_data_and_data_key_stay(path):
    wraps = [slot["wrap"] for slot in read(path)["slots"][:3]]
    with opened(path, worlds.PASSPHRASE) as store:
        seed = store.data["identity"]["seed"]
        store.replace(1, passphrase.maker(b"second", worlds.CHEAP), Unlock.of(b"second"))
    after = [slot["wrap"] for slot in read(path)["slots"][:3]]
    assert (after[0] != wraps[0], after[1:]) == (True, wraps[1:])
    assert refusal(path, worlds.PASSPHRASE).code == "E_PASSPHRASE"
    for unlock in (b"second", vaults.PAPER, vaults.RING, vaults.SERVICE):
        with opened(path, unlock) as store:
            assert store.data["identity"]["seed"] == seed


def test_the_last_slot_is_not_removed(tmp_path):
    store = worlds.keystore_of(tmp_path, "anna")
    before = store.path.read_bytes()
    with pytest.raises(KeystoreError, match="the last slot stays"):
        store.remove(1)
    assert store.path.read_bytes() == before


@pytest.mark.parametrize("number", [0, -1, 2, 99])
def test_a_slot_that_there_is_not_is_not_removed(tmp_path, number):
    store = worlds.keystore_of(tmp_path, "anna")
    with pytest.raises(KeystoreError) as caught:
        store.remove(number)
    assert caught.value.code == "E_MISSING"


def test_a_removed_slot_does_not_open_any_more(path):
    with opened(path, worlds.PASSPHRASE) as store:
        assert store.remove(2)["type"] == "recovery"
    assert refusal(path, vaults.PAPER).code == "E_PASSPHRASE"


def test_there_are_at_most_sixteen_slots(tmp_path):
    store = worlds.keystore_of(tmp_path, "anna")
    make = recovery.maker(kem.public_key(vaults.SEED))
    for _ in range(15):
        store.add(make, vaults.PAPER)
    with pytest.raises(KeystoreError, match="at most 16"):
        store.add(make, vaults.PAPER)
    with opened(store.path, vaults.PAPER) as again:
        assert len(again.slots) == 16


def test_an_empty_passphrase_makes_no_slot():
    with pytest.raises(KeystoreError) as caught:
        passphrase.maker(b"")
    assert caught.value.code == "E_PASSPHRASE"


def test_slots_of_the_same_random_bytes_are_the_same(tmp_path):
    stores = []
    for name in ("one", "other"):
        entropy = random.Random(7).randbytes
        options = {"role": "holder", "name": "a", "passphrase": b"x", "created": worlds.CREATED, "cost": worlds.CHEAP}
        stores.append(keystore.create(tmp_path / name / "k.json", entropy=entropy, **options))
    assert stores[0].slots == stores[1].slots
    assert stores[0].key.entry == stores[1].key.entry


# Bound to the keystore and the type.


BOUND = {
    "passphrase": "the passphrase does not open this keystore",
    "recovery": "its own code does not open it",
    "keyring": "the key in the keyring does not open",
    "kms": "the key service of scheme vault failed",
}


@pytest.mark.parametrize("kind", TYPES)
def test_the_wrap_of_a_slot_is_bound_to_its_keystore(path, tmp_path, kind):
    other = worlds.keystore_of(tmp_path, "bert")
    rewritten(other.path, slots=[read(path)["slots"][TYPES.index(kind)]])
    assert BOUND[kind] in refusal(other.path, SLOTS[kind]).message


def test_the_wraps_of_keyring_and_paper_are_bound_to_their_type(path, held):
    document = read(path)
    _, paper, ring, _ = document["slots"]
    key = from_b64(held[os_keyring.SERVICE, ring["entry"]])
    for kind, sound in (("keyring", True), ("kms", False)):
        bound = canonical({"ks": document["id"], "type": kind, "entry": ring["entry"]})
        assert (wrapping.unwrap(key, from_b64(ring["wrap"]), bound) is not None) == sound
    with pytest.raises(SignatureError):
        kem.unseal(vaults.SEED, from_b64(paper["wrap"]), canonical({"ks": document["id"], "type": "kms"}), 32)


@pytest.mark.parametrize("number", [1, 2, 3, 4], ids=TYPES)
def test_a_slot_that_somebody_removes_is_named_as_tampering(path, number):
    slots = read(path)["slots"]
    left = TYPES[0] if number != 1 else TYPES[1]
    rewritten(path, slots=slots[: number - 1] + slots[number:])
    assert refusal(path, SLOTS[left]).code == "E_TAMPERED"


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
def test_every_passphrase_slot_is_held_to_the_limits_before_any_is_tried(path, place):
    with opened(path, worlds.PASSPHRASE) as store:
        store.add(passphrase.maker(b"second", worlds.CHEAP), Unlock.of(b"second"))
    slots = read(path)["slots"]
    slots[0 if place == 0 else 4]["kdf"]["m"] = 2**40
    rewritten(path, slots=slots)
    for unlock in (worlds.PASSPHRASE, vaults.PAPER, vaults.RING):
        assert refusal(path, unlock).code == "E_KDF"


def test_more_memory_than_the_machine_has_is_a_sentence(monkeypatch):
    from blindsight.protocol.keystore import passphrase as module

    class Greedy:
        def __init__(self, **options):
            pass

        def derive(self, secret):
            raise MemoryError

    monkeypatch.setattr(module, "Argon2id", Greedy)
    with pytest.raises(KeystoreError) as caught:
        worlds.CHEAP.key(b"x", bytes(16))
    assert caught.value.code == "E_KDF"


# A backup.


def test_a_backup_opens_with_the_paper_and_with_nothing_else(path, tmp_path):
    with opened(path, worlds.PASSPHRASE) as store:
        store.data["feds"]["ab" * 32] = {"note": 1}
        store.save()
        store.backup(tmp_path / "backup.json")
    assert [slot["type"] for slot in read(tmp_path / "backup.json")["slots"]] == ["recovery"]
    with opened(tmp_path / "backup.json", vaults.PAPER) as copy:
        assert copy.data["feds"] == {"ab" * 32: {"note": 1}}
        assert copy.key.entry.name == "anna"
    for unlock in (worlds.PASSPHRASE, vaults.RING, vaults.SERVICE):
        assert refusal(tmp_path / "backup.json", unlock).code == "E_PASSPHRASE"


def test_a_backup_has_a_data_key_of_its_own(path, tmp_path):
    with opened(path, worlds.PASSPHRASE) as store:
        store.backup(tmp_path / "backup.json")
    wraps = [read(file)["slots"] for file in (path, tmp_path / "backup.json")]
    context = canonical({"ks": read(path)["id"], "type": "recovery"})
    keys = {kem.unseal(vaults.SEED, from_b64(s["wrap"]), context, 32) for w in wraps for s in w if "public" in s}
    assert len(keys) == 2


def test_without_a_recovery_slot_there_is_no_backup(tmp_path):
    store = worlds.keystore_of(tmp_path, "anna")
    with pytest.raises(KeystoreError, match="recovery code") as caught:
        store.backup(tmp_path / "backup.json")
    assert "slot add recovery" in caught.value.hint
    assert not (tmp_path / "backup.json").exists()


def test_a_backup_never_overwrites(path, tmp_path):
    (tmp_path / "backup.json").write_text("my thesis")
    with opened(path, worlds.PASSPHRASE) as store, pytest.raises(KeyExistsError):
        store.backup(tmp_path / "backup.json")
    assert (tmp_path / "backup.json").read_text() == "my thesis"


# Mutations.


@pytest.mark.parametrize("kind", TYPES)
def test_three_hundred_changed_bytes_are_each_refused_with_a_code(path, kind):
    whole, chance = path.read_bytes(), random.Random(kind)
    for _ in range(300):
        raw = bytearray(whole)
        raw[chance.randrange(len(raw))] ^= chance.randrange(1, 256)
        path.write_bytes(raw)
        assert refusal(path, SLOTS[kind]).code in ("E_CORRUPT", "E_FORMAT", "E_VERSION")


def mutated(value, chance):
    """The same JSON with one leaf changed."""
    if isinstance(value, dict):
        name = chance.choice(sorted(value))
        return {**value, name: mutated(value[name], chance)}
    if isinstance(value, list):
        place = chance.randrange(len(value))
        return [*value[:place], mutated(value[place], chance), *value[place + 1 :]]
    if isinstance(value, int):
        return chance.choice([value + 1, -value, 2**50, 0, str(value), None, [value]])
    place = chance.randrange(len(value))
    return chance.choice([value[:place] + chance.choice("aA0_/é") + value[place + 1 :], value[:place], 7, None, []])


@pytest.mark.parametrize("seed", range(3))
def test_changed_fields_with_a_fitting_sum_are_each_refused_with_a_code(path, seed):
    document, chance = read(path), random.Random(seed)
    everything = Unlock(lambda: worlds.PASSPHRASE, lambda: vaults.SEED, keyring=True, pin=vaults.asked)
    for _ in range(100):
        changed = mutated({name: value for name, value in document.items() if name != "sum"}, chance)
        if changed == {name: value for name, value in document.items() if name != "sum"}:
            continue
        changed["sum"] = hashlib.sha256(canonical(changed)).hexdigest()
        path.write_bytes(canonical(changed) + b"\n")
        for unlock in (everything, *SLOTS.values()):
            assert refusal(path, unlock).code.startswith("E_")


# Nothing secret is shown.


def test_what_unlocks_shows_nothing_of_itself():
    shown = repr(Unlock.of(b"open sesame")) + repr(vaults.PAPER)
    assert "sesame" not in shown
    assert vaults.SEED.hex() not in shown
    assert repr(vaults.SEED) not in shown


def test_no_slot_holds_a_secret_unsealed(path, held):
    raw = path.read_bytes()
    for secret in (worlds.PASSPHRASE, vaults.SEED, vaults.PIN, *(from_b64(key) for key in held.values())):
        for spelling in (secret, to_b64(secret).encode(), secret.hex().encode()):
            assert spelling not in raw


def test_a_keystore_without_such_slots_imports_neither_keyring_nor_pkcs11():
    import subprocess
    import sys

    program = "import sys, blindsight.protocol.keystore; print({'keyring', 'pkcs11'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_a_description_tells_slots_apart_and_holds_no_secret(path):
    lines = [keystore.describe(slot) for slot in read(path)["slots"]]
    assert lines[0] == "argon2id m=8192 t=1 p=1"
    assert lines[1].startswith("paper ")
    assert lines[3].startswith("vault:/")

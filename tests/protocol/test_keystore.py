"""The keystore: what is wrong with a file is told apart, nothing is ever overwritten, nothing secret is ever shown."""

import hashlib
import json
import os
import stat
import subprocess
import sys
import traceback

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blindsight.protocol import keystore
from blindsight.protocol.encoding import canonical, from_b64, to_b64
from blindsight.protocol.errors import BlindsightError, KeyExistsError, KeystoreError, WrongPassphraseError
from blindsight.protocol.keystore import Argon2Cost, opened
from tests.protocol import worlds

SEALED = {}
FILES = {"keystore.json", "keystore.json.lock", "keystore.json.gen"}


@pytest.fixture
def path(tmp_path):
    """A keystore of its own for every test; the costly sealing is done once."""
    target = tmp_path / "site" / "keystore.json"
    if not SEALED:
        store = worlds.keystore_of(tmp_path / "first", "anna")
        SEALED["bytes"] = store.path.read_bytes()
    target.parent.mkdir(mode=0o700)
    target.write_bytes(SEALED["bytes"])
    target.chmod(0o600)
    return target


def refusal(path, passphrase=worlds.PASSPHRASE):
    with pytest.raises(KeystoreError) as caught, opened(path, passphrase):
        pass
    return caught.value


def rewritten(path, *, fix_sum=True, **changes):
    """Change fields of the file, with the checksum made to fit again."""
    document = json.loads(path.read_bytes()) | changes
    if fix_sum:
        plain = {name: value for name, value in document.items() if name != "sum"}
        document["sum"] = hashlib.sha256(canonical(plain)).hexdigest()
    path.write_bytes(canonical(document) + b"\n")


def slot_of(path):
    return json.loads(path.read_bytes())["slots"][0]


def test_the_right_passphrase_opens_it(path):
    with opened(path, worlds.PASSPHRASE) as store:
        assert store.key.entry.name == "anna"
        assert store.data["feds"] == {}


def test_what_is_saved_is_there_when_it_is_opened_again(path):
    with opened(path, worlds.PASSPHRASE) as store:
        fpr = store.key.entry.fpr
        store.data["feds"]["ab" * 32] = {"note": "ü"}
        store.save()
    with opened(path, worlds.PASSPHRASE) as store:
        assert store.data["feds"] == {"ab" * 32: {"note": "ü"}}
        assert store.key.entry.fpr == fpr


def test_saving_counts_generations_and_changes_the_sealed_body(path):
    before = json.loads(path.read_bytes())
    with opened(path, worlds.PASSPHRASE) as store:
        store.save()
        store.save()
    after = json.loads(path.read_bytes())
    assert after["gen"] == before["gen"] + 2
    assert after["body"] != before["body"]
    assert after["slots"] == before["slots"]


def test_the_file_is_canonical_json_readable_by_its_owner_alone(path):
    with opened(path, worlds.PASSPHRASE) as store:
        store.save()
    raw = path.read_bytes()
    assert raw == canonical(json.loads(raw)) + b"\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_new_keystore_lies_in_a_folder_of_its_owner_alone(tmp_path):
    store = worlds.keystore_of(tmp_path, "anna")
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700


def test_a_lax_umask_does_not_widen_a_keystore(tmp_path):
    before = os.umask(0)
    try:
        store = worlds.keystore_of(tmp_path, "anna")
        store.save()
    finally:
        os.umask(before)
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_two_keystores_of_one_name_and_passphrase_share_nothing(tmp_path):
    one, other = (json.loads(worlds.keystore_of(tmp_path / n, "anna").path.read_bytes()) for n in ("a", "b"))
    assert one["id"] != other["id"]
    assert one["slots"][0]["kdf"]["salt"] != other["slots"][0]["kdf"]["salt"]


def test_the_cost_of_a_new_keystore_is_that_of_rfc_9106():
    assert (Argon2Cost().m, Argon2Cost().t, Argon2Cost().p) == (65_536, 3, 4)


# What is wrong with a file.


def test_no_keystore_is_named_with_the_command_that_makes_one(tmp_path):
    error = refusal(tmp_path / "none.json")
    assert error.code == "E_MISSING"
    assert "key init" in error.hint


def test_a_wrong_passphrase_is_named_as_that(path):
    error = refusal(path, b"wrong")
    assert isinstance(error, WrongPassphraseError)
    assert error.code == "E_PASSPHRASE"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o602])
def test_a_keystore_that_others_can_touch_is_refused_with_the_remedy(path, mode):
    path.chmod(mode)
    error = refusal(path)
    assert error.code == "E_PERMS"
    assert error.hint == f"chmod 600 {path}"


def test_a_link_to_a_keystore_is_refused(path, tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(path)
    assert refusal(link).code == "E_PERMS"


def test_a_dangling_link_is_refused_as_a_link(tmp_path):
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "nowhere")
    assert refusal(link).code == "E_PERMS"


def test_a_folder_in_place_of_a_keystore_is_refused(tmp_path):
    folder = tmp_path / "keystore.json"
    folder.mkdir(mode=0o700)
    assert refusal(folder).code == "E_PERMS"


def test_a_pipe_in_place_of_a_keystore_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "keystore.json", 0o600)
    program = (
        "import sys; from pathlib import Path; from blindsight.protocol import keystore\n"
        "from blindsight.protocol.errors import KeystoreError\n"
        "try:\n    keystore.opened(Path(sys.argv[1]), b'x').__enter__()\n"
        "except KeystoreError as error:\n    print(error.code)\n"
    )
    command = [sys.executable, "-P", "-c", program, str(tmp_path / "keystore.json")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    assert result.stdout.strip() == "E_PERMS"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_keystore_of_another_user_is_refused(path):
    os.chown(path, 12_345, -1)
    assert refusal(path).code == "E_PERMS"


DAMAGES = {
    "nothing": lambda raw: b"",
    "cut": lambda raw: raw[: len(raw) // 2],
    "extended": lambda raw: raw + b"\n",
    "zeros": lambda raw: bytes(len(raw)),
    "another spelling": lambda raw: json.dumps(json.loads(raw), sort_keys=True).encode(),
    "a changed body": lambda raw: raw.replace(b'"body":"', b'"body":"AAAA'),
    "a changed sum": lambda raw: raw.replace(b'"sum":"', b'"sum":"0').replace(b'"}\n', b"}\n"),
    "no slots": lambda raw: canonical(json.loads(raw) | {"slots": []}) + b"\n",
    "an unknown field": lambda raw: canonical(json.loads(raw) | {"note": ""}) + b"\n",
    "a duplicate field": lambda raw: raw[:-2] + b',"v":1}\n',
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_keystore_is_named_as_that_without_trying_the_passphrase(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    error = refusal(path, b"wrong")
    assert error.code == "E_CORRUPT"
    assert "your passphrase was not tried" in error.message


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_single_changed_byte_opens(path, data):
    raw = bytearray(SEALED["bytes"])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    assert refusal(path).code in ("E_CORRUPT", "E_FORMAT", "E_VERSION")


def test_another_file_is_no_keystore(path):
    path.write_bytes(b'{"format":"age"}\n')
    assert refusal(path).code == "E_FORMAT"


def test_a_list_is_no_keystore(path):
    path.write_bytes(b"[]\n")
    assert refusal(path).code == "E_FORMAT"


def test_a_keystore_of_another_version_is_refused_naming_both_versions(path):
    rewritten(path, v=2)
    error = refusal(path)
    assert error.code == "E_VERSION"
    assert "version 2" in error.message
    assert "version 1" in error.message


def test_a_changed_body_with_a_fitting_sum_is_named_as_tampering(path):
    body = bytearray(from_b64(json.loads(path.read_bytes())["body"]))
    body[-1] ^= 1
    rewritten(path, body=to_b64(bytes(body)))
    assert refusal(path).code == "E_TAMPERED"


@pytest.mark.parametrize("body", [b"", b"short", bytes(200)], ids=["empty", "short", "zeros"])
def test_a_replaced_body_is_named_as_tampering(path, body):
    rewritten(path, body=to_b64(body))
    assert refusal(path).code == "E_TAMPERED"


@pytest.mark.parametrize("change", [{"gen": 7}, {"id": "00" * 16}], ids=["generation", "id"])
def test_the_head_of_the_file_is_sealed_with_the_body(path, change):
    rewritten(path, **change)
    assert refusal(path).code in ("E_TAMPERED", "E_PASSPHRASE")


def test_the_body_of_an_older_generation_does_not_fit_the_newer_head(path):
    older = json.loads(path.read_bytes())["body"]
    with opened(path, worlds.PASSPHRASE) as store:
        store.save()
    rewritten(path, body=older)
    assert refusal(path).code == "E_TAMPERED"


def test_a_changed_wrap_does_not_open(path):
    slot = slot_of(path)
    wrap = bytearray(from_b64(slot["wrap"]))
    wrap[0] ^= 1
    rewritten(path, slots=[slot | {"wrap": to_b64(bytes(wrap))}])
    assert refusal(path).code == "E_PASSPHRASE"


def test_a_changed_salt_does_not_open(path):
    slot = slot_of(path)
    rewritten(path, slots=[slot | {"kdf": slot["kdf"] | {"salt": to_b64(bytes(16))}}])
    assert refusal(path).code == "E_PASSPHRASE"


def test_a_slot_that_somebody_adds_is_named_as_tampering(path):
    slot = slot_of(path)
    rewritten(path, slots=[slot, slot])
    assert refusal(path).code == "E_TAMPERED"


def test_a_slot_of_an_unknown_kind_is_refused(path):
    rewritten(path, slots=[slot_of(path) | {"type": "none"}])
    error = refusal(path)
    assert error.code == "E_FORMAT"
    assert "slots[0].type must be passphrase or recovery or keyring or kms" in error.message


@pytest.mark.parametrize(
    "change",
    [{"slots": []}, {"note": ""}, {"gen": 0}, {"id": "x"}, {"slots": [7]}, {"slots": [{"type": ["kms"]}]}],
    ids=str,
)
def test_odd_fields_with_a_fitting_sum_are_named_as_not_understood(path, change):
    rewritten(path, **change)
    assert refusal(path).code == "E_FORMAT"


@pytest.mark.parametrize(
    "cost", [{"m": 8_191}, {"m": 4 * 2**20 + 1}, {"t": 0}, {"t": 17}, {"p": 0}, {"p": 17}], ids=lambda c: str(c)
)
def test_a_file_cannot_ask_for_more_memory_or_time_than_the_limits(path, cost):
    slot = slot_of(path)
    rewritten(path, slots=[slot | {"kdf": slot["kdf"] | cost}])
    assert refusal(path).code == "E_KDF"


def test_a_cost_outside_the_limits_cannot_exist():
    with pytest.raises(KeystoreError) as caught:
        Argon2Cost(m=1_024)
    assert caught.value.code == "E_KDF"


# Never overwritten.


def test_a_keystore_is_never_overwritten(path):
    before = path.read_bytes()
    with pytest.raises(KeyExistsError) as caught:
        worlds.keystore_of(path.parent.parent, "site")
    assert caught.value.code == "E_EXISTS"
    assert path.read_bytes() == before


def test_whatever_stands_there_is_never_overwritten(tmp_path):
    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "keystore.json").write_text("my thesis")
    with pytest.raises(KeyExistsError):
        worlds.keystore_of(tmp_path, "anna")
    assert (tmp_path / "anna" / "keystore.json").read_text() == "my thesis"
    assert [p.name for p in (tmp_path / "anna").iterdir()] == ["keystore.json"]


@pytest.mark.parametrize("make", [lambda p: p.write_text("x"), lambda p: p.symlink_to("/nowhere"), lambda p: p.mkdir()])
def test_a_place_that_is_taken_is_refused_before_a_passphrase_is_chosen(tmp_path, make):
    make(tmp_path / "keystore.json")
    with pytest.raises(KeyExistsError):
        keystore.demand_absent(tmp_path / "keystore.json")


@pytest.mark.parametrize("below", ["file/keystore.json", "file/deeper/keystore.json"])
def test_a_place_that_cannot_be_written_is_refused_with_its_code(tmp_path, below):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(KeystoreError) as caught:
        keystore.create(
            tmp_path / below, role="holder", name="a", passphrase=b"x", created=worlds.CREATED, cost=worlds.CHEAP
        )
    assert caught.value.code == "E_IO"


@pytest.mark.parametrize(
    "wrong",
    [{"role": "king"}, {"name": "x" * 81}, {"name": "\x1b[2J"}, {"created": "today"}, {"passphrase": b""}],
    ids=str,
)
def test_an_odd_identity_or_an_empty_passphrase_makes_no_keystore(tmp_path, wrong):
    sound = {"role": "holder", "name": "a", "passphrase": b"x", "created": worlds.CREATED}
    with pytest.raises((BlindsightError, ValueError)):
        keystore.create(tmp_path / "keystore.json", cost=worlds.CHEAP, **(sound | wrong))
    assert not list(tmp_path.iterdir())


# Locked and saved whole.


def test_a_keystore_in_use_by_another_process_is_refused(path):
    program = (
        "import sys; from pathlib import Path; from blindsight.protocol.keystore import opened\n"
        "with opened(Path(sys.argv[1]), sys.argv[2].encode()):\n"
        "    print('open', flush=True); sys.stdin.readline()\n"
    )
    command = [sys.executable, "-P", "-c", program, str(path), worlds.PASSPHRASE.decode()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        assert refusal(path).code == "E_LOCKED"
        other.communicate("\n")
    with opened(path, worlds.PASSPHRASE):
        pass


def test_a_keystore_is_free_again_when_its_block_ends_in_an_error(path):
    with pytest.raises(RuntimeError), opened(path, worlds.PASSPHRASE):
        raise RuntimeError
    with opened(path, worlds.PASSPHRASE):
        pass


def test_a_lock_that_is_a_link_is_refused(path, tmp_path):
    path.with_name("keystore.json.lock").symlink_to(tmp_path / "elsewhere")
    assert refusal(path).code in ("E_PERMS", "E_IO", "E_LOCKED")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_keystore_and_nothing_else(path, call, monkeypatch):
    before = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with opened(path, worlds.PASSPHRASE) as store:
        store.data["feds"]["ab" * 32] = {}
        with monkeypatch.context() as patch:
            patch.setattr(os, call, full)
            with pytest.raises((OSError, KeystoreError)):
                store.save()
        assert path.read_bytes() == before
        assert {p.name for p in path.parent.iterdir()} == FILES
        store.save()
    with opened(path, worlds.PASSPHRASE) as store:
        assert "ab" * 32 in store.data["feds"]


def test_a_full_disk_is_a_sentence_with_a_code_and_no_traceback(path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with opened(path, worlds.PASSPHRASE) as store:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(KeystoreError) as caught:
            store.save()
    assert caught.value.code == "E_IO"


def test_no_older_copy_is_kept(path):
    with opened(path, worlds.PASSPHRASE) as store:
        for _ in range(3):
            store.save()
    assert {p.name for p in path.parent.iterdir()} == FILES


# Nothing secret is shown.


def test_an_opened_keystore_shows_nothing_of_itself(path):
    with opened(path, worlds.PASSPHRASE) as store:
        seed = store.data["identity"]["seed"]
        for shown in (repr(store), str(store), f"{store!r}"):
            assert shown == f"Keystore({str(path)!r})"
            assert seed not in shown
        assert not hasattr(store, "__dict__")


@pytest.mark.parametrize("wrong", [b"my dog is called Rex", worlds.PASSPHRASE])
def test_no_traceback_shows_a_passphrase(path, wrong):
    if wrong == worlds.PASSPHRASE:
        rewritten(path, body=to_b64(bytes(200)))
    try:
        with opened(path, wrong):
            pass
    except KeystoreError as error:
        text = "".join(traceback.format_exception(error)) + repr(error) + repr(error.args) + error.hint
        assert wrong.decode() not in text
        assert repr(wrong) not in text
    else:
        pytest.fail("it opened")


def test_the_seed_never_stands_in_the_file_unsealed(path):
    with opened(path, worlds.PASSPHRASE) as store:
        assert store.data["identity"]["seed"].encode() not in path.read_bytes()

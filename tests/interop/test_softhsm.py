"""A keystore that opens with a key inside a PKCS#11 token, spoken to through SoftHSM 2 (Debian: softhsm2)."""

import json
import os
import shutil
import subprocess
import traceback
from pathlib import Path

import pytest

from blindsight.cli import main
from blindsight.protocol.encoding import from_b64
from blindsight.protocol.errors import BlindsightError, KeystoreError
from blindsight.protocol.keystore import Unlock, kms, opened
from tests.protocol import worlds

MODULES = [Path(root) / "libsofthsm2.so" for root in ("/usr/lib/softhsm", "/usr/lib64", "/usr/local/lib/softhsm")]
MODULE = next((path for path in MODULES if path.exists()), None)
PIN = b"4321"

if MODULE is None or shutil.which("softhsm2-util") is None:
    pytest.skip("SoftHSM 2 is not installed (Debian: apt-get install softhsm2)", allow_module_level=True)
pkcs11 = pytest.importorskip("pkcs11", reason='python-pkcs11 is not installed: pip install "blindsight[pkcs11]"')


@pytest.fixture(scope="module")
def token(tmp_path_factory):
    """A token with two AES keys that cannot leave it, made through its own interface."""
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm2.conf")
    command = ["softhsm2-util", "--init-token", "--free", "--label", "a unit", "--so-pin", "12345678", "--pin", "4321"]
    subprocess.run(command, check=True, capture_output=True)
    with pkcs11.lib(str(MODULE)).get_token(token_label="a unit").open(rw=True, user_pin="4321") as session:
        for label in ("site", "other"):
            template = {pkcs11.Attribute.EXTRACTABLE: False, pkcs11.Attribute.SENSITIVE: True}
            session.generate_key(pkcs11.KeyType.AES, 256, label=label, store=True, template=template)
    yield folder
    pkcs11.unload(str(MODULE))
    os.environ.pop("SOFTHSM2_CONF")
    if before is not None:
        os.environ["SOFTHSM2_CONF"] = before


@pytest.fixture
def path(token, tmp_path):
    """A keystore with a passphrase and a slot in the token."""
    store = worlds.keystore_of(tmp_path, "anna")
    store.add(kms.maker(uri(), asked), Unlock(pin=asked))
    return store.path


def uri(token="a%20unit", key="site", module=MODULE):
    return f"pkcs11:token={token};object={key}?module-path={module}"


def asked(_):
    return PIN


def refusal(path, make, pin=asked):
    with opened(path, worlds.PASSPHRASE) as store, pytest.raises(BlindsightError) as caught:
        store.add(make, Unlock(pin=pin))
    return caught.value


def test_a_key_in_the_token_opens_the_keystore(path):
    with opened(path, Unlock(pin=asked)) as store:
        assert (store.number, store.key.entry.name) == (2, "anna")
        store.save()


def test_the_slot_holds_nonce_ciphertext_and_tag_and_no_pin(path):
    slot = json.loads(path.read_bytes())["slots"][1]
    assert len(from_b64(slot["wrapped"])) == 12 + 32 + 16
    assert slot["uri"] == uri()
    assert PIN not in slot["uri"].encode()


def test_a_wrong_pin_is_named_asked_for_once_and_never_shown(path):
    asked_for = []

    def wrong(words):
        asked_for.append(words)
        return b"9999"

    with pytest.raises(KeystoreError) as caught, opened(path, Unlock(lambda: worlds.PASSPHRASE, pin=wrong)):
        pass
    assert (caught.value.code, asked_for) == ("E_PASSPHRASE", ["token 'a unit'"])
    assert "9999" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("change", [{"id": "00" * 16}, {"slots": "other key"}], ids=str)
def test_a_wrap_opens_in_its_keystore_and_with_its_key_alone(path, change):
    from tests.protocol.test_keystore import rewritten

    if "slots" in change:
        slots = json.loads(path.read_bytes())["slots"]
        slots[1]["uri"] = uri(key="other")
        change = {"slots": slots}
    rewritten(path, **change)
    with pytest.raises(BlindsightError) as caught, opened(path, Unlock(pin=asked)):
        pass
    assert caught.value.code == "E_LOCKED_KEY"


@pytest.mark.parametrize("named", [{"token": "nobody"}, {"key": "nothing"}], ids=str)
def test_a_token_or_key_that_is_not_there_is_a_sentence_with_its_name(path, named):
    error = refusal(path, kms.maker(uri(**named), asked))
    assert error.code == "E_LOCKED_KEY"
    assert next(iter(named.values())) in error.message


@pytest.mark.parametrize(
    "bad",
    [
        "pkcs11:",
        "pkcs11:token=a",
        "pkcs11:token=a;object=b",
        "pkcs11:token=a;object=b?module-path=",
        "pkcs11:token=a;object=b;object=c?module-path=/x",
        "pkcs11:token=a;object=b;color=red?module-path=/x",
        "pkcs11:token=a;object=b?module-path=/x&pin-value=4321",
        "pkcs11:token=a;object=b;pin-value=4321?module-path=/x",
        "pkcs11:token=a;object=b?module-path=/x&pin-source=file:/y",
    ],
)
def test_an_odd_uri_and_one_with_a_pin_are_refused_without_repeating_the_pin(path, bad):
    error = refusal(path, kms.maker(bad, asked))
    assert error.code == "E_FORMAT"
    assert "4321" not in error.message + error.hint


def test_a_module_that_others_could_have_put_there_is_not_loaded(path, tmp_path):
    module = tmp_path / "module.so"
    module.write_bytes(b"")
    module.chmod(0o666)
    assert refusal(path, kms.maker(uri(module=module), asked)).code == "E_PERMS"


def test_a_module_that_is_none_or_is_not_there_is_a_sentence(path, tmp_path):
    (tmp_path / "module.so").write_bytes(b"no library")
    (tmp_path / "module.so").chmod(0o644)
    for module in (tmp_path / "module.so", tmp_path / "none.so"):
        assert refusal(path, kms.maker(uri(module=module), asked)).code == "E_LOCKED_KEY"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_module_of_another_user_is_not_loaded(path, tmp_path):
    (tmp_path / "module.so").write_bytes(b"")
    os.chown(tmp_path / "module.so", 12_345, -1)
    assert refusal(path, kms.maker(uri(module=tmp_path / "module.so"), asked)).code == "E_PERMS"


def test_the_command_adds_the_slot_and_opens_with_the_pin_alone(path, tmp_path, capsys, monkeypatch):
    for name in ("BLINDSIGHT_PASSPHRASE", "BLINDSIGHT_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    for name, secret in (("pin", PIN), ("passphrase", worlds.PASSPHRASE)):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(secret + b"\n")
    base = ["--keystore", str(path), "--pin-file", str(tmp_path / "pin"), "--json"]
    words = ["holder", "key", "slot", "add", "kms", "--uri", uri(key="other"), *base]
    assert main([*words, "--passphrase-file", str(tmp_path / "passphrase")]) == 0
    assert json.loads(capsys.readouterr().out)["slot"] == 3
    assert main(["holder", "key", "slot", "remove", "1", *base]) == 0
    assert main(["holder", "key", "show", *base]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["name"] == "anna"

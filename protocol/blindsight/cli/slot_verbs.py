"""``key passwd``, ``key slot`` and ``key backup``: what opens a keystore. FORMAT.md section G."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from blindsight.cli import passphrase
from blindsight.cli.arguments import MOST_DIGITS, Verbs, add_keystore, at_least
from blindsight.cli.output import emit, emit_facts, emit_json, say
from blindsight.protocol import kem, keystore
from blindsight.protocol.errors import BlindsightError, KeyExistsError, KeystoreError
from blindsight.protocol.keystore import kms, os_keyring, recovery
from blindsight.protocol.keystore import passphrase as passphrase_slot
from blindsight.protocol.keystore.slots import TYPES, Unlock
from blindsight.protocol.keystore.wrapping import Maker, Slot

SEED_BYTES = recovery.SEED_BYTES
ACTIONS = ("list", "add", "remove")


def add_verbs(verbs: Verbs, role: str) -> None:
    """Give a role the verbs, into its group ``key``."""
    _add_passwd(verbs, role)
    _add_slot(verbs, role)
    example = f"blindsight {role} key backup --out keystore-backup.json"
    backup = verbs.add("key backup", _backup, "write a copy that opens under the recovery codes only", example)
    backup.add_argument("--out", type=Path, required=True, metavar="FILE", help="the copy; must not exist")
    add_keystore(backup)
    backup.set_defaults(role=role)


def _add_passwd(verbs: Verbs, role: str) -> None:
    passwd = verbs.add("key passwd", _passwd, "choose another passphrase", f"blindsight {role} key passwd")
    passwd.add_argument("--slot", type=at_least(1), metavar="NUMBER", help="which, if there are several passphrases")
    _add_new(passwd)
    add_keystore(passwd)


def _add_slot(verbs: Verbs, role: str) -> None:
    summary = "list, add or remove the ways of opening the keystore"
    slot = verbs.add("key slot", _slot, summary, f"blindsight {role} key slot add recovery")
    slot.add_argument("action", choices=ACTIONS)
    slot.add_argument("which", nargs="?", metavar="TYPE|NUMBER", help=f"add: {', '.join(TYPES)}; remove: a number")
    slot.add_argument("--uri", help="add kms: the key, pkcs11:token=LABEL;object=LABEL?module-path=/path/to/module.so")
    _add_new(slot)
    add_keystore(slot)
    slot.set_defaults(misused=slot.error)


def _add_new(parser: argparse.ArgumentParser) -> None:
    words = "read the new passphrase from a file"
    parser.add_argument("--new-passphrase-file", type=Path, metavar="FILE", help=f"{words}, mode 0600")
    parser.add_argument("--new-passphrase-fd", type=int, metavar="N", help=f"{words} descriptor")


def _passwd(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        number = _passphrase_number(store, options.slot)
        secret = passphrase.read_new(options)
        make, proof = passphrase_slot.maker(secret), Unlock.of(secret)
        if number:
            store.replace(number, make, proof)
        else:
            number = store.add(make, proof)
    say("the keystore opens with the new passphrase; an older copy of the file still opens with the old one")
    emit_facts({"slot": number, "keystore": str(store.path)}, as_json=options.json)
    return 0


def _passphrase_number(store: keystore.Keystore, named: int | None) -> int:
    """Which slot gets the new passphrase: the named, the one that opened, the only one; 0 if there is none."""
    numbers = [n for n, slot in enumerate(store.slots, start=1) if slot["type"] == passphrase_slot.TYPE]
    if named:
        store.demand_slot(named)
        if named not in numbers:
            raise KeystoreError(f"slot {named} is not one of a passphrase", code="E_MISSING", hint="see: key slot list")
        return named
    if store.number in numbers or not numbers:
        return store.number if store.number in numbers else 0
    if len(numbers) > 1:
        raise KeystoreError("there are several passphrases", code="E_MISSING", hint="name one with --slot NUMBER")
    return numbers[0]


def _slot(options: argparse.Namespace) -> int:
    acts: dict[str, Callable[[argparse.Namespace], int]] = {"list": _list, "add": _add, "remove": _remove}
    return acts[options.action](options)


def _list(options: argparse.Namespace) -> int:
    if options.which is not None:
        options.misused("list takes no further word")
    path = passphrase.keystore_path(options)
    keystore.demand_present(path)
    for number, slot in enumerate(keystore.examine(path)["slots"], start=1):
        if options.json:
            emit_json({"slot": number, "type": slot["type"], "detail": keystore.describe(slot)})
        else:
            emit(f"{number:<3} {slot['type']:<10}  {keystore.describe(slot)}")
    return 0


def _add(options: argparse.Namespace) -> int:
    if options.which not in TYPES:
        options.misused(f"add needs the type of the slot: {', '.join(TYPES)}")
    if (options.which == kms.TYPE) != (options.uri is not None):
        options.misused("--uri names the key of a kms slot, and only of that")
    with passphrase.opened(options) as store:
        make, proof, code = _wanted(options)
        number = store.add(make, proof)
        slot = store.slots[number - 1]
    facts = {"slot": number, "type": slot["type"], "detail": keystore.describe(slot)}
    if code:
        say(f"write the code on paper, with its name {recovery.label(slot)}; it is shown this once")
        facts["code"] = code
    emit_facts(facts, as_json=options.json)
    return 0


def _wanted(options: argparse.Namespace) -> tuple[Maker, Unlock, str]:
    """How to make the slot, what must then open it, and what a person is to write down."""
    if options.which == recovery.TYPE:
        seed = os.urandom(SEED_BYTES)
        return recovery.maker(kem.public_key(seed)), Unlock(recovery=lambda: seed), recovery.write_code(seed)
    if options.which == os_keyring.TYPE:
        return os_keyring.maker(), Unlock(keyring=True), ""
    if options.which == kms.TYPE:
        pin = cache(lambda token: passphrase.pin(options, token))
        return kms.maker(options.uri, pin), Unlock(pin=pin), ""
    secret = passphrase.read_new(options)
    return passphrase_slot.maker(secret), Unlock.of(secret), ""


def _remove(options: argparse.Namespace) -> int:
    if not (options.which or "").isdecimal() or len(options.which) > MOST_DIGITS:
        options.misused("remove needs the number of the slot; see: key slot list")
    with passphrase.opened(options) as store:
        removed = store.remove(int(options.which))
    if removed["type"] == os_keyring.TYPE:
        _forget(removed)
    say("an older copy of the keystore still opens with it")
    emit_facts({"removed": int(options.which), "type": removed["type"]}, as_json=options.json)
    return 0


def _forget(slot: Slot) -> None:
    try:
        os_keyring.forget(slot)
    except BlindsightError as error:  # it may lie in another machine's keyring
        say(f"the slot is gone, its key may still lie in a keyring: {error.message}")


def _backup(options: argparse.Namespace) -> int:
    if options.out.exists() or options.out.is_symlink():
        raise KeyExistsError(f"something stands at {options.out} already", hint="name another file with --out")
    with passphrase.opened(options) as store:
        store.backup(options.out)
        papers = [recovery.label(slot) for slot in store.slots if slot["type"] == recovery.TYPE]
    say("the copy keeps secrets that the keystore erases later; putting it back is a rollback: tell the other members")
    emit_facts({"backup": str(options.out), "papers": papers}, as_json=options.json)
    return 0

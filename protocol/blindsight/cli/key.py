"""``key init|show|passwd|slot|backup``, the same for every role that signs."""

from __future__ import annotations

import argparse

from blindsight.cli import passphrase, slot_verbs
from blindsight.cli.arguments import Verbs, add_keystore
from blindsight.cli.output import emit_facts, say
from blindsight.protocol import keystore
from blindsight.protocol.clock import now, to_text


def add_verbs(verbs: Verbs, role: str) -> None:
    """Give a role its ``key`` verbs."""
    verbs.group("key", "make and show this site's identity, and what opens its keystore")
    _add_init(verbs, role)
    show = verbs.add("key show", _show, "show this site's identity; never a secret", f"blindsight {role} key show")
    show.add_argument("--dropbox", metavar="PLACE", help="also put the identity card there: a folder or URL")
    add_keystore(show)
    slot_verbs.add_verbs(verbs, role)


def _add_init(verbs: Verbs, role: str) -> None:
    example = f"blindsight {role} key init --name site-A --keystore site-A/keystore.json --dropbox box"
    init = verbs.add("key init", _init, "make an identity in a new sealed keystore", example)
    init.add_argument("--name", required=True, help="shown to the other parties, at most 80 characters")
    init.add_argument("--dropbox", metavar="PLACE", help="also put the identity card there: a folder or URL")
    init.set_defaults(role=role)
    if role == "holder":
        words = "for a machine that sends images and belongs to no federation's holders: role device"
        init.add_argument("--device", action="store_const", dest="role", const="device", help=words)
    add_keystore(init)


def _init(options: argparse.Namespace) -> int:
    path = passphrase.keystore_path(options)
    keystore.demand_absent(path)
    secret = passphrase.read(options, new=True)
    created = to_text(now())
    store = keystore.create(path, role=options.role, name=options.name, passphrase=secret, created=created)
    say(f"a new identity is sealed in {path}; without its passphrase it is lost")
    return _report(store, options)


def _show(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        return _report(store, options)


def _report(store: keystore.Keystore, options: argparse.Namespace) -> int:
    entry = store.key.entry
    facts = {"role": entry.role, "name": entry.name, "fingerprint": entry.code, "keystore": str(store.path)}
    if options.dropbox:
        from blindsight.protocol.dropbox import DropBox  # heavy: numpy

        facts["card"] = str(DropBox(options.dropbox).put_card(store.key, store.data["identity"]["created"]))
    if store.data["feds"]:
        facts["federations"] = ", ".join(fed[:12] for fed in sorted(store.data["feds"]))
    emit_facts(facts, as_json=options.json)
    return 0

"""``blindsight holder device``: a camera or an encryption worker gets one scheme's key and nothing else."""

from __future__ import annotations

import argparse
from datetime import timedelta
from pathlib import Path

from blindsight.cli import passphrase
from blindsight.cli.arguments import Verbs, add_federation, add_keystore, at_least, days
from blindsight.cli.output import emit, emit_facts, progress, say
from blindsight.holder import device, federation, geometry, joining, quality_cli, scheme_options, site
from blindsight.holder.ciphers import cipher_for
from blindsight.holder.publish_cli import split_of
from blindsight.holder.sources import SPLITS, open_source
from blindsight.protocol.clock import now
from blindsight.protocol.delegate import Delegated
from blindsight.protocol.errors import MembershipError

BOX = "--dropbox box"
DEFAULT_REQUEST_DAYS = 14
WAITING = 75


def add_verbs(verbs: Verbs) -> None:
    """Add the group."""
    verbs.group("device", "lend one scheme's key to a camera or an encryption worker; use a lent key")
    for parser in (*_exchange(verbs), _use(verbs)):
        add_keystore(parser)
        add_federation(parser)


def _exchange(verbs: Verbs) -> list[argparse.ArgumentParser]:
    ask = verbs.add(
        "device ask",
        _ask,
        "ask a holder for a key (on the device, with a keystore made by key init --device)",
        f'blindsight holder device ask "$CODE" {BOX}',
    )
    ask.add_argument("code", help="the federation code, all ten groups")
    ask.add_argument("--days", type=days, default=DEFAULT_REQUEST_DAYS, help="how long the request stands")
    lend = verbs.add(
        "device lend",
        _lend,
        "lend a device the key of one scheme and shape in one epoch",
        f'blindsight holder device lend "$CODE" --scheme le --block 4 --shape 32x32x3 {BOX}',
    )
    lend.add_argument("code", help="the device's fingerprint code, all ten groups, as read at the device")
    scheme_options.add_scheme(lend)
    scheme_options.add_shape(lend, "of the images it may encrypt")
    lend.add_argument("--epoch", type=at_least(1), metavar="N", help="number of the epoch (default: the newest)")
    take = verbs.add(
        "device take", _take, "take in what was lent to this device", f"blindsight holder device take {BOX}"
    )
    show = verbs.add("device show", _show, "list lent keys; never a secret", f"blindsight holder device show {BOX}")
    return [ask, lend, take, show]


def _use(verbs: Verbs) -> argparse.ArgumentParser:
    encrypt = verbs.add(
        "device encrypt",
        _encrypt,
        "encrypt images under a lent key into one file for the operator",
        f"blindsight holder device encrypt digits --split test --out frames.safetensors {BOX}",
    )
    encrypt.add_argument("source", help="digits, a folder, .npz, CIFAR or IDX files; or KIND:PATH")
    encrypt.add_argument("--split", choices=SPLITS, help="which part of the source (default: the only one, or test)")
    encrypt.add_argument("--limit", type=int, metavar="N", help="only the first N images")
    encrypt.add_argument("--fit", choices=geometry.POLICIES, default="refuse", help="for images of another shape")
    encrypt.add_argument("--key", default="", metavar="TAG", help="start of the lent key's tag, if there are several")
    scheme_options.add_workers(encrypt)
    encrypt.add_argument("--out", type=Path, required=True, metavar="FILE", help="must not exist")
    encrypt.set_defaults(val_share=0.0)
    return encrypt


def _ask(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        if store.key.entry.role != "device":
            raise MembershipError(
                f"keys are lent to devices; this keystore is of a {store.key.entry.role}",
                code="E_ROSTER",
                hint="blindsight holder key init --device --name cam-1",
            )
        federation_log = joining.meet(store, site.box_of(options), options.code)
        moment = now()
        until = moment + timedelta(days=options.days)
        joining.ask(store, site.box_of(options), federation_log, moment=moment, expires=until)
        say("asked; read this device's fingerprint code to a holder, who types: blindsight holder device lend CODE")
        emit_facts({"federation": federation_log.name, "fingerprint": store.key.entry.code}, as_json=options.json)
    return 0


def _lend(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        federation.demand_verified(here.store, here.log)
        scheme = scheme_options.descriptor_of(options, options.shape)
        cipher = quality_cli.cipher_of_epoch(here, scheme, options.epoch)
        known = quality_cli.demand_effect(cipher)
        document, to = device.lend(here.store, here.box, here.log, options.code, scheme, options.epoch, now())
        body = document.body()
        opens = scheme.traits.invertible and scheme.traits.scope != "none"
        taken = "whoever takes the device can decrypt what it encrypts; " if opens else ""
        say(f"{taken}nothing leads from its key to the epoch secret")
        say("lent; on the device: blindsight holder device take")
        facts = {"lent to": to.label, "scheme": options.scheme, "epoch": body["epoch"]}
        facts["until"] = body["not_after"]
        emit_facts(facts | quality_cli.facts_of(cipher, known, as_json=options.json), as_json=options.json)
    return 0


def _take(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        taken, refused = device.take(here.store, here.box, here.log)
    for refusal in refused:
        say(f"refused: {refusal.file}: {refusal.error.message} [{refusal.error.code}]")
    if not (taken or refused):
        say("nothing new is lent to this device; a holder types: blindsight holder device lend CODE")
    facts: dict[str, object] = {"taken": [one.tag.digest[:12] for one in taken]}
    emit_facts(facts | ({} if taken else {"waiting for": "a holder"}), as_json=options.json)
    for one in () if options.json else taken:
        _emit_key(one, as_json=False)
    if refused:
        return 1
    return 0 if taken else WAITING


def _emit_key(one: Delegated, *, as_json: bool) -> None:
    """What a lent key is for, and what it leaves as it was; never the key."""
    facts = {"key": one.tag.digest[:12], "scheme": one.descriptor.id, "epoch": one.tag.epoch}
    facts |= {"parameters": dict(one.descriptor.params), "shape": quality_cli.shown(one.descriptor.shape)}
    facts |= {"lent by": one.sponsor, "until": one.not_after}
    quality = quality_cli.facts_of(cipher_for(one.descriptor, one.key), as_json=as_json)
    emit_facts(facts | quality, as_json=as_json)


def _show(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        found = device.lent(here.store, here.log)
        if not found and not options.json:
            emit("no key is lent to this device")
        for one in found:
            _emit_key(one, as_json=options.json)
    return 0


def _encrypt(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        key = device.only_one(here.store, here.log, options.key)
        source = open_source(options.source)
        options.split = options.split or (next(iter(source.splits)) if len(source.splits) == 1 else "test")
        split = split_of(source, options)
        height, width, channels = key.descriptor.shape
        size = None if options.fit == "refuse" else (height, width)
        fit = geometry.Fit(options.fit, size, 1 if channels == 1 else 3)
        with progress("encrypting", len(split)) as advance:
            count = device.encrypt(key, here.log, split, fit, options.out, now(), advance, options.workers)
        facts = {"file": str(options.out), "images": count, "tag": key.tag.digest}
        emit_facts(facts, as_json=options.json)
    return 0

"""``recipient new``, ``list``, ``erase`` and ``unseal``: the same for every role to which shards may be sealed.

A keystore remembers the seeds of the keys that were offered (``data["recipients"]``): id of the recipient document →
federation, seed, end. A seed is kept until somebody erases it, because what was sealed to it may still be unopened.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from blindsight.cli import passphrase
from blindsight.cli.arguments import Verbs, add_federation, add_keystore
from blindsight.cli.output import emit_facts, say
from blindsight.protocol.clock import is_past, now, to_text
from blindsight.protocol.encoding import people_code, to_b64
from blindsight.protocol.errors import DataError

MOST_DAYS = 366


def add_verbs(verbs: Verbs, role: str) -> None:
    """Give a role its ``recipient`` verbs and ``unseal``.

    Args:
        verbs: the role's verbs.
        role: ``trainer`` or ``operator``.
    """
    verbs.group("recipient", "keys to which holders may seal shards for this site")
    new = verbs.add(
        "recipient new",
        _new,
        "make a key and offer it in the drop-box, signed; holders seal shards to it",
        f"blindsight {role} recipient new --dropbox box",
    )
    new.add_argument("--days", type=_days, default=30, metavar="N", help="how long holders may use it (default: 30)")
    listed = verbs.add(
        "recipient list", _list, "say which keys are kept here", f"blindsight {role} recipient list --json"
    )
    erase = verbs.add(
        "recipient erase",
        _erase,
        "forget keys for good: what was sealed to them cannot be opened again",
        f"blindsight {role} recipient erase --expired",
    )
    erase.add_argument("keys", nargs="*", metavar="KEY", help="as recipient list shows it, or the start of it")
    erase.add_argument("--expired", action="store_true", help="all that holders may not use any more")
    _add_unseal(verbs, role)
    for parser in (new, listed, erase):
        add_keystore(parser)
    add_federation(new)


def _add_unseal(verbs: Verbs, role: str) -> None:
    parser = verbs.add(
        "unseal",
        _unseal,
        "fetch and open the shards that are sealed to this site; exit status 75 if nothing is",
        f"blindsight {role} unseal --dropbox box --out data",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for HOLDER/DATASET/")
    parser.add_argument("--holder", metavar="NAME", help="only of this holder: its name or fingerprint code")
    parser.add_argument("--dataset", metavar="NAME", help="only the data set folder of this name")
    parser.add_argument("--log", metavar="PLACE", help="the membership log (default: that in the drop-box)")
    add_keystore(parser)
    add_federation(parser)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_DAYS} days, got {text[:20]!r}")
    return int(text)


def _new(options: argparse.Namespace) -> int:
    from blindsight.protocol import recipient
    from blindsight.protocol.dropbox import DropBox
    from blindsight.protocol.logfile import read_log

    box, moment = DropBox(options.dropbox), now()
    log = read_log(options.dropbox, options.federation)
    with passphrase.opened(options) as store:
        seed, expires = os.urandom(32), to_text(moment + timedelta(days=options.days))
        offered = recipient.make_recipient(
            store.key, log.fed, kem_seed=seed, nonce=os.urandom(32), created=to_text(moment), expires=expires
        )
        recipient.read_recipient(offered, log, moment)
        kept = store.data.setdefault("recipients", {})
        kept[offered.mid] = {"fed": log.fed, "seed": to_b64(seed), "expires": expires}
        store.save()
        place = box.put_signed(offered, log.fed, recipient.FOLDER, store.key.entry.fpr)
        say(f"offered; a holder now types: blindsight holder publish … --seal-to {store.key.entry.code[:9]}")
    emit_facts({"key": offered.mid[:12], "expires": expires, "offered": place}, as_json=options.json)
    return 0


def _list(options: argparse.Namespace) -> int:
    with passphrase.opened(options) as store:
        kept = store.data.get("recipients", {})
        if not kept:
            say("no key is kept here")
        for mid, one in sorted(kept.items(), key=lambda item: (item[1]["expires"], item[0])):
            facts = {"key": mid[:12], "federation": people_code(bytes.fromhex(one["fed"]))[:9]}
            facts |= {"expires": one["expires"], "expired": "yes" if is_past(one["expires"], now()) else "no"}
            emit_facts(facts, as_json=options.json)
    return 0


def _erase(options: argparse.Namespace) -> int:
    if not options.keys and not options.expired:
        raise DataError("nothing says which keys are meant", hint="recipient erase KEY…, or --expired")
    with passphrase.opened(options) as store:
        kept: dict[str, Any] = store.data.get("recipients", {})
        gone = {_key_named(kept, text) for text in options.keys}
        gone |= {mid for mid, one in kept.items() if options.expired and is_past(one["expires"], now())}
        for mid in gone:
            del kept[mid]
        if gone:
            store.save()
            say("what was sealed to these keys cannot be opened again; copies of the keystore still can")
    emit_facts({"erased": sorted(mid[:12] for mid in gone), "kept": len(kept)}, as_json=options.json)
    return 0


def _key_named(kept: Mapping[str, Any], text: str) -> str:
    fits = [mid for mid in kept if mid.startswith(text.lower())]
    if len(fits) != 1:
        raise DataError(
            f"{'several keys begin' if fits else 'no key begins'} with {text[:64]!r}", hint="see: recipient list"
        )
    return fits[0]


def _unseal(options: argparse.Namespace) -> int:
    from blindsight.cli.unseal import unseal

    return unseal(options)

"""Identities, genesis, the epoch ceremony and the operator's key, by real keystores over a real drop-box."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from blindsight.holder import ceremony, federation
from blindsight.protocol import keystore, recipient
from blindsight.protocol.clock import to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.errors import FederationError
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log
from blindsight.simulation.chance import entropy
from blindsight.simulation.settings import Settings

# Times enter the keys through the documents that carry them, so a repeatable run needs fixed ones.
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2099, 12, 31, tzinfo=UTC)
KEYSTORE, PASSPHRASE = "keystore.json", "passphrase"
MOST_STEPS = 8
TRAINER, OPERATOR = "trainer", "operator"


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Keystore]:
    """Open a party's keystore with the passphrase in its folder."""
    with keystore.opened(folder / KEYSTORE, (folder / PASSPHRASE).read_bytes()) as store:
        yield store


def agree(settings: Settings, out: Path) -> Log:
    """Play identities, genesis, ceremony and the offer of a recipient key as far as they are not done.

    Args:
        settings: what is played.
        out: the simulation's folder.

    Returns:
        The log with one agreed epoch.
    """
    box = DropBox(out / "dropbox")
    _make_identities(settings, out, box)
    _found(settings, out, box)
    _compare_codes(settings, out, box)
    log = _agree_on_epoch(settings, out, box)
    _offer_key(settings, out, box, log)
    return log


def _make_identities(settings: Settings, out: Path, box: DropBox) -> None:
    others = (("trainer", TRAINER), ("operator", OPERATOR))
    for role, name in [*(("holder", name) for name in settings.names), *others]:
        folder = out / name
        if not (folder / KEYSTORE).exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            passphrase = _passphrase(folder / PASSPHRASE)
            seed = entropy(settings.seed, "identity", name)(32)
            created = to_text(BEGINNING)
            keystore.create(folder / KEYSTORE, role=role, name=name, passphrase=passphrase, created=created, seed=seed)
        with opened(folder) as store:
            box.put_card(store.key, to_text(BEGINNING))


def _passphrase(path: Path) -> bytes:
    text = secrets.token_urlsafe(24).encode()
    path.touch(mode=0o600)
    path.write_bytes(text)
    return text


def _found(settings: Settings, out: Path, box: DropBox) -> None:
    """The first holder writes the genesis, the others sign it."""
    for place, name in enumerate(settings.names):
        with opened(out / name) as store:
            if store.data["feds"]:
                continue
            if place == 0:
                federation.create(
                    store,
                    box,
                    name=f"simulation-{settings.seed}",
                    cards=box.cards(),
                    policy="all",
                    nonce=entropy(settings.seed, "genesis")(32),
                    created=to_text(BEGINNING),
                )
            else:
                federation.sign(store, box, None)


def _compare_codes(settings: Settings, out: Path, box: DropBox) -> None:
    """Each holder compares the code that the first one reads out; here the simulation carries it by hand."""
    code = box.log().code
    for name in settings.names:
        with opened(out / name) as store:
            fed = federation.choose(store, None)
            if store.data["feds"][fed]["verified"] == "none":
                federation.verify(store, federation.follow(store, box, fed), code)


def _agree_on_epoch(settings: Settings, out: Path, box: DropBox) -> Log:
    for _ in range(MOST_STEPS):
        phases = {_step(settings, out, box, name) for name in settings.names}
        if phases == {"active"}:
            return box.log()
    raise FederationError("the ceremony has not ended; see the sessions folder of the drop-box")


def _step(settings: Settings, out: Path, box: DropBox, name: str) -> str:
    draws = entropy(settings.seed, "ceremony", name)
    with opened(out / name) as store:
        log = federation.follow(store, box, federation.choose(store, None))
        state = store.data["feds"][log.fed]
        if name == settings.names[0] and not log.epochs and state["session"] is None:
            schemes = [{"id": settings.scheme, "v": 1}]
            ceremony.propose(
                store, box, log, schemes=schemes, moment=BEGINNING, deadline=END, not_after=END, entropy=draws
            )
        progress = ceremony.step(store, box, log, BEGINNING, entropy=draws)
    for refusal in progress.refused:
        raise refusal.error
    return progress.phase


def _offer_key(settings: Settings, out: Path, box: DropBox, log: Log) -> None:
    """The operator offers a key to which the holders seal their test images; its seed is kept first."""
    draws, expires = entropy(settings.seed, "recipient", OPERATOR), to_text(END)
    seed, nonce = draws(32), draws(32)
    with opened(out / OPERATOR) as store:
        document = recipient.make_recipient(
            store.key, log.fed, kem_seed=seed, nonce=nonce, created=to_text(BEGINNING), expires=expires
        )
        kept = store.data.setdefault("recipients", {})
        if document.mid not in kept:
            kept[document.mid] = {"fed": log.fed, "seed": to_b64(seed), "expires": expires}
            store.save()
        box.put_signed(document, log.fed, recipient.FOLDER, store.key.entry.fpr)

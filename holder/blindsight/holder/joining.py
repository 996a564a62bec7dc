"""Asking for secrets, giving them, taking them in: newcomers, members who lost theirs, devices. FORMAT.md section E."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from blindsight.holder import vault
from blindsight.holder.letterbox import Refusal
from blindsight.holder.membership import JOIN_FOLDER, requests
from blindsight.protocol import grant
from blindsight.protocol.clock import is_past, to_text
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import from_b64, people_code, plain_code, to_b64
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import MembershipError, PolicyError, ProtocolError
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log
from blindsight.protocol.recipient import person
from blindsight.protocol.records import GENESIS

GRANT_FOLDER = "grant"
Entropy = Callable[[int], bytes]


def meet(store: Keystore, box: DropBox, code: str) -> Log:
    """Get to know a federation by the code a person was told: its log, remembered from now on.

    Raises:
        MembershipError: E_FED, no federation of that whole code lies in the box.
        ProtocolError: its log does not verify.
    """
    wanted = plain_code(code)
    fits = {e.mid for e in box.records() if e.type == GENESIS and plain_code(people_code(e.id)) == wanted}
    if not fits:
        raise MembershipError(
            "no federation with that code lies in the drop-box",
            hint="a member reads out all ten groups: blindsight holder federation show",
        )
    log = box.log(fits.pop())
    if log.fed not in store.data["feds"]:
        store.data["feds"][log.fed] = vault.new_state(list(log.records)) | {"verified": "code"}
        store.save()
    return log


def ask(
    store: Keystore, box: DropBox, log: Log, *, moment: datetime, expires: datetime, entropy: Entropy = os.urandom
) -> Envelope:
    """Ask for secrets, or offer the same request again while it is open.

    Args:
        store: the opened keystore of a newcomer, a member or a device.
        box: the drop-box.
        log: the membership log.
        moment: the present time.
        expires: until when the request may be answered; later, if one that was answered has not ended by then.
        entropy: gives so many random bytes.
    """
    state = store.data["feds"][log.fed]
    if state["join"] is None or is_past(state["join"]["expires"], moment):
        seed, until = entropy(32), to_text(max([expires, *_after_earlier(store, box, log, moment)]))
        join = grant.make_join(
            store.key, log.fed, kem_seed=seed, nonce=entropy(32), created=to_text(moment), expires=until
        )
        state["join"] = {"document": join.to_bytes().decode(), "seed": to_b64(seed), "expires": until}
        store.save()
    document = Envelope.from_bytes(state["join"]["document"].encode())
    box.put_signed(document, log.fed, JOIN_FOLDER, store.key.entry.fpr)
    return document


def _after_earlier(store: Keystore, box: DropBox, log: Log, moment: datetime) -> list[datetime]:
    """Just after the ends of requests whose keys are erased: of several, the one that ends last is answered."""
    mine = [join for join in requests(box, log, moment) if join.entry.fpr == store.key.entry.fpr]
    return [datetime.fromisoformat(join.expires) + timedelta(seconds=1) for join in mine]


def give(store: Keystore, box: DropBox, log: Log, who: str, moment: datetime) -> tuple[Envelope, list[int]]:
    """Give a member who asks the secrets of all epochs that are in use and known here.

    Args:
        store: the sponsor's opened keystore.
        box: the drop-box.
        log: the membership log.
        who: name or fingerprint code.
        moment: the present time.

    Returns:
        The grant, and the numbers of the epochs in it.

    Raises:
        MembershipError: E_ROSTER, nobody of that name asks, or is no member; E_EPOCH, there is nothing to give.
    """
    asking = [join for join in requests(box, log, moment) if join.entry.role == "holder"]
    entry = person([join.entry for join in asking], who)
    (join,) = (join for join in asking if join.entry == entry)
    state = store.data["feds"][log.fed]
    held = {n: vault.secret_of(state, e) for n, e in log.epochs.items() if not log.objections(n, moment)}
    secrets = {number: secret for number, secret in held.items() if secret is not None}
    if not secrets:
        raise MembershipError("this keystore holds no secret of an epoch in use", code="E_EPOCH")
    document = grant.make_grant(store.key, log, join, secrets)
    box.put_signed(document, log.fed, GRANT_FOLDER, store.key.entry.fpr)
    return document, sorted(secrets)


def take(store: Keystore, box: DropBox, log: Log) -> tuple[list[int], list[Refusal]]:
    """Take in what was granted to this member, and erase the request's key.

    Returns:
        The numbers of the epochs received, and the grants addressed to this member that were refused.
    """
    state = store.data["feds"][log.fed]
    if state["join"] is None:
        return [], []
    join = Envelope.from_bytes(state["join"]["document"].encode()).mid
    taken, refused = [], []
    for envelope in box.signed(log.fed, GRANT_FOLDER):
        try:
            if grant.granted_to(envelope) != (store.key.entry.fpr, join):
                continue
            seed = from_b64(state["join"]["seed"], 32)
            secrets = grant.open_grant(envelope, log, me=store.key.entry.fpr, join=join, kem_seed=seed)
        except ProtocolError as error:
            refused.append(Refusal(f"grant {envelope.mid[:12]}", error))
            continue
        taken += _received(state, log, secrets)
    if taken:
        state["join"] = None
        store.save()
    return sorted(set(taken)), refused


def _received(state: vault.State, log: Log, secrets: dict[int, bytes]) -> list[int]:
    seqs = {head["id"]: head["seq"] for head in log.history}
    for number, secret in secrets.items():
        epoch = log.epoch(number)
        vault.receive(state, epoch, secret, seqs[epoch.record])
    return list(secrets)


def lacking(store: Keystore, log: Log, moment: datetime) -> list[int]:
    """The epochs in use whose secrets this keystore does not hold; what nobody grants does not count."""
    state = store.data["feds"][log.fed]
    used = [epoch for number, epoch in sorted(log.epochs.items()) if not log.objections(number, moment)]
    return [epoch.number for epoch in used if vault.secret_of(state, epoch) is None]


def demand_lost(store: Keystore, log: Log, moment: datetime) -> Sequence[int]:
    """The epochs in use whose secrets this member lacks.

    Raises:
        MembershipError: E_ROSTER, this identity is no member.
        PolicyError: E_EXISTS, none.
    """
    log.roster.member(store.key.entry.fpr)
    lost = lacking(store, log, moment)
    if not lost:
        raise PolicyError("this keystore holds the secret of every epoch in use", code="E_EXISTS")
    return lost

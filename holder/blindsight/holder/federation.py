"""A member's side of the federation: found it, sign it, compare its code, follow its log.

What a keystore remembers of a federation is laid out in ``vault``.
"""

from __future__ import annotations

from collections.abc import Callable

from blindsight.holder import vault
from blindsight.holder.evidence import write_evidence
from blindsight.protocol.changes import sign_genesis
from blindsight.protocol.dropbox import DropBox
from blindsight.protocol.encoding import people_code, plain_code
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import ConflictError, MembershipError, PolicyError, ProtocolError
from blindsight.protocol.identity import Entry
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Epoch, Log
from blindsight.protocol.logfile import NOTICES, chosen, read_log
from blindsight.protocol.records import EPOCH, GENESIS, RETIRE, ROSTER, make_genesis, read_genesis


def create(
    store: Keystore, box: DropBox, *, name: str, cards: list[Entry], policy: str, nonce: bytes, created: str
) -> Envelope:
    """Write a genesis over the given identities, sign it and offer it to the others.

    Args:
        store: the founder's keystore.
        box: the shared folder.
        name: the federation's name.
        cards: holders, trainers and operators; the founder is added if missing.
        policy: ``all`` or ``majority``, for later roster changes.
        nonce: 32 random bytes.
        created: time of creation.

    Raises:
        ProtocolError: the lists are not acceptable.
    """
    entries = {entry.fpr: entry for entry in [*cards, store.key.entry]}
    members = [entry for entry in entries.values() if entry.role == "holder"]
    trainers = [entry for entry in entries.values() if entry.role == "trainer"]
    operators = [entry for entry in entries.values() if entry.role == "operator"]
    genesis = make_genesis(name, members, trainers, operators, policy=policy, nonce=nonce, created=created)
    return _sign(store, box, genesis)


def sign(store: Keystore, box: DropBox, code: str | None) -> Envelope:
    """Sign the genesis that lies in the box and names this member.

    Raises:
        MembershipError: none does, or several do.
    """
    return _sign(store, box, offered(store, box, code))


def offered(store: Keystore, box: DropBox, code: str | None) -> Envelope:
    """The genesis in the box that names this member, without signatures.

    Args:
        store: the member's opened keystore.
        box: the shared folder.
        code: the start of a federation code, or None when there is only one.

    Raises:
        MembershipError: none does, or several do.
    """
    found = {e.mid: e for e in box.records() if e.type == GENESIS and _names(e, store.key.entry.fpr)}
    fits = [e for e in found.values() if plain_code(people_code(e.id)).startswith(plain_code(code or ""))]
    if len(fits) == 1:
        return Envelope(fits[0].type, fits[0].payload, {})
    if not fits:
        hint = "somebody types: blindsight holder federation create; to join one that stands: federation join CODE"
        raise MembershipError("no genesis in the drop-box names this identity", hint=hint)
    codes = ", ".join(people_code(e.id)[:9] for e in fits)
    hint = "name one with --federation CODE"
    raise MembershipError(f"several federations name this identity: {codes}", hint=hint)


def _names(envelope: Envelope, fpr: str) -> bool:
    try:
        members = read_genesis(envelope)["members"]
    except ProtocolError:
        return False  # whoever writes junk into the box must not keep anybody from signing
    return any(member["fpr"] == fpr for member in members)


def _sign(store: Keystore, box: DropBox, genesis: Envelope) -> Envelope:
    signed = sign_genesis(genesis, store.key)
    box.put_record(signed, signed.mid, 0, store.key.entry.fpr)  # first: killed here, ``sign`` finds it and goes on
    if signed.mid not in store.data["feds"]:
        store.data["feds"][signed.mid] = vault.new_state([signed])
        store.save()
    return signed


def choose(store: Keystore, code: str | None) -> str:
    """The federation id that a command means.

    Args:
        store: an opened keystore.
        code: the start of a federation code, or None when there is only one.

    Raises:
        MembershipError: E_FED, none or several fit.
    """
    wanted = plain_code(code or "")
    fits = [fed for fed in store.data["feds"] if plain_code(people_code(bytes.fromhex(fed))).startswith(wanted)]
    if len(fits) == 1:
        return str(fits[0])
    if not fits:
        raise MembershipError(
            "this identity belongs to no such federation", hint="blindsight holder federation create, or sign"
        )
    codes = ", ".join(people_code(bytes.fromhex(fed))[:9] for fed in fits)
    raise MembershipError(
        f"this identity belongs to several federations: {codes}", hint="name one with --federation CODE"
    )


def follow(store: Keystore, box: DropBox, fed: str, tell: Callable[[str], None] = lambda _: None) -> Log:
    """Unite the remembered log with what lies in the box, and remember the result.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        fed: the federation.
        tell: called with what a person should know.

    Raises:
        ConflictError: E_FORK.
        ProtocolError: the genesis is not complete yet.
    """
    state = store.data["feds"][fed]
    remembered = [Envelope.from_bytes(text.encode()) for text in (*state["records"], *state["notices"])]
    offered = box.records(fed)
    keep = {record.mid for record in remembered if record.type in (ROSTER, RETIRE)} | set(state["decided"])
    everything = [*remembered, *offered, *box.signed(fed, NOTICES)]
    log = Log.build(everything, fed, keep)
    if log.outbid is not None and (agreed := _agreed_to(store, log, chosen(everything, fed, log.outbid.mid))):
        log = Log.build(everything, fed, agreed.changes | set(state["decided"]))
    _tell_of_doubles(store, log, tell)
    _tell_of_outbidding(log, tell)
    _keep_own_word(store, log, offered, tell)
    known = [record.to_bytes().decode() for record in log.records]
    # By id: under policy majority a record that counts may still gain signatures.
    if Envelope.from_bytes(state["records"][-1].encode()).mid not in {record.mid for record in log.records}:
        tell("the log has passed by a record that this keystore knew: a chain with a greater sequence counts")
    notices = [notice.to_bytes().decode() for notice in log.notices]
    said, settled = vault.settle(state, log)
    for sentence in said:
        tell(sentence)
    if settled or (known, notices) != (state["records"], state["notices"]):
        state["records"], state["notices"] = known, notices
        store.save()
    return log


def _agreed_to(store: Keystore, log: Log, rival: Log) -> Log | None:
    """A greater chain that leaves out a change known here, if this member has signed the epoch with which it parts.

    Every member of that roster has signed it, so all follow it alike: a change signed before, and completed by
    signatures that were slow, must not keep one of them behind.
    """
    parting = next(record for record in rival.records if record not in log.records)
    mine = parting.type == EPOCH and parting.is_signed_by(store.key.entry) and parting.body()["seq"] > log.seq
    decided = set(store.data["feds"][log.fed]["decided"])
    return rival if mine and decided <= {record.mid for record in rival.records} else None


def united(store: Keystore, place: str, code: str | None) -> Log:
    """What the keystore remembers of the log, and what is newer at a place: an older copy there hides nothing.

    Args:
        store: the member's opened keystore; it is not changed.
        place: a drop-box, a copy of its records, or an exported log.
        code: the start of a federation code, or None when there is only one.

    Raises:
        MembershipError: E_FED, none or several federations fit, or the place shows another one.
        ProtocolError: what lies at the place is no log.
    """
    fed = choose(store, code)
    offered, state = read_log(place, people_code(bytes.fromhex(fed))), store.data["feds"][fed]
    remembered = [Envelope.from_bytes(text.encode()) for text in (*state["records"], *state["notices"])]
    keep = {record.mid for record in remembered if record.type in (ROSTER, RETIRE)} | set(state["decided"])
    return Log.build([*remembered, *offered.records, *offered.notices], fed, keep)


def decide(store: Keystore, box: DropBox, fed: str, start: str) -> Log:
    """Let a chain count that leaves out what this keystore remembers, or one side of a fork: a person's decision.

    Args:
        store: the member's opened keystore.
        box: the drop-box.
        fed: the federation.
        start: the start of the id of the chain's last record.

    Raises:
        MembershipError: E_PREV, there is no such chain.
    """
    state = store.data["feds"][fed]
    remembered = [Envelope.from_bytes(text.encode()) for text in state["records"]]
    chain = chosen([*remembered, *box.records(fed)], fed, start)
    state["records"] = [record.to_bytes().decode() for record in chain.records]
    state["decided"] = [chain.records[-1].mid]
    vault.settle(state, chain)
    store.save()
    return follow(store, box, fed)


def _tell_of_outbidding(log: Log, tell: Callable[[str], None]) -> None:
    if log.outbid is not None:
        tell(
            f"a chain that ends with {log.outbid.mid[:12]} is no shorter and leaves out a change this site knows; "
            "it does not count here. Call the other members; should it be right: "
            f"blindsight holder federation follow {log.outbid.mid[:12]}"
        )


def _keep_own_word(store: Keystore, log: Log, offered: list[Envelope], tell: Callable[[str], None]) -> None:
    """A signature of one's own that the keystore has forgotten still binds: it was put back from an older copy."""
    state, me = store.data["feds"][log.fed], store.key.entry
    mine = [one.body() for one in offered if one.type in (ROSTER, EPOCH, RETIRE) and one.is_signed_by(me)]
    seqs = [body["seq"] for body in mine if body["fed"] == log.fed]  # one identity may serve two federations
    forgotten = max(seqs, default=0)
    if forgotten > state["promised_seq"]:
        tell(
            f"this keystore has forgotten that it signed a record of sequence {forgotten} [E_ROLLBACK]: was it "
            "restored from a copy? The promise holds from now on"
        )
        state["promised_seq"] = forgotten
        store.save()


def _tell_of_doubles(store: Keystore, log: Log, tell: Callable[[str], None]) -> None:
    """Members who signed two records of one sequence are named, with evidence, once."""
    for pair in log.doubles:
        both = set(pair[0].signatures) & set(pair[1].signatures)
        names = ", ".join(member.label for member in log.roster.members if member.fpr in both)
        evidence = tuple(record.to_bytes() for record in pair)
        conflict = ConflictError("two records of one sequence", code="E_FORK", evidence=evidence)
        for path in write_evidence(store, [conflict], anew=False):
            tell(f"{names or 'a former member'} signed two records of one sequence [E_FORK]; evidence in {path}")


def verify(store: Keystore, log: Log, code: str) -> None:
    """Remember that a person has compared the federation code.

    Raises:
        MembershipError: E_FED, the codes differ.
    """
    log.demand_code(code)
    store.data["feds"][log.fed]["verified"] = "code"
    store.save()


def demand_verified(store: Keystore, log: Log, *, accept_unverified: bool = False) -> None:
    """Refuse to agree on keys with people nobody has checked.

    Raises:
        PolicyError: E_UNVERIFIED.
    """
    if store.data["feds"][log.fed]["verified"] == "none" and not accept_unverified:
        raise PolicyError(
            "nobody has compared the federation code yet",
            hint="let another member read it to you, then: blindsight holder federation verify CODE",
        )


def epoch_secret(store: Keystore, log: Log, number: int | None) -> tuple[Epoch, bytes]:
    """The agreed epoch of a number (the newest if None) and its secret.

    Raises:
        MembershipError: E_EPOCH, it is not agreed, or this keystore does not have its secret.
    """
    epoch = log.latest if number is None else log.epoch(number)
    secret = vault.secret_of(store.data["feds"][log.fed], epoch)
    if secret is None:
        raise MembershipError(
            f"this keystore does not hold the secret of epoch {epoch.number}",
            code="E_EPOCH",
            hint="blindsight holder epoch step; if it was lost: blindsight holder epoch resync",
        )
    return epoch, secret

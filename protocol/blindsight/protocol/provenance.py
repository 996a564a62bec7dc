"""Where a bundle comes from that no trainer signed: re-keyed or imported by a holder. FORMAT.md section J.

Re-keying leads a model from one epoch's key to another's without training. A trainer cannot do that, for it has no key;
so a holder signs, and what the trainer stated stands beside as the trainer signed it: the *first statement*. Re-keyed
again, a bundle keeps that first statement, however long the chain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from blindsight.protocol import fields
from blindsight.protocol.encoding import canonical
from blindsight.protocol.errors import FormatError, SchemeError
from blindsight.protocol.identity import Entry
from blindsight.protocol.log import Log

REKEYED, IMPORTED = "rekeyed", "imported"
MAX_EPOCHS = 1024
CHANGED = frozenset({"epoch", "record", "kcv", "scv", "head", "serial", "supersedes", "created", "derived"})
"""What re-keying changes in a statement; everything else stays as the first statement has it."""

SHAPE = fields.mapping(
    {
        "by": fields.hex32,
        "how": fields.one_of([REKEYED, IMPORTED]),
        "origin": fields.either(fields.hex32, fields.constant(None)),
        "epochs": fields.listing(fields.integer(1), most=MAX_EPOCHS),
    }
)


def demand_form(predicate: Mapping[str, Any], *, has_origin: bool) -> None:
    """Demand that trainer, ``derived`` and the first statement's file are there as one of three kinds has them.

    Args:
        predicate: of a bundle, of the right shape.
        has_origin: whether the statement names the first statement's file.

    Raises:
        FormatError: E_FORMAT.
    """
    derived, trained = predicate.get("derived"), predicate["trainer"] is not None
    how = derived["how"] if derived else ""
    earlier = [has_origin, *((derived["origin"] is not None, bool(derived["epochs"])) if derived else ())]
    if not how and (not trained or any(earlier)):
        raise FormatError("a bundle that no holder re-keyed or imported names its trainer and no first statement")
    if how == IMPORTED and (trained or any(earlier)):
        raise FormatError("an imported bundle names no trainer, no first statement and no earlier epochs")
    if how == REKEYED and not all(earlier):
        raise FormatError("a re-keyed bundle names its first statement, that statement's file and its earlier epochs")


def signer(predicate: Mapping[str, Any], log: Log) -> Entry:
    """Who alone must have signed a bundle: the holder who re-keyed or imported it, else its trainer.

    Raises:
        MembershipError: E_ROSTER, the federation has no such member or trainer.
    """
    derived = predicate.get("derived")
    return log.roster.member(derived["by"]) if derived else log.roster.trainer(predicate["trainer"])


def demand_origin(predicate: Mapping[str, Any], first: Mapping[str, Any], mid: str) -> None:
    """Demand that a re-keyed bundle is the model of its first statement, under another key.

    Args:
        predicate: of the re-keyed bundle.
        first: the predicate of the first statement.
        mid: id of the first statement, hex.

    Raises:
        SchemeError: E_ORIGIN, it is another statement, no first one, or states something else.
    """
    derived = predicate["derived"]
    if mid != derived["origin"]:
        raise _other(f"expected statement {derived['origin'][:12]}, got {mid[:12]}")
    if "derived" in first and first["derived"]["how"] == REKEYED:
        raise _other("it is a re-keyed one itself")
    if first["epoch"] != derived["epochs"][0] or first["serial"] >= predicate["serial"]:
        raise _other("epoch and serial do not follow from it")
    names = sorted((set(first) | set(predicate)) - CHANGED)
    if changed := [name for name in names if _written(first, name) != _written(predicate, name)]:
        raise _other(f"it states another {', '.join(changed)}")


def _written(predicate: Mapping[str, Any], name: str) -> bytes:
    """A field as bytes: in Python true equals 1, in a statement it does not."""
    return canonical({name: predicate[name]} if name in predicate else {})


def _other(why: str) -> SchemeError:
    return SchemeError(f"the bundle is not the model of its first statement: {why}", code="E_ORIGIN")

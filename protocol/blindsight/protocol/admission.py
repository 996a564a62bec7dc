"""Whether manifests of several holders may be trained together: ``verify_federation``. FORMAT.md section H.

Every fault of every holder is listed; training starts when there is none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from blindsight.protocol.encoding import canonical
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, FederationError, ProtocolError
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest, read


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one manifest is not admitted.

    Args:
        holder: label of its signer, or the file's name when no signer is known.
        code: stable error code.
        sentence: what was expected and what came.
    """

    holder: str
    code: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.holder}: {self.sentence} [{self.code}]"


def verify_federation(
    log: Log,
    offers: Mapping[str, Envelope | bytes],
    moment: datetime,
    serials: Mapping[str, int] | None = None,
    *,
    despite_notice: bool = False,
) -> tuple[list[Manifest], list[Fault]]:
    """Verify manifests one by one and against each other.

    Args:
        log: the verified membership log.
        offers: name for people (a path) → manifest as received, parsed or not.
        moment: the present time.
        serials: series of a data set → greatest serial seen so far.
        despite_notice: whether a person has decided to use an epoch in spite of a warning.

    Returns:
        The manifests that could be read, in the order offered, and all faults.
    """
    manifests: list[Manifest] = []
    faults: list[Fault] = []
    for name, offer in offers.items():
        try:
            manifests.append(read(offer if isinstance(offer, Envelope) else Envelope.from_bytes(offer, name), log))
        except ProtocolError as error:
            faults.append(Fault(name, error.code, error.message))
    for manifest in manifests:
        found = _alone(log, manifest, moment, serials or {})
        faults += [fault for fault in found if not (despite_notice and fault.code == "E_NOTICE")]
    return manifests, faults + _together(manifests)


def demand_admitted(faults: Sequence[Fault | BlindsightError]) -> None:
    """Refuse to train while there is any fault.

    Raises:
        FederationError: E_FEDERATION, naming all of them.
    """
    if faults:
        lines = "\n  ".join(str(fault) for fault in faults)
        raise FederationError(
            f"training does not start, {len(faults)} fault(s):\n  {lines}", hint="blindsight trainer check MANIFEST…"
        )


def _alone(log: Log, manifest: Manifest, moment: datetime, serials: Mapping[str, int]) -> list[Fault]:
    """Faults of one manifest against the log."""
    predicate = manifest.predicate

    def fault(code: str, sentence: str) -> Fault:
        return Fault(manifest.holder, code, sentence)

    epoch = log.epochs.get(predicate["epoch"])
    if epoch is None or epoch.record != predicate["record"]:
        return [fault("E_EPOCH", f"epoch {predicate['epoch']} with that record is not on the membership log")]
    faults = []
    if epoch.kcv != predicate["kcv"]:
        faults.append(fault("E_KCV", f"key check value {predicate['kcv'][:12]}… is not the epoch's {epoch.kcv[:12]}…"))
    faults += [fault(objection.code, objection.message) for objection in log.objections(epoch.number, moment)]
    try:
        manifest.descriptor.check()
    except ProtocolError as error:
        faults.append(fault(error.code, error.message))
    if not epoch.allows(manifest.descriptor):
        scheme = manifest.descriptor
        faults.append(fault("E_SCHEME", f"scheme {scheme.id} v{scheme.v} is not allowed in epoch {epoch.number}"))
    try:
        log.demand_head(predicate["head"], "its manifest")
    except ProtocolError as error:
        faults.append(fault(error.code, error.message))
    if predicate["serial"] < serials.get(manifest.series, 0):
        faults.append(fault("E_ROLLBACK", f"serial {predicate['serial']} is older than one seen before"))
    return faults


def _together(manifests: Sequence[Manifest]) -> list[Fault]:
    """Faults of manifests against each other; the minority is named."""
    faults = []
    for code, what, value in _MUST_AGREE:
        faults += _minority(manifests, code, what, value)
    return faults + _duplicates(manifests)


def _scheme(manifest: Manifest) -> str:
    descriptor = manifest.descriptor
    height, width, channels = descriptor.shape
    parameters = canonical(dict(descriptor.params)).decode()
    return f"{descriptor.id} v{descriptor.v} {parameters} on {height}x{width}x{channels}"


def _task(manifest: Manifest) -> str:
    task = manifest.predicate["task"]
    return f"{task['kind']} of {task.get('classes', 0)} classes, labels {task.get('labels_digest', '-')}"


_MUST_AGREE: Sequence[tuple[str, str, Callable[[Manifest], Any]]] = (
    ("E_EPOCH", "epoch", lambda m: m.predicate["epoch"]),
    ("E_SCHEME", "scheme", _scheme),
    ("E_SCV", "scheme check value", lambda m: m.predicate["scv"]),
    ("E_TASK", "task", _task),
    ("E_TASK", "tensors", lambda m: canonical(dict(m.predicate["tensors"])).decode()),
)


def _minority(manifests: Sequence[Manifest], code: str, what: str, value: Callable[[Manifest], Any]) -> list[Fault]:
    # A holder has one voice for each value, however many splits it offers.
    counts = Counter(found for found, _ in {(value(m), m.predicate["holder"]) for m in manifests})
    if len(counts) < 2:
        return []
    (usual, most), (_, second) = counts.most_common(2)
    blamed = [m for m in manifests if most == second or value(m) != usual]
    others = "the others do not agree" if most == second else f"the others have {usual}"
    return [Fault(m.holder, code, f"{what} is {value(m)}, {others}") for m in blamed]


def _duplicates(manifests: Sequence[Manifest]) -> list[Fault]:
    counts = Counter((m.predicate["holder"], m.split) for m in manifests)
    return [
        Fault(m.holder, "E_ROSTER", f"offers its {m.split} split more than once")
        for m in manifests
        if counts[m.predicate["holder"], m.split] > 1
    ]

"""Importing: a network that was trained on plain images becomes one for images under a federation's key.

It is re-keying from no key at all to one (see ``rekey``): the first layer takes up what the key does inside a block,
learned positions take up where the key moves blocks, and nothing else changes. The holder signs, for nobody of the
federation trained it. FORMAT.md section J.

What has two sides must be said: whoever has the plain model and the imported one finds the key by laying their first
layers beside each other. Of a published model everybody has the plain one.

Source: Kiya et al. 2022, arXiv:2207.05366, section on transforming a trained vision transformer by a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

from blindsight.holder.absorption import DIGITS, Layout, Turn, absorbs, key_of
from blindsight.holder.ciphers import cipher_for
from blindsight.holder.import_card import card
from blindsight.holder.rekey import TRANSFORMERS, rekeyed
from blindsight.protocol import bundle, provenance
from blindsight.protocol.bundle import CARD, CONFIG, LABELS, REQUIRED, SELFTEST
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Epoch, Log
from blindsight.protocol.manifest import labels_digest, task_of
from blindsight.protocol.scheme import SCHEMES, Descriptor, Traits, check_value, scheme_key, traits_of

CONVERTED: Final = (*REQUIRED, SELFTEST)
"""The files of a converted plain model."""
UNITS: Final = {"byte": ("127.5", "73.6"), "nibble": ("7.5", "4.6"), "bit": ("0.5", "0.5")}
"""Unit to centre and scale, as statements spell them."""
NOTHING: Final = "imported"
"""Stands in a statement where the way of training stands."""


@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """A converted plain model.

    Args:
        files: name → content, those of ``CONVERTED``.
        source: in a few words, what it was made from.
    """

    files: Mapping[str, bytes] = field(repr=False)
    source: str

    @property
    def arch(self) -> dict[str, Any]:
        """Network and parameters as its configuration states them.

        Raises:
            FormatError: E_FORMAT, E_CANON.
        """
        return bundle.read_config(self.files[CONFIG])

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in label order.

        Raises:
            FormatError: E_FORMAT, E_CANON.
        """
        return bundle.read_labels(self.files[LABELS])


def demand_absorbable(scheme: str, epoch: Epoch) -> Traits:
    """Refuse a scheme before anything is computed, if it is not allowed or no first layer absorbs its keys.

    Args:
        scheme: its name.
        epoch: whose key the model is to know.

    Returns:
        The scheme's traits.

    Raises:
        SchemeError: E_SCHEME.
    """
    traits = traits_of(scheme, max((v for name, v in SCHEMES if name == scheme), default=1))
    if not any(allowed["id"] == scheme for allowed in epoch.schemes):
        raise SchemeError(f"scheme {scheme} is not allowed in epoch {epoch.number}")
    if not absorbs(traits, {"id": TRANSFORMERS, "params": {}}):
        raise SchemeError(
            f"no first layer on blocks absorbs the keys of scheme {scheme}, so that no plain model follows them",
            hint="train on encrypted images: blindsight trainer fit",
        )
    return traits


def finer(one: str, other: str) -> str:
    """The finer of two units: what a first layer must see that is to tell both apart."""
    return max(one, other, key=DIGITS.__getitem__)


def descriptor_of(plain: Plain, scheme: str, given: Mapping[str, str]) -> Descriptor:
    """The scheme for a model's images; blocks, unless given, are those that its first layer sees.

    Args:
        plain: the model.
        scheme: its name.
        given: public parameters as typed.

    Raises:
        SchemeError: E_SCHEME, the scheme has no such parameter, or does not fit the images; or the model does not say
            what its images are.
        FormatError: E_FORMAT, a parameter is out of range.
    """
    params = plain.arch["params"]
    shape, block = params.get("shape"), params.get("block")
    if not isinstance(shape, list) or len(shape) != 3 or type(block) is not int:
        raise SchemeError("the model does not say of which shape its images are and how large their blocks")
    height, width, channels = shape
    return Descriptor.of(scheme, (height, width, channels), {"block": block, **given})


def imported(
    plain: Plain,
    descriptor: Descriptor,
    log: Log,
    to: Epoch,
    secret: bytes,
    key: SigningKey,
    model: Mapping[str, str],
    created: str,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Make a plain model one for images under an epoch's key.

    Args:
        plain: the model.
        descriptor: scheme and shape of the images.
        log: the membership log.
        to: the epoch; whether it may be used is for the caller.
        secret: of the epoch, 32 bytes.
        key: of the member who signs.
        model: ``id``, ``name`` and ``version`` as the statement names it.
        created: the present time.

    Returns:
        Predicate and files, for ``bundle.make``.

    Raises:
        MembershipError: E_ROSTER, the key is no member's.
        SchemeError: E_SCHEME, the scheme is not allowed in the epoch, or the model does not absorb its key.
        FormatError: see ``rekeyed``.
    """
    log.roster.member(key.entry.fpr)
    if not to.allows(descriptor):
        raise SchemeError(f"scheme {descriptor.id} v{descriptor.v} is not allowed in epoch {to.number}")
    own = scheme_key(secret, log.fed, to.number, descriptor.digest)
    cipher = cipher_for(descriptor, own)
    layout = Layout.of(plain.arch["params"], descriptor)
    files = rekeyed({name: plain.files[name] for name in CONVERTED}, Turn.identity(layout), key_of(cipher, layout))
    predicate = {
        "v": 1,
        "model": dict(model),
        "trainer": None,
        **_place(log, to),
        "scheme": descriptor.to_json(),
        "scheme_digest": descriptor.digest,
        "scv": check_value(descriptor, own, cipher.encrypt),
        **_interface(plain, layout),
        "training": _untold(),
        "metrics": {},
        "serial": 1,
        "supersedes": None,
        "created": created,
        "derived": {"by": key.entry.fpr, "how": provenance.IMPORTED, "origin": None, "epochs": []},
    }
    return predicate, files | {CARD: card(predicate, plain.source, log, key.entry)}


def _place(log: Log, to: Epoch) -> dict[str, Any]:
    return {"fed": log.fed, "epoch": to.number, "record": to.record, "kcv": to.kcv, "head": log.head}


def _interface(plain: Plain, layout: Layout) -> dict[str, Any]:
    centre, scale = UNITS[layout.unit]
    return {
        "arch": plain.arch,
        "input": {"shape": list(layout.shape), "dtype": "u8", "layout": "NHWC", "mean": [centre], "std": [scale]},
        "task": task_of(plain.classes),
        "labels_digest": labels_digest(plain.classes),
    }


def _untold() -> dict[str, Any]:
    """Of a training that nobody here saw."""
    software = {"blindsight": version("blindsight")}
    return {"manifests": [], "rounds": 0, "strategy": NOTHING, "clients": 0, "seed": 0, "software": software}

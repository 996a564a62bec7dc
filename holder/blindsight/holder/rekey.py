"""Re-keying: a model for images under one epoch's key becomes the same model for images under another's.

A first layer absorbs a signed permutation of a block's units (see ``absorption``). So the model's weights hold all that
depends on the key in one tensor, and for a permutation of the blocks in the learned positions. Moving and negating
their values changes no other byte, needs no image and no training, and gives the answers that the model gave before, up
to the order in which a sum is added up.

What goes with a model turns with it: correlations of encrypted units (``fingerprint.safetensors``), the images of the
self-test, whose answers stay. FORMAT.md section J.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from blindsight.holder.absorption import Layout, Turn, key_of
from blindsight.holder.ciphers import Cipher, cipher_for
from blindsight.protocol import bundle, onnxfile, provenance, tensorfile
from blindsight.protocol.bundle import CARD, CONFIG, FINGERPRINT, MODEL, ORIGIN, REQUIRED, SELFTEST, WEIGHTS, Bundle
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import FormatError, MembershipError, SchemeError
from blindsight.protocol.identity import SigningKey
from blindsight.protocol.log import Epoch, Log
from blindsight.protocol.markdown import escaped
from blindsight.protocol.scheme import Descriptor, check_value, scheme_key

FIRST_LAYER: Final = "stem.blocks.weight"
POSITIONS: Final = "positions"
TRANSFORMERS: Final = "vit"
ORDERLESS: Final = "vit-orderless"
CORRELATIONS: Final = "correlations"
IMAGES: Final = "images"
KNOWN: Final = frozenset({*REQUIRED, FINGERPRINT, SELFTEST, CARD, ORIGIN})
Array = NDArray[Any]


def rekeyed(files: Mapping[str, bytes], old: Turn, new: Turn) -> dict[str, bytes]:
    """The files of a model for images under another key.

    Args:
        files: name → content of a bundle; ``weights.safetensors``, ``model.onnx`` and ``config.json`` at least.
        old: what the key that the model knows does to plain images; ``Turn.identity`` for a model of plain images.
        new: the same of the key that it is to know.

    Returns:
        All files; those that do not depend on the key as they are.

    Raises:
        FormatError: E_FORMAT, a tensor is missing, of another type or shape, or differs between the files; E_SHARD, a
            tensor file is damaged.
        SchemeError: E_SCHEME, blocks move and the network is none that follows them; or there is a file of which nobody
            here knows whether it depends on the key.
    """
    if unknown := sorted(set(files) - KNOWN):
        raise SchemeError(
            f"the bundle holds {unknown[0]}, of which this version does not know whether it depends on the key",
            hint="update blindsight",
        )
    turn = old.to(new)
    changed = dict(files)
    for weight in _weights(turn, bundle.read_config(files[CONFIG])["id"]):
        changed |= _with_weight(changed, weight)
    for file, one in _companions(turn).items():
        if file in changed:
            changed[file] = _written(changed[file], file, one.name, one.change(_values(changed[file], file, one)))
    return changed


@dataclass(frozen=True, slots=True)
class _Dependent:
    """A tensor that depends on the key.

    Args:
        name: of the tensor.
        dtype: of its values.
        shape: of the tensor; 0 stands for any number from 1.
        change: what becomes of its values under the other key.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    change: Callable[[Array], Array]


def _weights(turn: Turn, network: str) -> list[_Dependent]:
    """Those of the model itself, in two files."""
    layout, edge = turn.layout, turn.layout.block
    layer = _Dependent(FIRST_LAYER, "<f4", (0, layout.channels, edge, edge), turn.weights)
    if not turn.moves_blocks or network == ORDERLESS:
        return [layer]
    if not network.startswith(TRANSFORMERS):
        raise SchemeError(
            f"the key moves blocks, and network {network} has no learned positions that follow them",
            hint=f"train network {TRANSFORMERS}: blindsight trainer fit",
        )
    return [layer, _Dependent(POSITIONS, "<f4", (layout.count, 0), turn.positions)]


def _companions(turn: Turn) -> dict[str, _Dependent]:
    """Those that go with the model, by their file."""
    size = turn.layout.size
    return {
        FINGERPRINT: _Dependent(CORRELATIONS, "<f4", (size, size), turn.correlations),
        SELFTEST: _Dependent(IMAGES, "|u1", (0, *turn.layout.shape), turn.images),
    }


def _with_weight(files: Mapping[str, bytes], one: _Dependent) -> dict[str, bytes]:
    """Weights and model with one weight changed in both."""
    weights = _values(files[WEIGHTS], WEIGHTS, one)
    in_model = onnxfile.weight(files[MODEL], one.name)
    if in_model.shape != weights.shape or in_model.tobytes() != weights.tobytes():
        raise FormatError(f"{MODEL} and {WEIGHTS} do not hold the same {one.name}")
    turned = one.change(weights)
    return {
        MODEL: onnxfile.with_weight(files[MODEL], one.name, turned),
        WEIGHTS: _written(files[WEIGHTS], WEIGHTS, one.name, turned),
    }


def _values(data: bytes, file: str, one: _Dependent) -> Array:
    """A tensor's values in a file in memory."""
    layout = tensorfile.parse_layout(data, len(data), file)
    if one.name not in layout.tensors:
        raise FormatError(f"{file} holds no tensor {one.name}, by which the model follows a key")
    found = tensorfile.view(data, layout, one.name)
    sides = zip(one.shape, found.shape, strict=False)
    fits = len(one.shape) == found.ndim and all(got >= 1 and want in (0, got) for want, got in sides)
    if found.dtype != np.dtype(one.dtype) or not fits:
        wanted = ", ".join(str(side or "n") for side in one.shape)
        raise FormatError(
            f"tensor {one.name} of {file} must be {np.dtype(one.dtype)} ({wanted}), got {found.dtype} {found.shape}"
        )
    return found


def _written(data: bytes, file: str, name: str, values: Array) -> bytes:
    """The same tensor file with other values of one tensor."""
    place = tensorfile.parse_layout(data, len(data), file).tensors[name]
    return data[: place.offset] + values.tobytes() + data[place.offset + place.nbytes :]


def rekey(
    found: Bundle, log: Log, to: Epoch, secrets: tuple[bytes, bytes], key: SigningKey, created: str
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Re-key a verified bundle for another epoch of its federation.

    Args:
        found: the bundle; there may be objections to its epoch.
        log: the membership log.
        to: the epoch whose images it is to understand; whether it may be used is for the caller.
        secrets: of the bundle's epoch and of the other, 32 bytes each.
        key: of the member who signs.
        created: the present time.

    Returns:
        Predicate and files, for ``bundle.make``.

    Raises:
        MembershipError: E_EPOCH, the bundle is for that epoch already; E_ROSTER, the key is no member's.
        SchemeError: E_SCHEME, the scheme is not allowed in the epoch, or the model does not absorb its key; E_SCV, the
            model was trained on images encrypted in another way than here.
        FormatError: see ``rekeyed``.
    """
    log.roster.member(key.entry.fpr)
    _demand_possible(found, to)
    before = found.predicate
    old, scv = _keyed(found.descriptor, log, before["epoch"], secrets[0])
    if scv != before["scv"]:
        raise SchemeError(
            f"the bundle's scheme check value {before['scv'][:12]}… is not this site's {scv[:12]}…: the model was "
            "trained on images that were encrypted in another way",
            code="E_SCV",
        )
    new, scv = _keyed(found.descriptor, log, to.number, secrets[1])
    layout = Layout.of(before["arch"]["params"], found.descriptor)
    files = rekeyed(found.files, key_of(old, layout), key_of(new, layout)) | {ORIGIN: _first(found).to_bytes()}
    if CARD in files:
        files[CARD] += _section(before["epoch"], to.number, escaped(key.entry.label), created).encode()
    return _predicate(found, log, to, key.entry.fpr) | {"scv": scv, "created": created}, files


def _demand_possible(found: Bundle, to: Epoch) -> None:
    descriptor = found.descriptor
    if found.predicate["epoch"] == to.number:
        raise MembershipError(f"the bundle is for epoch {to.number} already", code="E_EPOCH")
    if not to.allows(descriptor):
        raise SchemeError(f"scheme {descriptor.id} v{descriptor.v} is not allowed in epoch {to.number}")


def _keyed(descriptor: Descriptor, log: Log, epoch: int, secret: bytes) -> tuple[Cipher, str]:
    """A scheme under an epoch's key, and its check value."""
    key = scheme_key(secret, log.fed, epoch, descriptor.digest)
    cipher = cipher_for(descriptor, key)
    return cipher, check_value(descriptor, key, cipher.encrypt)


def _first(found: Bundle) -> Envelope:
    """The first statement: that of the bundle, unless it is a re-keyed one."""
    return Envelope.from_bytes(found.files[ORIGIN], ORIGIN) if ORIGIN in found.files else found.envelope


def _predicate(found: Bundle, log: Log, to: Epoch, member: str) -> dict[str, Any]:
    before = found.predicate
    earlier = before.get("derived", {"epochs": []})["epochs"]
    return {
        **before,
        "epoch": to.number,
        "record": to.record,
        "kcv": to.kcv,
        "head": log.head,
        "serial": before["serial"] + 1,
        "supersedes": found.envelope.mid,
        "derived": {
            "by": member,
            "how": provenance.REKEYED,
            "origin": _first(found).mid,
            "epochs": [*earlier, before["epoch"]],
        },
    }


def _section(old: int, new: int, by: str, created: str) -> str:
    return f"""
## Re-keyed for epoch {new}

{by} re-keyed this model from epoch {old} to epoch {new} on {created}. Weights were moved and their signs changed; no
image was used and nothing was trained. It answers images under the new key as it answered the same images under the old
one, and it no longer understands the old ones. What this card says of training and accuracy was measured before.
"""

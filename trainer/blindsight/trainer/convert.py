"""A plainly trained network in the files of a bundle: ONNX, weights, configuration, labels, self-test.

There is no key in it and no signature on it; a holder imports it under a key and signs. FORMAT.md section J.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch import nn

from blindsight.protocol import bundle, tensorfile
from blindsight.protocol.errors import DataError, FormatError, SchemeError
from blindsight.trainer import foreign
from blindsight.trainer.foreign import read_tensors
from blindsight.trainer.networks import build
from blindsight.trainer.onnx_export import to_onnx
from blindsight.trainer.plain import Plain, network, transformer
from blindsight.trainer.selftest import selftest_of
from blindsight.trainer.told import Told, told_in

PLAIN: Final = "plain"
MODEL: Final = "model.safetensors"


def read(place: Path, given: Told, unit: str | None) -> Plain:
    """Read a network.

    Args:
        place: a safetensors file, or a folder with one and with what says how it is built.
        given: what the caller says of it; goes before what its folder says.
        unit: what the first layer shall be linear on; None for what it is, bytes for a vision transformer.

    Raises:
        FormatError: E_FORMAT, E_SHARD, E_CANON, E_IO, a file is missing, malformed or a pickle.
        SchemeError: E_SCHEME, a model of encrypted images, or a first layer that absorbs no key.
        DataError: E_DATA, something is not said or does not fit.
    """
    if not place.is_dir():
        return transformer(read_tensors(place), given, unit or "byte")
    if (place / bundle.WEIGHTS).exists():
        return _own(place, given, unit)
    if (place / MODEL).exists():
        told = told_in(place).updated(given)
        return transformer(read_tensors(place / MODEL), told, unit or "byte")
    for file in sorted(place.iterdir()):
        if file.suffix.lower() in foreign.PICKLES:
            raise foreign.refused_pickle(file)
    raise FormatError(f"expected {bundle.WEIGHTS} or {MODEL} in {place}, got neither", code="E_IO")


def _own(folder: Path, given: Told, unit: str | None) -> Plain:
    """A network of this software, in files as they lie in a bundle."""
    _demand_plain(folder)
    if given != Told(classes=given.classes):
        raise DataError("a network of this software says itself how it is built: only class names may be given")
    config = bundle.read_config(foreign.read_bytes(folder / bundle.CONFIG, bundle.MAX_TEXT_BYTES))
    classes = given.classes or _labels(folder / bundle.LABELS)
    return network(read_tensors(folder / bundle.WEIGHTS), config["id"], config["params"], classes, unit)


def _demand_plain(folder: Path) -> None:
    """Refuse a bundle for encrypted images, as far as its statement says so: it is not verified here."""
    if (folder / bundle.STATEMENT).exists():
        _, predicate = bundle.parse_unsigned(bundle.read_statement(folder))
        if (scheme := predicate["scheme"]["id"]) != PLAIN:
            raise SchemeError(
                f"the model in {folder} is for images under scheme {scheme}, expected one for plain images",
                hint="to lead it to another key: blindsight holder rekey",
            )


def _labels(path: Path) -> tuple[str, ...]:
    if not path.exists():
        return ()
    return bundle.read_labels(foreign.read_bytes(path, bundle.MAX_TEXT_BYTES))


def files_of(plain: Plain) -> dict[str, bytes]:
    """Write a network in the files of a bundle.

    Returns:
        Name to content, without a statement.

    Raises:
        FederationError: the exporter gave no model.
    """
    arch = plain.arch
    built = build(plain.network, seed=0, **arch)
    state = {name: torch.tensor(tensor) for name, tensor in plain.state.items()}
    built.load_state_dict(state, strict=False)  # counters of normalisations have no effect on answers
    return {
        bundle.MODEL: to_onnx(built, arch["shape"]),
        bundle.WEIGHTS: _weights_file(built),
        bundle.CONFIG: bundle.config_file(plain.network, {**arch, "shape": list(arch["shape"])}),
        bundle.LABELS: bundle.labels_file(plain.classes),
        bundle.SELFTEST: selftest_of(built, arch["shape"]).to_bytes(),
    }


def _weights_file(built: nn.Module) -> bytes:
    state = {name: tensor.numpy() for name, tensor in built.state_dict().items() if tensor.is_floating_point()}
    return tensorfile.to_bytes(state, {"v": 1, "kind": "weights"})

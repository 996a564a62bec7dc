"""Plainly trained networks: those of this software, and vision transformers of other programs.

Of this software's those are taken whose first layer is linear on whole blocks. A first layer on bytes may become one on
their nibbles or bits, which are linear in them, so that it absorbs the keys of finer schemes; the function stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import torch

from blindsight.protocol import bundle, fields
from blindsight.protocol.errors import DataError, FormatError, SchemeError
from blindsight.protocol.scheme import CHANNELS, MAX_SIDE
from blindsight.trainer.foreign import Floats
from blindsight.trainer.model import Arch
from blindsight.trainer.networks import NETWORKS
from blindsight.trainer.networks.vit_layouts import HUGGING_FACE, TIMM, from_foreign
from blindsight.trainer.stems import UNIT_CENTRE, UNITS_PER_BYTE, UPSAMPLE, grid_of, stem_for
from blindsight.trainer.told import Told

T = TypeVar("T")
FIRST_LAYER: Final = "stem.blocks.weight"
LINEAR: Final = ("block", "paper", "lean", "patch")
"""First layers that are linear on whole blocks."""
CHANNELS_A_HEAD: Final = 64
MOST: Final = 2**16
"""Greatest size that a network's option may name."""
NAMED: Final = 3
"""Tensors of a kind that a refusal names."""

_VALUE = fields.either(fields.integer(0, MOST), fields.one_of([True, False]), fields.text(80))
_ARCH = fields.mapping(
    {
        "unit": fields.one_of(list(UNITS_PER_BYTE)),
        "block": fields.integer(1, MAX_SIDE),
        "shape": fields.listing(fields.integer(1, MAX_SIDE), least=3, most=3),
        "classes": fields.integer(2, bundle.MAX_CLASSES),
        "upsample": fields.one_of(UPSAMPLE),
    },
    {"stem": fields.text(80), "options": fields.dictionary(_VALUE)},
)
_CLASSES = fields.listing(fields.text(200), least=2, most=bundle.MAX_CLASSES)


@dataclass(frozen=True, slots=True)
class Plain:
    """A network for images that are not encrypted.

    Args:
        network: its name, a key of ``NETWORKS``.
        arch: what it is built from.
        state: name to float32 array, every floating tensor.
        classes: names in label order.
        source: in a few words, what it was made from.
    """

    network: str
    arch: Arch
    state: Mapping[str, Floats]
    classes: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        fields.demand(_CLASSES, list(self.classes), "the list of class names")
        if len(self.classes) != self.arch["classes"]:
            raise DataError(f"the network has {self.arch['classes']} classes, got {len(self.classes)} names")


def network(
    tensors: Mapping[str, Floats], name: str, params: Mapping[str, Any], classes: Sequence[str], unit: str | None = None
) -> Plain:
    """A network of this software.

    Args:
        tensors: its weights by name.
        name: of the network.
        params: what it is built from, as ``config.json`` states it.
        classes: names in label order.
        unit: what its first layer shall be linear on: its own unit, which None means, or a finer one.

    Raises:
        FormatError: E_FORMAT, the parameters are malformed, or the tensors are not those of such a network.
        SchemeError: E_SCHEME, the first layer is not linear on whole blocks, or sees finer units than it shall.
        DataError: E_DATA, the class names are missing or do not fit.
    """
    arch, own = _arch(params), str(params.get("unit"))
    _demand_tensors(name, arch, tensors)
    arch["unit"] = unit or own
    state = {**tensors, FIRST_LAYER: lifted(tensors[FIRST_LAYER], own, arch["unit"])}
    state = _widened(state, _skeleton(name, arch))
    return Plain(name, arch, state, _demand_said(tuple(classes), *_CLASS_NAMES), f"network {name} of blindsight")


def transformer(tensors: Mapping[str, Floats], told: Told, unit: str) -> Plain:
    """A vision transformer as timm or Hugging Face stores it.

    Args:
        tensors: its weights by name.
        told: what no tensor says: heads, normalisation of pixels and class names must be there.
        unit: what its patch embedding shall be linear on.

    Raises:
        FormatError: E_FORMAT, it is none that is known here.
        DataError: E_DATA, something is not said or does not fit.
    """
    dim, colours, block = _patches(tensors)
    mean, std = (_demand_said(each, *_NORMALISATION) for each in (told.mean, told.std))
    mean, std = (each * colours if len(each) == 1 else each for each in (mean, std))
    heads = _demand_said(told.heads, "how many heads its attention has", _HEADS.format(CHANNELS_A_HEAD, dim))
    options, state = from_foreign(tensors, unit=unit, mean=mean, std=std, heads=heads, eps=told.eps)
    if told.pool and (told.pool == "token") != options["token"]:
        raise FormatError(f"a model that reads {told.pool} at its end, with these tensors, is not computed here")
    arch = Arch(
        stem="patch",
        unit=unit,
        block=block,
        shape=(*_image(told.size, len(state["positions"]), block), colours),
        classes=state["head.bias"].size,
        upsample=1,
        options=options,
    )
    layout = "timm" if f"{TIMM.patch}.weight" in tensors else "Hugging Face"
    source = f"vision transformer in the layout of {layout}"
    return Plain("vit", arch, state, _demand_said(told.classes, *_CLASS_NAMES), source)


_CLASS_NAMES = ("what its classes are called", "--classes cat,dog or a file with one name a line")
_HEADS = "--heads N; most models have one for {} channels, this has {}"
_NORMALISATION = ("how it normalises pixels", "--mean and --std as in its training, for example --mean 0.5 --std 0.5")


def _patches(tensors: Mapping[str, Floats]) -> tuple[int, int, int]:
    """Channels, colours and edge of the patch embedding."""
    for layout in (TIMM, HUGGING_FACE):
        weight = tensors.get(f"{layout.patch}.weight", np.empty(0))
        if weight.ndim == 4 and weight.shape[1] in CHANNELS and weight.shape[2] == weight.shape[3]:
            return weight.shape[0], weight.shape[1], weight.shape[2]
    raise FormatError(
        "expected a vision transformer in the layout of timm or Hugging Face, with square patches of 1 or 3 colours",
        hint=f"a network of this software is a folder with {bundle.WEIGHTS}, {bundle.CONFIG} and {bundle.LABELS}",
    )


def _demand_said(value: T, what: str, hint: str) -> T:
    if not value:
        raise DataError(f"neither the model nor the command says {what}", hint=hint)
    return value


def _image(size: tuple[int, int] | None, patches: int, block: int) -> tuple[int, int]:
    """Height and width of the images: as said, else square."""
    edge = math.isqrt(patches) * block
    height, width = size or (edge, edge)
    if height % block or width % block or height // block * (width // block) != patches:
        raise DataError(
            f"expected images of {patches} patches of {block}x{block} pixels, got {height}x{width}",
            hint="--size HxW: what the model was trained with",
        )
    return height, width


def _arch(params: Mapping[str, Any]) -> Arch:
    fields.demand(_ARCH, dict(params), "the list of the network's parameters")
    if (stem := params.get("stem", LINEAR[0])) not in LINEAR:
        raise SchemeError(f"a first layer of kind {stem[:20]} absorbs no key, expected one of {', '.join(LINEAR)}")
    height, width, colours = params["shape"]
    arch = Arch(
        stem=stem,
        unit=params["unit"],
        block=params["block"],
        shape=(height, width, colours),
        classes=params["classes"],
        upsample=params["upsample"],
    )
    if params.get("options"):
        arch["options"] = params["options"]
    return arch


def _demand_tensors(name: str, arch: Arch, tensors: Mapping[str, Floats]) -> None:
    """Compare names and shapes before memory is spent on a network of that size."""
    if name not in NETWORKS:
        raise FormatError(f"network must be one of {', '.join(NETWORKS)}, got {name[:40]!r}")
    try:
        like = _skeleton(name, arch)
    except (TypeError, ValueError) as error:
        raise FormatError(f"there is no such network: {error}") from error
    expected = {key: tuple(tensor.shape) for key, tensor in like.items() if tensor.is_floating_point()}
    if faults := [key for key in sorted(expected.keys() | tensors.keys()) if key not in expected or key not in tensors]:
        kind = "lacks" if faults[0] in expected else "holds, beyond the network's,"
        raise FormatError(f"the file of weights {kind} {', '.join(key[:60] for key in faults[:NAMED])}")
    for key, shape in expected.items():
        if tensors[key].shape != shape:
            raise FormatError(f"expected {key} of shape {shape}, got {tensors[key].shape}")
        if not np.isfinite(tensors[key]).all():
            raise FormatError(f"expected finite numbers in {key}, got others")


def _skeleton(name: str, arch: Arch) -> dict[str, torch.Tensor]:
    """The tensors of a network without their values."""
    kind, options = NETWORKS[name], arch.get("options", {})
    with torch.device("meta"):
        width = int(options.get("dim", kind.WIDTH))
        stem = stem_for(
            arch["stem"], arch["unit"], arch["block"], arch["shape"], width=width, upsample=arch["upsample"]
        )
        grid = grid_of(arch["block"], arch["shape"], arch["upsample"])
        return kind(stem, grid, arch["classes"], **options).state_dict()


def lifted(weight: Floats, old: str, new: str) -> Floats:
    """Turn a layer that is linear on centred units into one on finer units: exactly the same function.

    A coarse unit is the sum of its digits times their place values, and its centre that of the digits' centres; so no
    bias comes in. Every coarse channel becomes several, one for each digit.

    Args:
        weight: (o, u, m, m).
        old: the unit it is linear on.
        new: the same, or a finer one.

    Returns:
        (o, u', m, m) with channels in the order of ``Units``.

    Raises:
        SchemeError: E_SCHEME, the new unit is coarser.
    """
    coarse, fine = UNITS_PER_BYTE[old], UNITS_PER_BYTE[new]
    if fine < coarse:
        raise SchemeError(f"the network's first layer sees {old}s, which no layer on whole {new}s can tell apart")
    scale, each = UNIT_CENTRE[new][1] / UNIT_CENTRE[old][1], fine // coarse
    digits = np.split(weight.astype(np.float64), coarse, axis=1)  # the highest first, (o, c, m, m) each
    places = [2.0 ** (8 // fine * place) for place in reversed(range(each))]
    return np.concatenate([digit * (scale * place) for digit in digits for place in places], axis=1).astype(np.float32)


def _widened(state: Mapping[str, Floats], like: Mapping[str, torch.Tensor]) -> dict[str, Floats]:
    """Add channels of zeros where a first layer on finer units has more of them, as ``lean`` has: they do nothing."""
    sides = {name: zip(like[name].shape, tensor.shape, strict=True) for name, tensor in state.items()}
    return {name: np.pad(tensor, [(0, to - at) for to, at in sides[name]]) for name, tensor in state.items()}

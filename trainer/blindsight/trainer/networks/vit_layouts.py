"""Vision transformers of other programs, brought into the layout of ``vit``: the same function of the same images.

Two common layouts are known, by the names of their tensors: timm's, and the one in which Hugging Face's
``ViTForImageClassification`` is stored. The normalisation of pixels that such a model expects before it goes into the
patch embedding, so the result takes bytes. What no tensor tells, the caller must: the number of heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from blindsight.protocol.errors import DataError, FormatError
from blindsight.trainer.networks.vit import Vit
from blindsight.trainer.stems import UNIT_CENTRE, UNITS_PER_BYTE, stem_for

Arrays = Mapping[str, npt.NDArray[Any]]
Double = npt.NDArray[np.float64]
Options = dict[str, int | bool | str]
NAMED: Final = 3
"""Tensors of a kind that a refusal names."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What another program calls its tensors.

    Args:
        patch: the patch embedding.
        token: the class token.
        positions: the table of positions, the class token's first.
        norm: the last normalisation, behind a class token.
        mean_norm: the same behind a mean of all patches; None if this program always has a class token.
        head: the last linear layer.
        layers: what the names of a layer's tensors begin with, before its number.
        parts: our name of a part of a layer to theirs; several are stacked.
        eps: of the normalisations, unless a model says otherwise.
    """

    patch: str
    token: str
    positions: str
    norm: str
    mean_norm: str | None
    head: str
    layers: str
    parts: Mapping[str, tuple[str, ...]]
    eps: str


QKV: Final = "attention.qkv"
TIMM: Final = Layout(
    patch="patch_embed.proj",
    token="cls_token",
    positions="pos_embed",
    norm="norm",
    mean_norm="fc_norm",
    head="head",
    layers="blocks.",
    parts={
        "norm1": ("norm1",),
        QKV: ("attn.qkv",),
        "attention.project": ("attn.proj",),
        "norm2": ("norm2",),
        "grow": ("mlp.fc1",),
        "shrink": ("mlp.fc2",),
    },
    eps="1e-6",
)
HUGGING_FACE: Final = Layout(
    patch="vit.embeddings.patch_embeddings.projection",
    token="vit.embeddings.cls_token",
    positions="vit.embeddings.position_embeddings",
    norm="vit.layernorm",
    mean_norm=None,
    head="classifier",
    layers="vit.encoder.layer.",
    parts={
        "norm1": ("layernorm_before",),
        QKV: ("attention.attention.query", "attention.attention.key", "attention.attention.value"),
        "attention.project": ("attention.output.dense",),
        "norm2": ("layernorm_after",),
        "grow": ("intermediate.dense",),
        "shrink": ("output.dense",),
    },
    eps="1e-12",
)


def from_foreign(
    tensors: Arrays, *, unit: str, mean: Sequence[float], std: Sequence[float], heads: int, eps: str = ""
) -> tuple[Options, dict[str, npt.NDArray[np.float32]]]:
    """Bring a vision transformer into our layout: learned positions, exact GELU, a normalisation before each part.

    Args:
        tensors: name to floating array, all that the model has.
        unit: what the patch embedding shall be linear on: ``byte``, ``nibble`` or ``bit``.
        mean: of each colour, what the model expects to be subtracted from a pixel between 0 and 1.
        std: of each colour, what it expects the difference to be divided by.
        heads: of the attention.
        eps: of the normalisations, as text; empty for what the layout's program has unless told otherwise.

    Returns:
        Options of the network ``vit``; and all its tensors, float32, behind a stem ``patch`` whose block is the model's
        patch.

    Raises:
        FormatError: E_FORMAT, no layout that is known here; or a tensor that is missing, unknown or of another shape.
        DataError: E_DATA, the heads do not divide the channels, or there is not one mean and deviation a colour.
    """
    layout = _layout_of(tensors)
    tensors = dict(_without_qkv_bias(tensors, layout)) | dict(tensors)
    names = dict(_names(layout, _depth(tensors, layout), token=_has_token(tensors, layout)))
    _demand_names(tensors, {theirs for every in names.values() for theirs in every})
    state = {ours: _stacked(tensors, theirs) for ours, theirs in names.items()}
    _take_token_apart(state)
    options = _options(state, heads, eps or layout.eps)
    _demand_shapes(state, options, names)
    _demand_colours(state["stem.blocks.weight"].shape[1], mean, std)
    layer = (state["stem.blocks.weight"].astype(np.float64), state["stem.blocks.bias"].astype(np.float64))
    state["stem.blocks.weight"], state["stem.blocks.bias"] = fold_pixels(*layer, unit=unit, mean=mean, std=std)
    return options, {name: tensor.astype(np.float32, copy=False) for name, tensor in state.items()}


def fold_pixels(
    weight: Double, bias: Double, *, unit: str, mean: Sequence[float], std: Sequence[float]
) -> tuple[Double, Double]:
    """Turn a layer on normalised pixels, (byte / 255 - mean) / std, into one on the centred units of bytes.

    A byte is the sum of its digits times their place values, 16 · high + low for nibbles; a digit is its unit times the
    scale, plus the centre; and the centres of a byte's digits add up to 127.5.

    Args:
        weight: (o, c, m, m).
        bias: (o,).
        unit: ``byte``, ``nibble`` or ``bit``.
        mean: (c,).
        std: (c,).

    Returns:
        Weight (o, u, m, m), channels in the order of ``Units``, and bias (o,).
    """
    digits, (_, scale) = UNITS_PER_BYTE[unit], UNIT_CENTRE[unit]
    places = 2.0 ** (8 // digits * np.arange(digits)[::-1])  # (digits,) place values, the highest first
    slope = weight / (255 * np.asarray(std))[:, None, None]  # (o, c, m, m) by one byte
    centre = (127.5 / 255 - np.asarray(mean)) / np.asarray(std)  # (c,) the normalised pixel in the middle
    by_unit = np.concatenate([slope * scale * place for place in places], axis=1)  # (o, u, m, m)
    return by_unit, bias + (weight * centre[:, None, None]).sum(axis=(1, 2, 3))


def _layout_of(tensors: Arrays) -> Layout:
    for layout in (TIMM, HUGGING_FACE):
        if tensors.get(f"{layout.patch}.weight", np.empty(0)).ndim == 4:
            return layout
    raise FormatError(
        "expected a vision transformer as timm or Hugging Face stores it, got no patch embedding of four dimensions",
        hint=f"it would be called {TIMM.patch}.weight or {HUGGING_FACE.patch}.weight",
    )


def _has_token(tensors: Arrays, layout: Layout) -> bool:
    return layout.token in tensors or layout.mean_norm is None


def _depth(tensors: Arrays, layout: Layout) -> int:
    begins = {name.removeprefix(layout.layers).partition(".")[0] for name in tensors if name.startswith(layout.layers)}
    return sum(1 for _ in takewhile(lambda number: str(number) in begins, count()))


def _without_qkv_bias(tensors: Arrays, layout: Layout) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Zeros for the biases of query, key and value, which some models leave out."""
    ends = tuple(f"{part}.weight" for part in layout.parts[QKV])
    for name, tensor in tensors.items():
        if name.startswith(layout.layers) and name.endswith(ends):
            yield name.removesuffix("weight") + "bias", np.zeros(len(tensor))


def _names(layout: Layout, depth: int, *, token: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Our name to theirs, of every tensor."""
    yield "positions", (layout.positions,)
    if token:
        yield "token", (layout.token,)
    norm = layout.norm if token else str(layout.mean_norm)
    for ours, theirs in (("stem.blocks", layout.patch), ("norm", norm), ("head", layout.head)):
        yield from ((f"{ours}.{kind}", (f"{theirs}.{kind}",)) for kind in ("weight", "bias"))
    for number in range(depth):
        for part, every in layout.parts.items():
            for kind in ("weight", "bias"):
                place = f"layers.{number}.{part}.{kind}"
                yield place, tuple(f"{layout.layers}{number}.{theirs}.{kind}" for theirs in every)


def _demand_names(tensors: Arrays, expected: set[str]) -> None:
    missing, unknown = sorted(expected - tensors.keys()), sorted(tensors.keys() - expected)
    faults = [f"it lacks {_some(missing)}"] * bool(missing) + [f"{_some(unknown)} has no place in it"] * bool(unknown)
    if faults:
        raise FormatError(f"expected the tensors of a plain vision transformer with a head: {' and '.join(faults)}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _stacked(tensors: Arrays, theirs: tuple[str, ...]) -> npt.NDArray[Any]:
    every = [tensors[name] for name in theirs]
    for name, tensor in zip(theirs, every, strict=True):
        if not np.issubdtype(tensor.dtype, np.floating) or not tensor.size or not np.isfinite(tensor).all():
            raise FormatError(f"expected finite floating numbers in {name}, got others or none")
        if tensor.shape != every[0].shape:
            raise FormatError(f"expected {name} to have the shape of {theirs[0]}, got {tensor.shape}")
    joined = every[0] if len(every) == 1 else np.concatenate(every)
    return joined.astype(np.result_type(joined.dtype, np.float32), copy=False)  # nothing is added up in half precision


def _take_token_apart(state: dict[str, npt.NDArray[Any]]) -> None:
    """From theirs, (1, n, dim) with a place for the token, to ours: patches (n, dim), the token with its position."""
    dim = len(state["stem.blocks.weight"])
    for name in ("positions", "token"):
        shape = state[name].shape if name in state else (1, 1, dim)
        if len(shape) != 3 or (shape[0], shape[2]) != (1, dim) or (name == "token" and shape[1] != 1):
            raise FormatError(f"expected {name} of shape (1, n, {dim}), got {shape}")
    places = state["positions"][0]  # (n, dim)
    if "token" in state:
        state["token"], places = state["token"][0] + places[:1], places[1:]  # (1, dim), (n - 1, dim)
    state["positions"] = places


def _options(state: Arrays, heads: int, eps: str) -> Options:
    dim, depth = len(state["stem.blocks.weight"]), sum(name.endswith("grow.bias") for name in state)
    if heads < 1 or dim % heads:
        raise DataError(f"expected a number of heads that divides {dim} channels, got {heads}")
    mlp = state["layers.0.grow.bias"].size if depth else 0
    return {"dim": dim, "depth": depth, "heads": heads, "mlp": mlp, "token": "token" in state, "eps": eps}


def _demand_shapes(state: Arrays, options: Mapping[str, Any], names: Mapping[str, tuple[str, ...]]) -> None:
    """Compare with the network that the options describe, as far as it stands before the pixels are folded in."""
    dim, colours, block, _ = state["stem.blocks.weight"].shape
    if min(options["depth"], options["mlp"]) < 1:
        raise FormatError(f"expected layers of at least one channel, got {options['depth']} layers")
    with torch.device("meta"):
        stem = stem_for("patch", "byte", block, (block, block, colours), width=dim, upsample=1)
        like = Vit(stem, (len(state["positions"]), 1), state["head.bias"].size, **options).state_dict()
    for name, tensor in state.items():
        if tensor.shape != like[name].shape:
            theirs, expected = " + ".join(names[name]), tuple(like[name].shape)
            raise FormatError(f"expected {theirs} to give an array of shape {expected}, got {tensor.shape}")


def _demand_colours(colours: int, mean: Sequence[float], std: Sequence[float]) -> None:
    if len(mean) != colours or len(std) != colours or min(std) <= 0:
        given = f"{', '.join(map(str, mean))} and {', '.join(map(str, std))}"
        raise DataError(f"expected a mean and a deviation above 0 for each of {colours} colours, got {given}")

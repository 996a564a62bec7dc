"""Vision transformers of other programs compute here what they compute there.

There is a plain re-implementation of them below: one picture at a time, in double precision, from the tensors under
their names. It was done once by hand with the programs themselves, too (timm 1.0.31, transformers 5.23.0, ViT-Ti/16 at
224 pixels with random weights, 8 images of noise, all three units): logits up to 2.7 and 6.1 differed by at most 1.1e-6
and 9.9e-6, top-1 was the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch

from blindsight.protocol.errors import DataError, FormatError
from blindsight.trainer.networks.vit_layouts import HUGGING_FACE, TIMM, from_foreign
from tests.trainer.samples import images, network

Array = npt.NDArray[np.float64]
Tensors = dict[str, npt.NDArray[np.float32]]
DIM, HEADS, MLP, DEPTH, PATCH, GRID, CLASSES = 24, 3, 40, 2, 4, (2, 3), 5
SHAPE = (GRID[0] * PATCH, GRID[1] * PATCH, 3)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXELS = {"mean": MEAN, "std": STD}
QKV = ("query", "key", "value")


def drawn(shapes: Mapping[str, tuple[int, ...]]) -> Tensors:
    """Weights of a size that lets every part matter; normalisations about one."""
    rng = np.random.default_rng(7)
    return {
        name: ((".norm" in name or "layernorm" in name) * name.endswith("weight") + rng.normal(0, 0.3, shape)).astype(
            "f4"
        )
        for name, shape in shapes.items()
    }


def timm(*, token: bool = True, qkv_bias: bool = True, colours: int = 3) -> Tensors:
    """A model as timm stores it; without a class token it averages the patches before the last normalisation."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch_embed.proj.weight": (DIM, colours, PATCH, PATCH),
        "patch_embed.proj.bias": (DIM,),
        "pos_embed": (1, 6 + token, DIM),
    }
    shapes |= {"cls_token": (1, 1, DIM)} if token else {}
    for number in range(DEPTH):
        parts = {"norm1": (DIM,), "attn.qkv": (3 * DIM, DIM), "attn.proj": (DIM, DIM), "norm2": (DIM,)}
        parts |= {"mlp.fc1": (MLP, DIM), "mlp.fc2": (DIM, MLP)}
        shapes |= linear({f"blocks.{number}.{part}": shape for part, shape in parts.items()})
    shapes |= linear({"norm" if token else "fc_norm": (DIM,), "head": (CLASSES, DIM)})
    found = drawn(shapes)
    return {name: tensor for name, tensor in found.items() if qkv_bias or not name.endswith("qkv.bias")}


def hugging_face(*, qkv_bias: bool = True) -> Tensors:
    """A model as ``ViTForImageClassification`` is stored."""
    shapes: dict[str, tuple[int, ...]] = {
        "vit.embeddings.patch_embeddings.projection.weight": (DIM, 3, PATCH, PATCH),
        "vit.embeddings.patch_embeddings.projection.bias": (DIM,),
        "vit.embeddings.position_embeddings": (1, 7, DIM),
        "vit.embeddings.cls_token": (1, 1, DIM),
    }
    for number in range(DEPTH):
        parts = {"layernorm_before": (DIM,), "layernorm_after": (DIM,), "attention.output.dense": (DIM, DIM)}
        parts |= {f"attention.attention.{part}": (DIM, DIM) for part in QKV}
        parts |= {"intermediate.dense": (MLP, DIM), "output.dense": (DIM, MLP)}
        shapes |= linear({f"vit.encoder.layer.{number}.{part}": shape for part, shape in parts.items()})
    shapes |= linear({"vit.layernorm": (DIM,), "classifier": (CLASSES, DIM)})
    ends = tuple(f"{part}.bias" for part in QKV)
    return {name: tensor for name, tensor in drawn(shapes).items() if qkv_bias or not name.endswith(ends)}


def linear(weights: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Weights and the biases they come with."""
    both = {f"{name}.weight": shape for name, shape in weights.items()}
    return both | {f"{name}.bias": shape[:1] for name, shape in weights.items()}


class Plainly:
    """Such a model written out, one picture at a time, as its papers and programs describe it."""

    def __init__(self, tensors: Tensors, eps: float) -> None:
        self.t = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        self.eps = eps
        self.timm = "cls_token" in tensors or "fc_norm.bias" in tensors

    def __call__(self, picture: npt.NDArray[np.uint8]) -> Array:
        """(h, w, c) uint8 to (classes,)."""
        pixels = (picture / 255 - np.array(MEAN)[: picture.shape[2]]) / np.array(STD)[: picture.shape[2]]
        names = ("patch_embed.proj", "cls_token", "pos_embed", "norm", "head")
        if not self.timm:
            start = "vit.embeddings"
            names = (f"{start}.patch_embeddings.projection", f"{start}.cls_token", f"{start}.position_embeddings")
            names = (*names, "vit.layernorm", "classifier")
        patch, token, positions, norm, head = names
        x = np.stack([self.embedded(pixels[r : r + PATCH, k : k + PATCH], patch) for r, k in corners(pixels.shape)])
        x = np.concatenate([self.t[token][0], x]) if token in self.t else x
        x = x + self.t[positions][0]
        for number in range(DEPTH):
            x = self.layer(x, number)
        if token in self.t:
            return self.linear(self.norm(x, norm)[0], head)
        return self.linear(self.norm(x.mean(axis=0), "fc_norm"), head)

    def embedded(self, patch: Array, name: str) -> Array:
        weight, bias = self.t[f"{name}.weight"], self.t[f"{name}.bias"]  # (dim, c, m, m), (dim,)
        return np.array([(row.transpose(1, 2, 0) * patch).sum() for row in weight]) + bias

    def layer(self, x: Array, number: int) -> Array:
        if self.timm:
            at = f"blocks.{number}."
            qkv = self.linear(self.norm(x, f"{at}norm1"), f"{at}attn.qkv")
            x = x + self.linear(attended(*np.split(qkv, 3, axis=1)), f"{at}attn.proj")
            inner = self.linear(self.norm(x, f"{at}norm2"), f"{at}mlp.fc1")
            return x + self.linear(gelu(inner), f"{at}mlp.fc2")
        at = f"vit.encoder.layer.{number}."
        normal = self.norm(x, f"{at}layernorm_before")
        seen = attended(*(self.linear(normal, f"{at}attention.attention.{part}") for part in QKV))
        x = x + self.linear(seen, f"{at}attention.output.dense")
        inner = self.linear(self.norm(x, f"{at}layernorm_after"), f"{at}intermediate.dense")
        return x + self.linear(gelu(inner), f"{at}output.dense")

    def linear(self, x: Array, name: str) -> Array:
        product: Array = x @ self.t[f"{name}.weight"].T
        return product + self.t.get(f"{name}.bias", np.zeros(1))

    def norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled: Array = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self.eps)
        return scaled * self.t[f"{name}.weight"] + self.t[f"{name}.bias"]


def corners(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(row, column) for row in range(0, shape[0], PATCH) for column in range(0, shape[1], PATCH)]


def attended(query: Array, key: Array, value: Array) -> Array:
    edge, parts = DIM // HEADS, []
    for head in range(HEADS):
        at = slice(head * edge, (head + 1) * edge)
        scores = np.exp(query[:, at] @ key[:, at].T / np.sqrt(edge))
        parts.append(scores / scores.sum(axis=1, keepdims=True) @ value[:, at])
    return np.concatenate(parts, axis=1)


def gelu(x: Array) -> Array:
    return x * 0.5 * (1 + torch.erf(torch.from_numpy(x / np.sqrt(2))).numpy())


def ours(tensors: Tensors, unit: str, colours: int = 3, eps: str = "") -> torch.nn.Module:
    """The model in our network."""
    options, state = from_foreign(tensors, unit=unit, mean=MEAN[:colours], std=STD[:colours], heads=HEADS, eps=eps)
    module = network("vit", unit=unit, block=PATCH, shape=(*SHAPE[:2], colours), classes=CLASSES, options=options)
    module.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in state.items()}, strict=True)
    return module.eval()


MODELS: dict[str, tuple[Callable[[], Tensors], float, int]] = {
    "timm": (timm, 1e-6, 3),
    "timm without a class token": (lambda: timm(token=False), 1e-6, 3),
    "timm without biases of attention": (lambda: timm(qkv_bias=False), 1e-6, 3),
    "timm in grey": (lambda: timm(colours=1), 1e-6, 1),
    "Hugging Face": (hugging_face, 1e-12, 3),
    "Hugging Face without biases of attention": (lambda: hugging_face(qkv_bias=False), 1e-12, 3),
}


@pytest.mark.parametrize("unit", ["byte", "nibble", "bit"])
@pytest.mark.parametrize("model", MODELS)
def test_a_foreign_model_gives_the_logits_it_gave_there(model: str, unit: str) -> None:
    make, eps, colours = MODELS[model]
    tensors, pictures = make(), images(6, (*SHAPE[:2], colours))
    expected = np.stack([Plainly(tensors, eps)(picture) for picture in pictures.numpy()])
    with torch.inference_mode():
        found = ours(tensors, unit, colours)(pictures).numpy()
    assert expected.std(axis=0).min() > 1e-2
    assert np.abs(found - expected).max() < 1e-5 * (1 + np.abs(expected).max())


def test_the_normalisations_constant_is_the_layouts_unless_told() -> None:
    for tensors, layout in ((timm(), TIMM), (hugging_face(), HUGGING_FACE)):
        for told, expected in (("", layout.eps), ("0.5", "0.5")):
            options, _ = from_foreign(tensors, unit="byte", **PIXELS, heads=HEADS, eps=told)
            assert options["eps"] == expected
    pictures = images(2, SHAPE)
    with torch.inference_mode():
        found = ours(timm(), "byte", eps="0.5")(pictures).numpy()
    expected = np.stack([Plainly(timm(), 0.5)(picture) for picture in pictures.numpy()])
    assert np.abs(found - expected).max() < 1e-5 * (1 + np.abs(expected).max())


def test_options_and_tensors_are_those_of_the_network() -> None:
    options, state = from_foreign(timm(), unit="nibble", **PIXELS, heads=HEADS)
    assert options == {"dim": 24, "depth": 2, "heads": 3, "mlp": 40, "token": True, "eps": "1e-6"}
    assert {name: tensor.dtype for name, tensor in state.items()} == dict.fromkeys(state, np.dtype(np.float32))
    assert state["stem.blocks.weight"].shape == (24, 6, 4, 4)
    assert (state["positions"].shape, state["token"].shape) == ((6, 24), (1, 24))


def test_half_precision_is_taken_as_it_is() -> None:
    half = {name: tensor.astype(np.float16) for name, tensor in timm().items()}
    single = {name: tensor.astype(np.float32) for name, tensor in half.items()}
    (_, one), (_, other) = (from_foreign(some, unit="byte", **PIXELS, heads=HEADS) for some in (half, single))
    assert all(np.array_equal(one[name], other[name]) for name in one)


def changed(name: str, change: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.generic]]) -> dict[str, npt.NDArray]:
    tensors: dict[str, npt.NDArray] = dict(timm())
    return tensors | {name: change(tensors[name])}


def without(*names: str) -> Tensors:
    return {name: tensor for name, tensor in timm().items() if name not in names}


REFUSED: dict[str, tuple[Mapping[str, npt.NDArray], str]] = {
    "nothing": ({}, "got no patch embedding of four dimensions"),
    "another network": ({"conv1.weight": np.ones((3, 3), "f4")}, "got no patch embedding of four dimensions"),
    "flat patch embedding": (changed("patch_embed.proj.weight", lambda w: w.reshape(24, -1)), "of four dimensions"),
    "headless": (without("head.weight", "head.bias"), "it lacks head.bias, head.weight"),
    "hole in the layers": (
        {n: t for n, t in timm().items() if not n.startswith("blocks.0.")},
        r"blocks.1.attn.proj.bias, blocks.1.attn.proj.weight, blocks.1.attn.qkv.bias and 9 more has no place in it",
    ),
    "layer scale": (timm() | {"blocks.0.ls1.gamma": np.ones(24, "f4")}, "blocks.0.ls1.gamma has no place in it"),
    "registers": (timm() | {"reg_token": np.ones((1, 4, 24), "f4")}, "reg_token has no place in it"),
    "token and mean": (
        {("fc_" if n.startswith("norm.") else "") + n: t for n, t in timm().items()},
        r"it lacks norm.bias, norm.weight and fc_norm.bias, fc_norm.weight has no place in it",
    ),
    "mean of normalised patches": (
        {("norm" if n.startswith("fc_norm") else n[: n.find(".")]) + n[n.find(".") :] if "." in n else n: t
         for n, t in timm(token=False).items()},
        r"it lacks fc_norm.bias, fc_norm.weight and norm.bias, norm.weight has no place in it",
    ),
    "pooler": (
        hugging_face() | {"vit.pooler.dense.bias": np.ones(24, "f4")}, "vit.pooler.dense.bias has no place in it",
    ),
    "another width": (changed("blocks.1.norm2.bias", lambda b: b[:-1]), r"expected blocks.1.norm2.bias .*\(24,\)"),
    "uneven attention": (
        hugging_face() | {"vit.encoder.layer.1.attention.attention.key.weight": np.ones((3, 24), "f4")},
        "expected vit.encoder.layer.1.attention.attention.key.weight to have the shape of",
    ),
    "oblong patches": (changed("patch_embed.proj.weight", lambda w: w[..., :2]), "patch_embed.proj.weight to give"),
    "flat positions": (changed("pos_embed", lambda p: p[0]), r"expected positions of shape \(1, n, 24\), got \(7,"),
    "two tokens": (changed("cls_token", lambda c: c.repeat(2, axis=1)), r"expected token of shape \(1, n, 24\)"),
    "whole numbers": (changed("head.bias", lambda b: b.astype(int)), "expected finite floating numbers in head.bias"),
    "not a number": (changed("norm.bias", lambda b: b * np.nan), "expected finite floating numbers in norm.bias"),
    "empty": (changed("head.weight", lambda w: w[:0]), "expected finite floating numbers in head.weight"),
    "single number": (changed("head.bias", lambda b: b[0]), "expected head.weight to give an array of shape"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_place_in_our_network_is_refused_by_name(case: str) -> None:
    tensors, words = REFUSED[case]
    with pytest.raises(FormatError, match=words) as refused:
        from_foreign(tensors, unit="byte", **PIXELS, heads=HEADS)
    assert refused.value.code == "E_FORMAT"


@pytest.mark.parametrize("missing", sorted(timm()))
def test_no_tensor_may_be_missing_but_biases_of_attention(missing: str) -> None:
    tensors = without(missing)
    if missing.endswith("qkv.bias"):
        from_foreign(tensors, unit="byte", **PIXELS, heads=HEADS)
    else:
        with pytest.raises(FormatError):
            from_foreign(tensors, unit="byte", **PIXELS, heads=HEADS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"heads": 5}, "expected a number of heads that divides 24 channels, got 5"),
        ({"heads": 0}, "expected a number of heads that divides 24 channels, got 0"),
        ({"mean": (0.5,)}, "for each of 3 colours, got 0.5 and 0.229, 0.224, 0.225"),
        ({"std": (0.5, 0.5, 0.0)}, "a deviation above 0 for each of 3 colours"),
    ],
)
def test_what_no_tensor_tells_must_fit(given: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        from_foreign(timm(), **({"unit": "byte", **PIXELS, "heads": HEADS} | given))

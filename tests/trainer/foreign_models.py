"""Plainly trained networks as others bring them: our own in a folder, and tiny vision transformers of other programs.

Use as ``from tests.trainer import foreign_models``. The transformers are written here once more, from the paper, with
the pixels normalised before the first layer as those programs do it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from blindsight.protocol import bundle
from blindsight.trainer.networks import NETWORKS, build
from blindsight.trainer.plain import Plain

CLASSES = ("cat", "dog", "owl", "newt", "wasp")
SHAPE, PATCH = (16, 24, 3), 4
DIM, DEPTH, HEADS, MLP = 24, 2, 3, 40
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TOLERANCE = 1e-4  # of a logit, in parts of 1 plus the greatest logit


def images(count: int, shape: tuple[int, int, int] = SHAPE, seed: int = 5) -> np.ndarray:
    """``(count, h, w, c)`` uint8: each of its own colours, in patches, with noise."""
    rng, (height, width, colours) = np.random.default_rng(seed), shape
    whole = rng.uniform(40, 215, (count, 1, 1, colours))
    patches = rng.normal(0, 40, (count, height // PATCH, width // PATCH, colours))
    patches = patches.repeat(PATCH, axis=1).repeat(PATCH, axis=2)
    return (whole + patches + rng.normal(0, 15, (count, *shape))).clip(0, 255).astype(np.uint8)


def alike(got: np.ndarray, expected: np.ndarray) -> bool:
    """Whether logits are the same up to the order in which sums are added up, and answers the same."""
    close = np.abs(got - expected).max() <= TOLERANCE * (1 + np.abs(expected).max())
    return bool(close and (got.argmax(axis=1) == expected.argmax(axis=1)).all())


# Networks of this software.


def params(name: str, unit: str = "byte", *, stem: str = "", **changes: Any) -> dict[str, Any]:
    """What ``config.json`` states of one."""
    patches = NETWORKS[name].PATCHES
    stem = stem or ("patch" if patches else getattr(NETWORKS[name], "STEM", "block"))
    sizes = {"block": PATCH, "shape": list(SHAPE), "classes": len(CLASSES), "upsample": 1 if patches else 2}
    return {"stem": stem, "unit": unit, **sizes} | changes


def own(name: str, stated: dict[str, Any]) -> nn.Module:
    """A network whose normalisations are not the identity and whose positions matter."""
    network = build(name, seed=2, **stated)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for tensor in (layer.weight, layer.running_var):
                    tensor.uniform_(0.5, 1.5, generator=generator)
        if (positions := getattr(network, "positions", None)) is not None:
            positions.normal_(generator=generator)
    return balanced(network.eval())


def balanced(network: nn.Module) -> nn.Module:
    """With a head under which each class is the answer to some images."""
    with torch.no_grad():
        logits = torch.from_numpy(answers(network, images(100, seed=4)))
        network.head.weight.div_(logits.std(dim=0)[:, None])
        network.head.bias.sub_(logits.mean(dim=0)).div_(logits.std(dim=0))
    return network


def answers(network: nn.Module, pictures: np.ndarray) -> np.ndarray:
    """The logits of a network, ``(n, classes)``."""
    with torch.inference_mode():
        return network(torch.from_numpy(pictures)).numpy()


def built(plain: Plain) -> nn.Module:
    """The network that was read."""
    network = build(plain.network, seed=9, **plain.arch)
    network.load_state_dict({name: torch.tensor(array) for name, array in plain.state.items()}, strict=False)
    return network.eval()


def write_own(folder: Path, name: str, stated: dict[str, Any], network: nn.Module) -> Path:
    """A folder as somebody has it who saved the state with the safetensors library: counters and all."""
    folder.mkdir(parents=True)
    state = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    save_file(state, folder / bundle.WEIGHTS, {"format": "pt"})
    (folder / bundle.CONFIG).write_bytes(bundle.config_file(name, stated))
    (folder / bundle.LABELS).write_bytes(bundle.labels_file(CLASSES))
    return folder


# Vision transformers.


@dataclass(frozen=True)
class Transformer:
    """A vision transformer with a class token.

    Args:
        ends: patch embedding, token, positions, last normalisation, head.
        layers: of each layer its tensors.
        eps: of the normalisations.
    """

    ends: dict[str, Tensor]
    layers: tuple[dict[str, Tensor], ...]
    eps: float

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """What it answers to plain images, normalised first."""
        ends = {name: tensor.double() for name, tensor in self.ends.items()}
        pixels = (torch.from_numpy(pictures) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)  # (b, h, w, c)
        seen = functional.conv2d(pixels.double().permute(0, 3, 1, 2), ends["patch.w"], ends["patch.b"], stride=PATCH)
        patches = seen.flatten(2).transpose(1, 2)  # (b, n, dim)
        tokens = torch.cat((ends["token"].expand(len(patches), 1, DIM), patches), dim=1) + ends["positions"]
        for layer in self.layers:
            tokens = self._layer({name: tensor.double() for name, tensor in layer.items()}, tokens)
        first = self._norm(ends["norm.w"], ends["norm.b"], tokens)[:, 0]
        return (first @ ends["head.w"].T + ends["head.b"]).float().numpy()

    def _layer(self, layer: dict[str, Tensor], tokens: Tensor) -> Tensor:
        seen = self._norm(layer["norm1.w"], layer["norm1.b"], tokens)
        query, key, value = (self._heads(seen @ layer[f"{n}.w"].T + layer[f"{n}.b"]) for n in ("query", "key", "value"))
        shares = torch.softmax(query @ key.transpose(2, 3) / (DIM // HEADS) ** 0.5, dim=3)
        joined = (shares @ value).transpose(1, 2).flatten(2)
        tokens = tokens + joined @ layer["project.w"].T + layer["project.b"]
        grown = self._norm(layer["norm2.w"], layer["norm2.b"], tokens) @ layer["grow.w"].T + layer["grow.b"]
        lit = grown * 0.5 * (1 + torch.erf(grown / 2**0.5))
        return tokens + lit @ layer["shrink.w"].T + layer["shrink.b"]

    def _norm(self, weight: Tensor, bias: Tensor, tokens: Tensor) -> Tensor:
        centred = tokens - tokens.mean(dim=2, keepdim=True)
        return centred / (centred.square().mean(dim=2, keepdim=True) + self.eps).sqrt() * weight + bias

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(2, (HEADS, -1)).transpose(1, 2)  # (b, heads, n, dim / heads)


def transformer(eps: float, seed: int = 7) -> Transformer:
    """One with random weights that all matter."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        values = torch.randn(shape, generator=generator)
        return values * ((shape[1:] and 0.7 / np.sqrt(np.prod(shape[1:]))) or 0.3)

    def scales() -> Tensor:
        return 1 + 0.3 * torch.randn(DIM, generator=generator)

    count = SHAPE[0] // PATCH * (SHAPE[1] // PATCH)
    shapes = dict.fromkeys(("query", "key", "value", "project"), (DIM, DIM))
    shapes |= {"grow": (MLP, DIM), "shrink": (DIM, MLP)}
    layers = tuple(
        {
            f"{name}.{kind}": drawn(*(sides if kind == "w" else sides[:1]))
            for name, sides in shapes.items()
            for kind in "wb"
        }
        | {"norm1.w": scales(), "norm1.b": drawn(DIM), "norm2.w": scales(), "norm2.b": drawn(DIM)}
        for _ in range(DEPTH)
    )
    ends = {
        "patch.w": drawn(DIM, SHAPE[2], PATCH, PATCH),
        "patch.b": drawn(DIM),
        "token": torch.randn((1, 1, DIM), generator=generator),
        "positions": torch.randn((1, count + 1, DIM), generator=generator),
        "norm.w": scales(),
        "norm.b": drawn(DIM),
        "head.w": drawn(len(CLASSES), DIM) * 4,
        "head.b": drawn(len(CLASSES)),
    }
    logits = torch.from_numpy(Transformer(ends, layers, eps).logits(images(100, seed=4)))
    ends["head.w"] = ends["head.w"] / logits.std(dim=0)[:, None]
    ends["head.b"] = (ends["head.b"] - logits.mean(dim=0)) / logits.std(dim=0)
    return Transformer(ends, layers, eps)


LONG = {"w": "weight", "b": "bias"}


def as_timm(made: Transformer) -> dict[str, Tensor]:
    """Its tensors by timm's names."""
    names = {"project": "attn.proj", "grow": "mlp.fc1", "shrink": "mlp.fc2", "norm1": "norm1", "norm2": "norm2"}
    ends = {"patch": "patch_embed.proj", "norm": "norm", "head": "head"}
    tensors = {"cls_token": made.ends["token"], "pos_embed": made.ends["positions"]}
    for kind, long in LONG.items():
        tensors |= {f"{theirs}.{long}": made.ends[f"{ours}.{kind}"] for ours, theirs in ends.items()}
        for number, layer in enumerate(made.layers):
            tensors |= {f"blocks.{number}.{theirs}.{long}": layer[f"{ours}.{kind}"] for ours, theirs in names.items()}
            parts = [layer[f"{part}.{kind}"] for part in ("query", "key", "value")]
            tensors[f"blocks.{number}.attn.qkv.{long}"] = torch.cat(parts)
    return tensors


def as_hugging_face(made: Transformer) -> dict[str, Tensor]:
    """Its tensors by the names of ``ViTForImageClassification``."""
    names = {part: f"attention.attention.{part}" for part in ("query", "key", "value")}
    names |= {"project": "attention.output.dense", "grow": "intermediate.dense", "shrink": "output.dense"}
    names |= {"norm1": "layernorm_before", "norm2": "layernorm_after"}
    ends = {"patch": "vit.embeddings.patch_embeddings.projection", "norm": "vit.layernorm", "head": "classifier"}
    tensors = {"vit.embeddings.cls_token": made.ends["token"]}
    tensors["vit.embeddings.position_embeddings"] = made.ends["positions"]
    for kind, long in LONG.items():
        tensors |= {f"{theirs}.{long}": made.ends[f"{ours}.{kind}"] for ours, theirs in ends.items()}
        for number, layer in enumerate(made.layers):
            place = f"vit.encoder.layer.{number}"
            tensors |= {f"{place}.{theirs}.{long}": layer[f"{ours}.{kind}"] for ours, theirs in names.items()}
    return tensors


CONFIG: dict[str, Any] = {
    "architectures": ["ViTForImageClassification"],
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "id2label": {str(place): name for place, name in enumerate(CLASSES)},
    "image_size": list(SHAPE[:2]),
    "layer_norm_eps": 1e-3,
    "num_attention_heads": HEADS,
    "patch_size": PATCH,
}
PREPROCESSOR: dict[str, Any] = {
    "do_normalize": True,
    "do_rescale": True,
    "image_mean": list(MEAN),
    "image_processor_type": "ViTImageProcessor",
    "image_std": list(STD),
    "rescale_factor": 0.00392156862745098,
}


def write_hugging_face(
    folder: Path, made: Transformer, config: dict[str, Any] | None = None, pixels: dict[str, Any] | None = None
) -> Path:
    """A folder as ``save_pretrained`` writes it."""
    folder.mkdir(parents=True)
    save_file(as_hugging_face(made), folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config, indent=2))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR if pixels is None else pixels, indent=2))
    return folder


def write_timm(path: Path, made: Transformer) -> Path:
    """A file of tensors and nothing beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(as_timm(made), path, {"format": "pt"})
    return path

"""Local training and evaluation.

Nothing here reads a global random state or sets a number of threads: the caller orders the batches, passes the
generator and decides on threads. So clients may train side by side in threads of one process and get the same bits as
one after another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from blindsight.protocol.errors import FederationError
from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.mixing import crop_pixels, cut_blocks, mirror_pixels, mix_units, shift_blocks
from blindsight.trainer.networks.dropout import reseed
from blindsight.trainer.optimizers import Optimizers
from blindsight.trainer.recipe import Recipe

Precision = Literal["fp32", "bf16"]
Mixed = tuple[Tensor, Tensor | None, float]
"""Images or units, the partners' places in the batch if there are any, and the weight of the images themselves."""


class Batches(Protocol):
    """A sized iterable of (images, labels): a list of pairs, a ``DataLoader``, or the shards' own."""

    def __len__(self) -> int:
        """Number of batches."""
        ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (b, h, w, c) uint8 and labels (b,) int64."""
        ...


@dataclass(frozen=True, slots=True)
class Changes:
    """What is done to each batch before a step, and what of it a scheme allows.

    Args:
        recipe: says how often and how much.
        block: block edge in pixels of the encrypted image, or 0 where blocks may not move.
        plain: whether images are plain.
    """

    recipe: Recipe
    block: int
    plain: bool

    @classmethod
    def of(cls, descriptor: Descriptor, recipe: Recipe) -> Changes:
        """What a scheme allows of a recipe.

        Raises:
            FederationError: E_FEDERATION, crops or mirrors of encrypted images, or crops as large as the images.
        """
        plain = descriptor.id == "plain"
        if (recipe.crop or recipe.mirror) and not plain:
            raise FederationError(
                f"run configuration: crop and mirror work on plain images, not under {descriptor.id}",
                hint="the holder augments before it encrypts: blindsight holder publish --views",
            )
        if recipe.crop >= min(descriptor.shape[:2]):
            raise FederationError(f"run configuration: crop must be smaller than the images, got {recipe.crop}")
        return cls(recipe, descriptor.encrypted_block if descriptor.traits.aligned else 0, plain)

    def to_images(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Move each image by itself.

        Args:
            images: (b, h, w, c) uint8.
            rng: draws how.

        Returns:
            (b, h, w, c) uint8.
        """
        if self.recipe.crop:
            images = crop_pixels(images, self.recipe.crop, rng)
        if self.recipe.mirror:
            images = mirror_pixels(images, rng)
        if self.recipe.shift and self.block:
            images = shift_blocks(images, self.block, self.recipe.shift, rng)
        return images

    def mixed(self, images: Tensor, units: Callable[[Tensor], Tensor], rng: np.random.Generator) -> Mixed:
        """Mix images with one another, blocks or units.

        Args:
            images: (b, h, w, c) uint8.
            units: turns images into centred units.
            rng: draws how.
        """
        if self.recipe.cutmix and self.block and rng.random() < self.recipe.cutmix:
            return cut_blocks(images, self.block, rng)
        if self.recipe.mixup:
            return mix_units(units(images), self.recipe.mixup, rng)
        return images, None, 1.0


class Fitting:
    """A network at training.

    Args:
        module: a network of ``blindsight.trainer.networks``; changed in place.
        recipe: method, rates, smoothing.
        changes: what is done to each batch.
        precision: of the forward pass; weights, gradients and losses stay float32.
    """

    def __init__(self, module: nn.Module, recipe: Recipe, changes: Changes, precision: Precision) -> None:
        self.module = module
        self.optimizers = Optimizers(module, recipe)
        self._recipe = recipe
        self._changes = changes
        self._precision: Precision = precision

    def step(self, images: Tensor, labels: Tensor, rate: float, rng: np.random.Generator) -> Tensor:
        """Make one step.

        Args:
            images: (b, h, w, c) uint8.
            labels: (b,) int64.
            rate: share of the highest learning rates.
            rng: draws what is done to the images and what is dropped.

        Returns:
            The mean loss, a scalar without history.
        """
        mixed, partners, kept = self._changes.mixed(self._changes.to_images(images, rng), self._units, rng)
        reseed(self.module, rng)
        with _autocast(self._precision, images.device.type):
            logits = self.module(mixed)  # (b, classes)
        loss = self._loss(logits.float(), labels)
        if partners is not None:
            loss = kept * loss + (1.0 - kept) * self._loss(logits.float(), labels[partners])
        self.optimizers.step(loss, rate)
        return loss.detach()

    def _units(self, images: Tensor) -> Tensor:
        units: Tensor = self.module.stem.units(images)  # type: ignore[union-attr,operator]
        return units

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return functional.cross_entropy(logits, labels, label_smoothing=self._recipe.label_smoothing)


def _autocast(precision: Precision, device: str = "cpu") -> AbstractContextManager[object]:
    """No cache: it is shared by all threads, and each weight is read once in a pass."""
    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)


def train_epoch(
    fitting: Fitting,
    batches: Batches,
    rates: tuple[float, float],
    rng: np.random.Generator,
    after: Callable[[], None] = lambda: None,
) -> float:
    """Train once over the batches.

    Args:
        fitting: network, optimizers and recipe; the network is left in training mode.
        batches: the steps in their order; several passes over the rows may follow one another in it.
        rates: share of the highest learning rates at the first step and one step after the last; the rate moves
            between the two by equal amounts.
        rng: draws what is done to the images.
        after: called after every step.

    Returns:
        Mean loss per image; 0 when there is no batch.
    """
    fitting.module.train()
    total, seen = 0.0, 0
    for step, (images, labels) in enumerate(batches):  # (b, h, w, c) uint8, (b,) int64
        rate = rates[0] + (rates[1] - rates[0]) * step / len(batches)
        total += fitting.step(images, labels, rate, rng).item() * len(labels)
        seen += len(labels)
        after()
    return total / max(seen, 1)


def evaluate(module: nn.Module, batches: Batches, *, precision: Precision = "fp32") -> tuple[float, int, int]:
    """Measure a network.

    Args:
        module: a network; left in evaluation mode.
        batches: images and labels.
        precision: of the forward pass.

    Returns:
        Mean loss per image (0 when there is none), images classified rightly, images seen.
    """
    module.eval()
    total, correct, seen = 0.0, 0, 0
    device = next(module.parameters()).device
    with torch.inference_mode(), _autocast(precision, device.type):
        for images, labels in batches:  # (b, h, w, c) uint8, (b,) int64
            logits = module(images.to(device)).float().cpu()  # (b, classes)
            total += functional.cross_entropy(logits, labels, reduction="sum").item()
            correct += int((logits.argmax(dim=1) == labels).sum().item())
            seen += len(labels)
    return total / max(seen, 1), correct, seen

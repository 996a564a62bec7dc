"""Local training and evaluation, and the recipe both follow.

Nothing here reads a global random state or sets a number of threads: the caller orders the batches, passes the
generator and decides on threads. So clients may train side by side in threads of one process and get the same bits as
one after another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

Precision = Literal["fp32", "bf16"]


class Batches(Protocol):
    """A sized iterable of (images, labels): a list of pairs, a ``DataLoader``, or the shards' own."""

    def __len__(self) -> int:
        """Number of batches."""
        ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (b, h, w, c) uint8 and labels (b,) int64."""
        ...


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a federation trains, in one place.

    A round is ``local_epochs`` passes of each holder over its rows with one momentum; then the server averages. The
    measurements behind the defaults stand in ``networks/small.py``. Ranges are checked where values arrive, in
    ``RunConfig``.

    Args:
        batch: images per step.
        lr: highest learning rate, per step of ``batch`` images.
        warm_up: share of the rounds, from 0 to below 1, in which the rate rises to ``lr``.
        momentum: of Nesterov's method, fresh in each round.
        weight_decay: on convolutions and the head; not on normalisations and biases.
        label_smoothing: probability spread over all classes.
        shift: chance of an image to be moved by a block (``shift_blocks``), where the scheme allows it.
        least_steps: a holder with few images repeats them until it has made so many steps in a round.
    """

    batch: int = 64
    lr: float = 0.1
    warm_up: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    shift: float = 0.5
    least_steps: int = 30

    def lr_at(self, progress: float) -> float:
        """Learning rate at a point of the whole training.

        Args:
            progress: 0 at the start of round 1, 1 at the end of the last round.

        Returns:
            The rate: a straight line up from lr / 5 to lr over ``warm_up``, then a straight line down to lr / 100.
        """
        if progress < self.warm_up:
            return self.lr * (0.2 + 0.8 * progress / self.warm_up)
        return self.lr * (1.0 - 0.99 * (progress - self.warm_up) / (1.0 - self.warm_up))

    def local_epochs(self, rows: int) -> int:
        """Passes over its own rows that a holder makes in a round.

        Args:
            rows: rows of the holder; each view is a row.

        Returns:
            At least 1; more when one pass is fewer than ``least_steps`` steps.
        """
        return max(1, math.ceil(self.least_steps / max(1, math.ceil(rows / self.batch))))


def shift_blocks(images: Tensor, block: int, share: float, rng: np.random.Generator) -> Tensor:
    """Move some images by one whole block, the blocks at the border repeating.

    The one augmentation that needs no key: an aligned scheme, which treats every block alike and leaves blocks in their
    places (``le``, ``block-shuffle``), encrypts the moved image to the moved ciphertext. Crops and mirrors by pixels
    are the holder's views.

    Args:
        images: (b, h, w, c) uint8, encrypted, h and w multiples of ``block``.
        block: block edge in pixels of the encrypted image.
        share: chance of an image to be moved, 0 to 1; to each of the nine places, its own too, alike.
        rng: draws the places.

    Returns:
        (b, h, w, c) uint8, a copy.
    """
    moved = rng.random(len(images)) < share  # (b,)
    steps = rng.integers(-1, 2, (2, len(images))) * moved  # (2, b) in blocks: down, right
    _, h, w, _ = images.shape
    rows, columns = _sources(h, block, steps[0]), _sources(w, block, steps[1])  # (b, h), (b, w)
    return images[torch.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]  # (b, h, w, c)


def _sources(edge: int, block: int, steps: npt.NDArray[np.int64]) -> Tensor:
    """Where each pixel of a row or column comes from."""
    position = torch.arange(edge)  # (edge,)
    start = position // block * block - block * torch.from_numpy(steps)[:, None]  # (b, edge)
    return start.clamp(0, edge - block) + position % block  # (b, edge)


def _autocast(precision: Precision) -> AbstractContextManager[object]:
    """No cache: it is shared by all threads, and each weight is read once in a pass."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)


def _optimizer(module: nn.Module, *, lr: float, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=momentum > 0, fused=True)


def train_epoch(
    module: nn.Module,
    batches: Batches,
    *,
    lr_start: float,
    lr_end: float,
    momentum: float,
    weight_decay: float,
    label_smoothing: float,
    precision: Precision = "fp32",
) -> float:
    """Train once over the batches, momentum starting from rest.

    Args:
        module: a network of ``blindsight.trainer.networks``; changed in place, left in training mode.
        batches: the steps in their order; several passes over the rows may follow one another in it.
        lr_start: learning rate of the first step.
        lr_end: learning rate one step after the last; the rate moves between the two by equal amounts.
        momentum: of Nesterov's method.
        weight_decay: on tensors of two and more dimensions.
        label_smoothing: probability spread over all classes.
        precision: of the forward pass; weights, gradients and losses stay float32.

    Returns:
        Mean loss per image; 0 when there is no batch.
    """
    module.train()
    optimizer = _optimizer(module, lr=lr_start, momentum=momentum, weight_decay=weight_decay)
    total, seen = 0.0, 0
    for step, (images, labels) in enumerate(batches):  # (b, h, w, c) uint8, (b,) int64
        for group in optimizer.param_groups:
            group["lr"] = lr_start + (lr_end - lr_start) * step / len(batches)
        with _autocast(precision):
            logits = module(images)  # (b, classes)
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        total, seen = total + loss.item() * len(labels), seen + len(labels)
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
    with torch.inference_mode(), _autocast(precision):
        for images, labels in batches:  # (b, h, w, c) uint8, (b,) int64
            logits = module(images).float()  # (b, classes)
            total += functional.cross_entropy(logits, labels, reduction="sum").item()
            correct += int((logits.argmax(dim=1) == labels).sum().item())
            seen += len(labels)
    return total / max(seen, 1), correct, seen

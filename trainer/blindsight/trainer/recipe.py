"""How a network is fitted: one set of numbers for every engine."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a run trains, in one place.

    In a federation a round is ``local_epochs`` passes of each holder over its rows with one momentum; then the server
    averages. On pooled shards momentum lives through all rounds. Ranges are checked where values arrive, in
    ``RunConfig``. The measurements behind the defaults stand in ``networks/small.py``.

    Args:
        batch: images per step.
        optimizer: ``sgd`` (Nesterov), ``adamw`` or ``muon`` (dense convolutions without a bias; SGD for the rest).
        lr: highest learning rate, per step of ``batch`` images.
        muon_lr: highest learning rate of the weights that ``muon`` moves.
        warm_up: share of the rounds, from 0 to below 1, in which the rate rises to ``lr``.
        momentum: of Nesterov's method, fresh in each round of a federation; at most 0.6 of it for ``muon``'s own
            weights; the first moment of ``adamw``, whose second is 0.99.
        weight_decay: on weights of two and more dimensions, but for those that ``muon`` moves.
        label_smoothing: probability spread over all classes.
        shift: chance of an image to be moved by a block (``shift_blocks``), where the scheme allows it.
        cutmix: chance of a batch to have blocks replaced by those of other images, where the scheme allows it.
        mixup: parameter of the Beta distribution by which two images' units are mixed; 0 for none.
        crop: largest shift in pixels of a fresh crop in every step; on plain images only.
        mirror: whether every other image is mirrored in every step; on plain images only.
        ema: share of the weights' moving average that a step leaves; 0 for none; on pooled shards only.
        share: part of its rows that a round uses; the next rounds use the others.
        least_steps: a holder with few images repeats them until it has made so many steps in a round.
    """

    batch: int = 64
    optimizer: str = "sgd"
    lr: float = 0.1
    muon_lr: float = 0.24
    warm_up: float = 0.2
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.1
    shift: float = 0.5
    cutmix: float = 0.0
    mixup: float = 0.0
    crop: int = 0
    mirror: bool = False
    ema: float = 0.0
    share: float = 1.0
    least_steps: int = 30

    def rate_at(self, progress: float) -> float:
        """Share of the highest learning rates at a point of the whole training: one cycle.

        Args:
            progress: 0 at the start of round 1, 1 at the end of the last round.

        Returns:
            A straight line up from 0.2 to 1 over ``warm_up``, then a straight line down to 0.01.

        Source: Smith & Topin, "Super-Convergence" (arXiv 1708.07120).
        """
        if progress < self.warm_up:
            return 0.2 + 0.8 * progress / self.warm_up
        return 1.0 - 0.99 * (progress - self.warm_up) / (1.0 - self.warm_up)

    def local_epochs(self, rows: int) -> int:
        """Passes over its own rows that a holder makes in a round.

        Args:
            rows: rows of the holder that a round uses; each view is a row.

        Returns:
            At least 1; more when one pass is fewer than ``least_steps`` steps.
        """
        return max(1, math.ceil(self.least_steps / max(1, math.ceil(rows / self.batch))))

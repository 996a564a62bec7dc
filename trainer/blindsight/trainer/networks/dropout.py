"""Dropout whose masks follow from a seed, not from a random state that all threads of a process share."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Set a share of the features to zero in training and scale up the others.

    Every forward pass in training counts the seed up by one, so successive steps have masks of their own. A network
    that is built anew from the same seed begins with the same masks again; who trains it in rounds calls ``reseed``.

    Args:
        share: chance of a feature to be dropped, in steps of 1/256, from 0 to below 1.

    Source: Srivastava et al., "Dropout" (JMLR 15, 2014).
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.dropped = round(256 * share)
        self.seed = 0

    def initialise(self, generator: torch.Generator) -> None:
        """Take the first seed from the network's.

        Args:
            generator: draws it.
        """
        self.seed = int(torch.randint(2**62, (), generator=generator).item())

    def forward(self, features: Tensor) -> Tensor:
        """Drop, in training only.

        Args:
            features: any shape, floating.

        Returns:
            The same shape.
        """
        if not self.training:
            return features
        kept = self._draws(features) >= self.dropped  # as features
        self.seed += 1
        return features * kept * (256 / (256 - self.dropped))

    def _draws(self, features: Tensor) -> Tensor:
        """A byte for each feature, in the memory order of the features; eight are drawn at once."""
        generator = torch.Generator(features.device).manual_seed(self.seed)
        count = features.numel()
        words = torch.randint(
            -(2**63), 2**63 - 1, (count // 8 + 1,), generator=generator, device=features.device
        )  # (count / 8 + 1,) int64
        return words.view(torch.uint8)[:count].as_strided(features.shape, features.stride())


def reseed(module: nn.Module, rng: np.random.Generator) -> None:
    """Give every dropout of a network a fresh seed.

    Args:
        module: the network; nothing is drawn if it has no dropout.
        rng: draws the seeds.
    """
    for part in module.modules():
        if isinstance(part, Dropout):
            part.seed = int(rng.integers(2**62))

"""A moving average of a network's weights, which is what is measured and exported."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """The exponential moving average of a network's state.

    Args:
        module: the network at training; the average begins as its copy.
        decay: share of the average that a step leaves, above 0, below 1; early steps leave less.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module)
        self._decay = decay

    def follow(self, module: nn.Module, step: int) -> None:
        """Take one step's state in.

        Args:
            module: the network after the step.
            step: number of the step, from 1.
        """
        decay = min(self._decay, step / (step + 10.0))
        with torch.no_grad():
            for kept, new in zip(self.module.state_dict().values(), module.state_dict().values(), strict=True):
                if kept.is_floating_point():
                    kept.lerp_(new, 1.0 - decay)
                else:
                    kept.copy_(new)

"""Optimizers behind one step: SGD, AdamW, and Muon for the layers between stem and head.

None of them treats the components of ``stem.blocks.weight`` along its inputs differently from one another in a way that
a permutation or a change of sign could change; so under a scheme that the stem absorbs, training on encrypted images
goes step by step as on plain ones. That is why Muon leaves the stem to SGD.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from blindsight.trainer.recipe import Recipe

OPTIMIZERS: Final = ("sgd", "adamw", "muon")
STEM, HEAD = "stem.blocks.", "head."
_QUINTIC: Final = (3.4445, -4.7750, 2.0315)
_STEPS: Final = 3
MOST_MOMENTUM: Final = 0.6
"""Of Muon, as in the speed runs on CIFAR-10."""
_SECOND_MOMENT: Final = 0.99


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal, with weights kept at one length.

    torch.optim.Muon takes matrices only. A filter (o, i, kh, kw) is taken as a matrix (o, i * kh * kw) here. The norm
    of each weight is reset to that of a matrix with rows of length one before it is moved, so weights belong here whose
    scale does not matter, because a normalisation follows, or matters little, because a residual unit adds them.

    Args:
        parameters: weights of two and more dimensions.
        lr: learning rate.
        momentum: of Nesterov's method.

    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), and the CIFAR-10 speed
    runs it came from.
    """

    def __init__(self, parameters: Any, *, lr: float, momentum: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group["lr"], group["momentum"])

    def _move(self, weight: Tensor, gradient: Tensor, lr: float, momentum: float) -> None:
        state = self.state[weight]
        kept = state.setdefault("momentum_buffer", torch.zeros_like(weight))
        kept.mul_(momentum).add_(gradient)
        update = orthogonal((gradient + momentum * kept).flatten(1))  # (o, i * kh * kw)
        weight.mul_(len(weight) ** 0.5 / weight.norm().clamp_min(1e-12))
        weight.sub_(update.view_as(weight), alpha=lr)


def orthogonal(matrix: Tensor) -> Tensor:
    """Move all singular values of a matrix near one, by Newton and Schulz's iteration in bfloat16.

    Args:
        matrix: (rows, columns) float32.

    Returns:
        (rows, columns) float32; singular values of about 0.5 to 1.5, unless they were tiny.
    """
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(_STEPS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = (x.T if tall else x).float()
    return result


class Optimizers:
    """All optimizers of a network, stepped together.

    Args:
        module: the network.
        recipe: names method, rates, momentum and weight decay.
    """

    def __init__(self, module: nn.Module, recipe: Recipe) -> None:
        hidden = set(_hidden(module)) if recipe.optimizer == "muon" else set()
        rest = [(n, p) for n, p in module.named_parameters() if p.requires_grad and n not in hidden]
        self._module = module
        self._every: list[torch.optim.Optimizer] = [_general(rest, recipe)]
        if hidden:
            weights = [p for n, p in module.named_parameters() if n in hidden]
            self._every.append(Muon(weights, lr=recipe.muon_lr, momentum=min(recipe.momentum, MOST_MOMENTUM)))
        self._highest = [[group["lr"] for group in one.param_groups] for one in self._every]

    def step(self, loss: Tensor, rate: float) -> None:
        """Go down the gradient of a loss.

        Args:
            loss: a scalar of the network's parameters.
            rate: share of the highest learning rates.
        """
        for one, highest in zip(self._every, self._highest, strict=True):
            one.zero_grad()
            for group, lr in zip(one.param_groups, highest, strict=True):
                group["lr"] = lr * rate
        torch.autograd.backward(loss)
        for one in self._every:
            one.step()

    def state(self) -> dict[str, Tensor]:
        """What the optimizers remember: ``<parameter>/<name>`` → tensor."""
        return {f"{name}/{key}": value for name, kept in self._states() for key, value in kept.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on with what ``state`` gave for the same network and recipe."""
        named = dict(self._module.named_parameters())
        for place, value in state.items():
            name, _, key = place.rpartition("/")
            parameter = named[name]
            alike = value.shape == parameter.shape  # else a counter; fused steps need the parameter's memory order
            kept = torch.empty_like(parameter).copy_(value) if alike else value.to(parameter.device, copy=True)
            self._owner(parameter).state[parameter][key] = kept.detach()

    def _owner(self, parameter: Tensor) -> torch.optim.Optimizer:
        return next(
            one
            for one in self._every
            if any(parameter is held for group in one.param_groups for held in group["params"])
        )

    def _states(self) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        for name, parameter in self._module.named_parameters():
            for one in self._every:
                if parameter in one.state:
                    kept = {key: value for key, value in one.state[parameter].items() if torch.is_tensor(value)}
                    yield name, kept


def _general(named: list[tuple[str, nn.Parameter]], recipe: Recipe) -> torch.optim.Optimizer:
    """SGD or AdamW, weight decay on tensors of two and more dimensions only."""
    groups = [
        {"params": [p for _, p in named if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for _, p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.momentum, _SECOND_MOMENT), fused=True)
    nesterov = recipe.momentum > 0
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov, fused=True)


def _hidden(module: nn.Module) -> Iterator[str]:
    """Names of the weights that Muon moves: dense convolutions without a bias."""
    for name, part in module.named_modules():
        place = f"{name}.weight"
        ours = isinstance(part, nn.Conv2d) and part.groups == 1 and part.bias is None
        if ours and not place.startswith((STEM, HEAD)):
            yield place

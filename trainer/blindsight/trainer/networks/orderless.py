"""The vision transformer that does not know where its patches lie: for images whose patches came in any order.

Its logits are the same whatever the order, up to rounding. So a fresh permutation for each image, which nobody keeps,
costs exactly what the missing positions cost.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from blindsight.trainer.networks.vit import DRAWN, Layer, demand_sizes, number_of, read


class Reference(nn.Module):
    """Add to every patch what its difference from one learned vector tells.

    Args:
        dim: channels of a patch.

    Source: Hao et al. (arXiv 2306.03679), reference-based positions.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.empty(1, dim))
        self.told = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.Sigmoid())

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the vector.

        Args:
            generator: draws.
        """
        nn.init.normal_(self.point, std=DRAWN, generator=generator)

    def forward(self, patches: Tensor) -> Tensor:
        """Tell.

        Args:
            patches: (b, n, dim) float32.

        Returns:
            The same shape.
        """
        told: Tensor = patches + self.told(patches - self.point)  # (b, n, dim)
        return told


class Orderless(nn.Module):
    """Patches, their differences from a reference, a class token, layers, normalisation, linear head.

    Args:
        stem: from (b, h, w, c) uint8 to (b, dim, *grid).
        grid: patches (rows, columns) behind the stem; any.
        classes: number of classes.
        dim: channels of a token.
        depth: layers.
        heads: of the attention; divides ``dim``.
        mlp: channels inside a layer.
        token: whether a class token is read at the end, as in the paper, instead of the mean of all patches.
        reference: whether patches are told their differences from the reference.
        eps: of the normalisations, as text.

    Raises:
        ValueError: a size is below 1, the heads do not divide the channels, or ``eps`` is no small number.

    Source: Hao et al. (arXiv 2306.03679), random shuffling (RS), and the program the authors published for it, which
    has the sizes of DeiT-B; ours are those of ``vit``.
    """

    WIDTH: ClassVar = 128
    PATCHES: ClassVar = True

    def __init__(
        self,
        stem: nn.Module,
        grid: tuple[int, int],
        classes: int,
        *,
        dim: int = WIDTH,
        depth: int = 6,
        heads: int = 2,
        mlp: int = 512,
        token: bool = True,
        reference: bool = True,
        eps: str = "1e-6",
    ) -> None:
        super().__init__()
        demand_sizes(dim, depth, heads, mlp)
        small = number_of(eps)
        self.stem = stem
        self.reference: nn.Module = Reference(dim) if reference else nn.Identity()
        self.token = nn.Parameter(torch.empty(1, dim)) if token else None
        self.layers = nn.Sequential(*(Layer(dim, heads, mlp, small) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=small)
        self.head = nn.Linear(dim, classes)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the class token.

        Args:
            generator: draws.
        """
        if self.token is not None:
            nn.init.normal_(self.token, std=DRAWN, generator=generator)

    def forward(self, image: Tensor) -> Tensor:
        """Classify.

        Args:
            image: (b, h, w, c) uint8.

        Returns:
            (b, classes) logits, float32.
        """
        patches = self.reference(self.stem(image).flatten(2).transpose(1, 2))  # (b, n, dim)
        logits: Tensor = self.head(self.norm(read(self.layers, patches, self.token)))  # (b, classes)
        return logits

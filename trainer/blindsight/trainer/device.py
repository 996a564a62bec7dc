"""Where a pooled run computes, and its rows kept there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from blindsight.trainer.shards import Batch, EncryptedShards, Indices

KEPT = 0.5
"""Share of a GPU's free memory that images may take."""


def device_for() -> torch.device:
    """The GPU that CUDA offers first, or the processor."""
    return torch.device("cuda") if torch.cuda.is_available() else torch.device("cpu")


class Joined:
    """The rows of several holders, one holder's after the other's.

    Args:
        parts: each holder's rows.
        device: where batches are wanted.
    """

    def __init__(self, parts: Sequence[EncryptedShards], device: torch.device) -> None:
        self._parts = parts
        self._device = device
        self._starts = np.cumsum([0] + [len(part) for part in parts])
        self._held = self._all() if device.type == "cuda" and self._fits() else None

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._starts[-1])

    def __getitems__(self, indices: Sequence[int] | Indices) -> Batch:
        """Rows in the order asked, on the device: ``(b, h, w, c)`` uint8 and ``(b,)`` int64."""
        numbers = np.asarray(indices, dtype=np.int64)
        if self._held is not None:
            chosen = torch.from_numpy(numbers).to(self._device)
            return self._held[0][chosen], self._held[1][chosen]
        images, labels = self._gathered(numbers)
        return images.to(self._device), labels.to(self._device)

    def _gathered(self, numbers: Indices) -> Batch:
        owner = np.searchsorted(self._starts, numbers, side="right") - 1
        places = [np.flatnonzero(owner == part) for part in range(len(self._parts))]
        found = [
            part.__getitems__(numbers[mine] - start)
            for part, mine, start in zip(self._parts, places, self._starts[:-1], strict=True)
        ]
        back = torch.from_numpy(np.argsort(np.concatenate(places)))
        return torch.cat([images for images, _ in found])[back], torch.cat([labels for _, labels in found])[back]

    def _fits(self) -> bool:
        row = self._parts[0].__getitems__([0])[0]
        free, _ = torch.cuda.mem_get_info(self._device)
        return len(self) * row.numel() < KEPT * free

    def _all(self) -> tuple[Tensor, Tensor]:
        """All rows, brought to the device once."""
        images, labels = self._gathered(np.arange(len(self)))
        return images.to(self._device), labels.to(self._device)

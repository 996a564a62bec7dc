"""A network's state as one flat array: what travels between server and clients, is averaged and is signed.

One array instead of a hundred tensors is one message instead of hundreds. Tensors follow one another in the
alphabetical order of their names, each in C order; counters such as ``num_batches_tracked`` stay behind, since an
average of counts means nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from blindsight.protocol.errors import FederationError

Flat = npt.NDArray[np.float32]


def _floating(state: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    return [(name, state[name]) for name in sorted(state) if state[name].is_floating_point()]


def layout(module: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    """List the tensors of the flat array in their order.

    Args:
        module: any network.

    Returns:
        (name, shape) of every floating tensor of its state, in the order of ``pack``.
    """
    return [(name, tuple(tensor.shape)) for name, tensor in _floating(module.state_dict())]


def pack(state: Mapping[str, Tensor]) -> Flat:
    """Join a state's floating tensors.

    Args:
        state: a ``state_dict``.

    Returns:
        (values,) float32, a copy.
    """
    parts = [tensor.detach().to("cpu", torch.float32).contiguous().numpy().ravel() for _, tensor in _floating(state)]
    return np.concatenate(parts, dtype=np.float32) if parts else np.empty(0, dtype=np.float32)  # (values,)


def unpack(flat: Flat, module: nn.Module) -> None:
    """Overwrite a network's floating tensors, all or none.

    Args:
        flat: (values,) float32 in the order of ``layout``.
        module: the network; its integer buffers stay as they are.

    Raises:
        FederationError: not one float32 value for each of the network's, or a value that is not finite.
    """
    _check(flat, sum(math.prod(shape) for _, shape in layout(module)))
    start = 0
    with torch.no_grad():
        for _, tensor in _floating(module.state_dict()):
            part = flat[start : start + tensor.numel()]  # (values of this tensor,)
            tensor.copy_(torch.tensor(part).view(tensor.shape))
            start += tensor.numel()


def _check(flat: Flat, expected: int) -> None:
    if flat.dtype != np.float32 or flat.shape != (expected,):
        raise FederationError(
            f"expected weights of {expected} float32 values, got {flat.dtype} of shape {flat.shape}",
            hint="every party trains the same network for the same scheme, image shape and classes",
        )
    if not np.isfinite(flat).all():
        raise FederationError(
            f"expected finite weights, got {np.count_nonzero(~np.isfinite(flat))} values that are not",
            hint="lower the learning rate",
        )


def digest(flat: Flat) -> str:
    """Name a state by its content.

    Args:
        flat: (values,) float32.

    Returns:
        SHA-256 of the values as little-endian float32, 64 hexadecimal digits.
    """
    return hashlib.sha256(np.ascontiguousarray(flat, dtype="<f4").tobytes()).hexdigest()

"""What a network answers to a few images of noise, so that whoever runs its ONNX model can tell that it is the same."""

from __future__ import annotations

import copy
import hashlib

import numpy as np
import torch
from torch import nn

from blindsight.protocol.selftest import IMAGES, SelfTest
from blindsight.trainer import weights


def selftest_of(network: nn.Module, shape: tuple[int, int, int]) -> SelfTest:
    """Ask a network, in evaluation mode and float32.

    Args:
        network: from (b, h, w, c) uint8 to (b, classes) float32, on the processor; it is not changed.
        shape: (h, w, c) of one image.

    Returns:
        Uniform random bytes as images, nobody's pictures, which follow from the weights; and the answers.
    """
    seed = hashlib.sha256(f"selftest/{weights.digest(weights.pack(network.state_dict()))}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    images = rng.integers(0, 256, (IMAGES, *shape), dtype=np.uint8)  # (b, h, w, c)
    with torch.inference_mode():
        logits = copy.deepcopy(network).eval()(torch.from_numpy(images))  # (b, classes)
    return SelfTest(images, logits.to(torch.float32).numpy())

"""Which number format the forward pass uses on this machine."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]
FAST_BF16 = ("avx512_bf16", "amx_bf16")


def resolve(wanted: str, device: str = "cpu") -> Precision:
    """Turn ``auto`` into bf16 where the device computes with it, else fp32.

    Args:
        wanted: ``auto``, ``fp32`` or ``bf16``.
        device: ``cpu`` or ``cuda``.

    Raises:
        ValueError: it is none of them.
    """
    fixed: dict[str, Precision] = {"fp32": "fp32", "bf16": "bf16"}
    if wanted in fixed:
        return fixed[wanted]
    if wanted != "auto":
        raise ValueError(f"precision must be auto, fp32 or bf16, got {wanted!r}")
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    probe = getattr(torch.cpu, "get_capabilities", None)  # not in every torch that we accept
    found: dict[str, object] = probe() if probe else {}
    return "bf16" if any(found.get(name) for name in FAST_BF16) else "fp32"

"""The run configuration: one definition for the command, the ServerApp, every ClientApp and the Flower app's defaults.

Values arrive from a command line or from a bundle that somebody submitted, so they are checked wherever they arrive,
and the offending key is named. No value names a path.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from blindsight.protocol.errors import FederationError
from blindsight.trainer.networks import NETWORKS
from blindsight.trainer.optimizers import OPTIMIZERS
from blindsight.trainer.recipe import Recipe
from blindsight.trainer.stems import STEMS, UNIT_CENTRE, UPSAMPLE

AUTO = "auto"
Value = bool | int | float | str
LIMITS: Mapping[str, tuple[float, float]] = {
    "rounds": (1, 100_000),
    "seed": (0, 2**31 - 1),
    "timeout": (1, 86_400),
    "batch": (1, 65_536),
    "block": (0, 1024),
    "lr": (1e-8, 100),
    "muon-lr": (1e-8, 100),
    "warm-up": (0, 0.99),
    "momentum": (0, 0.9999),
    "weight-decay": (0, 1),
    "label-smoothing": (0, 0.9),
    "least-steps": (0, 100_000),
    "shift": (0, 1),
    "cutmix": (0, 1),
    "mixup": (0, 100),
    "crop": (0, 1024),
    "ema": (0, 0.99999),
    "share": (1e-6, 1),
}
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "network": tuple(NETWORKS),
    "stem": (AUTO, *STEMS),
    "unit": (AUTO, *UNIT_CENTRE),
    "optimizer": OPTIMIZERS,
    "upsample": UPSAMPLE,
    "precision": ("auto", "fp32", "bf16"),
    "strategy": ("fedavg",),
}


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What is trained, and how.

    Args:
        rounds: exchanges of weights with every holder.
        seed: of weights and batch order, 0 to 2^31 - 1.
        network: a key of ``NETWORKS``.
        stem: kind of the first layer: ``auto`` for the one that fits the scheme, or one of ``STEMS``.
        unit: what the first layer is linear on: ``auto`` for the scheme's unit, ``byte``, ``nibble`` or ``bit``.
        block: edge of the first layer's blocks in pixels; 0 for the scheme's.
        upsample: feature positions per block edge behind the stem: 1, 2 or 4; networks of patches have 1.
        whiten: whether the first layer begins as the principal components of the holders' encrypted blocks.
        strategy: how updates are aggregated: ``fedavg``.
        timeout: seconds to wait for the answers of one round.
        precision: of the forward pass: ``auto``, ``fp32`` or ``bf16``.
        recipe: how each holder trains.

    Raises:
        FederationError: E_FEDERATION, a value is of another type or out of range; the key is named.
    """

    rounds: int = 5
    seed: int = 0
    network: str = "small"
    stem: str = AUTO
    unit: str = AUTO
    block: int = 0
    upsample: int = 2
    whiten: bool = False
    strategy: str = "fedavg"
    timeout: float = 3600.0
    precision: str = "auto"
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        values = self.to_flower().items()
        faults = [fault for key, value in values if (fault := _type_fault(value, key) or _fault(key, value))]
        if faults:
            raise FederationError("run configuration: " + "; ".join(faults))

    def to_flower(self) -> dict[str, Value]:
        """The flat mapping that Flower carries: keys with dashes, plain values."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "recipe"}
        return {name.replace("_", "-"): value for name, value in {**own, **dataclasses.asdict(self.recipe)}.items()}

    @classmethod
    def from_flower(cls, values: Mapping[str, Any]) -> RunConfig:
        """Read the flat mapping; what it leaves out has its default.

        Raises:
            FederationError: E_FEDERATION: an unknown key, another type, or out of range.
        """
        kinds = _kinds()
        faults = [f"there is no key {key!r}" for key in values if key not in kinds]
        faults += [fault for key in values if key in kinds and (fault := _type_fault(values[key], key))]
        if faults:
            raise FederationError("run configuration: " + "; ".join(faults), hint=f"keys are {', '.join(kinds)}")
        named: dict[str, Any] = {key.replace("-", "_"): kinds[key](value) for key, value in values.items()}
        of_recipe = {f.name for f in dataclasses.fields(Recipe)}
        recipe = Recipe(**{name: value for name, value in named.items() if name in of_recipe})
        own = {name: value for name, value in named.items() if name not in of_recipe}
        return cls(**own, recipe=recipe)


def _kinds() -> Mapping[str, type[Any]]:
    """Key → type of its value."""
    fields = (*dataclasses.fields(RunConfig), *dataclasses.fields(Recipe))
    return {f.name.replace("_", "-"): type(f.default) for f in fields if f.name != "recipe"}


def _type_fault(value: Any, key: str) -> str:
    expected = _kinds()[key]
    accepted = (int, float) if expected is float else (expected,)
    if type(value) in accepted:
        return ""
    return f"{key} must be {expected.__name__}, got {str(value)[:40]!r} ({type(value).__name__})"


def _fault(key: str, value: Value) -> str:
    if key in CHOICES and value not in CHOICES[key]:
        return f"{key} must be one of {', '.join(map(str, CHOICES[key]))}, got {str(value)[:40]!r}"
    if key in LIMITS:
        least, most = LIMITS[key]
        if not isinstance(value, (int, float)) or not least <= value <= most:
            return f"{key} must be from {least:g} to {most:g}, got {str(value)[:40]}"
    return ""

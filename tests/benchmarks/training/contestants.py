"""A network on plain images beside the same on encrypted ones, ready to make steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.networks import NETWORKS, build
from blindsight.trainer.precision import Precision
from blindsight.trainer.recipe import Recipe
from blindsight.trainer.task import Changes, Fitting
from tests.benchmarks.encryption.rounds import Job

CLASSES = 10
DOMAINS = ("plain", "encrypted")
RECIPE = Recipe(shift=0.0, weight_decay=0.0)


@dataclass(frozen=True)
class Workload:
    """The images of a step.

    Args:
        batch: how many.
        edge: height and width in pixels; a multiple of the block.
        block: edge of a block in pixels.
        upsample: feature positions per block edge, for networks that are not of patches.
    """

    batch: int
    edge: int
    block: int
    upsample: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(h, w, c) of an image."""
        return self.edge, self.edge, 3


@dataclass
class Contestant:
    """One network in one domain.

    Args:
        network: its name.
        domain: ``plain`` or ``encrypted``.
        stem: kind of its first layer.
        weights: how many it has, the stem's included.
        stem_weights: how many the stem has.
        jobs: precision to steps of the whole network.
        stem_jobs: precision to forward and backward passes of the stem alone.
    """

    network: str
    domain: str
    stem: str
    weights: int
    stem_weights: int
    jobs: dict[Precision, Job]
    stem_jobs: dict[Precision, Job]

    @property
    def all_jobs(self) -> list[Job]:
        """Everything that is measured."""
        return [*self.jobs.values(), *self.stem_jobs.values()]

    def to_json(self) -> dict[str, Any]:
        """Its figures."""
        return {
            "network": self.network,
            "domain": self.domain,
            "stem": self.stem,
            "weights": self.weights,
            "stem_weights": self.stem_weights,
            "steps": {precision: figures(job) for precision, job in self.jobs.items()},
            "stem_passes": {precision: figures(job) for precision, job in self.stem_jobs.items()},
        }


def figures(job: Job) -> dict[str, Any]:
    """Images of a pass, and the seconds of every pass."""
    return {"images": job.images, "seconds": job.seconds, "cpu_seconds": job.busy}


def contestant(name: str, domain: str, workload: Workload, precisions: tuple[Precision, ...]) -> Contestant:
    """Build a network and make one step in every precision.

    Args:
        name: of the network.
        domain: ``plain``: bytes behind overlapping convolutions, or behind a patch embedding where a network wants one;
            ``encrypted``: nibbles behind the block stem that the network has for ``le``.
        workload: the images.
        precisions: of the forward pass.

    Raises:
        ValueError: a loss is not finite, so that the figures would be of nothing.
    """
    stem, unit = first_layer(name, domain)
    kind = NETWORKS[name]
    module = build(
        name,
        stem=stem,
        unit=unit,
        block=workload.block,
        shape=workload.shape,
        classes=CLASSES,
        upsample=1 if kind.PATCHES else workload.upsample,
        seed=1,
    ).train()
    first = module.get_submodule("stem")
    jobs = {precision: steps(module, workload, precision) for precision in precisions}
    stem_jobs = {precision: passes(first, workload, precision) for precision in precisions}
    return Contestant(name, domain, stem, size(module), size(first), jobs, stem_jobs)


def first_layer(name: str, domain: str) -> tuple[str, str]:
    """Stem and unit."""
    if NETWORKS[name].PATCHES:
        return "patch", "byte" if domain == "plain" else "nibble"
    return ("pixels", "byte") if domain == "plain" else (getattr(NETWORKS[name], "STEM", "block"), "nibble")


def size(module: nn.Module) -> int:
    """How many weights it has."""
    return sum(parameter.numel() for parameter in module.parameters())


def batch(workload: Workload) -> tuple[Tensor, Tensor]:
    """Noise and labels."""
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (workload.batch, *workload.shape), dtype=np.uint8)
    return torch.from_numpy(images), torch.from_numpy(rng.integers(0, CLASSES, workload.batch))


def steps(module: nn.Module, workload: Workload, precision: Precision) -> Job:
    """Steps of the loop that all engines run, at a learning rate of zero: the same work each time."""
    rng, (images, labels) = np.random.default_rng(1), batch(workload)
    fitting = Fitting(module, RECIPE, Changes.of(Descriptor.of("plain", workload.shape), RECIPE), precision)

    def step() -> float:
        return fitting.step(images, labels, 0.0, rng).item()

    if not np.isfinite(step()):
        raise ValueError("expected a finite loss")
    return Job(step, images.nbytes, workload.batch)


def passes(stem: nn.Module, workload: Workload, precision: Precision) -> Job:
    """The stem there and back, without a network behind it."""
    images, _ = batch(workload)

    def there_and_back() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
            seen = stem(images)
        torch.autograd.backward(seen, torch.ones_like(seen))
        stem.zero_grad()

    there_and_back()
    return Job(there_and_back, images.nbytes, workload.batch)

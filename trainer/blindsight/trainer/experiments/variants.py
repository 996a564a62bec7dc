"""The variants of a row: a scheme with a network, and its controls, which differ by one thing from one to the next.

``scheme``     the network on images under the scheme.
``unit``       the same network with the same first layer on the same units and blocks, on plain images, with the same
               views; blocks are moved only if the scheme allows it. What differs is the key, and nothing else.
``reference``  plain images behind a first layer that looks at pixels (networks of patches: at patches of bytes) and
               gives features on the same grid. What differs from ``unit`` is the first layer, and moves of blocks where
               the scheme forbids them.
``fresh``      the reference with a fresh crop in every step in place of views that were made once; as many samples are
               seen. What differs is where the images are augmented.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from blindsight.protocol import fields
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.scheme import Descriptor, traits_of
from blindsight.protocol.schemes import DEFAULT_BLOCK
from blindsight.trainer.config import RunConfig
from blindsight.trainer.experiments.plan import Data, Scheme, Value
from blindsight.trainer.experiments.run import Publication, Run
from blindsight.trainer.model import Arch, arch_of
from blindsight.trainer.networks import NETWORKS
from blindsight.trainer.task import Changes

VARIANTS: Final = ("scheme", "unit", "reference", "fresh")
PLAIN: Final = "plain"
_BLOCKS: Final = 8  # blocks along an edge of the image that a first layer is asked for; it is the same for any number
_CLASSES: Final = 2  # likewise


@dataclass(frozen=True, slots=True)
class Bench:
    """A row with one seed, of which each variant is a run.

    Args:
        scheme: the scheme.
        data: the images.
        values: keys of the run configuration, the network and the seed among them.
        training: ``pooled`` or ``federated``.
        fresh: keys of the run configuration that ``fresh`` adds.
    """

    scheme: Scheme
    data: Data
    values: Mapping[str, Value]
    training: str
    fresh: Mapping[str, Value]

    def run(self, variant: str) -> Run:
        """One variant.

        Args:
            variant: one of ``VARIANTS``.

        Raises:
            SchemeError: E_SCHEME, the scheme or one of its parameters is not known.
            FormatError: E_FORMAT, a parameter is out of range.
            FederationError: E_FEDERATION, the run configuration is not possible; its keys are named.
        """
        made = {"scheme": self._scheme, "unit": self._unit, "reference": self._reference, "fresh": self._fresh}
        return made[variant]()

    def _config(self, values: Mapping[str, Value]) -> RunConfig:
        return RunConfig.from_flower({**self.values, **values})

    def _descriptor(self) -> Descriptor:
        """The scheme, on images of a size that has no part in the first layer."""
        traits, given = traits_of(self.scheme.id, 1), dict(self.scheme.params)
        if unknown := sorted(set(given) - set(traits.params)):
            known = ", ".join(traits.params) or "none"
            raise SchemeError(f"scheme {self.scheme.id} has no parameter {unknown[0]}; its parameters: {known}")
        checks = {name: traits.params[name].check for name in given}
        fields.demand(fields.mapping(checks), given, f"the list of parameters of scheme {self.scheme.id}")
        if "block" in traits.params:
            given.setdefault("block", DEFAULT_BLOCK)
        edge = _BLOCKS * int(given.get("block", self._config({}).block or DEFAULT_BLOCK))
        return Descriptor(self.scheme.id, 1, (edge, edge, 3), given)

    def _layer(self, descriptor: Descriptor) -> Arch:
        return arch_of(descriptor, _CLASSES, self._config({}))

    def _scheme(self) -> Run:
        descriptor = self._descriptor()
        layer = self._layer(descriptor)
        found: dict[str, Value] = {"stem": layer["stem"], "unit": layer["unit"]}
        if "block" in descriptor.params:
            found["block"] = layer["block"]
        return self._made(descriptor, self._config(found), self.data)

    def _made(self, descriptor: Descriptor, config: RunConfig, data: Data) -> Run:
        Changes.of(descriptor, config.recipe)  # refuses crops and mirrors of images that are not plain
        return Run(Publication(data, descriptor.id, descriptor.params, config.seed), config, self.training)

    def _plain(self, config: RunConfig, data: Data) -> Run:
        descriptor = Descriptor(PLAIN, 1, self._descriptor().shape, {"block": config.block})
        return self._made(descriptor, config, data)

    def _unit(self) -> Run:
        descriptor = self._descriptor()
        layer = self._layer(descriptor)
        block = layer["block"] * descriptor.traits.shrink
        still: dict[str, Value] = {} if descriptor.traits.aligned else {"shift": 0.0, "cutmix": 0.0}
        config = self._config({"stem": layer["stem"], "unit": layer["unit"], "block": block, **still})
        return self._plain(config, self.data)

    def _reference(self) -> Run:
        descriptor, patches = self._descriptor(), NETWORKS[str(self.values["network"])].PATCHES
        block = self._layer(descriptor)["block"] * descriptor.traits.shrink
        stem = "patch" if patches else "pixels"
        return self._plain(self._config({"stem": stem, "unit": "byte", "block": block}), self.data)

    def _fresh(self) -> Run:
        reference = self._reference().config
        config = RunConfig.from_flower({**reference.to_flower(), **self.fresh})
        return self._plain(with_as_many_samples(config, self.data.views), self.data.with_one_view())


def with_as_many_samples(config: RunConfig, views: int) -> RunConfig:
    """The configuration that sees as many samples of images published once as this one sees of several views.

    Args:
        config: for ``views`` rows an image.
        views: rows an image.

    Returns:
        A configuration with a greater share, and with more rounds where a round would use an image more than once.
        Where a round has fewer than ``least_steps`` steps, as many samples but for rounding.
    """
    passes = config.recipe.share * views  # over the images, in a round
    rounds = max(1, math.ceil(passes - 1e-9))  # in place of one, and with a part of its steps each
    share, least_steps = round(passes / rounds, 9), config.recipe.least_steps // rounds
    recipe = replace(config.recipe, share=share, least_steps=least_steps)
    return replace(config, rounds=config.rounds * rounds, recipe=recipe)

"""From a scheme descriptor to a network: the stem follows from the scheme's traits, nothing else of it is needed."""

from __future__ import annotations

from torch import nn

from blindsight.protocol.scheme import Descriptor
from blindsight.trainer.config import RunConfig
from blindsight.trainer.networks import build


def model_for(descriptor: Descriptor, classes: int, config: RunConfig) -> nn.Module:
    """Build the network that a run trains.

    Args:
        descriptor: scheme and shape of the encrypted images.
        classes: number of classes.
        config: names network, up-sampling and seed.

    Raises:
        SchemeError: E_SCHEME, the scheme is not known here or does not fit the shape.
    """
    descriptor.check()
    return build(
        config.network,
        unit=descriptor.traits.unit,
        block=descriptor.block,
        shape=descriptor.shape,
        classes=classes,
        upsample=config.upsample,
        seed=config.seed,
    )

"""``blindsight holder quality``, and what publishing and lending say of a key: how much it leaves as it was."""

from __future__ import annotations

import argparse
from typing import Any

from blindsight.cli.arguments import Verbs, add_federation, add_keystore, at_least
from blindsight.cli.output import emit_facts, say
from blindsight.holder import federation, scheme_options, site
from blindsight.holder.ciphers import Cipher, Quality, cipher_for
from blindsight.protocol.errors import SchemeError
from blindsight.protocol.scheme import Descriptor, scheme_key

MUCH = 0.25  # share of unchanged pixels above which a person is told
FEW = 80  # bits of keyspace below which a person is told
MOST = 0.9  # and above which nothing is published or lent under the key


def add_verb(verbs: Verbs) -> None:
    """Add ``quality``."""
    parser = verbs.add(
        "quality",
        _quality,
        "say how much of an image the epoch's key of one scheme and shape leaves as it was; never a secret",
        "blindsight holder quality --scheme le --shape 32x32x3 --dropbox box",
    )
    scheme_options.add_scheme(parser)
    scheme_options.add_shape(parser, "of the images")
    parser.add_argument("--epoch", type=at_least(1), metavar="N", help="number of the epoch (default: the newest)")
    add_keystore(parser)
    add_federation(parser)


def _quality(options: argparse.Namespace) -> int:
    descriptor = scheme_options.descriptor_of(options, options.shape)
    with site.opened(options) as here:
        cipher = cipher_of_epoch(here, descriptor, options.epoch)
        number = here.log.latest.number if options.epoch is None else options.epoch
    facts = {"scheme": descriptor.id, "parameters": dict(descriptor.params), "shape": shown(descriptor.shape)}
    emit_facts(facts | {"epoch": number} | facts_of(cipher, as_json=options.json), as_json=options.json)
    return 0


def cipher_of_epoch(here: site.Site, descriptor: Descriptor, number: int | None) -> Cipher:
    """The cipher under an epoch's own key.

    Args:
        here: the holder's site.
        descriptor: scheme and shape.
        number: of the epoch; the newest if None.

    Raises:
        MembershipError: E_EPOCH, there is no such epoch, or its secret is not in the keystore.
    """
    epoch, secret = federation.epoch_secret(here.store, here.log, number)
    return cipher_for(descriptor, scheme_key(secret, here.log.fed, epoch.number, descriptor.digest))


def facts_of(cipher: Cipher, quality: Quality | None = None, *, as_json: bool) -> dict[str, Any]:
    """Figures on a cipher's key for ``emit_facts``; says so where it leaves much of an image as it was, or is small.

    Args:
        cipher: under the key.
        quality: of that key, if it is known already.
        as_json: whether programs read it.
    """
    traits = cipher.descriptor.traits
    if traits.scope == "none":
        say(f"scheme {cipher.descriptor.id} has no key: {traits.falls}")
        return {"falls": traits.falls}
    quality = quality or cipher.quality()
    if quality.keyspace < FEW:
        say(f"scheme {cipher.descriptor.id}: {quality.keyspace:.0f} bits tell its keys apart: all can be tried")
    if quality.unchanged > MUCH:
        share = f"{100 * quality.unchanged:.0f} % of the pixels stay as they are"
        say(f"scheme {cipher.descriptor.id}: {share} under this key: people see them without computing anything")
    return {**(quality.numbers() if as_json else quality.facts()), "falls": traits.falls}


def demand_effect(cipher: Cipher) -> Quality:
    """Refuse a key under which images stay almost as they are, unless the scheme is said to do nothing.

    Returns:
        The key's quality.

    Raises:
        SchemeError: E_SCHEME.
    """
    quality = cipher.quality()
    unchanged = quality.unchanged
    if unchanged > MOST and cipher.descriptor.traits.scope != "none":
        raise SchemeError(
            f"{100 * unchanged:.1f} % of the pixels stay as they are under this key of scheme {cipher.descriptor.id}",
            hint="choose other parameters or larger images (holder quality shows their effect), or a new epoch",
        )
    return quality


def shown(shape: tuple[int, ...]) -> str:
    """A shape as it is typed."""
    return "x".join(str(side) for side in shape)

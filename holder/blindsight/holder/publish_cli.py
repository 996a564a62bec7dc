"""``blindsight holder publish`` and ``decrypt``."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np

from blindsight.cli.arguments import Verbs, add_federation, add_keystore
from blindsight.cli.output import emit_facts, progress, say
from blindsight.holder import federation, geometry, site
from blindsight.holder.ciphers import cipher_for
from blindsight.holder.decrypt import decrypt
from blindsight.holder.publish import Plan, Views, publish
from blindsight.holder.sources import SPLITS, Source, Split, open_source
from blindsight.protocol import manifest
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.errors import DataError, SchemeError
from blindsight.protocol.files import write_whole
from blindsight.protocol.log import Epoch
from blindsight.protocol.scheme import SCHEMES, Descriptor, scheme_key


def add_verbs(verbs: Verbs) -> None:
    """Add both verbs."""
    _add_publish(verbs)
    parser = verbs.add(
        "decrypt",
        _decrypt,
        "write the plain images of your own published data set as PNG files",
        "blindsight holder decrypt site-A/datasets/digits-train --out plain --limit 16 --dropbox box",
    )
    parser.add_argument("dataset", type=Path, help="folder with the manifest and its shards")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pictures (mode 0700)")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many images")
    add_keystore(parser)
    add_federation(parser)


def _add_publish(verbs: Verbs) -> None:
    parser = verbs.add(
        "publish",
        _publish,
        "encrypt images into shards, sign a manifest and offer it in the drop-box; the shards stay here",
        "blindsight holder publish digits --split train --scheme le --block 4 --dropbox box",
    )
    parser.add_argument("source", help="digits, a folder, .npz, CIFAR or IDX files; or KIND:PATH")
    parser.add_argument("--split", choices=SPLITS, default="train", help="which part of the source (default: train)")
    parser.add_argument("--scheme", choices=sorted({name for name, _ in SCHEMES}), default="le", help="default: le")
    parser.add_argument("--block", type=int, default=4, metavar="M", help="side of a block in pixels (default: 4)")
    parser.add_argument("--views", type=int, default=1, metavar="V", help="augmented views an image (default: 1)")
    parser.add_argument("--crop", type=int, default=4, metavar="PX", help="largest shift of a view (default: 4)")
    parser.add_argument(
        "--mirror", action=argparse.BooleanOptionalAction, help="mirror every second view (default: as the source says)"
    )
    parser.add_argument("--fit", choices=geometry.POLICIES, help="what becomes of images that do not fit")
    parser.add_argument("--size", metavar="HxW", help="target size for --fit, in pixels")
    parser.add_argument("--channels", choices=("1", "3", "keep"), help="grey (1), colour (3) or as they are")
    parser.add_argument("--epoch", type=int, metavar="N", help="number of the epoch (default: the newest)")
    parser.add_argument("--name", help="name of the data set (default: the source's)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: datasets/NAME-SPLIT beside the keystore")
    parser.add_argument(
        "--with-shards",
        action="store_true",
        help="also put the shards into the drop-box: whoever reads it can compute the scenes",
    )
    add_keystore(parser)
    add_federation(parser)


def _publish(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        plan = plan_of(options, here)
        folder = options.out or here.store.path.parent / "datasets" / f"{plan.name}-{plan.split_name}"
        with progress(f"publishing {plan.name}/{plan.split_name}", plan.rows) as advance:
            envelope = publish(plan, here.store.key, folder, to_text(now()), advance)
        offer = here.box.data(here.log.fed, here.store.key.entry.fpr) / folder.name
        _offer(folder, offer, with_shards=options.with_shards)
    predicate = envelope.body()["predicate"]
    facts = {"dataset": str(folder), "rows": predicate["rows"], "shards": len(predicate["shards"])}
    facts |= {"scheme": predicate["scheme"]["id"], "epoch": predicate["epoch"], "scv": predicate["scv"]}
    emit_facts(facts | {"offered": str(offer)}, as_json=options.json)
    return 0


def plan_of(options: argparse.Namespace, here: site.Site) -> Plan:
    """What the options ask to publish.

    Args:
        options: parsed options of ``holder publish``.
        here: the holder's site.

    Raises:
        DataError: the source, the split or the geometry does not do.
        SchemeError: E_SCHEME, the scheme does not fit the images or is not allowed in the epoch.
    """
    source = open_source(options.source)
    split = _split(source, options)
    fit = _fit(source, options)
    descriptor = Descriptor(
        options.scheme, 1, geometry.target_shape(fit, split.shape, options.block), {"block": options.block}
    )
    epoch, secret = federation.epoch_secret(here.store, here.log, options.epoch)
    _demand_allowed(epoch, descriptor)
    key = scheme_key(secret, here.log.fed, epoch.number, descriptor.digest)
    mirror = source.mirror if options.mirror is None else options.mirror
    return Plan(
        split=split,
        split_name=options.split,
        name=options.name or source.name,
        classes=source.classes,
        fit=fit,
        views=Views(options.views, options.crop, mirror),
        cipher=cipher_for(descriptor, key),
        scheme_key=key,
        epoch=epoch,
        log=here.log,
    )


def _split(source: Source, options: argparse.Namespace) -> Split:
    if options.split not in source.splits:
        raise DataError(
            f"{source.name} has no split {options.split}", hint=f"it has: {', '.join(sorted(source.splits))}"
        )
    if options.views < 1:
        raise DataError(f"--views must be at least 1, got {options.views}")
    split = source.splits[options.split]
    if options.limit is not None:
        split = split.part(np.arange(min(max(options.limit, 0), len(split))))
    return split


def _fit(source: Source, options: argparse.Namespace) -> geometry.Fit:
    size = _size(options.size) if options.size else source.fit.size
    policy = options.fit or source.fit.policy
    channels: geometry.Channels = source.fit.channels
    if options.channels:
        channels = {"1": 1, "3": 3}.get(options.channels, "keep")  # type: ignore[assignment]
    return geometry.Fit(policy, None if policy == "refuse" else size, channels)


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise DataError(f"--size must look like 224x224, got {text[:40]!r}")
    return int(height), int(width)


def _demand_allowed(epoch: Epoch, descriptor: Descriptor) -> None:
    if not epoch.allows(descriptor):
        allowed = ", ".join(str(scheme["id"]) for scheme in epoch.schemes)
        raise SchemeError(
            f"scheme {descriptor.id} is not allowed in epoch {epoch.number}; allowed: {allowed}",
            hint=f"blindsight holder epoch propose --scheme {descriptor.id}",
        )


def _offer(folder: Path, offer: Path, *, with_shards: bool) -> None:
    """Put the manifest, last, where the others look for it."""
    offer.mkdir(parents=True, exist_ok=True)
    if with_shards:
        shutil.copytree(folder / "shards", offer / "shards", dirs_exist_ok=True)
    write_whole(offer / manifest.FILE_NAME, (folder / manifest.FILE_NAME).read_bytes())


def _decrypt(options: argparse.Namespace) -> int:
    with site.opened(options) as here, progress("decrypting", options.limit or 0) as advance:
        count = decrypt(here.store, here.log, options.dataset, options.out, limit=options.limit, advance=advance)
    say(f"{options.out} now holds plain images; treat it like them")
    emit_facts({"images": count, "folder": str(options.out)}, as_json=options.json)
    return 0

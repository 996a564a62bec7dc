"""``blindsight holder publish``, ``seal`` and ``decrypt``."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from blindsight.cli.arguments import Verbs, add_federation, add_keystore
from blindsight.cli.output import emit_facts, progress, say
from blindsight.cli.override import add_override
from blindsight.holder import edition, federation, geometry, override, quality_cli, scheme_options, seal_cli, site
from blindsight.holder.decrypt import decrypt
from blindsight.holder.edition import Edition
from blindsight.holder.plan import Plan, Views, make_plan
from blindsight.holder.publish import STAGES, offer, publish, standing
from blindsight.holder.sealing import recipients_in
from blindsight.holder.sources import SPLITS, Source, Split, open_source
from blindsight.holder.stopwatch import Stopwatch
from blindsight.protocol import manifest
from blindsight.protocol.clock import now, to_text
from blindsight.protocol.envelope import Envelope
from blindsight.protocol.errors import BlindsightError, DataError
from blindsight.protocol.recipient import Recipient

UNSEALED = "the shards go unsealed into the drop-box: whoever reads it can compute the scenes"


def add_verbs(verbs: Verbs) -> None:
    """Add the verbs."""
    _add_publish(verbs)
    seal_cli.add_verb(verbs)
    parser = verbs.add(
        "decrypt",
        _decrypt,
        "write the plain images of your own published data set, in its order and with its views, as PNG files",
        "blindsight holder decrypt site-A/datasets/digits-train --out plain --limit 16 --dropbox box",
    )
    parser.add_argument("dataset", type=Path, help="folder with the manifest and its shards")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pictures (mode 0700)")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many images")
    scheme_options.add_workers(parser)
    add_keystore(parser)
    add_federation(parser)


def _add_publish(verbs: Verbs) -> None:
    parser = verbs.add(
        "publish",
        _publish,
        "encrypt images into shards, sign a manifest and offer it in the drop-box; the shards stay here or go sealed",
        "blindsight holder publish digits --split train --scheme le --block 4 --dropbox box",
    )
    parser.add_argument("source", help="digits, a folder, .npz, CIFAR or IDX files; or KIND:PATH")
    _add_encryption(parser)
    _add_edition(parser)
    travel = parser.add_mutually_exclusive_group()
    travel.add_argument("--seal-to", default=[], **seal_cli.SEAL_TO)
    travel.add_argument(
        "--unsealed",
        action="store_true",
        help="put the shards unsealed into the drop-box: whoever reads it can compute the scenes",
    )
    add_override(parser)
    add_keystore(parser)
    add_federation(parser)


def _add_encryption(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=SPLITS, default="train", help="which part of the source (default: train)")
    scheme_options.add_scheme(parser)
    scheme_options.add_workers(parser)
    _add_views(parser)
    parser.add_argument("--fit", choices=geometry.POLICIES, help="what becomes of images that do not fit")
    parser.add_argument("--size", metavar="HxW", help="target size for --fit, in pixels")
    parser.add_argument("--channels", choices=("1", "3", "keep"), help="grey (1), colour (3) or as they are")
    parser.add_argument("--epoch", type=int, metavar="N", help="number of the epoch (default: the newest)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N images")
    parser.add_argument(
        "--val-share",
        type=float,
        default=0.0,
        metavar="F",
        help="take this share of the train images, evenly spread, as split val (say the same for train and for val)",
    )


def _add_views(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--views", type=int, default=1, metavar="V", help="augmented views an image (default: 1)")
    parser.add_argument("--crop", type=int, default=4, metavar="PX", help="largest shift of a view (default: 4)")
    parser.add_argument(
        "--mirror", action=argparse.BooleanOptionalAction, help="mirror every second view (default: as the source says)"
    )
    parser.add_argument(
        "--jitter",
        type=float,
        default=0.0,
        metavar="X",
        help="change brightness, contrast and saturation of a view by up to X, from 0 to 1 (default: 0)",
    )
    parser.add_argument(
        "--cutout",
        type=int,
        default=0,
        metavar="PX",
        help="cover a square of this side in a view with its mean colour (default: 0, none)",
    )


def _add_edition(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="name of the data set (default: the source's)")
    parser.add_argument("--license", default="", metavar="TEXT", help="under which the data set is given")
    parser.add_argument("--version", default="", metavar="TEXT", help="of the data set (default: 1, then 2, …)")
    parser.add_argument(
        "--replaces", type=Path, metavar="FOLDER", help="your own published data set that this one takes the place of"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: datasets/NAME-SPLIT beside the keystore")


def _publish(options: argparse.Namespace) -> int:
    with site.opened(options) as here:
        number = here.log.latest.number if options.epoch is None else options.epoch
        reason = override.demand_usable(options, here.log, number)
        people = recipients_in(here.box, here.log, now(), options.seal_to)
        plan = plan_of(options, here)
        known = quality_cli.demand_effect(plan.cipher)
        stated = _edition(options, here, plan, reason)
        folder = options.out or _default_folder(here, plan, stated)
        place = seal_cli.place_of(here, folder)
        _demand_newest(here, plan, stated, folder)
        override.note(here.store, "holder publish", number, reason)
        if options.unsealed:
            say(UNSEALED)
        quality = quality_cli.facts_of(plan.cipher, known, as_json=options.json)
        watch = Stopwatch(STAGES)
        envelope = _published(options, here, plan, stated, folder, people, watch)
    predicate = envelope.body()["predicate"]
    facts = {"dataset": str(folder), "rows": predicate["rows"], "shards": len(predicate["shards"])}
    facts |= {"scheme": predicate["scheme"]["id"], "epoch": predicate["epoch"], "scv": predicate["scv"]}
    facts |= {"sealed to": [one.entry.label for one in people]}
    facts |= {"offered": f"{here.box.transport.place}/{place}"}
    emit_facts(facts | quality | {"seconds": watch.seconds()}, as_json=options.json)
    return 0


def _published(
    options: argparse.Namespace,
    here: site.Site,
    plan: Plan,
    stated: Edition,
    folder: Path,
    people: Sequence[Recipient],
    watch: Stopwatch,
) -> Envelope:
    """Encrypt, then put into the drop-box what was asked for."""
    with contextlib.ExitStack() as bar:
        advance = bar.enter_context(progress(f"publishing {plan.name}/{plan.split_name}", plan.rows))

        def deliver() -> None:
            bar.close()  # a terminal shows one bar at a time
            if people:
                seal_cli.sealed(here, folder, people)
            offer(folder, here.box, here.box.data(here.log.fed, here.store.key.entry.fpr), unsealed=options.unsealed)

        created = to_text(now())
        return publish(plan, here.store.key, folder, created, advance, edition=stated, deliver=deliver, watch=watch)


def _edition(options: argparse.Namespace, here: site.Site, plan: Plan, despite: str) -> Edition:
    if options.replaces is None:
        return Edition(options.version or "1", options.license, despite=despite)
    former = manifest.load(options.replaces, here.log)
    edition.demand_replaceable(former, here.store.key.entry.fpr, plan.name, plan.split_name)
    return replace(Edition.after(former, version=options.version, license=options.license), despite=despite)


def _default_folder(here: site.Site, plan: Plan, stated: Edition) -> Path:
    name = f"{plan.name}-{plan.split_name}" + (f"-{stated.version}" if stated.supersedes else "")
    return here.store.path.parent / "datasets" / name.replace("/", "_")


def _demand_newest(here: site.Site, plan: Plan, stated: Edition, folder: Path) -> None:
    """Refuse an edition whose serial does not grow; what stands in the folder is the one being published."""
    offers = edition.offers_of(here.box, here.log, here.store.key.entry.fpr, plan.name, plan.split_name)
    own = standing(folder)
    edition.demand_newest([one for one in offers if own is None or one.envelope.mid != own.mid], stated)


def plan_of(options: argparse.Namespace, here: site.Site) -> Plan:
    """What the options of ``holder publish`` ask for."""
    source = open_source(options.source)
    mirror = source.mirror if options.mirror is None else options.mirror
    epoch, secret = federation.epoch_secret(here.store, here.log, options.epoch)
    return make_plan(
        split_of(source, options),
        split_name=options.split,
        name=options.name or source.name,
        classes=source.classes,
        fit=_fit(source, options),
        views=Views(options.views, options.crop, mirror, options.jitter, options.cutout),
        scheme=(options.scheme, scheme_options.given(options)),
        epoch=epoch,
        epoch_secret=secret,
        log=here.log,
        workers=options.workers,
    )


def split_of(source: Source, options: argparse.Namespace) -> Split:
    """The part of a source that the options name.

    Raises:
        DataError: there is none of that name.
    """
    splits = with_val(source.splits, options.val_share)
    if options.split not in splits:
        more = "" if "val" in splits else " (and --val-share 0.1 makes a val)"
        raise DataError(
            f"{source.name} has no split {options.split}", hint=f"it has: {', '.join(sorted(splits))}{more}"
        )
    split = splits[options.split]
    return split if options.limit is None else split.part(np.arange(min(max(options.limit, 0), len(split))))


def with_val(splits: Mapping[str, Split], share: float) -> Mapping[str, Split]:
    """The splits with a ``val`` taken evenly from ``train``.

    Args:
        splits: a source's splits.
        share: part of ``train`` that becomes ``val``; 0 leaves the splits as they are.

    Raises:
        DataError: the share is not from 0 to below 1.
    """
    if not 0 <= share < 1:
        raise DataError(f"--val-share must be from 0 to below 1, got {share}")
    if share == 0 or "train" not in splits:
        return splits
    train, val = splits["train"].divided(share)
    return {**splits, "train": train, "val": val}


def _fit(source: Source, options: argparse.Namespace) -> geometry.Fit:
    size = size_of(options.size) if options.size else source.fit.size
    policy = options.fit or source.fit.policy
    channels: geometry.Channels = source.fit.channels
    if options.channels:
        channels = {"1": 1, "3": 3}.get(options.channels, "keep")  # type: ignore[assignment]
    return geometry.Fit(policy, None if policy == "refuse" else size, channels)


def size_of(text: str) -> tuple[int, int]:
    """A size as it is typed, ``224x224``.

    Raises:
        DataError: it is none.
    """
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise DataError(f"--size must look like 224x224, got {text[:40]!r}")
    return int(height), int(width)


def _rows(options: argparse.Namespace) -> int:
    """How many images there are to decrypt, as far as the manifest says so; it is verified later."""
    try:
        (data,) = manifest.offers_in([options.dataset]).values()
        rows = int(manifest.parse_unsigned(Envelope.from_bytes(data))["rows"])
    except BlindsightError:
        return 0
    return rows if options.limit is None else min(rows, options.limit)


def _decrypt(options: argparse.Namespace) -> int:
    with site.opened(options) as here, progress("decrypting", _rows(options)) as advance:
        limits = {"limit": options.limit, "workers": options.workers}
        count = decrypt(here.store, here.log, options.dataset, options.out, advance=advance, **limits)
    say(f"{options.out} now holds plain images; treat it like them")
    emit_facts({"images": count, "folder": str(options.out)}, as_json=options.json)
    return 0

"""Looking at one's own published images again: manifest and shards → plain images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from blindsight.holder import federation
from blindsight.holder.ciphers import Cipher, cipher_for
from blindsight.holder.publish import image_id
from blindsight.protocol import manifest, shard
from blindsight.protocol.errors import MembershipError, SchemeError
from blindsight.protocol.files import replacing
from blindsight.protocol.keystore import Keystore
from blindsight.protocol.log import Log
from blindsight.protocol.manifest import Manifest
from blindsight.protocol.scheme import Images, scheme_key

BATCH = 256


def decrypt(
    store: Keystore,
    log: Log,
    folder: Path,
    out: Path,
    *,
    limit: int | None,
    advance: Callable[[int], None],
    workers: int = 1,
) -> int:
    """Write the plain images of one's own data set as PNG files, named by row and label.

    Args:
        store: the holder's opened keystore.
        log: the membership log.
        folder: a published data set: manifest and shards.
        out: folder for the pictures, made if missing (mode 0700).
        limit: at most so many images; all if None.
        advance: called with the number of images just written.
        workers: threads that decrypt.

    Returns:
        Number of images written.

    Raises:
        MembershipError: E_ROSTER, the data set is another holder's.
        SchemeError: E_SCHEME, the scheme cannot be inverted.
        ProtocolError: manifest or shards are damaged.
    """
    offered = manifest.load(folder, log)
    cipher = _cipher(store, log, offered, workers)
    for fault in manifest.shard_faults(offered, folder):
        raise fault
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    rows = int(offered.predicate["rows"])
    left = rows if limit is None else max(0, min(limit, rows))
    total = left
    for entry in offered.predicate["shards"]:
        path, serial = folder / entry["path"], int(offered.predicate["serial"])
        left -= _decrypt_shard(cipher, path, serial, out, left, advance)
    return total


def _cipher(store: Keystore, log: Log, offered: Manifest, workers: int) -> Cipher:
    if offered.predicate["holder"] != store.key.entry.fpr:
        raise MembershipError(f"this data set belongs to {offered.holder}, not to this keystore", code="E_ROSTER")
    descriptor = offered.descriptor
    if not descriptor.traits.invertible:
        raise SchemeError(f"scheme {descriptor.id} loses detail: nobody can decrypt it, with or without a key")
    epoch, secret = federation.epoch_secret(store, log, offered.predicate["epoch"])
    return cipher_for(descriptor, scheme_key(secret, log.fed, epoch.number, descriptor.digest), workers)


def _decrypt_shard(
    cipher: Cipher, path: Path, serial: int, out: Path, limit: int, advance: Callable[[int], None]
) -> int:
    opened = shard.opened(path)
    count = min(limit, opened.head.rows)
    for start in range(0, count, BATCH):
        images = np.array(opened.images[start : min(start + BATCH, count)])
        first = opened.head.first_row + start
        ids = [image_id(opened.head.dataset, first + place, serial) for place in range(len(images))]
        labels = None if opened.labels is None else opened.labels[start : start + BATCH]
        _write_pictures(cipher.decrypt(images, ids), labels, first, out)
        advance(len(images))
    return count


def _write_pictures(images: Images, labels: np.ndarray | None, first: int, out: Path) -> None:
    for place, image in enumerate(images):
        label = "" if labels is None else f"-label{labels[place]}"
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        with replacing(out / f"{first + place:07d}{label}.png", mode=0o600) as file:
            picture.save(file, format="PNG")

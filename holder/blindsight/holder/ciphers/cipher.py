"""A scheme bound to one shape and one key: the only way the rest of the holder meets a cipher."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Protocol

import numpy as np

from blindsight.holder.ciphers.quality import Quality
from blindsight.protocol.errors import DataError, SchemeError
from blindsight.protocol.scheme import Descriptor, Images

Turn = Callable[[Images, Sequence[str], Images], None]


class Parameters(Protocol):
    """The explicit parameters of one scheme and what they do to images.

    Each scheme has a frozen class of this kind, made from a key (``from_key``) or by hand from arrays; whatever does
    not go together is refused when it is made. Images are ``(n, h, w, c)`` uint8, contiguous, of the shape that the
    parameters are for; ids name them, one an image; ``out`` is ``(n, h', w', c)`` uint8, contiguous, and gets the
    result.
    """

    def encrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Encrypt images into ``out``."""

    def decrypt(self, images: Images, ids: Sequence[str], out: Images) -> None:
        """Undo ``encrypt`` for the same ids."""

    def quality(self) -> Quality:
        """What the key leaves as it was, and how many keys there are."""


@dataclass(frozen=True, slots=True)
class Cipher:
    """Parameters of a scheme that refuse every image but those of the descriptor's shape.

    Args:
        descriptor: scheme and shape.
        parameters: explicit parameters of that scheme, drawn from a key or made by hand.
        workers: threads that share the images of a batch; the result does not depend on their number.
    """

    descriptor: Descriptor
    parameters: Parameters
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"there must be at least 1 worker, got {self.workers}")
        block = getattr(self.parameters, "block", self.descriptor.block)
        if block != self.descriptor.block:
            raise ValueError(f"the parameters are for blocks of {block}, the descriptor for {self.descriptor.block}")
        made_for = getattr(self.parameters, "shape", self.descriptor.shape)
        if made_for != self.descriptor.shape:
            raise ValueError(f"the parameters are for images of {made_for}, the descriptor for {self.descriptor.shape}")

    def encrypt(self, images: Images, ids: Sequence[str] = (), out: Images | None = None) -> Images:
        """Encrypt a batch; what becomes of an image does not depend on the others.

        Args:
            images: ``(n, H, W, C)`` uint8 in the descriptor's shape; never written to, need not be contiguous.
            ids: one name an image; may be left out where the scheme has one key for all images.
            out: ``(n, H', W', C)`` uint8 in the descriptor's encrypted shape, contiguous, for the result; shares no
                memory with the images. A new array if None.

        Returns:
            ``(n, H', W', C)`` uint8.

        Raises:
            DataError: the images have another shape than the descriptor's.
            ValueError: they are no uint8 batch, there is not one id an image, or ``out`` does not fit.
        """
        shape, encrypted = self.descriptor.shape, self.descriptor.encrypted_shape
        return self._turned(self.parameters.encrypt, images, ids, shape, encrypted, out)

    def decrypt(self, images: Images, ids: Sequence[str] = (), out: Images | None = None) -> Images:
        """Undo ``encrypt`` for the same ids; arguments and result change places.

        Raises:
            SchemeError: E_SCHEME, the scheme has no inverse.
            DataError: the images have another shape than the descriptor's encrypted one.
            ValueError: as in ``encrypt``.
        """
        if not self.descriptor.traits.invertible:
            raise SchemeError(f"scheme {self.descriptor.id} loses detail: nobody can decrypt it, with or without a key")
        shape, encrypted = self.descriptor.shape, self.descriptor.encrypted_shape
        return self._turned(self.parameters.decrypt, images, ids, encrypted, shape, out)

    def quality(self) -> Quality:
        """What the key leaves as it was, and how many keys there are."""
        return self.parameters.quality()

    def _turned(
        self,
        turn: Turn,
        images: Images,
        ids: Sequence[str],
        before: tuple[int, ...],
        after: tuple[int, ...],
        out: Images | None,
    ) -> Images:
        self._check(images, ids, before)
        result = _room(images, after, out)
        source = np.ascontiguousarray(images)
        parts = self._parts(source, ids, result)
        if len(parts) < 2:
            for part in parts:
                turn(*part)
        else:
            tasks = [_pool().submit(turn, *part) for part in parts]
            wait(tasks)  # nobody may write to the result once this returns or raises
            for task in tasks:
                task.result()
        return result

    def _parts(self, images: Images, ids: Sequence[str], out: Images) -> list[tuple[Images, Sequence[str], Images]]:
        """Cut a batch for the workers: by images or, where blocks are treated alike, by rows of blocks."""
        if self.workers > 1 and len(images) < self.workers and self.descriptor.traits.aligned:
            images, ids, out = self._rows_of_blocks(images), (), self._rows_of_blocks(out)
        cuts = np.linspace(0, len(images), min(self.workers, len(images)) + 1).astype(int).tolist()
        return [(images[start:stop], ids[start:stop], out[start:stop]) for start, stop in pairwise(cuts)]

    def _rows_of_blocks(self, images: Images) -> Images:
        """A view of contiguous images, plain or encrypted, in which every row of blocks is an image."""
        rows = self.descriptor.shape[0] // self.descriptor.block
        n, height, width, channels = images.shape
        return images.reshape(n * rows, height // rows, width, channels)

    def _check(self, images: Images, ids: Sequence[str], shape: tuple[int, ...]) -> None:
        if images.dtype != np.uint8 or images.ndim != 4:
            raise ValueError(f"images must be (n, h, w, c) uint8, got {images.shape} {images.dtype}")
        if len(ids) != len(images) and (ids or self.descriptor.traits.scope == "image"):
            raise ValueError(f"there must be one id an image, got {len(ids)} for {len(images)}")
        if images.shape[1:] != shape:
            expected, got = ("x".join(map(str, sides)) for sides in (shape, images.shape[1:]))
            raise DataError(f"images must be {expected}, got {got}", hint="choose a --fit, or another descriptor")


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that stay: starting them for every frame would cost a tenth of it, and their memory with them."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="cipher")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


def _room(images: Images, shape: tuple[int, ...], out: Images | None) -> Images:
    """The array for the result."""
    wanted = (len(images), *shape)
    if out is None:
        return np.empty(wanted, np.uint8)
    if out.shape != wanted or out.dtype != np.uint8 or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"out must be contiguous, writeable {wanted} uint8, got {out.shape} {out.dtype}")
    if np.may_share_memory(images, out):
        raise ValueError("out must not share memory with the images")
    return out

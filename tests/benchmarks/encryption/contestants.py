"""Who takes part: the ciphers of ``blindsight``, and what they are held against on the same machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from blindsight.holder.ciphers import Cipher, cipher_for
from blindsight.protocol.scheme import Descriptor
from tests.benchmarks.encryption.rounds import Job, Pass, setup_seconds
from tests.benchmarks.encryption.workloads import Images, Workload, cuts
from tests.benchmarks.peers import Peer, Program

NONCE_BYTES, TAG_BYTES = 12, 16
OURS, REFERENCE, PEER = "ours", "reference", "peer"
SAME = "the same bytes"
COMPARED = 16  # images
T = TypeVar("T")


@dataclass
class Contestant:
    """One scheme or program on one workload.

    Args:
        workload: its name.
        name: of the scheme or program.
        kind: ``ours``, ``reference`` or ``peer``.
        scheme: the scheme it runs; empty for references.
        scope: of the scheme's key.
        params: its public parameters.
        jobs: what is measured: operation → number of workers → job.
        setup: seconds from a key to a cipher that has encrypted one image.
        bytes: for a peer, whether its bytes are those of ours with the same parameters, in words.
    """

    workload: str
    name: str
    kind: str
    scheme: str = ""
    scope: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    jobs: dict[str, dict[int, Job]] = field(default_factory=dict)
    setup: list[float] = field(default_factory=list)
    bytes: str = ""

    def to_json(self) -> dict[str, Any]:
        """All its figures."""
        return {
            "workload": self.workload,
            "name": self.name,
            "kind": self.kind,
            "scheme": self.scheme,
            "scope": self.scope,
            "params": dict(self.params),
            "bytes": self.bytes,
            "setup_ms": [1000 * seconds for seconds in self.setup],
            **{
                what: {str(workers): job.figures() for workers, job in jobs.items()} for what, jobs in self.jobs.items()
            },
        }


def key(number: int) -> bytes:
    """A scheme key; the same in every run, so that figures that depend on the key can be compared."""
    return hashlib.sha256(f"benchmark key {number}".encode()).digest()


def descriptors(workload: Workload, names: Sequence[str]) -> Iterator[Descriptor]:
    """Every scheme of the workload with every scope of its key."""
    for name, block in workload.blocks.items():
        if name in names:
            descriptor = Descriptor.of(name, workload.shape, {"block": block} if block else {})
            yield descriptor
            if "scope" in descriptor.params:
                yield Descriptor.of(name, workload.shape, {"scope": "image"})


def ours(workload: Workload, descriptor: Descriptor, workers: Sequence[int], seconds: float) -> Contestant:
    """A cipher of ``blindsight``, which has encrypted and decrypted the workload once and given it back."""
    traits = descriptor.traits
    made = Contestant(workload.name, label(descriptor), OURS, descriptor.id, traits.scope, descriptor.params)
    ciphers = Keyed(lambda number: cipher_for(descriptor, key(number)))
    made.setup = setup_seconds(lambda number: first_image(workload, ciphers.make(number)), seconds)
    cipher = ciphers.first
    encrypted = np.zeros((len(workload.images), *descriptor.encrypted_shape), np.uint8)
    for count in workers:
        run = passes(workload, replace(cipher, workers=count).encrypt, workload.images, encrypted)
        made.jobs.setdefault("encrypt", {})[count] = warm(workload, run)
    if traits.invertible:
        back = np.zeros_like(workload.images)
        made.jobs["decrypt"] = {1: warm(workload, passes(workload, cipher.decrypt, encrypted, back))}
        demand_equal(back, workload.images, f"{made.name} does not give back what it encrypted")
    return made


class Keyed(Generic[T]):
    """Makes ciphers or programs from keys and keeps the first: some take long to make."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self._make = make
        self.first: T

    def make(self, number: int) -> T:
        """From the number of a key, 0 first."""
        made = self._make(number)
        if number == 0:
            self.first = made
        return made


def label(descriptor: Descriptor) -> str:
    """A row's name."""
    return f"{descriptor.id}, a key an image" if descriptor.params.get("scope") == "image" else descriptor.id


def first_image(workload: Workload, cipher: Cipher) -> Pass:
    """Encrypt the first image alone."""
    image, ids = workload.images[:1], workload.ids[:1]
    out = np.zeros((1, *cipher.descriptor.encrypted_shape), np.uint8)
    return lambda: cipher.encrypt(image, ids, out)


def passes(workload: Workload, turn: Callable[..., object], images: Images, out: Images) -> Pass:
    """One pass over the workload, call by call."""
    ids = workload.ids
    calls = [(images[part], ids[part], out[part]) for part in workload.calls]

    def run() -> None:
        for call in calls:
            turn(*call)

    return run


def warm(workload: Workload, run: Pass) -> Job:
    """A job that has run once."""
    run()
    return Job(run, workload.images.nbytes, len(workload.images))


def demand_equal(found: Images, expected: Images, words: str) -> None:
    """A fast cipher that is wrong is no contestant."""
    if not np.array_equal(found, expected):
        raise ValueError(words)


def peer(workload: Workload, other: Peer, seconds: float) -> Contestant:
    """Another program, which has encrypted the workload once; its bytes are compared with ours under its own key."""
    size = min(other.images_a_call, workload.images_a_call)
    made = Contestant(workload.name, called(workload, other), PEER, other.scheme, other.scope, other.params)
    programs = Keyed(lambda number: other.make(number + 1))
    made.setup = setup_seconds(lambda number: partial(programs.make(number).encrypt, workload.images[:1]), seconds)
    program, parts = programs.first, cuts(len(workload.images), size)
    made.bytes = comparison(program, workload)
    encrypted = np.concatenate([program.encrypt(workload.images[part]) for part in parts])
    turns = [("encrypt", program.encrypt, workload.images), ("decrypt", program.decrypt, encrypted)]
    for what, turn, images in turns:
        if turn is not None:
            run = partial(one_after_another, turn, images, parts)
            made.jobs[what] = {1: warm(workload, run)}
    return made


def called(workload: Workload, other: Peer) -> str:
    """A row's name: the program, its class, and how many images it is given at once where that differs."""
    size = min(other.images_a_call, workload.images_a_call)
    how = f", {size} images a call" if size > 1 else ", an image a call" if workload.images_a_call > 1 else ""
    return f"{other.package} {other.name}{how}"


def one_after_another(turn: Callable[[Images], Images], images: Images, parts: Sequence[slice]) -> None:
    """A pass of a program that makes new arrays."""
    for part in parts:
        turn(images[part])


def comparison(program: Program, workload: Workload) -> str:
    """Whether ours, with the parameters that its key means, makes the same of some images."""
    if program.parameters is None:
        return "not the same bytes: its key means something else"
    images, ids = workload.images[:COMPARED], workload.ids[:COMPARED]
    out = np.zeros_like(images)
    program.parameters().encrypt(images, ids, out)
    return SAME if np.array_equal(out, program.encrypt(images)) else "not the same bytes"


def references(workload: Workload) -> Iterator[Contestant]:
    """Memory speed, and encryption proper: the whole workload in one call where it is, and image by image."""
    copies = Contestant(workload.name, "memcpy", REFERENCE)
    out = np.zeros_like(workload.images)
    copies.jobs["encrypt"] = {1: warm(workload, passes(workload, copy, workload.images, out))}
    yield copies
    for name, seal in (("AES-256-GCM", AESGCM(key(0))), ("ChaCha20-Poly1305", ChaCha20Poly1305(key(0)))):
        if workload.images_a_call > 1:
            yield sealed(workload, f"{name}, one call", seal, workload.images.reshape(1, -1))
        yield sealed(workload, f"{name}, an image a call", seal, workload.images.reshape(len(workload.images), -1))


def copy(images: Images, ids: Sequence[str], out: Images) -> None:
    """What a cipher would cost that does nothing."""
    np.copyto(out, images)


def sealed(workload: Workload, name: str, seal: AESGCM | ChaCha20Poly1305, plain: Images) -> Contestant:
    """One of them, into memory that is in use already, each row with a nonce of its own."""
    closed = np.zeros((len(plain), plain.shape[1] + TAG_BYTES), np.uint8)
    opened = np.zeros_like(plain)
    nonces = [number.to_bytes(NONCE_BYTES, "big") for number in range(len(plain))]

    def close() -> None:
        for nonce, row, room in zip(nonces, plain, closed, strict=True):
            seal.encrypt_into(nonce, row, None, room)

    def open_again() -> None:
        for nonce, row, room in zip(nonces, closed, opened, strict=True):
            seal.decrypt_into(nonce, row, None, room)

    jobs = {"encrypt": {1: warm(workload, close)}, "decrypt": {1: warm(workload, open_again)}}
    demand_equal(opened, plain, f"{name} does not give back what it encrypted")
    return Contestant(workload.name, name, REFERENCE, jobs=jobs)

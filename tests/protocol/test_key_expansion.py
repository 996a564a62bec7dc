"""The key expansion reproduces the published vectors bit for bit (tests/vectors/key_expansion.json)."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from blindsight.protocol.encoding import expand, u64be
from blindsight.protocol.keystream import Stream
from blindsight.protocol.scheme import Descriptor, scheme_key

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "key_expansion.json").read_text())
KEY = bytes.fromhex(VECTORS["scheme_key"])


def sha256_u32le(values: np.ndarray) -> str:
    return hashlib.sha256(values.astype("<u4").tobytes()).hexdigest()


def test_the_descriptor_hashes_to_the_published_digest():
    descriptor = Descriptor.from_json(json.loads(VECTORS["descriptor"]))
    assert descriptor.digest == VECTORS["scheme_digest"]


def test_the_epoch_secret_gives_the_published_check_value_and_scheme_key():
    secret, fed, epoch = bytes.fromhex(VECTORS["epoch_secret"]), VECTORS["fed"], VECTORS["epoch"]
    assert expand(secret, "kcv", bytes.fromhex(fed), u64be(epoch)).hex() == VECTORS["kcv"]
    assert scheme_key(secret, fed, epoch, VECTORS["scheme_digest"]) == KEY


def test_the_stream_starts_with_the_published_bytes():
    assert Stream(KEY, "perm/pixel").bytes(32).hex() == VECTORS["stream(perm/pixel)[0:32]"]
    per_image = Stream(KEY, "perm/patch", b"img-1").bytes(16).hex()
    assert per_image == VECTORS["per-image stream(perm/patch, image id 'img-1')[0:16]"]


def test_permutations_are_the_published_ones():
    assert Stream(KEY, "perm/pixel").perm(16).tolist() == VECTORS["perm16"]
    assert sha256_u32le(Stream(KEY, "perm/pixel").perm(96)) == VECTORS["perm96_sha256_u32le"]
    large = Stream(KEY, "perm/pixel").perm(3072)
    assert large[:8].tolist() == VECTORS["perm3072_first8"]
    assert sha256_u32le(large) == VECTORS["perm3072_sha256_u32le"]


def test_bits_choices_and_bounded_draws_are_the_published_ones():
    bits = "".join(str(int(bit)) for bit in Stream(KEY, "sign/pixel").bits(24))
    assert bits == VECTORS["bits(sign/pixel,24)"]
    assert Stream(KEY, "flip").choose(48, 8).tolist() == VECTORS["choose(flip,48,8)"]
    draws = Stream(KEY, "below")
    assert [draws.below(10**9) for _ in range(4)] == VECTORS["below(1e9)x4"]


def test_the_logistic_sequence_is_the_published_one():
    assert Stream(KEY, "logistic/0").logistic(16).hex() == VECTORS["logistic_first16"]
    sequence = Stream(KEY, "logistic/0").logistic(3072)
    assert hashlib.sha256(sequence).hexdigest() == VECTORS["logistic_3072_sha256"]


@pytest.mark.parametrize("bound", [0, 1, 2**32 + 1])
def test_a_bound_outside_the_range_is_refused(bound):
    with pytest.raises(ValueError, match="bound"):
        Stream(KEY, "below").below(bound)

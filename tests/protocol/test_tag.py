"""Tags: what a stream says of its key, and what a device's stream must say to be answered. FORMAT.md section J."""

from __future__ import annotations

import random

import pytest

from blindsight.protocol.errors import ConflictError, SchemeError
from blindsight.protocol.tag import Tag, read_stream_tag, stream_tag
from tests.protocol import worlds


@pytest.fixture(scope="module")
def world():
    return worlds.world(2)


@pytest.fixture(scope="module")
def tag(world):
    return Tag.of(world.predicate(world.keys[0]))


def test_holders_with_one_key_and_scheme_have_one_tag(world, tag):
    assert Tag.of(world.predicate(world.keys[1])) == tag
    assert len(tag.digest) == 64


@pytest.mark.parametrize("name", Tag.__slots__)
def test_every_field_changes_the_digest_and_is_compared(tag, name):
    fields = {field: getattr(tag, field) for field in Tag.__slots__}
    other = Tag(**(fields | {name: 7 if name == "epoch" else "00" * 32}))
    assert other.digest != tag.digest
    with pytest.raises(SchemeError, match="confident nonsense") as caught:
        tag.demand("the stream", **{name: getattr(other, name)})
    assert (caught.value.code, bool(caught.value.hint)) == ("E_SCHEME", True)


def test_what_a_stream_does_not_state_is_not_compared(tag):
    tag.demand("the stream")
    tag.demand("the stream", fed=tag.fed, epoch=tag.epoch)


def test_a_stream_states_its_tag_and_its_senders_head(world, tag):
    assert read_stream_tag(stream_tag(tag, world.log.head)) == (tag.digest, world.log.head)
    assert read_stream_tag(tag.digest) == (tag.digest, None)


@pytest.mark.parametrize("spelling", [str.upper, lambda text: f" {text}", lambda text: f"{text}\n"])
def test_a_tag_in_another_spelling_is_refused(tag, spelling):
    with pytest.raises(SchemeError):
        read_stream_tag(spelling(tag.digest))


@pytest.mark.parametrize(
    "text",
    ["", "0", "g" * 64, "00" * 31, "00" * 33, "00" * 32 + ".1", "00" * 32 + ".1." + "0" * 63, "00" * 32 + "..",
     "00" * 32 + ".01." + "00" * 32, "00" * 32 + ".-1." + "00" * 32, "00" * 32 + ".1e9." + "00" * 32,
     "00" * 32 + f".{'9' * 17}." + "00" * 32, "00" * 32 + ".1." + "00" * 32 + ".1", "\x1b[2J" + "00" * 32],
    ids=lambda text: repr(text[-20:]),
)  # fmt: skip
def test_what_is_no_tag_is_refused(text):
    with pytest.raises(SchemeError, match="expected a tag"):
        read_stream_tag(text)


def test_a_stream_whose_head_the_log_never_had_is_refused(world, tag):
    _, head = read_stream_tag(f"{tag.digest}.9.{'ab' * 32}")
    with pytest.raises(ConflictError) as caught:
        world.log.demand_head(head, "the input's tag")
    assert caught.value.code == "E_HEAD"


def test_no_text_gives_a_traceback():
    rng = random.Random(5)
    letters = "0123456789abcdefABCDEF.. -\n"
    for _ in range(2_000):
        text = "".join(rng.choice(letters) for _ in range(rng.choice((0, 3, 64, 65, 131))))
        try:
            digest, head = read_stream_tag(text)
        except SchemeError:
            continue
        assert len(digest) == 64
        assert head is None or set(head) == {"seq", "id"}

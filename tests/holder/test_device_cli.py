"""``blindsight holder device``: a camera asks, a holder lends, the camera encrypts, as people type it."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from PIL import Image

from blindsight.cli.arguments import Verbs
from blindsight.holder import membership
from blindsight.protocol import shard
from blindsight.protocol.clock import now
from blindsight.protocol.delegate import make_delegate
from blindsight.protocol.encoding import to_b64
from blindsight.protocol.scheme import Descriptor, scheme_key
from blindsight.protocol.tag import Tag
from tests.holder import lives

WAITING, WRONG_USAGE = 75, 2
VERBS = ("ask", "lend", "take", "show", "encrypt")
SHAPE = ("--shape", "8x8x3")


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    life = lives.Life(lives.agreed(tmp_path_factory.mktemp("agreed"), "majority", moment=now()))
    life.comes("camera", "device")
    life.asks("camera", moment=now())
    return life.root


@pytest.fixture
def desk(founded, tmp_path, capsys):
    desk = lives.Desk(lives.copied(founded, tmp_path / "life"), capsys)
    desk.names = lives.NAMES
    return desk


@pytest.fixture
def lent(desk):
    desk.json("anna", "device lend", desk.keys["camera"].entry.code, *SHAPE)
    desk.json("camera", "device take")
    return desk


def frames(desk, rows=5, name="images", side=8):
    path = desk.root / "frames.npz"
    images = np.random.default_rng(2).integers(0, 256, (rows, side, side, 3), dtype=np.uint8)
    np.savez(path, test_images=images, test_labels=np.arange(rows) % 2)
    return path


def encrypts(desk, *words):
    return desk.type("camera", "device encrypt", frames(desk), "--split", "test", *words)


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_each_verb_uses_options_that_exist(desk, monkeypatch, verb):
    status, out, _ = desk.run("holder", "device", verb, "--help")
    (example,) = [line.strip() for line in out.splitlines() if line.startswith("  blindsight holder")]
    words = shlex.split(example)
    assert (status, words[:4]) == (0, ["blindsight", "holder", "device", verb])
    monkeypatch.setattr(Verbs, "main", lambda self, words: self._parser.parse_args(words) and 0)
    assert desk.run(*words[1:])[0] == 0


NO_SHAPES = ("8", "8x8", "8x8x3x1", "axbxc", "8x-8x3", "8x8x3.5", "", "0x8x3", "65537x8x3", f"8x8x{'9' * 5000}")


@pytest.mark.parametrize("shape", NO_SHAPES, ids=lambda shape: shape[:9])
def test_a_shape_that_is_none_is_wrong_usage(desk, shape):
    status, _, err = desk.type("anna", "device lend", "CODE", f"--shape={shape}")
    assert (status, "shape like 32x32x3" in err) == (WRONG_USAGE, True)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--shape", "9x9x3"), "E_SCHEME"),
        ((*SHAPE, "--block", "0"), "E_FORMAT"),
        ((*SHAPE, "--block=-4"), "E_FORMAT"),
        ((*SHAPE, "--scheme", "plain"), "E_SCHEME"),
        ((*SHAPE, "--param", "scope=image"), "E_SCHEME"),
        ((*SHAPE, "--epoch", "2"), "E_EPOCH"),
    ],
    ids=str,
)
def test_a_key_that_nobody_could_use_is_not_lent(desk, words, code):
    refused, _ = desk.refused("anna", "device lend", desk.keys["camera"].entry.code, *words)
    assert refused == code
    assert not list((desk.sessions.parent).glob("delegate/*"))


def test_a_camera_comes_from_nothing_to_encrypted_frames(desk):
    desk.comes("second", "device")
    (asked,) = desk.json("second", "device ask", desk.log().code)
    assert asked == {"federation": "ward", "fingerprint": desk.keys["second"].entry.code}
    status, out, err = desk.type("second", "device take")
    assert (status, "waiting for  a holder" in out, "device lend CODE" in err) == (WAITING, True, True)
    (answer,) = desk.json("bert", "device lend", asked["fingerprint"], *SHAPE)
    assert (answer["lent_to"], answer["epoch"]) == (desk.keys["second"].entry.label, 1)
    (taken,) = desk.json("second", "device take")
    (shown,) = desk.json("second", "device show")
    assert ([shown["key"]], shown["shape"], shown["lent_by"]) == (taken["taken"], "8x8x3", desk.label("bert"))
    out = desk.root / "frames.safetensors"
    (facts,) = desk.json("second", "device encrypt", frames(desk), "--split", "test", "--out", out)
    assert (facts["images"], facts["tag"][:12], facts["file"]) == (5, shown["key"], str(out))
    head = shard.opened(out).head
    assert (head.fed, head.epoch, head.rows) == (desk.fed, 1, 5)


def test_a_name_or_half_a_code_lends_nothing(desk):
    code = desk.keys["camera"].entry.code
    for part in ("camera", code[:9], code[:-5]):
        refused, sentence = desk.refused("anna", "device lend", part, *SHAPE)
        assert (refused, "all ten groups" in sentence) == ("E_ROSTER", True)


def test_a_key_is_lent_only_by_who_has_compared_the_federation_code(desk):
    with desk.store("anna") as store:
        store.data["feds"][desk.fed]["verified"] = "none"
        store.save()
    assert desk.refused("anna", "device lend", desk.keys["camera"].entry.code, *SHAPE)[0] == "E_UNVERIFIED"


def test_a_holder_does_not_ask_as_a_device(desk):
    code, sentence = desk.refused("anna", "device ask", desk.log().code)
    assert (code, "key init --device" in sentence) == ("E_ROSTER", True)


def test_a_device_meets_the_federation_with_the_whole_code_only(desk):
    desk.comes("second", "device")
    assert desk.refused("second", "device ask", desk.log().code[:9])[0] == "E_FED"


def test_a_key_with_a_false_check_value_is_refused_and_told_of(desk):
    le, log = Descriptor("le", 1, (8, 8, 3), {"block": 4}), desk.log()
    (join,) = membership.requests(desk.box, log, now())
    tag = Tag(log.fed, 1, log.epoch(1).record, log.epoch(1).kcv, le.digest, "00" * 32)
    desk.puts("delegate", make_delegate(desk.keys["cleo"], log, join, le, tag, bytes(32)))
    status, out, err = desk.type("camera", "device take", "--json")
    assert (status, json.loads(out)["taken"]) == (1, [])
    assert "[E_SCV]" in err
    assert desk.label("cleo") in err


def test_without_a_lent_key_the_way_to_one_is_named(desk):
    assert desk.type("camera", "device show")[:2] == (0, "no key is lent to this device\n")
    assert desk.json("camera", "device show") == []
    status, _, err = encrypts(desk, "--out", desk.root / "frames.safetensors")
    assert (status, "[E_GRANT]" in err, "device ask" in err) == (1, True, True)


@pytest.mark.parametrize(("words", "code"), [
    (("--limit", "0"), "E_DATA"), (("--split", "val"), "E_DATA"), (("--key", "zz"), "E_GRANT"),
], ids=str)  # fmt: skip
def test_what_cannot_be_encrypted_leaves_no_file(lent, words, code):
    out = lent.root / "frames.safetensors"
    refused, _ = lent.refused("camera", "device encrypt", frames(lent), "--split", "test", "--out", out, *words)
    assert (refused, out.exists()) == (code, False)


def test_images_of_another_shape_are_refused_or_fitted(lent):
    path, out = frames(lent, side=12), lent.root / "frames.safetensors"
    words = (path, "--split", "test", "--out", out)
    assert lent.refused("camera", "device encrypt", *words)[0] == "E_DATA"
    (facts,) = lent.json("camera", "device encrypt", *words, "--fit", "resize")
    assert facts["images"] == 5
    assert shard.opened(out).images.shape == (5, 8, 8, 3)


def test_the_only_part_of_a_source_needs_no_name_and_of_several_it_is_test(lent):
    out = lent.root / "frames.safetensors"
    (facts,) = lent.json("camera", "device encrypt", frames(lent), "--out", out)
    assert facts["images"] == 5
    several = lent.root / "several.npz"
    images = np.zeros((3, 8, 8, 3), np.uint8)
    np.savez(
        several, train_images=images, train_labels=np.arange(3) % 2, val_images=images, val_labels=np.arange(3) % 2
    )
    code, sentence = lent.refused("camera", "device encrypt", several, "--out", lent.root / "more.safetensors")
    assert (code, "it has: train, val" in sentence) == ("E_DATA", True)


def test_a_folder_of_pictures_without_classes_is_what_a_camera_has(lent):
    folder = lent.root / "frames"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(folder / f"{number}.png")
    out = lent.root / "frames.safetensors"
    (facts,) = lent.json("camera", "device encrypt", folder, "--out", out)
    assert (facts["images"], shard.opened(out).labels) == (3, None)


def test_a_file_is_never_written_over(lent):
    out = lent.root / "frames.safetensors"
    assert encrypts(lent, "--out", out)[0] == 0
    before = out.read_bytes()
    status, _, err = encrypts(lent, "--out", out)
    assert (status, "[E_EXISTS]" in err, out.read_bytes() == before) == (1, True, True)


def test_an_epoch_that_was_warned_of_or_retired_encrypts_nothing(lent):
    out = lent.root / "frames.safetensors"
    lent.json("bert", "epoch warn", "1", "--text", "a laptop was stolen")
    status, _, err = encrypts(lent, "--out", out)
    assert (status, "[E_NOTICE]" in err) == (1, True)
    (change,) = lent.json("anna", "epoch retire", "1", "--reason", "spent")
    lent.json("bert", "federation approve", change["change"])
    status, _, err = encrypts(lent, "--out", out)
    assert (status, "[E_RETIRED]" in err, out.exists()) == (1, True, False)


def test_no_verb_on_the_device_shows_its_key(lent):
    key = scheme_key(lent.secret("anna"), lent.fed, 1, Descriptor("le", 1, (8, 8, 3), {"block": 4}).digest)
    said = [lent.type("camera", f"device {verb}", *words) for verb in ("show", "take") for words in ((), ("--json",))]
    said += [lent.type("camera", "key show"), encrypts(lent, "--out", lent.root / "frames.safetensors")]
    for _, out, err in said:
        for spelling in (to_b64(key), key.hex(), str(key)):
            assert spelling not in out + err


QUALITY = {"unchanged_pixels", "fixed_points", "reversals", "keyspace_bits", "note"}


def test_holder_and_device_say_the_same_of_the_quality_of_a_lent_key(desk):
    (told,) = desk.json("anna", "device lend", desk.keys["camera"].entry.code, *SHAPE)
    (taken,) = desk.json("camera", "device take")
    (shown,) = desk.json("camera", "device show")
    figures = {name: told[name] for name in QUALITY}
    assert {name: shown[name] for name in QUALITY} == figures
    assert taken["taken"] == [shown["key"]]


def test_a_lent_key_is_shown_with_its_parameters(lent):
    (shown,) = lent.json("camera", "device show")
    assert (shown["scheme"], shown["parameters"]) == ("le", {"block": 4})


def test_a_device_encrypts_alike_with_any_number_of_threads(lent):
    for workers in ("1", "3"):
        assert encrypts(lent, "--out", lent.root / workers, "--workers", workers)[0] == 0
    one, three = (shard.opened(lent.root / workers).images for workers in ("1", "3"))
    assert np.array_equal(one, three)

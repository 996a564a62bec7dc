"""``holder preview``: a sheet that shows an image under every scheme, as a newcomer looks at it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from blindsight.cli import main
from blindsight.holder import sheet
from blindsight.holder.ciphers import cipher_for
from blindsight.holder.geometry import Fit
from blindsight.holder.preview import IMAGE_ID, LARGEST_SIDE, Wish, scaled_down, sights
from blindsight.holder.sheet import FRAME_WIDTH, LEAST_TILE, PLAIN_FRAME, Tile
from blindsight.protocol.encoding import expand
from blindsight.protocol.errors import DataError, FormatError, SchemeError
from blindsight.protocol.scheme import SCHEMES

NAMES = [name for name, _ in SCHEMES]
SECRET = bytes(32)
AS_IT_COMES = Wish(None, {})
LIMIT = "hidden from people who look, not from people who compute"


def photo(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def shapes(image, *names, wish=AS_IT_COMES):
    shown, refused = sights(image, names or NAMES, wish, SECRET)
    assert refused == {}
    return {one.descriptor.id: one.descriptor.shape[:2] for one in shown}


# Under each scheme.


def test_every_scheme_shows_the_image_under_a_key_that_follows_from_the_secret():
    image = photo(32, 32)
    shown, _ = sights(image, NAMES, AS_IT_COMES, SECRET)
    assert [one.descriptor.id for one in shown] == NAMES
    for one in shown:
        key = expand(SECRET, "preview", bytes.fromhex(one.descriptor.digest))
        assert np.array_equal(one.image, cipher_for(one.descriptor, key).encrypt(image[None], [IMAGE_ID])[0])
        assert one.done == ""


def test_an_image_is_cut_to_what_each_scheme_takes():
    found = shapes(photo(37, 50))
    assert found.pop("cat-map") == (36, 36)
    blocks = {name for name, _ in SCHEMES if "block" in SCHEMES[name, 1].params}
    assert {name: shape for name, shape in found.items() if name in blocks} == dict.fromkeys(blocks, (36, 48))
    assert {shape for name, shape in found.items() if name not in blocks} == {(37, 50)}


def test_what_was_cut_is_said():
    shown, _ = sights(photo(37, 50), ["le", "cat-map", "pixel"], AS_IT_COMES, SECRET)
    assert [one.done for one in shown] == ["cut to 36x48", "cut to 36x36", ""]


def test_a_fit_that_was_asked_for_is_kept_to():
    assert shapes(photo(30, 30), "le", "pixel", wish=Wish(Fit("pad"), {})) == {"le": (32, 32), "pixel": (30, 30)}
    _, refused = sights(photo(30, 30), ["le", "pixel"], Wish(Fit("refuse"), {}), SECRET)
    assert {name: type(error) for name, error in refused.items()} == {"le": DataError}


def test_each_scheme_takes_the_parameters_that_it_has():
    shown, _ = sights(photo(32, 32), ["le", "vortex", "pixel"], Wish(None, {"block": "8", "vortices": "2"}), SECRET)
    assert [dict(one.descriptor.params) for one in shown] == [
        {"block": 8},
        {"vortices": 2, "strength": 100},
        {"scope": "common"},
    ]


def test_a_parameter_that_no_scheme_shown_has_is_refused():
    with pytest.raises(
        SchemeError, match="none of the schemes shown has a parameter vortices; their parameters: block"
    ):
        sights(photo(8, 8), ["le"], Wish(None, {"vortices": "2"}), SECRET)
    with pytest.raises(FormatError, match="block must be an integer"):
        sights(photo(8, 8), ["le"], Wish(None, {"block": "many"}), SECRET)


def test_a_scheme_that_cannot_take_the_image_is_named_with_its_reason():
    shown, refused = sights(photo(3, 3), ["pixel", "le", "vortex"], AS_IT_COMES, SECRET)
    assert [one.descriptor.id for one in shown] == ["pixel"]
    assert set(refused) == {"le", "vortex"}


def test_grey_images_are_shown_too():
    assert set(shapes(photo(32, 32, 1))) == set(NAMES)


@pytest.mark.parametrize(
    ("before", "after"), [((600, 1200), (256, 512)), ((512, 512), (512, 512)), ((9, 1024), (4, 512))]
)
def test_a_large_photo_is_scaled_down_and_a_small_one_is_not(before, after):
    image = photo(*before)
    assert scaled_down(image).shape[:2] == after
    assert (scaled_down(image) is image) == (before == after)


def test_an_image_larger_than_a_sheet_can_show_is_refused():
    _, refused = sights(photo(LARGEST_SIDE + 4, 4), ["le"], Wish(Fit(), {}), SECRET)
    assert "at most 1024 pixels a side" in refused["le"].message


# The sheet.


def drawn(*tiles):
    return sheet.drawn("title", ["a line"], tiles, ["footer"])


def frames(picture):
    """The boxes that the frame of the plain image and its inside take."""
    red = np.all(np.asarray(picture) == tuple(int(PLAIN_FRAME[at : at + 2], 16) for at in (1, 3, 5)), axis=2)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def test_the_plain_image_stands_on_the_sheet_pixel_for_pixel():
    image = photo(300, 400)
    picture = drawn(Tile("plain", ("as it is",), image))
    top, left, bottom, right = frames(picture)
    inside = np.asarray(picture)[top + FRAME_WIDTH : bottom - FRAME_WIDTH, left + FRAME_WIDTH : right - FRAME_WIDTH]
    assert np.array_equal(inside, image)


def test_small_images_are_enlarged_by_whole_pixels():
    image = photo(8, 8)
    picture = drawn(Tile("plain", (), image))
    top, left, bottom, right = frames(picture)
    inside = np.asarray(picture)[top + FRAME_WIDTH : bottom - FRAME_WIDTH, left + FRAME_WIDTH : right - FRAME_WIDTH]
    factor = LEAST_TILE // 8
    assert np.array_equal(inside, image.repeat(factor, axis=0).repeat(factor, axis=1))


def test_an_image_of_half_the_size_takes_the_same_tile():
    whole = drawn(Tile("plain", (), photo(32, 32)), Tile("a", (), photo(32, 32)))
    half = drawn(Tile("plain", (), photo(32, 32)), Tile("a", (), photo(16, 16), shrink=2))
    assert whole.size == half.size


def test_tiles_stand_in_rows_of_five():
    sizes = [drawn(*[Tile("name", ("line",), photo(32, 32))] * count).size for count in (1, 5, 6, 11)]
    widths, heights = zip(*sizes, strict=True)
    assert widths[0] < widths[1] == widths[2] == widths[3]
    assert heights[1] < heights[2]
    assert heights[3] - heights[2] == heights[2] - heights[1]


def test_labels_stay_in_their_columns():
    """A long label makes the sheet higher, not wider."""
    short, long = (drawn(Tile("plain", (words,), photo(32, 32))) for words in ("word", "many words " * 20))
    assert short.width == long.width
    assert long.height > short.height


# The verb.


class Desk:
    def __init__(self, folder, capsys):
        self.folder, self.out, self._capsys = folder, folder / "sheet.png", capsys

    def type(self, *words):
        """Exit status, stdout and stderr."""
        self._capsys.readouterr()
        try:
            status = main([str(word) for word in ("holder", "preview", *words, "--out", self.out)])
        except SystemExit as stop:
            status = int(stop.code or 0)
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def json(self, *words):
        status, out, err = self.type(*words, "--json")
        assert status == 0, err
        return json.loads(out)

    def refused(self, *words):
        status, out, err = self.type(*words, "--json")
        assert status == 1, err
        assert not self.out.exists()
        return json.loads(out)["error"]

    def saved(self, height, width):
        path = self.folder / "photo.png"
        Image.fromarray(photo(height, width)).save(path)
        return path


@pytest.fixture
def desk(tmp_path, capsys):
    return Desk(tmp_path, capsys)


def test_digits_make_a_sheet_without_any_keystore(desk):
    facts = desk.json("digits")
    assert facts["sheet"] == str(desk.out)
    assert facts["shown_at"] == dict.fromkeys(NAMES, "32x32")
    with Image.open(desk.out) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")
        assert picture.width > 5 * LEAST_TILE


def test_the_sheet_is_for_its_owner_alone_and_that_it_shows_the_plain_image_is_said(desk):
    _, out, err = desk.type("digits")
    assert desk.out.stat().st_mode & 0o777 == 0o600
    assert "shows the plain image" in err
    assert [path.name for path in desk.folder.iterdir()] == ["sheet.png"]
    assert "throw-away, random each time" in out


def test_the_sheet_says_from_whom_such_images_are_hidden(desk, monkeypatch):
    said = []
    draw = sheet.drawn
    monkeypatch.setattr(sheet, "drawn", lambda title, lines, *rest: said.extend(lines) or draw(title, lines, *rest))
    desk.json("digits", "--scheme", "le", "--seed", "7")
    assert LIMIT in said[0]
    assert "throw-away, from seed 7" in said[1]


def test_a_seed_gives_the_same_sheet_and_none_another(desk):
    sheets = []
    for words in (("--seed", "7"), ("--seed", "7"), ("--seed", "8"), (), ()):
        desk.json("digits", "--scheme", "le", *words)
        sheets.append(desk.out.read_bytes())
        desk.out.unlink()
    assert sheets[0] == sheets[1]
    assert len(set(sheets)) == 4


def test_only_the_schemes_named_are_shown_in_the_order_named(desk):
    facts = desk.json("digits", "--scheme", "vortex", "--scheme", "le", "--scheme", "le")
    assert list(facts["shown_at"]) == ["vortex", "le"]


def test_a_photo_is_scaled_down_and_cut(desk):
    facts = desk.json(desk.saved(600, 1030), "--scheme", "le", "--scheme", "cat-map")
    assert facts["shape"] == "600x1030x3"
    assert facts["shown_at"] == {"le": "296x512", "cat-map": "298x298"}


def test_a_size_is_taken_by_every_scheme(desk):
    facts = desk.json(desk.saved(60, 70), "--size", "48x64")
    assert set(facts["shown_at"].values()) == {"48x64"}
    assert "cat-map" not in facts["shown_at"]


def test_what_cannot_be_shown_among_all_is_left_out_with_its_reason(desk):
    status, out, err = desk.type("digits", "--block", "5")
    assert (status, "patch-mix" in out) == (0, False)
    assert "left out: patch-mix: scheme patch-mix: blocks must be an even number" in err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("digits", "--scheme", "patch-mix", "--block", "5"), "E_SCHEME", "even number"),
        (("digits", "--scheme", "le", "--block", "64"), "E_DATA", "smaller than one block of 64x64"),
        (("digits", "--param", "colour=red"), "E_SCHEME", "none of the schemes shown has a parameter colour"),
        (("digits", "--fit", "resize"), "E_DATA", "needs a size"),
        (("digits", "--size", "5000x5000"), "E_DATA", "at most 1024 pixels"),
        (("digits", "--fit", "crop", "--size", "64x64"), "E_DATA", "cannot bring 32x32"),
        (("nowhere.png",), "E_DATA", "there is no nowhere.png"),
    ],
    ids=str,
)
def test_what_cannot_be_shown_is_refused_and_leaves_no_sheet(desk, words, code, said):
    error = desk.refused(*words)
    assert (error["code"], said in error["message"]) == (code, True)


def test_an_image_too_small_for_every_scheme_named_or_not_is_refused(desk):
    Image.fromarray(photo(1, 1)).save(desk.folder / "dot.png")
    assert desk.refused(desk.folder / "dot.png", "--scheme", "le")["code"] == "E_DATA"


def test_a_file_that_is_no_image_is_refused(desk):
    (desk.folder / "notes.txt").write_text("no image")
    assert desk.refused(desk.folder / "notes.txt")["code"] == "E_DATA"


def test_the_first_image_of_any_source_is_shown(desk):
    images = photo(3 * 8, 8).reshape(3, 8, 8, 3)
    np.savez(desk.folder / "pets.npz", train_images=images, train_labels=np.arange(3) % 2)
    assert desk.json(desk.folder / "pets.npz", "--scheme", "plain")["image"] == "pets (first image of train)"
    desk.out.unlink()
    assert desk.json(f"npz:{desk.folder / 'pets.npz'}")["shape"] == "8x8x3"


def test_a_file_is_never_written_over(desk):
    desk.json("digits", "--scheme", "plain")
    before = desk.out.read_bytes()
    status, _, err = desk.type("digits")
    assert (status, "[E_EXISTS]" in err, desk.out.read_bytes() == before) == (1, True, True)


def test_a_link_to_nowhere_is_not_followed(desk):
    desk.out.symlink_to(desk.folder / "elsewhere")
    status, _, err = desk.type("digits")
    assert (status, "[E_EXISTS]" in err, (desk.folder / "elsewhere").exists()) == (1, True, False)

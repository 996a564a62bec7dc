"""Decoding image files: what each kind becomes, and which kinds are refused by name."""

import numpy as np
import pytest
from PIL import Image

from blindsight.holder.sources import pictures
from blindsight.protocol.errors import DataError


def noise(*shape):
    return np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)


def smooth(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 4, columns * 4, rows + columns], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("suffix", "channels", "options"),
    [("png", 1, {}), ("png", 3, {}), ("bmp", 1, {}), ("bmp", 3, {}), ("webp", 3, {"lossless": True})],
)
def test_lossless_files_give_the_pixels_that_went_in(tmp_path, suffix, channels, options):
    image = noise(9, 13, channels)
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(image.squeeze()).save(path, **options)
    assert np.array_equal(pictures.decode(path), image)
    assert pictures.measure(path) == image.shape


def test_jpeg_gives_nearly_the_pixels_that_went_in(tmp_path):
    image = smooth(32, 40)
    Image.fromarray(image).save(tmp_path / "image.jpg", quality=95)
    difference = pictures.decode(tmp_path / "image.jpg").astype(int) - image
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_noted_orientation_is_applied_and_measured(tmp_path, suffix, orientation):
    upright = smooth(32, 48)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: upright.transpose(1, 0, 2)[::-1],
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: upright.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[pictures.ORIENTATION_TAG] = orientation
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=98, subsampling=0)
    assert pictures.measure(path) == upright.shape
    assert np.abs(pictures.decode(path).astype(int) - upright).max() < 16


def test_transparent_pixels_show_white(tmp_path):
    image = np.zeros((4, 4, 4), np.uint8)
    image[:2, :, 3] = 255
    Image.fromarray(image).save(tmp_path / "image.png")
    decoded = pictures.decode(tmp_path / "image.png")
    assert (decoded[:2] == 0).all()
    assert (decoded[2:] == 255).all()


def test_grey_with_alpha_stays_grey(tmp_path):
    image = noise(4, 4, 2)
    image[..., 1] = 255
    Image.fromarray(image).save(tmp_path / "image.png")
    assert np.array_equal(pictures.decode(tmp_path / "image.png"), image[..., :1])


def test_palettes_are_resolved_to_colour(tmp_path):
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :, 0], image[4:, :, 2] = 255, 255
    Image.fromarray(image).quantize(4).save(tmp_path / "image.png")
    assert np.array_equal(pictures.decode(tmp_path / "image.png"), image)
    assert pictures.measure(tmp_path / "image.png") == (8, 8, 3)


def test_black_and_white_becomes_grey(tmp_path):
    bits = noise(8, 8) > 127
    Image.fromarray(bits).save(tmp_path / "image.png")
    assert np.array_equal(pictures.decode(tmp_path / "image.png")[..., 0], np.where(bits, 255, 0))


def test_cmyk_becomes_colour(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "image.jpg")
    red, green, blue = pictures.decode(tmp_path / "image.jpg")[8, 8].tolist()
    assert red > 200
    assert max(green, blue) < 50


def test_sixteen_bits_a_sample_are_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "scan.png")
    with pytest.raises(DataError, match=r"scan\.png has more than 8 bits a sample"):
        pictures.measure(tmp_path / "scan.png")


def test_moving_images_are_refused(tmp_path):
    frames = [Image.fromarray(noise(4, 4, 3)), Image.fromarray(smooth(4, 4))]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(DataError, match=r"moving\.webp holds several frames"):
        pictures.decode(tmp_path / "moving.webp")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp"])
def test_a_file_cut_short_is_refused_by_name(tmp_path, suffix):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"cut\.{suffix} is damaged, cut short or no image"):
        pictures.decode(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + bytes(20), b"GIF89a" + bytes(30)])
def test_what_is_no_image_is_refused_by_name(tmp_path, content):
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(DataError, match=r"odd\.png is damaged, cut short or no image"):
        pictures.measure(tmp_path / "odd.png")


def test_an_image_too_large_to_decode_is_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_PIXELS", 100)
    Image.fromarray(noise(11, 10, 3)).save(tmp_path / "large.png")
    with pytest.raises(DataError, match="more than 100 pixels"):
        pictures.measure(tmp_path / "large.png")

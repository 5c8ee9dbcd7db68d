import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pydeepexpr.errors import UserError
from pydeepexpr.images import is_image_name, read_image

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)  # RGB


def png16(values, colour_type):
    """Return a 16-bit PNG written by hand: Pillow writes no 16-bit colour."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colour_becomes_bgr(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")
    assert read.dtype == np.uint8 and read.flags["C_CONTIGUOUS"]
    np.testing.assert_array_equal(read, COLOUR[:, :, ::-1])


@pytest.mark.parametrize("suffix", ["bmp", "gif", "tif", "webp", "ppm"])
def test_other_formats(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (9, 7), (200, 100, 50)).save(path, **({"lossless": True} if suffix == "webp" else {}))
    np.testing.assert_array_equal(read_image(path), np.full((7, 9, 3), (50, 100, 200)))


def test_grey_is_repeated(tmp_path):
    Image.fromarray(COLOUR[:, :, 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.repeat(COLOUR[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "pgm"])
def test_grey_may_be_kept(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(COLOUR[:, :, 0]).save(path)
    grey = read_image(path, keep_grey=True)
    assert grey.shape == (20, 30) and grey.dtype == np.uint8
    np.testing.assert_array_equal(np.dstack([grey] * 3), read_image(path))


def test_grey_is_kept_as_upright_and_as_deep_as_other_images(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR[:, :, 0]).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", keep_grey=True), np.rot90(COLOUR[:, :, 0], 3))
    deep = np.array([[0, 255, 256, 0xFFFF]], np.uint16)
    (tmp_path / "deep.png").write_bytes(png16(deep, 0))
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", keep_grey=True), deep >> 8)
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "two.png")
    np.testing.assert_array_equal(read_image(tmp_path / "two.png", keep_grey=True), [[255, 0]])


def test_colour_and_transparency_stay_three_channels(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    Image.fromarray(np.array([[(200, 0), (200, 255)]], np.uint8), "LA").save(tmp_path / "b.png")
    for name in ("a.png", "b.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name, keep_grey=True), read_image(tmp_path / name))


def test_black_and_white(tmp_path):
    Image.fromarray(COLOUR[:, :, 0] > 127).save(tmp_path / "a.png")
    assert set(np.unique(read_image(tmp_path / "a.png"))) == {0, 255}


def test_transparency_lies_on_black(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0] = [(255, 200, 100, 0), (255, 200, 100, 255), (200, 100, 50, 128)]
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    read = read_image(tmp_path / "a.png")[0].astype(int)
    np.testing.assert_array_equal(read[:2], [(0, 0, 0), (100, 200, 255)])
    np.testing.assert_allclose(read[2], np.array([50, 100, 200]) * 128 / 255, atol=1)


def test_transparent_palette_lies_on_black(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.png", transparency=0)
    read = read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(read[0, 0], (0, 0, 0))
    np.testing.assert_array_equal(read[1, 1], (0, 255, 0))


def test_grey_with_alpha(tmp_path):
    Image.fromarray(np.array([[(200, 0), (200, 255)]], np.uint8), "LA").save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0, :, 0], (0, 200))


def test_sixteen_bits_lose_the_low_byte(tmp_path):
    grey = np.array([[0, 255, 256, 0x1234, 0xFFFF]], np.uint16)
    (tmp_path / "grey.png").write_bytes(png16(grey, 0))
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png")[0, :, 1], grey[0] >> 8)
    colour = RNG.integers(0, 65536, (3, 4, 3)).astype(np.uint16)
    (tmp_path / "colour.png").write_bytes(png16(colour, 2))
    np.testing.assert_array_equal(read_image(tmp_path / "colour.png"), (colour >> 8)[:, :, ::-1])
    Image.fromarray(grey).save(tmp_path / "grey.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.tif")[0, :, 1], grey[0] >> 8)


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    blue, green, red = read_image(tmp_path / "a.jpg")[8, 8]
    assert red > 230 and green < 60 and blue < 60


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_orientation_is_applied(tmp_path, orientation, turns):
    """EXIF 6: the camera was held so that the picture must be turned clockwise (numpy turns the other way)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(COLOUR, turns)[:, :, ::-1])


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp"])
def test_of_several_frames_the_first(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 8), (value, value, value)) for value in (250, 10, 90)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert abs(int(read_image(tmp_path / f"a.{suffix}")[0, 0, 0]) - 250) < 5


def test_names_in_any_script(tmp_path):
    path = tmp_path / "Gesicht 顔 émue '\"#%.png"
    Image.fromarray(COLOUR).save(path)
    assert read_image(path).shape == (20, 30, 3)


def jpeg():
    data = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(data, "JPEG")
    return data.getvalue()


def png():
    data = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\0" * 500, "no image"),
        (b"<html>404</html>", "no image"),
        (jpeg()[:10], "."),
        (jpeg()[: len(jpeg()) // 2], "truncated"),
        (jpeg()[:-400], "truncated"),
        (png()[:40], "."),
        (png()[: len(png()) // 2], "truncated"),
        (b"GIF89a" + bytes(3), "."),
        (b"\x89PNG\r\n\x1a\n", "."),
        (b"II*\0\x08\0\0\0", "."),
        (png16(np.zeros((1, 1), np.uint16), 0).replace(b"\0\0\0\x01" * 2, b"\x7f\xff\xff\xff" * 2), "."),
    ],
)
def test_damaged_files_give_one_line(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=reason) as error:
        read_image(path)
    assert "\n" not in str(error.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(UserError):
        read_image(tmp_path)


def test_floating_point_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match="floating-point"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_is_read_or_refused(tmp_path, seed):
    rng = np.random.default_rng(seed)
    data = bytearray(jpeg() if seed % 2 else png())
    for _ in range(20):
        data[rng.integers(len(data))] = rng.integers(256)
    path = tmp_path / "a"
    path.write_bytes(data)
    with contextlib.suppress(UserError):
        assert read_image(path).shape[2] == 3


@pytest.mark.parametrize("name", ["a.jpg", "A.JPEG", "x/y/b.Png", "c.tiff", "d.e.webp"])
def test_called_like_an_image(name):
    assert is_image_name(name)


@pytest.mark.parametrize(
    "name", [".DS_Store", "Thumbs.db", "._a.jpg", ".jpg", "a.txt", "jpg", "a.jpg.part", "a.mp4", ""]
)
def test_not_called_like_an_image(name):
    assert not is_image_name(name)

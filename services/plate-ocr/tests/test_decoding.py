# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""Pictures as cameras and people send them, good and bad."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from kit.errors import Invalid, LookoutError, TooLarge, UnsupportedMedia
from kit.picture_limits import PictureLimits
from plate_ocr.adapters.decoding import check, decode, encode_crop
from plate_ocr.domain.values import AdmittedPicture, Box, Picture
from testkit import pictures

from .conftest import canvas, encoded, jpeg

MAX_BYTES, MAX_PIXELS = 5_000_000, 10_000_000
LIMITS = PictureLimits(max_pixels=MAX_PIXELS)
ORIENTATION = 0x0112


def read(data: bytes) -> Picture:
    return decode(data, check(data, max_bytes=MAX_BYTES, limits=LIMITS))


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def scene() -> Image.Image:
    """Blue on the left, red on the right."""
    picture = Image.new("RGB", (80, 60), (10, 20, 200))
    picture.paste((200, 20, 10), (40, 0, 80, 60))
    return picture


def turned(picture: Image.Image, kind: str, orientation: int) -> bytes:
    exif = picture.getexif()
    exif[ORIENTATION] = orientation
    return saved(picture, kind, exif=exif)


def deep(*, has_alpha: bool) -> bytes:
    """The scene with 16 bits a channel; one white pixel, so that none is brightened."""
    colours = np.asarray(scene()).astype(np.uint16)[:, :, ::-1] * 257
    colours[0, 0] = 65_535
    alpha = np.full((*colours.shape[:2], int(has_alpha)), 65_535, np.uint16)
    return encoded(np.concatenate([colours, alpha], axis=2), ".png")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(saved(scene(), "JPEG", quality=95), id="jpeg"),
        pytest.param(saved(scene(), "JPEG", quality=95, progressive=True), id="progressive"),
        pytest.param(saved(scene(), "PNG"), id="png"),
        pytest.param(saved(scene().convert("RGBA"), "PNG"), id="rgba"),
        pytest.param(saved(scene().convert("P"), "PNG"), id="palette"),
        pytest.param(saved(scene(), "WEBP", quality=95), id="webp"),
        pytest.param(saved(scene(), "WEBP", lossless=True), id="webp lossless"),
        pytest.param(saved(scene().convert("RGBA"), "WEBP", quality=95), id="webp alpha"),
        pytest.param(
            saved(scene(), "WEBP", save_all=True, append_images=[canvas(80, 60)]), id="animated webp"
        ),
        pytest.param(saved(scene(), "PNG", save_all=True, append_images=[canvas(80, 60)]), id="animated png"),
        pytest.param(
            saved(scene(), "PNG", save_all=True, append_images=[canvas(80, 60)], default_image=True),
            id="animated png with a picture of its own",
        ),
        pytest.param(saved(scene(), "BMP"), id="bmp"),
        pytest.param(saved(scene().convert("RGBA"), "BMP"), id="bmp alpha"),
        pytest.param(deep(has_alpha=False), id="16 bits"),
        pytest.param(deep(has_alpha=True), id="16 bits alpha"),
        pytest.param(saved(scene(), "JPEG", quality=95) * 2, id="two pictures in a row"),
        pytest.param(saved(scene(), "JPEG", quality=95) + b"\0" * 40, id="jpeg with padding behind it"),
        pytest.param(pictures.pad(saved(scene(), "JPEG", quality=95), 30_000), id="jpeg with comments"),
    ],
)
def test_colours_and_channel_order(data: bytes) -> None:
    picture = read(data)
    assert picture.shape == (60, 80, 3)
    assert picture.dtype == np.uint8
    assert picture[30, 10].tolist() == pytest.approx([200, 20, 10], abs=40)
    assert picture[30, 70].tolist() == pytest.approx([10, 20, 200], abs=40)


def test_cmyk() -> None:
    picture = read(saved(Image.new("RGB", (80, 60), (200, 30, 10)).convert("CMYK"), "JPEG", quality=95))
    assert picture[30, 40].tolist() == pytest.approx([10, 30, 200], abs=12)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_grey(kind: str) -> None:
    picture = read(saved(Image.new("L", (40, 30), 77), kind))
    assert picture.shape == (30, 40, 3)
    assert picture[15, 20].tolist() == pytest.approx([77, 77, 77], abs=2)


def test_sixteen_bits_that_use_twelve() -> None:
    ramp = np.linspace(0, 4095, 40 * 30).reshape(30, 40).astype(np.uint16)
    picture = read(saved(Image.fromarray(ramp), "PNG"))
    assert (picture.min(), picture.max()) == (0, 255)


@pytest.mark.parametrize("kind", ["LA", "1"])
def test_grey_with_alpha_and_black_and_white(kind: str) -> None:
    picture = read(saved(Image.new("L", (40, 30), 255).convert(kind), "PNG"))
    assert picture.shape == (30, 40, 3)
    assert picture.min() == 255


def test_sixteen_bits_of_nothing() -> None:
    assert read(saved(Image.fromarray(np.zeros((30, 40), np.uint16)), "PNG")).max() == 0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(kind: str, orientation: int) -> None:
    sideways, blue_comes_first = orientation >= 5, orientation in {1, 4, 5, 6}
    picture = read(turned(scene(), kind, orientation))
    assert picture.shape == ((80, 60, 3) if sideways else (60, 80, 3))
    assert picture[5, 5].tolist() == pytest.approx(
        [200, 20, 10] if blue_comes_first else [10, 20, 200], abs=40
    )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (1, 25), (25, 1)])
def test_odd_sizes(size: tuple[int, int], kind: str) -> None:
    assert read(saved(Image.new("RGB", size), kind)).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_very_wide(kind: str) -> None:
    data = saved(Image.new("RGB", (10_000, 400)), kind)
    admitted = check(data, max_bytes=20_000_000, limits=LIMITS)
    assert decode(data, admitted).shape == (400, 10_000, 3)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param(saved(scene(), "GIF", save_all=True, append_images=[canvas(80, 60)]), "GIF", id="gif"),
        pytest.param(saved(scene(), "TIFF"), "TIFF", id="tiff"),
        pytest.param(b"MM\0*" + bytes(40), "TIFF", id="big-endian tiff"),
        pytest.param(b"\0\0\0\x1cftypavif" + bytes(40), "AVIF", id="avif"),
        pytest.param(b"\0\0\0\x18ftypheic" + bytes(40), "HEIC", id="heic"),
        pytest.param(b"\0\0\0\x18ftypmif1" + bytes(40), "HEIF", id="heif"),
        pytest.param(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "JPEG 2000", id="jpeg 2000"),
        pytest.param(b"\xff\x0a" + bytes(40), "JPEG XL", id="jpeg xl"),
        pytest.param(b"%PDF-1.7" + bytes(40), "PDF", id="pdf"),
    ],
)
def test_the_error_names_the_format_of_the_picture(data: bytes, kind: str) -> None:
    with pytest.raises(
        UnsupportedMedia, match=f"not in JPEG, PNG, WebP or BMP format but {kind}, which is not read"
    ):
        read(data)


@pytest.mark.parametrize("data", [b"\0\0\0\x18ftypisom" + bytes(40), b"\x00" * 50, b"GIF", b"BM", b"RIFF"])
def test_input_of_no_known_format(data: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match=r"The picture is not in JPEG, PNG, WebP or BMP format\. "):
        read(data)


def bmp_bomb() -> bytes:
    data = bytearray(saved(scene(), "BMP"))
    data[18:26] = struct.pack("<ii", 60_000, -60_000)
    return bytes(data)


def png_bomb() -> bytes:
    data = bytearray(saved(scene(), "PNG"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def webp_bomb() -> bytes:
    return b"RIFF" + struct.pack("<I", 40) + b"WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\x00" * 2 + bytes(20)


@pytest.mark.parametrize("is_progressive", [False, True])
@pytest.mark.parametrize("missing", [1, 2, 3, 40])
def test_a_jpeg_without_its_end_is_decoded_as_far_as_it_goes(is_progressive: bool, missing: int) -> None:
    whole = saved(scene().resize((320, 240)), "JPEG", quality=95, progressive=is_progressive)
    cut = whole[:-missing]
    admitted = check(cut, max_bytes=MAX_BYTES, limits=LIMITS)
    assert not admitted.is_complete
    decoded, expected = decode(cut, AdmittedPicture(0, is_complete=False)), read(whole)
    assert decoded.shape == expected.shape
    difference = np.abs(decoded[:200].astype(int) - expected[:200])
    assert difference.max() <= 40  # the last scan of a progressive one refines every row
    assert difference.mean() < 2


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        pytest.param(b"", Invalid, "picture_empty", id="nothing"),
        pytest.param(pictures.error_page(), UnsupportedMedia, "not_a_picture", id="html"),
        pytest.param(b"GIF89a" + bytes(40), UnsupportedMedia, "not_a_picture", id="gif"),
        pytest.param(b"\xff\xd8\xff", Invalid, "picture_truncated", id="three bytes of jpeg"),
        pytest.param(jpeg(canvas())[:500], Invalid, "picture_truncated", id="jpeg without a scan"),
        pytest.param(saved(scene(), "PNG")[:-12], Invalid, "picture_truncated", id="png without its end"),
        pytest.param(saved(scene(), "PNG")[:20], Invalid, "picture_truncated", id="twenty bytes of png"),
        pytest.param(saved(scene(), "WEBP")[:-20], Invalid, "picture_truncated", id="webp without its end"),
        pytest.param(saved(scene(), "BMP")[:200], Invalid, "picture_broken", id="some rows of bmp"),
        pytest.param(b"\xff\xd8\xff\xe0\x00\x04ab" + b"junk" * 9, Invalid, "picture_truncated", id="jpeg, then junk"),
        pytest.param(pictures.bomb(), TooLarge, "picture_too_large", id="jpeg bomb"),
        pytest.param(png_bomb(), TooLarge, "picture_too_large", id="png bomb"),
        pytest.param(bmp_bomb(), TooLarge, "picture_too_large", id="bmp bomb"),
        pytest.param(webp_bomb(), TooLarge, "picture_too_large", id="webp bomb"),
        pytest.param(b"\xff\xd8\xff" + bytes(MAX_BYTES), TooLarge, "picture_too_large", id="too many bytes"),
    ],
)  # fmt: skip
def test_refused(data: bytes, kind: type[LookoutError], code: str) -> None:
    with pytest.raises(kind) as refused:
        read(data)
    assert refused.value.code == code
    assert refused.value.errors[0].field == "image"


def test_broken_in_the_middle() -> None:
    data = bytearray(saved(scene(), "PNG"))
    data[60:90] = bytes(30)
    with pytest.raises(Invalid):
        read(bytes(data))


def test_any_cut_is_refused_or_decoded() -> None:
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        whole = saved(scene(), kind)
        for length in range(1, len(whole), 37):
            with suppress(LookoutError):
                assert read(whole[:length]).shape[2] == 3


def test_crops() -> None:
    picture = np.full((100, 200, 3), 128, np.uint8)
    found = encode_crop(picture, Box(150, 80, 40, 20), margin=0.5, quality=90)
    assert found is not None
    data, width_px, height_px = found
    assert (width_px, height_px) == (60, 30)
    assert read(data).shape == (30, 60, 3)
    assert encode_crop(picture, Box(300, 300, 40, 20), margin=0.5, quality=90) is None

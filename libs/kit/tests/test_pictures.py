import io
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from kit.picture_limits import PictureLimits
from kit.pictures import PictureError, PictureHeader, Problem
from kit.pictures import read_header as read_any_header
from testkit.pictures import bomb, error_page, noise, solid, truncated

LIMIT = 40_000_000
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def picture(kind: Any = "JPEG", size: Any = (60, 40), **options: Any) -> Any:
    file = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def animated(kind: str, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    frames = [Image.new("RGBA", size, (level, 2, 3, 128)) for level in (1, 2, 3)]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], lossless=True)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def read_header(data: bytes, *, max_pixels: int = LIMIT) -> PictureHeader:
    huge = 2**62
    limits = PictureLimits(max_pixels=max_pixels, max_side_px=huge, max_aspect=huge, max_decoding_bytes=huge)
    return read_any_header(data, limits=limits, formats=("JPEG", "PNG"))


def size_of(header: PictureHeader) -> tuple[int, int]:
    return header.width_px, header.height_px


def problem_of(data: bytes, max_pixels: int = LIMIT) -> Problem:
    with pytest.raises(PictureError) as refused:
        read_header(data, max_pixels=max_pixels)
    assert str(refused.value) == f"the picture {refused.value.reason}"
    return refused.value.problem


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_size_is_that_of_the_picture_as_it_is_seen(orientation: int, order: str) -> None:
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 1) + entry + bytes(4)
    turned = with_exif(b"Exif\0\0" + tiff)
    with Image.open(io.BytesIO(turned)) as seen:
        expected = ImageOps.exif_transpose(seen).size
    assert size_of(read_header(turned)) == expected


@pytest.mark.parametrize(
    "segment", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM" + b"\xff" * 40]
)
def test_a_damaged_exif_segment_does_not_change_the_orientation(segment: bytes) -> None:
    assert size_of(read_header(with_exif(segment))) == (60, 40)


def with_exif(segment: bytes) -> bytes:
    plain: bytes = picture()
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + plain[2:]


@pytest.mark.parametrize(
    ("data", "content_type", "suffix"),
    [
        (picture(), "image/jpeg", "jpg"),
        (picture(progressive=True), "image/jpeg", "jpg"),
        (picture(exif=Image.Exif(), comment=b"hello"), "image/jpeg", "jpg"),
        (picture(restart_marker_rows=1), "image/jpeg", "jpg"),
        (picture() + b"\x00" * 64, "image/jpeg", "jpg"),
        (picture()[:2] + b"\xff\xff" + picture()[2:], "image/jpeg", "jpg"),
        (picture("PNG"), "image/png", "png"),
    ],
)
def test_a_picture_is_recognised(data: Any, content_type: Any, suffix: Any) -> None:
    header = read_header(data)
    assert size_of(header) == (60, 40)
    assert (header.content_type, header.suffix) == (content_type, suffix)


@pytest.mark.parametrize(
    "data",
    [
        error_page(), b"", b"\x00" * 100, b"GIF89a" + b"\x00" * 50, picture("BMP"), picture("GIF"),
        picture("WEBP"), picture("TIFF"), b"%PDF-1.7", b"\xff\xd8" + b"hello",
    ],
)  # fmt: skip
def test_another_format_is_refused(data: bytes) -> None:
    assert problem_of(data) == Problem.UNKNOWN_FORMAT


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xe0\x00\x01", b"\x89PNG\r\n\x1a\n" + b"\x00" * 40,
        b"\xff\xd8\xff\xc0\x00\x03\x08", b"\xff\xd8\xff\xda\x00\x02\x00\xff\xd9",
    ],
)  # fmt: skip
def test_a_signature_without_a_picture_is_refused(data: bytes) -> None:
    assert problem_of(data) in {Problem.DAMAGED, Problem.TRUNCATED}


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF])
def test_a_jpeg_that_the_decoders_cannot_read_is_refused(marker: Any) -> None:
    data = picture()
    assert problem_of(data.replace(b"\xff\xc0", bytes([0xFF, marker]), 1)) == Problem.DAMAGED


@pytest.mark.parametrize(
    "components", [b"\3" + bytes((1, 0, 0, 2, 0, 0, 3, 0, 0)), b"\3"], ids=["zero", "none"]
)
def test_a_progressive_jpeg_without_sampling_factors_is_refused(components: bytes) -> None:
    data = picture(progressive=True)
    at = data.index(b"\xff\xc2")
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    frame = (7 + len(components)).to_bytes(2, "big") + data[at + 4 : at + 9] + components
    assert problem_of(data[: at + 2] + frame + data[at + 2 + length :]) == Problem.DAMAGED


def test_a_jpeg_without_a_size_is_refused() -> None:
    assert problem_of(bomb(0)) == Problem.DAMAGED


@pytest.mark.parametrize("data", [picture(), picture(progressive=True), noise(20_000), picture("PNG")])
@pytest.mark.parametrize("keep", [0.1, 0.3, 0.5, 0.9, 0.99])
def test_a_truncated_picture_is_refused(data: Any, keep: Any) -> None:
    assert problem_of(truncated(data, keep)) == Problem.TRUNCATED


@pytest.mark.parametrize("data", [picture(), picture("PNG")])
def test_a_picture_whose_last_bytes_are_missing_is_refused(data: Any) -> None:
    for missing in range(1, min(len(data) - 8, 400)):
        assert problem_of(data[:-missing]) == Problem.TRUNCATED


@pytest.mark.parametrize("data", [picture(), picture(progressive=True), noise(20_000)])
@pytest.mark.parametrize("missing", [1, 2, 3, 50])
def test_a_jpeg_without_its_end_is_admitted_where_that_is_wanted(data: Any, missing: int) -> None:
    assert not read_any_header(data[:-missing], is_incomplete_jpeg_read=True).is_complete
    assert read_any_header(data, is_incomplete_jpeg_read=True).is_complete


@pytest.mark.parametrize("data", [picture()[: picture().index(b"\xff\xda")], picture("PNG")[:-20]])
def test_no_other_incomplete_picture_is_ever_admitted(data: Any) -> None:
    with pytest.raises(PictureError) as refused:
        read_any_header(data, is_incomplete_jpeg_read=True)
    assert refused.value.problem == Problem.TRUNCATED


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture() -> None:
    thumbnail = picture(size=(16, 12))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = picture()
    whole = data[:2] + segment + data[2:]
    assert size_of(read_header(whole)) == (60, 40)
    assert problem_of(whole[: len(whole) - 50]) == Problem.TRUNCATED


def test_a_bomb_is_refused_by_its_header() -> None:
    assert problem_of(bomb(50_000)) == Problem.TOO_MANY_PIXELS


def test_a_png_bomb_is_refused_by_its_header() -> None:
    image = chunk(b"IDAT", zlib.compress(b"\x00" * 40))
    data = PNG_SIGNATURE + png_header(50_000, 50_000) + image
    assert problem_of(data) == Problem.TOO_MANY_PIXELS


@pytest.mark.parametrize("side_px", [16_383, 50_000])
def test_a_webp_bomb_is_refused_by_its_header(side_px: int) -> None:
    second = Image.new("RGB", (60, 40), "red")
    data = bytearray(picture("WEBP", save_all=True, append_images=[second]))
    assert data[12:16] == b"VP8X"
    data[24:30] = (side_px - 1).to_bytes(3, "little") * 2
    with pytest.raises(PictureError) as refused:
        read_any_header(bytes(data), limits=PictureLimits(max_pixels=LIMIT))
    assert refused.value.problem == Problem.TOO_MANY_PIXELS


@pytest.mark.parametrize("at", range(16, 33))
def test_a_png_with_a_wrong_byte_in_its_header_is_refused(at: int) -> None:
    data = bytearray(picture("PNG"))
    data[at] ^= 0x01  # a size, a depth or the checksum itself: none grows too large, none becomes zero
    assert problem_of(bytes(data), max_pixels=2**64) == Problem.DAMAGED


def test_a_png_without_an_image_in_it_is_refused() -> None:
    text = chunk(b"tEXt", b"Comment\x00IDAT")  # the name of a chunk, and no such chunk
    data = PNG_SIGNATURE + png_header(60, 40) + text + chunk(b"IEND", b"")
    assert problem_of(data) == Problem.DAMAGED


@pytest.mark.parametrize("rest", [b"", b"\x00" * 40, chunk(b"IEND", b"")])
def test_a_damaged_png_bomb_is_refused(rest: bytes) -> None:
    header = png_header(50_000, 50_000)[:-4] + b"\x00" * 4
    assert problem_of(PNG_SIGNATURE + header + rest) in Problem


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_png_with_a_wrong_byte_is_refused(share: float) -> None:
    data = bytearray(picture("PNG"))
    data[int(len(data) * share)] ^= 0x40
    assert problem_of(bytes(data)) in {Problem.DAMAGED, Problem.TRUNCATED}


def test_a_picture_of_just_the_limit_is_taken() -> None:
    assert size_of(read_header(solid(64, 48), max_pixels=64 * 48)) == (64, 48)
    assert problem_of(solid(64, 48), max_pixels=64 * 48 - 1) == Problem.TOO_MANY_PIXELS


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    data = picture(progressive=True)
    at = data.rindex(b"\xff\xda")
    scan = data[at:-2]
    assert problem_of(data[:-2] + scan * 1000 + b"\xff\xd9") == Problem.TOO_COSTLY


def test_scans_are_counted_when_the_first_ones_parameters_look_like_a_marker() -> None:
    """110 kB of such scans took 19 s of processor time; decoders only warn of the parameters."""
    data = picture(size=(640, 480), quality=50, subsampling=0)
    at = data.index(b"\xff\xda")
    first = b"\xff\xda\x00\x08\x01\x01\x00\xff\xda\x00" + b"\x00\x03\x00\x00"
    scan = b"\xff\xda\x00\x08\x01\x02\x11\x00\x3f\x00\x00"
    assert problem_of(data[:at] + first + scan * 1000 + b"\xff\xd9") == Problem.TOO_COSTLY


@pytest.mark.parametrize("size", [(16_384, 656), (656, 16_384), (1, 25), (4000, 4000)])
def test_ordinary_and_long_pictures_are_admitted(size: tuple[int, int]) -> None:
    assert size_of(read_any_header(flat_png(*size))) == size


@pytest.mark.parametrize("size", [(1_000_000, 1), (1, 1_000_000), (16_385, 700), (5000, 199), (1, 26)])
def test_a_picture_of_one_row_is_refused(size: tuple[int, int]) -> None:
    """A million pixels in one row are few, and made an input of 387,000 by 32 for the network."""
    assert default_problem_of(flat_png(*size)) == Problem.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(lambda: picture(size=(4300, 4300)), "memory", id="large"),
        pytest.param(lambda: picture(size=(3600, 3600), progressive=True), "memory", id="progressive"),
        pytest.param(lambda: picture(size=(3600, 3600), exif=turned()), "memory", id="turned"),
        pytest.param(lambda: flat_png(2800, 2800, depth=16), "memory", id="16 bits"),
        pytest.param(lambda: picture("WEBP", size=(3400, 3400), method=0), "memory", id="webp"),
        pytest.param(lambda: animated("PNG", (2600, 2600)), "memory", id="animated png"),
        pytest.param(lambda: animated("WEBP", (3000, 3000)), "memory", id="animated webp"),
        pytest.param(
            lambda: flat_png(9, 9, b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000))), "texts", id="zTXt"
        ),
        pytest.param(
            lambda: flat_png(9, 9, b"iCCP", b"a\0\0" + zlib.compress(bytes(5_000_000))), "texts", id="iCCP"
        ),
        pytest.param(
            lambda: flat_png(9, 9, b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(5_000_000))),
            "texts",
            id="iTXt",
        ),
        pytest.param(lambda: flat_png(9, 9, b"tEXt", bytes(5_000_000)), "texts", id="tEXt"),
    ],
)
def test_a_picture_that_costs_too_much_is_refused(data: Any, reason: str) -> None:
    with pytest.raises(PictureError, match=reason) as refused:
        read_any_header(data())
    assert refused.value.problem == Problem.TOO_COSTLY


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff\xfe\0\2" * 20_000 + solid()[2:],
        b"\xff\xd8" + b"\xff" * 20_000 + solid()[2:],
        PNG_SIGNATURE + chunk(b"prVt", b"") * 20_000,
    ],
)
def test_a_picture_of_too_many_parts_is_refused(data: bytes) -> None:
    assert default_problem_of(data) == Problem.DAMAGED


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def default_problem_of(data: bytes) -> Problem:
    with pytest.raises(PictureError) as refused:
        read_any_header(data)
    return refused.value.problem


def flat_png(width: int, height: int, kind: bytes = b"", body: bytes = b"", *, depth: int = 8) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    pixels = zlib.compress(bytes((width * depth // 8 + 1) * height), 1)
    extra = chunk(kind, body) if kind else b""
    return PNG_SIGNATURE + header + extra + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", picture()[:200]]),
)
def test_any_bytes_are_a_picture_or_a_refusal(data: Any, start: Any) -> None:
    with suppress(PictureError):
        assert min(size_of(read_header(start + data))) > 0


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_a_damaged_picture_is_a_picture_or_a_refusal(at: Any, damage: Any) -> None:
    data = bytearray(picture())
    at %= len(data)
    data[at : at + len(damage)] = damage
    with suppress(PictureError):
        assert min(size_of(read_header(bytes(data)))) > 0

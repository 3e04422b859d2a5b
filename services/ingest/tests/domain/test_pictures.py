import io
import struct
import time
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from ingest.domain.geometry import Size
from ingest.domain.pictures import read_header
from ingest.domain.refusal import Refused
from testkit.pictures import bomb, no_picture, noise, solid, truncated

LIMIT = 40_000_000
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def picture(kind: Any = "JPEG", size: Any = (60, 40), **options: Any) -> Any:
    file = io.BytesIO()
    Image.effect_noise(size, 50).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def refusal_of(call: Any) -> Any:
    try:
        call()
    except Refused as refused:
        return refused
    return None


def code_of(data: Any, max_pixels: Any = LIMIT) -> Any:
    with pytest.raises(Refused) as refused:
        read_header(data, max_pixels=max_pixels)
    assert [problem.field for problem in refused.value.fields] == ["snapshot"]
    return refused.value.code


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_size_is_that_of_the_picture_as_it_is_seen(orientation: int, order: str) -> None:
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 1) + entry + bytes(4)
    turned = with_exif(b"Exif\0\0" + tiff)
    with Image.open(io.BytesIO(turned)) as seen:
        expected = ImageOps.exif_transpose(seen).size
    assert read_header(turned, max_pixels=LIMIT).size == Size(*expected)


@pytest.mark.parametrize(
    "segment", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM" + b"\xff" * 40]
)
def test_a_broken_exif_segment_turns_nothing(segment: bytes) -> None:
    assert read_header(with_exif(segment), max_pixels=LIMIT).size == Size(60, 40)


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
    header = read_header(data, max_pixels=LIMIT)
    assert header.size == Size(60, 40)
    assert (header.content_type, header.suffix) == (content_type, suffix)


@pytest.mark.parametrize(
    "data",
    [
        no_picture(), b"", b"\x00" * 100, b"GIF89a" + b"\x00" * 50, picture("BMP"), picture("GIF"),
        picture("WEBP"),
        picture("TIFF"), b"%PDF-1.7", b"\xff\xd8\xff\xd9", b"\xff\xd8" + b"hello",
        b"\xff\xd8\xff\xe0\x00\x01",
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 40, b"\xff\xd8\xff\xc0\x00\x03\x08",
        b"\xff\xd8\xff\xda\x00\x02\x00\xff\xd9",
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(data: Any) -> None:
    assert code_of(data) == "not_a_picture"


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF])
def test_a_jpeg_that_no_decoder_here_reads_is_refused(marker: Any) -> None:
    data = picture()
    assert code_of(data.replace(b"\xff\xc0", bytes([0xFF, marker]), 1)) == "not_a_picture"


def test_a_jpeg_without_a_size_is_refused() -> None:
    assert code_of(bomb(0)) == "not_a_picture"


@pytest.mark.parametrize("data", [picture(), picture(progressive=True), noise(20_000), picture("PNG")])
@pytest.mark.parametrize("keep", [0.1, 0.3, 0.5, 0.9, 0.99])
def test_a_truncated_picture_is_refused(data: Any, keep: Any) -> None:
    assert code_of(truncated(data, keep)) == "picture_truncated"


@pytest.mark.parametrize("data", [picture(), picture("PNG")])
def test_a_picture_whose_last_bytes_are_missing_is_refused(data: Any) -> None:
    for missing in range(1, min(len(data) - 8, 400)):
        assert code_of(data[:-missing]) == "picture_truncated"


def test_a_thumbnails_end_does_not_pass_for_the_pictures_end() -> None:
    thumbnail = picture(size=(16, 12))
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = picture()
    whole = data[:2] + segment + data[2:]
    assert read_header(whole, max_pixels=LIMIT).size == Size(60, 40)
    assert code_of(whole[: len(whole) - 50]) == "picture_truncated"


def test_a_bomb_is_refused_at_once_and_by_its_header() -> None:
    began = time.perf_counter()
    assert code_of(bomb(50_000)) == "picture_too_large_pixels"
    assert time.perf_counter() - began < 0.05


def test_a_png_bomb_is_refused_by_its_header() -> None:
    assert code_of(PNG_SIGNATURE + png_header(50_000, 50_000) + b"\x00" * 40) == "picture_too_large_pixels"


@pytest.mark.parametrize("at", range(16, 33))
def test_a_png_with_a_wrong_byte_in_its_header_is_refused(at: int) -> None:
    data = bytearray(picture("PNG"))
    data[at] ^= 0x01  # a size, a depth or the checksum itself: none grows too large, none becomes zero
    assert code_of(bytes(data), max_pixels=2**64) == "not_a_picture"


def test_a_png_without_an_image_in_it_is_refused() -> None:
    text = chunk(b"tEXt", b"Comment\x00IDAT")  # the name of a chunk, and no such chunk
    data = PNG_SIGNATURE + png_header(60, 40) + text + chunk(b"IEND", b"")
    with pytest.raises(Refused) as refused:
        read_header(data, max_pixels=LIMIT)
    assert refused.value.code == "not_a_picture"
    assert "without an image in it" in refused.value.detail


@pytest.mark.parametrize("rest", [b"", b"\x00" * 40, chunk(b"IEND", b"")])
def test_a_png_bomb_is_told_as_one_whatever_else_is_wrong_with_it(rest: bytes) -> None:
    header = png_header(50_000, 50_000)[:-4] + b"\x00" * 4
    assert code_of(PNG_SIGNATURE + header + rest) == "picture_too_large_pixels"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_png_with_a_wrong_byte_is_refused(share: float) -> None:
    data = bytearray(picture("PNG"))
    data[int(len(data) * share)] ^= 0x40
    assert code_of(bytes(data)) in {"not_a_picture", "picture_truncated"}


def test_a_picture_of_just_the_limit_is_taken() -> None:
    assert read_header(solid(64, 48), max_pixels=64 * 48).size == Size(64, 48)
    assert code_of(solid(64, 48), max_pixels=64 * 48 - 1) == "picture_too_large_pixels"


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    data = picture(progressive=True)
    at = data.rindex(b"\xff\xda")
    scan = data[at:-2]
    assert code_of(data[:-2] + scan * 1000 + b"\xff\xd9") == "not_a_picture"


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", picture()[:200]]),
)
def test_any_bytes_are_a_picture_or_a_refusal(data: Any, start: Any) -> None:
    refused = refusal_of(lambda: read_header(start + data, max_pixels=LIMIT))
    assert refused is None or refused.fields


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_a_damaged_picture_is_a_picture_or_a_refusal(at: Any, damage: Any) -> None:
    data = bytearray(picture())
    at %= len(data)
    data[at : at + len(damage)] = damage
    refused = refusal_of(lambda: read_header(bytes(data), max_pixels=LIMIT))
    assert refused is None or refused.fields

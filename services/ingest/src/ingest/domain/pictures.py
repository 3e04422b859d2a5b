"""What a JPEG or PNG says about itself, read from its markers without decoding a pixel.

A picture of 50,000 by 50,000 pixels may be a few kilobytes long and some gigabytes once decoded, so its size
is judged here, first. Nor is it decoded afterwards: JPEG decoders fill in what is missing or damaged with a
warning that their callers do not see, so decoding would cost milliseconds and find nothing more. PNG carries
checksums, which are checked.
JPEG: ITU-T T.81 annex B. PNG: ISO/IEC 15948, clause 5.
"""

import zlib
from dataclasses import dataclass
from typing import Literal

from ingest.domain.geometry import Size
from ingest.domain.refusal import FieldProblem, Kind, Refused

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = b"\xff\xda"
# Baseline, extended and progressive, Huffman or arithmetic: what decoders read.
_READABLE_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# A progressive JPEG has about ten scans; hundreds make every decoder walk the whole picture as often.
_MOST_SCANS = 100
_EXIF_SEGMENT = 0xE1
_EXIF_HEADER = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_MOST_EXIF_ENTRIES = 256


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What the stored blob will be called. `size` is that of the picture as it is seen, turned upright."""

    content_type: str
    suffix: str
    size: Size


def read_header(data: bytes, *, max_pixels: int, field: str = "snapshot") -> PictureHeader:
    """Recognise a whole JPEG or PNG of at most `max_pixels`.

    Raises:
        Refused: `not_a_picture`, `picture_truncated` or `picture_too_large_pixels`, naming `field`.
    """
    if data.startswith(b"\xff\xd8"):
        header = PictureHeader("image/jpeg", "jpg", _jpeg_size(data, field, max_pixels))
    elif data.startswith(_PNG_SIGNATURE):
        header = PictureHeader("image/png", "png", _png_size(data, field, max_pixels))
    else:
        raise _not_a_picture(field, "is neither a JPEG nor a PNG")
    return header


def _jpeg_size(data: bytes, field: str, max_pixels: int) -> Size:
    size: Size | None = None
    is_sideways = False
    position = 2
    while True:
        marker, position = _next_marker(data, position, field)
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        if marker in {0xD8, 0xD9}:
            raise _not_a_picture(field, "is a JPEG without an image in it")
        if position + 2 > len(data):
            raise _truncated(field)
        length = int.from_bytes(data[position : position + 2])
        if length < 2:
            raise _not_a_picture(field, "is a broken JPEG")
        if position + length > len(data):
            raise _truncated(field)
        if marker in _FRAMES:
            size = _frame_size(data[position + 2 : position + length], marker, field)
            _limit_pixels(size, field, max_pixels)
        if marker == _EXIF_SEGMENT:
            is_sideways = is_sideways or _is_sideways(data[position + 2 : position + length])
        position += length
        if marker == 0xDA:
            break
    if size is None:
        raise _not_a_picture(field, "is a JPEG without a frame header")
    _check_scans(data, position, field)
    return Size(size.height_px, size.width_px) if is_sideways else size


def _is_sideways(segment: bytes) -> bool:
    """Whether an Exif segment says that the picture is shown turned by a quarter (Exif 2.32, 4.6.4, tag 0x0112).

    Whoever looks at the picture, the reader of plates too, sees it turned, so its size is that of what they see.
    """
    if not segment.startswith(_EXIF_HEADER):
        return False
    tiff = segment[len(_EXIF_HEADER) :]
    order: Literal["little", "big"] = "little" if tiff.startswith(b"II") else "big"
    entries = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[entries : entries + 2], order)
    for number in range(min(count, _MOST_EXIF_ENTRIES)):
        entry = tiff[entries + 2 + 12 * number : entries + 14 + 12 * number]
        if len(entry) == 12 and int.from_bytes(entry[:2], order) == _ORIENTATION:
            return 5 <= int.from_bytes(entry[8:10], order) <= 8
    return False


def _next_marker(data: bytes, position: int, field: str) -> tuple[int, int]:
    """The marker at `position` and where it ends; any number of 0xFF may fill the space before it."""
    if position < len(data) and data[position] != 0xFF:
        raise _not_a_picture(field, "is a broken JPEG")
    while position < len(data) and data[position] == 0xFF:
        position += 1
    if position >= len(data):
        raise _truncated(field)
    return data[position], position + 1


def _frame_size(segment: bytes, marker: int, field: str) -> Size:
    if marker not in _READABLE_FRAMES or len(segment) < 6 or segment[0] != 8:
        raise _not_a_picture(field, "is a kind of JPEG that is not read here")
    size = Size(int.from_bytes(segment[3:5]), int.from_bytes(segment[1:3]))
    if size.width_px == 0 or size.height_px == 0:
        raise _not_a_picture(field, "is a JPEG without a size")
    return size


def _check_scans(data: bytes, position: int, field: str) -> None:
    # Inside coded data every 0xFF is followed by 0x00 or a restart marker, so these two bytes are the marker.
    if data.rfind(_END_OF_IMAGE, position) <= position:
        raise _truncated(field)
    if data.count(_START_OF_SCAN, position) >= _MOST_SCANS:
        raise _not_a_picture(field, "is a JPEG with too many scans")


def _png_size(data: bytes, field: str, max_pixels: int) -> Size:
    if len(data) < 33:
        raise _truncated(field)
    if data[8:16] != b"\x00\x00\x00\x0dIHDR":
        raise _not_a_picture(field, "is a broken PNG")
    size = Size(int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    if size.width_px == 0 or size.height_px == 0:
        raise _not_a_picture(field, "is a PNG without a size")
    # The size comes before the checksums: whatever else a bomb lacks, it is told by its size.
    _limit_pixels(size, field, max_pixels)
    _check_chunks(data, field)
    return size


def _check_chunks(data: bytes, field: str) -> None:
    position = len(_PNG_SIGNATURE)
    has_image = False
    while True:
        if position + 12 > len(data):
            raise _truncated(field)
        kind = data[position + 4 : position + 8]
        if kind == b"IEND":
            break
        end = position + 8 + int.from_bytes(data[position : position + 4])
        if end + 4 > len(data):
            raise _truncated(field)
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise _not_a_picture(field, "is a damaged PNG")
        has_image = has_image or kind == b"IDAT"
        position = end + 4
    if not has_image:
        raise _not_a_picture(field, "is a PNG without an image in it")


def _limit_pixels(size: Size, field: str, max_pixels: int) -> None:
    if size.width_px * size.height_px > max_pixels:
        raise Refused(
            Kind.TOO_LARGE,
            "picture_too_large_pixels",
            f"the picture has {size.width_px} by {size.height_px} pixels, more than {max_pixels} in all",
            (FieldProblem(field, "has too many pixels"),),
        )


def _not_a_picture(field: str, reason: str) -> Refused:
    return Refused(Kind.INVALID, "not_a_picture", f"the picture {reason}", (FieldProblem(field, reason),))


def _truncated(field: str) -> Refused:
    reason = "ends before the picture does"
    return Refused(Kind.INVALID, "picture_truncated", f"the picture {reason}", (FieldProblem(field, reason),))

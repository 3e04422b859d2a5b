"""From the bytes of a picture to pixels: one decoder for HTTP, gRPC, the bus and the command line.

The size is read from the header before anything is decoded: a JPEG of a few kilobytes may claim 50,000 by
50,000 pixels, which are 7 GB decoded.
"""

import struct

import cv2
import numpy as np

from kit.errors import FieldError, Invalid, TooLarge, UnsupportedMedia
from plate_ocr.adapters.crops import cut
from plate_ocr.domain.values import Box, Picture

# OpenCV writes what it thinks of a broken picture to stderr, past every logger; the caller gets it as an error.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_NO_MARKER_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_MAX_SIDE_PX = 65_535

_OTHER_KINDS = (
    (b"GIF8", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"%PDF-", "PDF"),
)
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"mif1": "HEIF",
    b"msf1": "HEIF",
}
"""Of an ISO base media file (ISO/IEC 14496-12): what telephones send."""


def decode(data: bytes, *, max_bytes: int, max_pixels: int, field: str = "image") -> Picture:
    """A JPEG, PNG, WebP or BMP as blue, green, red, 8 bits each, turned upright as its EXIF tag says.

    Grey and CMYK become colour, 16 bits become 8 (the brightest pixel stays white: cameras rarely use the whole
    range), transparency is dropped, an animation gives its first frame.

    Raises:
        Invalid: nothing came, or the picture is broken.
        UnsupportedMedia: it is no picture of these kinds.
        TooLarge: more than `max_bytes` encoded, or `max_pixels`, width times height.
    """
    if not data:
        raise Invalid("The picture is empty.", code="picture_empty", errors=(FieldError(field, "is empty"),))
    if len(data) > max_bytes:
        raise _too_large(field, f"{len(data)} bytes; at most {max_bytes} are read")
    width_px, height_px = _size(data, field)
    if width_px <= 0 or height_px <= 0:
        raise _broken(field, "its header tells no size")
    if width_px * height_px > max_pixels:
        raise _too_large(field, f"{width_px} by {height_px} pixels; at most {max_pixels} in all are read")
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise _broken(field, "it cannot be decoded") from error
    if decoded is None:
        raise _broken(field, "it cannot be decoded")
    if decoded.dtype != np.uint8:
        decoded = decoded.astype(np.float32) * (255 / max(float(decoded.max()), 1.0))
    return np.asarray(decoded, dtype=np.uint8)


def encode_crop(picture: Picture, box: Box, *, margin: float, quality: int) -> tuple[bytes, int, int] | None:
    """A JPEG of the box with a margin, and its width and height in pixels; None when it lies outside."""
    part = cut(picture, box, margin=margin)
    if part is None:
        return None
    done, encoded = cv2.imencode(".jpg", part.picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    height_px, width_px = part.picture.shape[:2]
    return (encoded.tobytes(), width_px, height_px) if done else None


def _size(data: bytes, field: str) -> tuple[int, int]:
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg_size(data, field)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        if len(data) < 33 or data[12:16] != b"IHDR":
            raise _broken(field, "its header is cut off")
        if b"IEND" not in data[-64:]:
            raise _truncated(field)
        return struct.unpack(">II", data[16:24])
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_size(data, field)
    if data[:2] == b"BM" and len(data) >= 26:
        return _bmp_size(data, field)
    kind = _other_kind(data)
    what = "is no JPEG, PNG, WebP or BMP picture" + (f" but {kind}, which is not read" if kind else "")
    raise UnsupportedMedia(f"This {what}.", code="not_a_picture", errors=(FieldError(field, what),))


def _other_kind(data: bytes) -> str:
    """What it is where it is none of ours; empty when that is not known either."""
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "")
    return next((kind for start, kind in _OTHER_KINDS if data.startswith(start)), "")


def _jpeg_size(data: bytes, field: str) -> tuple[int, int]:
    """From the frame header (ITU-T T.81, B.2.2). The end of the image has to follow: what is cut off decodes
    into grey, and grey hides plates.
    """
    at, size = 2, None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise _broken(field, "its segments do not follow one another")
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in _NO_MARKER_LENGTH:
            at += 2
            continue
        if marker in _FRAME_HEADERS and at + 9 <= len(data):
            height_px, width_px = struct.unpack(">HH", data[at + 5 : at + 9])
            size = (width_px, height_px)
        if marker == _START_OF_SCAN:
            if size is None:
                raise _broken(field, "its header tells no size")
            if data.rfind(b"\xff\xd9") < at:
                raise _truncated(field)
            return size
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise _truncated(field)


def _webp_size(data: bytes, field: str) -> tuple[int, int]:
    """From the first chunk (RFC 9649): extended, lossless or lossy."""
    if len(data) < 30:
        raise _truncated(field)
    if len(data) + 1 < int.from_bytes(data[4:8], "little") + 8:
        raise _truncated(field)
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    raise _broken(field, "its first chunk is unknown")


def _bmp_size(data: bytes, field: str) -> tuple[int, int]:
    pixels_at, header_bytes = struct.unpack("<II", data[10:18])
    if header_bytes == 12:
        width_px, height_px = struct.unpack("<HH", data[18:22])
    else:
        width_px, height_px = struct.unpack("<ii", data[18:26])
    if pixels_at >= len(data):
        raise _truncated(field)
    return width_px, abs(height_px)  # a negative height: rows from the top


def _broken(field: str, why: str) -> Invalid:
    return Invalid(f"The picture is broken: {why}.", code="picture_broken", errors=(FieldError(field, why),))


def _truncated(field: str) -> Invalid:
    return Invalid(
        "The picture ends before it is complete.",
        code="picture_truncated",
        errors=(FieldError(field, "ends before it is complete"),),
    )


def _too_large(field: str, what: str) -> TooLarge:
    return TooLarge(
        f"The picture has {what}.", code="picture_too_large", errors=(FieldError(field, f"has {what}"),)
    )

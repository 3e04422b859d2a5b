"""Format and size of an encoded picture, read from its header by Pillow without decoding a pixel.

A file of a few kilobytes may declare 50,000 by 50,000 pixels, which are 7 GB decoded, so the size is checked before
any decoder runs. Completeness is checked here too: decoders fill missing rows with grey and report nothing.

Pillow's format classes are used directly: `Image.open` would try every format that Pillow knows, and its limit
(`MAX_IMAGE_PIXELS`) is one number for the whole process.
"""

import io
import re
import struct
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

Format = Literal["JPEG", "PNG", "WebP", "BMP"]
ALL_FORMATS: tuple[Format, ...] = ("JPEG", "PNG", "WebP", "BMP")

_CLASSES: dict[Format, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
}
_SUFFIXES: dict[Format, str] = {"JPEG": "jpg", "PNG": "png", "WebP": "webp", "BMP": "bmp"}

_OTHER_FORMATS = (
    (re.compile(rb"GIF8"), "GIF"),
    (re.compile(rb"II\*\0|MM\0\*|II\+\0"), "TIFF"),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), "JPEG 2000"),
    (re.compile(rb"\0\0\0\x0cJXL |\xff\x0a"), "JPEG XL"),
    (re.compile(rb"%PDF-"), "PDF"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "AVIF"),
    (re.compile(rb"....ftyphei[cx]", re.DOTALL), "HEIC"),
    (re.compile(rb"....ftypm[is]f1", re.DOTALL), "HEIF"),
)
_ORIENTATION = 0x0112  # Exif 2.32, 4.6.4
_QUARTER_TURNS = range(5, 9)
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = b"\xff\xda"
# Baseline, extended and progressive, Huffman or arithmetic coding (ITU-T T.81, table B.1): what decoders read.
_READABLE_JPEG_FRAMES = b"\xc0\xc1\xc2\xc9\xca"
_MAX_JPEG_SCANS = 100
"""A progressive JPEG has about ten; for each one the decoder processes the whole picture."""
_PNG_CHECKSUM_BYTES = 4
_WEBP_RIFF_BYTES = 8

# What Pillow's classes raise for damaged files; `OSError` is theirs for a short read.
_PILLOW_ERRORS = (SyntaxError, OSError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)


class Problem(StrEnum):
    """Why a picture was not accepted."""

    UNKNOWN_FORMAT = "unknown_format"
    DAMAGED = "damaged"
    TRUNCATED = "truncated"
    TOO_MANY_PIXELS = "too_many_pixels"


class PictureError(Exception):
    """The picture was not accepted. `reason` continues the sentence "the picture …"."""

    def __init__(self, problem: Problem, reason: str) -> None:
        super().__init__(f"the picture {reason}")
        self.problem = problem
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """`width_px` and `height_px` are those of the picture after the rotation that its Exif orientation tag asks for.

    `suffix` is the usual file name extension, without a dot.
    """

    format: Format
    content_type: str
    suffix: str
    width_px: int
    height_px: int


def read_header(data: bytes, *, max_pixels: int, formats: Collection[Format] = ALL_FORMATS) -> PictureHeader:
    """Recognise a complete picture in one of `formats` with at most `max_pixels`, width times height.

    Raises:
        PictureError: it is none, is damaged or incomplete, or has more pixels.
    """
    kind = _format_of(data)
    if kind is None or kind not in formats:
        name: str | None = kind or next((name for start, name in _OTHER_FORMATS if start.match(data)), None)
        *first, last = formats
        expected = f"{', '.join(first)} or {last}" if first else last
        but = f" but {name}, which is not read" if name else ""
        raise PictureError(Problem.UNKNOWN_FORMAT, f"is not in {expected} format{but}")
    file = io.BytesIO(data)
    try:
        image = _CLASSES[kind](file)
    except Image.DecompressionBombError as error:  # of a WebP, whose memory Pillow would reserve here
        raise PictureError(
            Problem.TOO_MANY_PIXELS, f"has too many pixels; at most {max_pixels} are read"
        ) from error
    except _PILLOW_ERRORS as error:
        raise _damaged_or_truncated(file, data, kind) from error
    width_px, height_px = image.size
    if width_px * height_px > max_pixels:
        raise PictureError(
            Problem.TOO_MANY_PIXELS,
            f"has {width_px} by {height_px} pixels; at most {max_pixels} in all are read",
        )
    _check_complete(image, file, data)
    if _is_quarter_turned(image):
        width_px, height_px = height_px, width_px
    return PictureHeader(kind, f"image/{kind.lower()}", _SUFFIXES[kind], width_px, height_px)


def _format_of(data: bytes) -> Format | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    return "BMP" if data.startswith(b"BM") and len(data) > 25 else None


def _check_complete(image: ImageFile.ImageFile, file: io.BytesIO, data: bytes) -> None:
    match image:
        case JpegImageFile():
            _check_jpeg(image, file, data)
        case PngImageFile():
            _check_png(image, file, data)
        case BmpImageFile() if image.tile[0].offset >= len(data):
            raise _truncated()
        case _:
            pass  # Pillow reads a WebP as a whole and refuses a short one


def _check_jpeg(image: JpegImageFile, file: io.BytesIO, data: bytes) -> None:
    if not image.tile:
        raise _truncated()  # no scan
    coded_at = file.tell()
    # Pillow does not keep the frame's marker: find it by the size that it read from that segment.
    frame = re.compile(
        rb"\xff([\xc0-\xcf])..\x08" + re.escape(struct.pack(">HH", *reversed(image.size))), re.DOTALL
    )
    markers = frame.findall(data, 0, coded_at)
    if not markers or markers[-1] not in _READABLE_JPEG_FRAMES:
        raise PictureError(Problem.DAMAGED, "is a kind of JPEG that is not read")
    # Inside coded data 0xFF is followed by 0x00 or a restart marker, so these two bytes are the end marker.
    if data.rfind(_JPEG_END, coded_at) < 0:
        raise _truncated()
    components = data[data.rfind(_JPEG_SCAN, 0, coded_at) + 4]
    # A sequential JPEG whose first scan has every component ends with it, and counting takes longer than all else.
    has_more_scans = "progressive" in image.info or components < image.layers
    if has_more_scans and data.count(_JPEG_SCAN, coded_at) >= _MAX_JPEG_SCANS:
        raise PictureError(Problem.DAMAGED, "is a JPEG with too many scans")


def _check_png(image: PngImageFile, file: io.BytesIO, data: bytes) -> None:
    if not image.tile:
        raise PictureError(Problem.DAMAGED, "is a PNG without an image in it")
    try:
        image.verify()  # the checksums of all chunks
    except _PILLOW_ERRORS as error:
        raise _damaged_or_truncated(file, data, "PNG") from error
    if file.tell() + _PNG_CHECKSUM_BYTES > len(data):
        raise _truncated()


def _is_quarter_turned(image: ImageFile.ImageFile) -> bool:
    # Not `getexif()`: for some formats it decodes the picture, and it also reads XMP, which OpenCV does not.
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return exif.get(_ORIENTATION) in _QUARTER_TURNS
    except _PILLOW_ERRORS:
        return False  # as decoders do with a damaged Exif segment


def _damaged_or_truncated(file: io.BytesIO, data: bytes, kind: Format) -> PictureError:
    """Whether data are missing at the end. Pillow's error is the same for damaged data."""
    is_short_webp = kind == "WebP" and len(data) < int.from_bytes(data[4:8], "little") + _WEBP_RIFF_BYTES
    if is_short_webp or (kind != "WebP" and file.tell() >= len(data)):
        return _truncated()
    return PictureError(Problem.DAMAGED, f"is a damaged {kind}")


def _truncated() -> PictureError:
    return PictureError(Problem.TRUNCATED, "ends before it is complete")

"""The check of an encoded picture before any decoder runs: its header and structure, no pixel.

Every picture from outside passes it, by whatever way it came. A file of a few kilobytes
may declare 50,000 by 50,000 pixels, which are 7 GB decoded, or a text that is a thousand times larger unpacked, so
`PictureLimits` bounds what a decoder will need. Completeness is checked here too: decoders fill missing rows with grey
and report nothing. A caller may ask for JPEGs that end too early, to decode them as far as they go.

Pillow's format classes are used directly: `Image.open` would try every format that Pillow knows, and its limit
(`MAX_IMAGE_PIXELS`) is one number for the whole process. Before Pillow sees a file, the number of its parts is bounded
here, because Pillow walks over them in Python.
"""

import io
import re
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from kit.picture_limits import DEFAULT_LIMITS, PictureLimits

Format = Literal["JPEG", "PNG", "WebP", "BMP"]
ALL_FORMATS: tuple[Format, ...] = ("JPEG", "PNG", "WebP", "BMP")

_CLASSES: dict[Format, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
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
JPEG_END = b"\xff\xd9"
_JPEG_SCAN = b"\xff\xda"
# Baseline, extended and progressive, Huffman or arithmetic coding (ITU-T T.81, table B.1): what decoders read.
_READABLE_JPEG_FRAMES = b"\xc0\xc1\xc2\xc9\xca"
_MAX_PARTS = 10_000
"""Segments of a JPEG, chunks of a PNG or WebP. Encoders write chunks of 4 or 8 kB, and some ten segments."""
_MAX_FILL_BYTES = 1_000
"""0xFF bytes before the markers of a JPEG (ITU-T T.81, B.1.1.2); encoders write none."""
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_SCAN_MARKER = 0xDA
_PNG_SIGNATURE_BYTES, _PNG_CHECKSUM_BYTES = 8, 4
_PNG_COMPRESSED = frozenset({b"zTXt", b"iTXt", b"iCCP"})
_PNG_PIXELS = frozenset({b"IDAT", b"fdAT"})
_WEBP_RIFF_BYTES = 8
_WEBP_SIDE_BITS = 0x3FFF
_RESULT_BYTES = 3
"""A pixel: blue, green and red, 8 bits each."""
_ANIMATED_PNG_BYTES = 12
"""A pixel: OpenCV composes the frames with 32 bits a pixel, and keeps three of them beside the result."""
_ANIMATED_WEBP_BYTES = 3
_DECODING_BYTES = 6
"""A pixel: OpenCV's Python module copies the decoded picture once."""

# What Pillow's classes raise for damaged files; `OSError` is theirs for a short read.
_PILLOW_ERRORS = (SyntaxError, OSError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)


class Problem(StrEnum):
    """Why a picture was not accepted."""

    UNKNOWN_FORMAT = "unknown_format"
    DAMAGED = "damaged"
    TRUNCATED = "truncated"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_COSTLY = "too_costly"


class PictureError(Exception):
    """The picture was not accepted. `reason` continues the sentence "the picture …"."""

    def __init__(self, problem: Problem, reason: str) -> None:
        super().__init__(f"the picture {reason}")
        self.problem = problem
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """`width_px` and `height_px` are those of the picture after the rotation that its Exif orientation tag asks for.

    `suffix` is the usual file name extension, without a dot. `decoding_bytes`: memory that a decoder needs for it.
    `is_complete`: False for a JPEG that ends before its end marker; `JPEG_END` has to be appended for a decoder.
    """

    format: Format
    content_type: str
    suffix: str
    width_px: int
    height_px: int
    decoding_bytes: int
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class _Contents:
    """What the format's own check found. `turned_by`: the value of the Exif orientation tag, 1 for none.
    `extra_bytes`: what the decoder needs for each pixel beside the result.
    """

    width_px: int
    height_px: int
    turned_by: int = 1
    extra_bytes: float = 0.0
    is_complete: bool = True


def read_header(
    data: bytes,
    *,
    limits: PictureLimits = DEFAULT_LIMITS,
    formats: Collection[Format] = ALL_FORMATS,
    is_incomplete_jpeg_read: bool = False,
) -> PictureHeader:
    """Recognise a picture in one of `formats` within `limits`: complete, or a JPEG of which the end is missing if
    `is_incomplete_jpeg_read`.

    Raises:
        PictureError: it is none, is damaged or incomplete, or exceeds a limit.
    """
    kind = _format_of(data)
    if kind is None or kind not in formats:
        name: str | None = kind or next((name for start, name in _OTHER_FORMATS if start.match(data)), None)
        *first, last = formats
        expected = f"{', '.join(first)} or {last}" if first else last
        but = f" but {name}, which is not read" if name else ""
        raise PictureError(Problem.UNKNOWN_FORMAT, f"is not in {expected} format{but}")
    contents = (
        _read_webp(data, limits)
        if kind == "WebP"
        else _read_with_pillow(data, kind, limits, is_incomplete_jpeg_read=is_incomplete_jpeg_read)
    )
    width_px, height_px = contents.width_px, contents.height_px
    turned_bytes = 0 if contents.turned_by == 1 else _RESULT_BYTES
    needed = round(width_px * height_px * (_DECODING_BYTES + turned_bytes + contents.extra_bytes))
    if needed > limits.max_decoding_bytes:
        raise PictureError(
            Problem.TOO_COSTLY,
            f"needs {needed // 1_000_000} MB of memory to be decoded, with its {width_px} by {height_px} pixels in"
            f" this kind of {kind}; at most {limits.max_decoding_bytes // 1_000_000} MB are used",
        )
    if contents.turned_by in _QUARTER_TURNS:
        width_px, height_px = height_px, width_px
    return PictureHeader(
        kind, f"image/{kind.lower()}", _SUFFIXES[kind], width_px, height_px, needed, contents.is_complete
    )


def _check_size(width_px: int, height_px: int, limits: PictureLimits) -> None:
    if width_px < 1 or height_px < 1:
        raise PictureError(Problem.DAMAGED, "has no pixels")
    has = f"has {width_px} by {height_px} pixels"
    if width_px * height_px > limits.max_pixels:
        raise PictureError(Problem.TOO_MANY_PIXELS, f"{has}; at most {limits.max_pixels} in all are read")
    if max(width_px, height_px) > limits.max_side_px:
        raise PictureError(
            Problem.TOO_MANY_PIXELS, f"{has}; at most {limits.max_side_px} are read on each side"
        )
    if max(width_px, height_px) > limits.max_aspect * min(width_px, height_px):
        raise PictureError(
            Problem.TOO_MANY_PIXELS,
            f"{has}; its longer side may be at most {limits.max_aspect:g} times the shorter one",
        )


def _read_with_pillow(
    data: bytes, kind: Format, limits: PictureLimits, *, is_incomplete_jpeg_read: bool
) -> _Contents:
    """JPEG, PNG and BMP."""
    scan_at: int | None = None
    is_animated = False
    match kind:
        case "JPEG":
            scan_at = _first_scan(data)
        case "PNG":
            is_animated = _check_chunks(data, limits)
    file = io.BytesIO(data)
    try:
        image = _CLASSES[kind](file)
    except _PILLOW_ERRORS as error:
        raise _damaged_or_truncated(file, data, kind) from error
    _check_size(*image.size, limits)
    extra_bytes, is_complete = 0.0, True
    match image:
        case JpegImageFile():
            extra_bytes, is_complete = _check_jpeg(
                image, file, data, scan_at, limits, is_incomplete_jpeg_read=is_incomplete_jpeg_read
            )
        case PngImageFile():
            _check_png(image, file, data)
            # Decoded with 16 bits a channel, then converted.
            extra_bytes = _DECODING_BYTES + _RESULT_BYTES if data[24] > 8 else 0
            if is_animated:
                extra_bytes += _ANIMATED_PNG_BYTES * (2 if data[24] > 8 else 1)
        case BmpImageFile() if image.tile[0].offset >= len(data):
            raise _truncated()
    # Not `getexif()`: for some formats it decodes the picture, and it also reads XMP, which OpenCV does not.
    turned_by = _orientation_of(image.info.get("exif", b""))
    return _Contents(*image.size, turned_by, extra_bytes, is_complete)


def _format_of(data: bytes) -> Format | None:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    return "BMP" if data.startswith(b"BM") and len(data) > 25 else None


def _first_scan(data: bytes) -> int | None:
    """The position behind the marker of the first scan of a JPEG; None where the walk to it ends at no marker.

    Raises:
        PictureError: there are too many segments, or too many bytes between them.
    """
    at = 2
    for _ in range(_MAX_PARTS):
        marker_at = at
        while data[marker_at : marker_at + 1] == b"\xff":
            marker_at += 1
            if marker_at - at > _MAX_FILL_BYTES:
                raise PictureError(Problem.DAMAGED, "is a JPEG with too many fill bytes")
        if marker_at == at or marker_at + 3 > len(data):
            return None  # no marker, or no length: Pillow says what is wrong
        marker = data[marker_at]
        if marker == _JPEG_SCAN_MARKER:
            return marker_at + 1
        length = (
            0
            if marker in _JPEG_WITHOUT_LENGTH
            else int.from_bytes(data[marker_at + 1 : marker_at + 3], "big")
        )
        at = marker_at + 1 + length
    raise PictureError(Problem.DAMAGED, "is a JPEG with too many segments")


def _check_chunks(data: bytes, limits: PictureLimits) -> bool:
    """Walk over the chunks of a PNG. Returns whether it is animated.

    Raises:
        PictureError: there are too many, or their contents beside the pixels are too large unpacked.
    """
    at, metadata_bytes, is_animated = _PNG_SIGNATURE_BYTES, 0, False
    for _ in range(_MAX_PARTS):
        if at + 8 > len(data):
            return is_animated
        length, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name == b"IHDR" and at + 16 <= len(data):
            width_px, height_px = struct.unpack(">II", data[at + 8 : at + 16])
            _check_size(width_px, height_px, limits)
        elif name not in _PNG_PIXELS:
            is_animated = is_animated or name == b"acTL"
            metadata_bytes += length
            if name in _PNG_COMPRESSED:
                left = limits.max_metadata_bytes - metadata_bytes
                metadata_bytes += _unpacked_bytes(name, data[at + 8 : at + 8 + length], max(left, 0))
            if metadata_bytes > limits.max_metadata_bytes:
                raise PictureError(
                    Problem.TOO_COSTLY,
                    f"has more than {limits.max_metadata_bytes} bytes of texts and profiles in it",
                )
        at += 8 + length + _PNG_CHECKSUM_BYTES
    raise PictureError(Problem.DAMAGED, "is a PNG with too many chunks")


def _unpacked_bytes(name: bytes, body: bytes, limit: int) -> int:
    """How many bytes that chunk's compressed part has unpacked; more than `limit` count as `limit` and one."""
    packed = body[body.find(b"\0") + 1 :]
    if name == b"iTXt":  # flag, method, language, translated keyword (PNG specification, 11.3.3.4)
        if packed[:1] != b"\1":
            return 0
        packed = packed[2:].split(b"\0", 2)[-1]
    else:
        packed = packed[1:]
    try:
        return len(zlib.decompressobj().decompress(packed, limit + 1))
    except zlib.error:
        return 0  # nothing is unpacked of it


def _read_webp(data: bytes, limits: PictureLimits) -> _Contents:
    """Pillow would reserve memory for the whole picture here. Chunks: RFC 9649, 2.3 to 2.7."""
    if len(data) < int.from_bytes(data[4:8], "little") + _WEBP_RIFF_BYTES:
        raise _truncated()
    size: tuple[int, int] | None = None
    turned_by, at, extra_bytes = 1, 12, 4.0
    for _ in range(_MAX_PARTS):
        if at + 8 > len(data):
            break
        name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + min(length, 1 << 20)]
        if size is None:
            size = _webp_size(name, body)
            if size is not None:
                _check_size(*size, limits)
        if name == b"ANIM":
            extra_bytes = 4.0 + _ANIMATED_WEBP_BYTES
        if name == b"EXIF":
            turned_by = _orientation_of(body)
        at += 8 + length + length % 2
    else:
        raise PictureError(Problem.DAMAGED, "is a WebP with too many chunks")
    if size is None:
        raise PictureError(Problem.DAMAGED, "is a damaged WebP")
    # Lossless ones are decoded to 4 bytes a pixel beside the result, which the header does not tell from others.
    return _Contents(*size, turned_by, extra_bytes)


def _webp_size(name: bytes, body: bytes) -> tuple[int, int] | None:
    """Width and height; None for a chunk that has none."""
    if name == b"VP8X" and len(body) >= 10:
        return (int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1)
    if name == b"VP8 " and body[3:6] == b"\x9d\x01\x2a" and len(body) >= 10:
        width, height = struct.unpack("<HH", body[6:10])
        return width & _WEBP_SIDE_BITS, height & _WEBP_SIDE_BITS
    if name == b"VP8L" and body[:1] == b"\x2f" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & _WEBP_SIDE_BITS) + 1, (bits >> 14 & _WEBP_SIDE_BITS) + 1
    return None


def _check_jpeg(
    image: JpegImageFile,
    file: io.BytesIO,
    data: bytes,
    scan_at: int | None,
    limits: PictureLimits,
    *,
    is_incomplete_jpeg_read: bool,
) -> tuple[float, bool]:
    """Returns the bytes that the decoder needs for each pixel beside the result, and whether the end is there."""
    is_complete = True
    if not image.tile or scan_at is None or scan_at + 3 > len(data):
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
    if data.rfind(JPEG_END, coded_at) < 0:
        if not is_incomplete_jpeg_read or coded_at >= len(data):
            raise _truncated()
        is_complete = False
    # Found by walking, not by searching: the parameters of a scan may contain what looks like its marker.
    components = data[scan_at + 2]
    # A sequential JPEG whose first scan has every component ends with it, and counting takes longer than all else.
    has_more_scans = "progressive" in image.info or components < image.layers
    if not has_more_scans:
        return 0.0, is_complete
    if (scans := data.count(_JPEG_SCAN, coded_at) + 1) > limits.max_jpeg_scans:
        raise PictureError(
            Problem.TOO_COSTLY, f"is a JPEG with {scans} scans; at most {limits.max_jpeg_scans} are read"
        )
    # The coefficients of the whole picture are kept until the last scan, 16 bits for each sample.
    widest = max((across for _, across, _, _ in image.layer), default=0)
    highest = max((down for _, _, down, _ in image.layer), default=0)
    if not widest or not highest:
        raise PictureError(Problem.DAMAGED, "is a damaged JPEG")
    return sum(2 * across * down / (widest * highest) for _, across, down, _ in image.layer), is_complete


def _check_png(image: PngImageFile, file: io.BytesIO, data: bytes) -> None:
    if not image.tile:
        raise PictureError(Problem.DAMAGED, "is a PNG without an image in it")
    try:
        image.verify()  # the checksums of all chunks
    except _PILLOW_ERRORS as error:
        raise _damaged_or_truncated(file, data, "PNG") from error
    if file.tell() + _PNG_CHECKSUM_BYTES > len(data):
        raise _truncated()


def _orientation_of(exif_segment: bytes) -> int:
    """The value of the orientation tag, 1 (upright) where there is none."""
    exif = Image.Exif()
    try:
        exif.load(exif_segment)
        value = exif.get(_ORIENTATION)
    except _PILLOW_ERRORS:
        return 1  # as decoders do with a damaged Exif segment
    return value if isinstance(value, int) and 1 <= value <= max(_QUARTER_TURNS) else 1


def _damaged_or_truncated(file: io.BytesIO, data: bytes, kind: Format) -> PictureError:
    """Whether data are missing at the end. Pillow's error is the same for damaged data."""
    if file.tell() >= len(data):
        return _truncated()
    return PictureError(Problem.DAMAGED, f"is a damaged {kind}")


def _truncated() -> PictureError:
    return PictureError(Problem.TRUNCATED, "ends before it is complete")

"""Check a picture and decode it to pixels: one way for HTTP, gRPC, the bus and the command line."""

import cv2
import numpy as np

from kit.errors import FieldError, Invalid, TooLarge, UnsupportedMedia
from kit.memory import return_kept_memory
from kit.picture_limits import PictureLimits
from kit.pictures import JPEG_END, PictureError, Problem, read_header
from plate_ocr.adapters.crops import cut_out
from plate_ocr.domain.values import AdmittedPicture, Box, EncodedCrop, Picture

# OpenCV writes about damaged pictures to stderr, past every logger; the caller gets an error instead.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

MAX_BYTES_SETTING = "LOOKOUT_PLATE_OCR__PICTURES__MAX_BYTES"
"""The environment name of the limit, for whoever gets the error."""

LARGE_DECODING_BYTES = 24_000_000
"""4 million pixels."""

_UNDECODABLE = PictureError(Problem.DAMAGED, "is damaged: it cannot be decoded")


def check(data: bytes, *, max_bytes: int, limits: PictureLimits, field: str = "image") -> AdmittedPicture:
    """Look at the header and the structure of a picture. Nothing is decoded.

    Raises:
        Invalid: there are no bytes, or the picture is damaged, or is incomplete and no JPEG.
        UnsupportedMedia: it is not a JPEG, PNG, WebP or BMP.
        TooLarge: it has more than `max_bytes`, or exceeds `limits`.
    """
    if not data:
        raise Invalid("The picture is empty.", code="picture_empty", errors=(FieldError(field, "is empty"),))
    if len(data) > max_bytes:
        reason = (
            f"has {len(data)} bytes; at most {max_bytes} are read, the limit that {MAX_BYTES_SETTING} sets"
        )
        errors = (FieldError(field, reason),)
        raise TooLarge(f"The picture {reason}.", code="picture_too_large", errors=errors)
    try:
        header = read_header(data, limits=limits, is_incomplete_jpeg_read=True)
    except PictureError as error:
        raise _refusal(error, field) from error
    return AdmittedPicture(header.decoding_bytes, header.is_complete)


def decode(data: bytes, admitted: AdmittedPicture, *, field: str = "image") -> Picture:
    """A picture, for which `check` returned `admitted`, as blue, green, red, 8 bits each, upright as its EXIF tag says.

    Grey and CMYK become colour, 16 bits become 8 (the brightest pixel stays white: cameras rarely use the whole
    range), transparency is dropped, an animation gives its first frame. What is missing of an incomplete JPEG is grey.

    Raises:
        Invalid: the picture is damaged.
    """
    if admitted.decoding_bytes >= LARGE_DECODING_BYTES:
        return_kept_memory()  # so that what earlier pictures left does not add to what this one needs
    if not admitted.is_complete:
        data += JPEG_END  # without it OpenCV gives nothing
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise _refusal(_UNDECODABLE, field) from error
    if decoded is None:
        raise _refusal(_UNDECODABLE, field)
    if decoded.dtype != np.uint8:
        # Not by NumPy, which would need 24 bytes a pixel for its intermediate results.
        decoded = cv2.convertScaleAbs(decoded, alpha=255 / max(float(decoded.max()), 1.0))
    return np.asarray(decoded, dtype=np.uint8)


def encode_crop(picture: Picture, box: Box, *, margin: float, quality: int) -> EncodedCrop | None:
    """A JPEG of the box with a margin (a share of its height); None when the box is outside the picture."""
    part = cut_out(picture, box, margin=margin)
    if part is None:
        return None
    done, encoded = cv2.imencode(".jpg", part.picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    height_px, width_px = part.picture.shape[:2]
    return EncodedCrop(encoded.tobytes(), width_px, height_px) if done else None


def _refusal(error: PictureError, field: str) -> Invalid | UnsupportedMedia | TooLarge:
    """The error of the API for a picture whose header was not accepted."""
    text, fields = f"The picture {error.reason}.", (FieldError(field, error.reason),)
    match error.problem:
        case Problem.UNKNOWN_FORMAT:
            return UnsupportedMedia(text, code="not_a_picture", errors=fields)
        case Problem.TOO_MANY_PIXELS | Problem.TOO_COSTLY:
            return TooLarge(text, code="picture_too_large", errors=fields)
        case Problem.TRUNCATED:
            return Invalid(text, code="picture_truncated", errors=fields)
        case _:
            return Invalid(text, code="picture_broken", errors=fields)

"""Encoded pictures in, arrays out. The header is judged before a pixel is decoded."""

import io
import warnings

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kit.errors import FieldError, Invalid, LookoutError, TooLarge, UnsupportedMedia
from plate_ocr.domain.values import Box, Picture

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF")
"""MPO is what some phones call a JPEG with a second picture behind it; of what moves the first frame counts."""


def decode(data: bytes, *, max_bytes: int, max_pixels: int) -> Picture:
    """An H x W x 3 array, BGR, turned as its EXIF orientation says.

    Raises:
        Invalid: it is empty or damaged. UnsupportedMedia: no picture of a known format. TooLarge: beyond a limit.
    """
    if not data:
        raise refusal(Invalid, "the picture is empty", "picture_empty")
    if len(data) > max_bytes:
        raise refusal(
            TooLarge, f"the picture has {len(data)} bytes, at most {max_bytes}", "picture_too_large"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of what is checked here, and of odd EXIF
            with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    raise refusal(
                        TooLarge,
                        f"the picture is {width} x {height} pixels, at most {max_pixels} in all",
                        "picture_too_many_pixels",
                    )
                return _to_bgr(picture)
    except UnidentifiedImageError as error:
        text = "this is no JPEG, PNG, WebP, BMP or GIF picture"
        raise refusal(UnsupportedMedia, text, "not_a_picture") from error
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        # What Pillow's plugins raise on damaged files differs from format to format.
        raise refusal(Invalid, f"the picture is damaged: {error}", "picture_damaged") from error


def refusal(kind: type[LookoutError], detail: str, code: str) -> LookoutError:
    """The error, which names the field that pictures come in."""
    return kind(detail, code=code, errors=(FieldError("image", detail),))


def _to_bgr(picture: Image.Image) -> Picture:
    turned = ImageOps.exif_transpose(picture)
    if turned.mode.startswith("I") or turned.mode == "F":
        grey = np.asarray(turned, dtype=np.float32)
        # 16-bit greys are scaled to their own range: cameras rarely use all of it.
        low, high = float(grey.min()), float(grey.max())
        scaled = (grey - low) * (255 / (high - low)) if high > low else np.zeros_like(grey)
        return np.ascontiguousarray(np.repeat(scaled.astype(np.uint8)[:, :, None], 3, axis=2))
    rgb = np.asarray(turned.convert("RGB"), dtype=np.uint8)
    return np.ascontiguousarray(rgb[:, :, ::-1])


def encode_crop(picture: Picture, box: Box, *, margin: float, quality: int) -> tuple[bytes, int, int] | None:
    """A JPEG of the box with a margin, and its width and height in pixels; None when it lies outside."""
    height_px, width_px = picture.shape[:2]
    reach = box.height * margin
    wide = Box(box.x - reach, box.y - reach, box.width + 2 * reach, box.height + 2 * reach)
    part = wide.clipped(width_px, height_px)
    left, top, right, bottom = round(part.x), round(part.y), round(part.right), round(part.bottom)
    if right <= left or bottom <= top:
        return None
    is_encoded, encoded = cv2.imencode(
        ".jpg", picture[top:bottom, left:right], [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not is_encoded:
        return None
    return encoded.tobytes(), right - left, bottom - top

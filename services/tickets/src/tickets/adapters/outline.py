"""Draws a spot's outline into a picture, with Pillow."""

import io
import math
import struct
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageOps

from tickets.domain.tickets import CannotOutline

RED = (255, 0, 0)
JPEG_QUALITY = 90
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
# Thin enough to leave the plate legible, thick enough to be visible in a thumbnail.
_PICTURE_WIDTH_PER_LINE_WIDTH = 300
_MIN_LINE_PX = 3
_DECODING_FAULTS = (
    OSError,
    ValueError,
    SyntaxError,  # Pillow raises it for a damaged PNG
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def outline_spot(encoded: bytes, polygon_px: Sequence[tuple[float, float]]) -> bytes:
    """`encoded` (JPEG, PNG, WebP or BMP) as a JPEG with the polygon's edge in red.

    Coordinates are in pixels of the picture as displayed: rotated by its Exif orientation.

    Raises:
        CannotOutline: the picture does not decode, or the polygon has fewer than three corners.
    """
    if len(polygon_px) < 3:
        raise CannotOutline("the spot's outline in the picture is not known")
    try:
        picture = _decoded(encoded)
    except _DECODING_FAULTS as error:
        raise CannotOutline("the picture does not decode") from error
    # Pillow's coordinates have 32 bits; the part outside the picture is not visible anyway.
    limit = 4 * max(picture.size)
    corners = [(_clipped(x, limit), _clipped(y, limit)) for x, y in polygon_px]
    line_px = max(_MIN_LINE_PX, picture.width // _PICTURE_WIDTH_PER_LINE_WIDTH + 1)
    # The first edge again at the end: its joint with the last one is round like the others.
    ImageDraw.Draw(picture).line([*corners, *corners[:2]], fill=RED, width=line_px, joint="curve")
    outlined = io.BytesIO()
    picture.save(outlined, "JPEG", quality=JPEG_QUALITY)
    return outlined.getvalue()


def _decoded(encoded: bytes) -> Image.Image:
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as file:
        upright = ImageOps.exif_transpose(file)
        if upright.mode.startswith("I"):  # 16 bits of grey, which a conversion would cut off at 255
            upright = upright.point(lambda value: value / 256).convert("L")
        return upright.convert("RGB")


def _clipped(value: float, limit: int) -> int:
    return round(min(max(value, -limit), limit)) if math.isfinite(value) else 0

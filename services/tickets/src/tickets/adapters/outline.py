"""Draws a spot's outline into a picture, with OpenCV."""

from collections.abc import Sequence

import cv2
import numpy as np

from tickets.domain.tickets import CannotOutline

RED_BGR = (0, 0, 255)
JPEG_QUALITY = 90
# Thin enough to leave the plate legible, thick enough to be visible in a thumbnail.
_PICTURE_WIDTH_PER_LINE_WIDTH = 300
_MIN_LINE_PX = 2


def outline_spot(encoded: bytes, polygon_px: Sequence[tuple[float, float]]) -> bytes:
    """`encoded` (JPEG, PNG, WebP or BMP) as a JPEG with the polygon's edge in red.

    Coordinates are in pixels of the picture as displayed: rotated by its Exif orientation.

    Raises:
        CannotOutline: the picture does not decode, or the polygon has fewer than three corners.
    """
    if len(polygon_px) < 3:
        raise CannotOutline("the spot's outline in the picture is not known")
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise CannotOutline("the picture does not decode") from error
    if pixels is None:
        raise CannotOutline("the picture does not decode")
    height_px, width_px = pixels.shape[:2]
    # OpenCV's coordinates have 32 bits; the part outside the picture is not visible anyway.
    corners = np.array(polygon_px, dtype=np.float64).clip(-4.0 * max(width_px, height_px), 1 << 20)
    line_px = max(_MIN_LINE_PX, width_px // _PICTURE_WIDTH_PER_LINE_WIDTH)
    cv2.polylines(
        pixels, [np.rint(corners).astype(np.int32)], isClosed=True, color=RED_BGR, thickness=line_px
    )
    is_encoded, outlined = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not is_encoded:
        raise CannotOutline("the outlined picture could not be encoded")
    return outlined.tobytes()

"""Drawing a spot into a picture, with OpenCV."""

from collections.abc import Sequence

import cv2
import numpy as np

RED_BGR = (0, 0, 255)
JPEG_QUALITY = 90
# Thin enough to leave the plate legible, thick enough to be seen in a list's thumbnail.
_WIDTHS_A_LINE = 300
_LEAST_LINE_PX = 2


class NotDrawable(Exception):  # noqa: N818 - it says what is the matter with the picture
    """The spot cannot be drawn into this picture; the text says why."""


def outline_spot(encoded: bytes, polygon_px: Sequence[tuple[float, float]]) -> bytes:
    """`encoded` (JPEG, PNG, WebP or BMP) as a JPEG with the polygon's edge in red.

    Coordinates are in pixels of the picture as it is seen: turned as its Exif orientation says.

    Raises:
        NotDrawable: the picture does not decode, or the polygon has fewer than three corners.
    """
    if len(polygon_px) < 3:
        raise NotDrawable("where the spot lies in the picture is not known")
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise NotDrawable("the picture does not decode") from error
    if pixels is None:
        raise NotDrawable("the picture does not decode")
    height_px, width_px = pixels.shape[:2]
    # Far outside is as good as a little outside, and OpenCV's coordinates are 32 bits wide.
    corners = np.array(polygon_px, dtype=np.float64).clip(-4.0 * max(width_px, height_px), 1 << 20)
    line_px = max(_LEAST_LINE_PX, width_px // _WIDTHS_A_LINE)
    cv2.polylines(
        pixels, [np.rint(corners).astype(np.int32)], isClosed=True, color=RED_BGR, thickness=line_px
    )
    is_encoded, marked = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not is_encoded:
        raise NotDrawable("the marked picture could not be encoded")
    return marked.tobytes()

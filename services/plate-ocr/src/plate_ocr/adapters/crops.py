"""Cuts rows and plates out of pictures."""

from dataclasses import dataclass

import cv2
import numpy as np

from plate_ocr.domain.bend import arc_at
from plate_ocr.domain.values import Box, Detection, Margin, Picture, Polygon

_MAX_ROW_HEIGHT_PX = 96
_MAX_ROW_ASPECT = 14


class OpenCvRowCropper:
    """A `RowCropper`."""

    def crop(self, picture: Picture, row: Detection, margin: Margin) -> Picture:
        return rectify_row(picture, row.corners, margin, bend=row.bend)

    def sharpness(self, crop: Picture) -> float:
        return sharpness(crop)


def rectify_row(
    picture: Picture, corners: Polygon, margin: Margin, *, bend: float = 0.0, row_height_px: int = 48
) -> Picture:
    """0 (flat or wholly blurred) to 1: how steep the edges of a row are relative to its contrast, at a height of 48
    px.
    """
    quad = np.array(corners, np.float32)
    width = float(np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    height = float(np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
    up, down = (quad[0] - quad[3]) * margin.across, (quad[1] - quad[2]) * margin.across
    reach = margin.along * height / max(width, 1.0)
    along = (quad[1] - quad[0]) * reach
    quad = quad + np.array([up - along, down + along, along - down, -along - up], np.float32)
    height *= 1 + 2 * margin.across
    width *= 1 + 2 * margin.along * height / max(width, 1.0)
    rows = int(min(max(round(height), row_height_px), _MAX_ROW_HEIGHT_PX))
    # The recognizer takes no wider rows, and a mark one pixel high may be as long as the picture.
    columns = min(max(round(width * rows / max(height, 1.0)), rows // 3, 4), _MAX_ROW_ASPECT * rows)
    target = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), target)
    if not bend:
        row = cv2.warpPerspective(
            picture, matrix, (columns, rows), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(row, dtype=np.uint8)
    x, y = np.meshgrid(np.arange(columns), np.arange(rows))
    arc = arc_at((2 * x / columns - 1) * (1 + 2 * reach)) * bend * rows / (1 + 2 * margin.across)
    seen = cv2.perspectiveTransform(np.dstack([x, y + arc]), np.linalg.inv(matrix)).astype(np.float32)
    row = cv2.remap(picture, seen[..., 0], seen[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(row, dtype=np.uint8)


def sharpness(row: Picture) -> float:
    """0 (flat or wholly blurred) to 1: how steep the edges of a row are beside its contrast, at 48 px of height."""
    grey = cv2.cvtColor(cv2.resize(row, (max(row.shape[1] * 48 // row.shape[0], 8), 48)), cv2.COLOR_BGR2GRAY)
    edges = cv2.Sobel(grey, cv2.CV_32F, 1, 0)
    contrast = float(np.percentile(grey, 95)) - float(np.percentile(grey, 5))
    if contrast < _MIN_CONTRAST:
        return 0.0
    return min(float(np.percentile(np.abs(edges), 95)) / (_SHARP_EDGE * contrast), 1.0)


_MIN_CONTRAST = 4.0
_SHARP_EDGE = 3.2
"""Sobel's response to a step of height 1 is 4; a sharp edge in a row enlarged from 30 px still gives about this."""


@dataclass(frozen=True, slots=True)
class Cutout:
    """`left`, `top`: where the part is in the whole picture, pixels."""

    picture: Picture
    left: int
    top: int


def cut_out(picture: Picture, box: Box, *, margin: float) -> Cutout | None:
    """The upright part of the picture around `box`, extended on every side by `margin` times the box's height.

    None when the box is outside the picture.
    """
    height_px, width_px = picture.shape[:2]
    reach = box.height * margin
    part = Box(box.x - reach, box.y - reach, box.width + 2 * reach, box.height + 2 * reach).clipped(
        width_px, height_px
    )
    left, top, right, bottom = round(part.x), round(part.y), round(part.right), round(part.bottom)
    if right <= left or bottom <= top:
        return None
    return Cutout(np.ascontiguousarray(picture[top:bottom, left:right]), left, top)

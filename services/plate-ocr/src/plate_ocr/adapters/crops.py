"""Cuts regions out of pictures."""

from dataclasses import dataclass

import cv2
import numpy as np

from plate_ocr.domain.values import Box, Picture, Polygon

_MAX_ROW_HEIGHT_PX = 96


def straightened(
    picture: Picture, corners: Polygon, *, grow_height: float = 0.0, row_height_px: int = 48
) -> Picture:
    """The four-cornered region as an upright row, `row_height_px` high (or up to twice that when it is larger:
    the recogniser then scales down with averaging, which keeps thin strokes).

    `grow_height`: share of the height added above and below; negative cuts off. Regions that stand upright
    (taller than one and a half times their width) are laid on their side, as rows of text are read.
    """
    quad = np.array(corners, np.float32)
    width = float(np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    height = float(np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
    if height >= 1.5 * width:
        quad, width, height = np.roll(quad, -1, axis=0), height, width
    if grow_height:
        down_left, down_right = (quad[3] - quad[0]) * grow_height, (quad[2] - quad[1]) * grow_height
        quad = quad + np.array([-down_left, -down_right, down_right, down_left], np.float32)
        height *= 1 + 2 * grow_height
    rows = int(min(max(round(height), row_height_px), _MAX_ROW_HEIGHT_PX))
    columns = max(round(width * rows / max(height, 1.0)), rows // 3, 4)
    target = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), target)
    row = cv2.warpPerspective(
        picture, matrix, (columns, rows), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(row, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Part:
    """`left`, `top`: where the part lies in the whole picture, pixels."""

    picture: Picture
    left: int
    top: int


def cut(picture: Picture, box: Box, *, margin: float) -> Part | None:
    """The upright part of the picture around `box`, wider on every side by `margin` times the box's height.

    None when the box lies outside the picture.
    """
    height_px, width_px = picture.shape[:2]
    reach = box.height * margin
    part = Box(box.x - reach, box.y - reach, box.width + 2 * reach, box.height + 2 * reach).clipped(
        width_px, height_px
    )
    left, top, right, bottom = round(part.x), round(part.y), round(part.right), round(part.bottom)
    if right <= left or bottom <= top:
        return None
    return Part(np.ascontiguousarray(picture[top:bottom, left:right]), left, top)

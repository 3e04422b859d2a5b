# mypy: disable-error-code="import-not-found"
# A folder with a hyphen has no module name, so mypy does not find the modules beside this file.
"""Rows are rectified upright and straight."""

import cv2
import numpy as np
import pytest

from plate_ocr.adapters.crops import rectify_row
from plate_ocr.domain.values import Box, Margin, Picture, Point, Polygon

from .conftest import bent_around, bgr, canvas, put_plate

MARGIN = Margin(0.16, 0.22)


def turned(picture: Picture, corners: Polygon, degrees: float) -> tuple[Picture, Polygon]:
    matrix = cv2.getRotationMatrix2D((320, 240), degrees, 1)
    moved = cv2.transform(np.array([corners], np.float32), matrix)[0]
    return np.asarray(cv2.warpAffine(picture, matrix, (640, 480)), np.uint8), tuple(
        Point(float(x), float(y)) for x, y in moved
    )


def difference(row: Picture, other: Picture) -> float:
    """Mean, in grey values."""
    assert row.shape == other.shape
    return float(np.abs(row.astype(int) - other).mean())


@pytest.mark.parametrize("turn", [0, 10, -15])
@pytest.mark.parametrize("bend", [-0.4, -0.2, 0.2, 0.4])
def test_a_bent_row_is_rectified_to_the_straight_one(bend: float, turn: float) -> None:
    drawn = canvas(640, 480)
    plate = Box(*put_plate(drawn, "RK 755AJ", (150, 200), 60))
    straight, corners = turned(bgr(drawn), plate.corners(), turn)
    bent, _ = turned(bent_around(bgr(drawn), plate, bend), plate.corners(), turn)
    wanted = rectify_row(straight, corners, MARGIN)
    assert difference(rectify_row(bent, corners, MARGIN, bend=bend), wanted) < 8
    assert difference(rectify_row(bent, corners, MARGIN), wanted) > 15

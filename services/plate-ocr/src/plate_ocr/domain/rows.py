"""Groups detected rows of text into plates: pieces of one row, and rows one above the other."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plate_ocr.domain.values import Box, Detection, Point, Polygon

MAX_PIECE_GAP = 2.2
"""Between pieces of a row, in heights: an emirate's name may be between code and number, and is not detected."""
MAX_ROW_ASPECT = 9.5
"""Width over height of a row of joined pieces: the longest plates have about eight characters and a name in a row."""
MAX_STACK_ASPECT = 2.3
"""Width over height of two rows together: two long rows are two plates, or a poster."""
MAX_ROW_GAP = 0.9
"""Between two rows, in heights of the larger."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PlateRows:
    """Rows of one plate, top to bottom; one or two. `score`: that of the row with the highest."""

    rows: tuple[Detection, ...]

    @property
    def score(self) -> float:
        return max(row.score for row in self.rows)

    @property
    def box(self) -> Box:
        return Box.around(tuple(corner for row in self.rows for corner in row.corners))

    @property
    def outline(self) -> Polygon:
        """Around all rows, aligned with the first of them."""
        if len(self.rows) == 1:
            return self.rows[0].corners
        return _bounding_quad(self.rows[0], self.rows)

    @property
    def height_px(self) -> float:
        """Perpendicular to the text."""
        return _RowAxes(Detection(self.outline, 1.0)).height


def second_row_region(row: Detection, *, is_above: bool) -> Detection:
    """Where a second row would be: as wide as the row and a little wider, and not as high."""
    axes = _RowAxes(row)
    left, top, right, bottom = axes.span(row)
    height = bottom - top
    low = top - _BAND_GAP * height if is_above else bottom + (_BAND_GAP + _BAND_HEIGHT) * height
    high = low - _BAND_HEIGHT * height
    return _along_arc(row, left - _BAND_REACH * height, high, right + _BAND_REACH * height, low)


def extended_left(row: Detection) -> Detection:
    """The row with the area to its left: a code in a coloured field may have been taken for the plate's edge."""
    axes = _RowAxes(row)
    left, top, right, bottom = axes.span(row)
    return _along_arc(row, left - _CODE_FIELD * (bottom - top), top, right, bottom)


def is_tilted(row: Detection) -> bool:
    """So much that characters, which are upright on the street, are slanted in the rectified row."""
    axes = _RowAxes(row)
    return bool(abs(axes.along[1]) > _TILT and axes.width > axes.height)


def with_vertical_sides(row: Detection) -> Detection:
    """The same row between vertical sides: a plate seen from the side has tilted lines and upright strokes."""
    axes = _RowAxes(row)
    corners = np.array(row.corners, dtype=np.float64)
    slant = float(abs(axes.along[1]))
    # The detector's rectangle is larger than the tilted row at its corners.
    inset = axes.along * min(slant * axes.height / 2, axes.width / 4)
    left, right = (corners[0] + corners[3]) / 2 + inset, (corners[1] + corners[2]) / 2 - inset
    half = np.array([0.0, axes.height / 2 / max(float(abs(axes.along[0])), 0.1)])
    places = (left - half, right - half, right + half, left + half)
    return replace(row, corners=tuple(Point(float(x), float(y)) for x, y in places))


_TILT = 0.2
"""Sine of 12 degrees; at 10 the rectify_row rows were read as well as those with upright sides."""
_CODE_FIELD = 1.7
"""Width of a field with a code of one or two digits, in heights of the row."""

# Of an Abu Dhabi plate of two rows, in heights of its number.
_BAND_GAP, _BAND_HEIGHT, _BAND_REACH = 0.18, 0.72, 0.3


def group_rows(found: Sequence[Detection]) -> tuple[PlateRows, ...]:
    """Plates, highest score first. Each row belongs to one plate."""
    rows = _join_pieces(sorted(found, key=lambda d: d.score, reverse=True))
    left, plates = list(rows), []
    while left:
        first = left.pop(0)
        partner = min(
            (other for other in left if _are_stacked(first, other)),
            key=lambda other: abs(other.box.centre.y - first.box.centre.y),
            default=None,
        )
        if partner is None:
            plates.append(PlateRows((first,)))
            continue
        left.remove(partner)
        pair = sorted((first, partner), key=lambda d: d.box.centre.y)
        plates.append(PlateRows(tuple(pair)))
    return tuple(plates)


class _RowAxes:
    """A row's own directions: `along` its text and `across` it, unit vectors; sizes in pixels."""

    def __init__(self, row: Detection) -> None:
        corners = np.array(row.corners, dtype=np.float64)
        self.width = (
            float(np.linalg.norm(corners[1] - corners[0]) + np.linalg.norm(corners[2] - corners[3])) / 2
        )
        self.height = (
            float(np.linalg.norm(corners[3] - corners[0]) + np.linalg.norm(corners[2] - corners[1])) / 2
        )
        direction = (corners[1] - corners[0]) + (corners[2] - corners[3])
        length = float(np.linalg.norm(direction))
        self.along: Vector = direction / length if length else np.array([1.0, 0.0])
        self.across: Vector = np.array([-self.along[1], self.along[0]])

    def span(self, row: Detection) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of another row in these directions."""
        corners = np.array(row.corners, dtype=np.float64)
        x, y = corners @ self.along, corners @ self.across
        # The middles of the sides: a row with another tilt does not become taller by it.
        return (
            float((x[0] + x[3]) / 2), float((y[0] + y[1]) / 2), float((x[1] + x[2]) / 2), float((y[2] + y[3]) / 2)
        )  # fmt: skip


def _along_arc(row: Detection, left: float, top: float, right: float, bottom: float) -> Detection:
    """The area with these sides, in the row's own directions, on a plate that is bent as the row is."""
    axes = _RowAxes(row)
    own_left, own_top, own_right, own_bottom = axes.span(row)
    rise, length = row.bend * (own_bottom - own_top), max(own_right - own_left, 1e-6)
    longer, aside = (right - left) / length, (left + right - own_left - own_right) / length
    # At position t of the new row, the row's arc is at longer * t + aside: a longer arc, lower and tilted.
    lower, tilt = rise * (aside**2 + (longer**2 - 1) / 3), 2 * rise * longer * aside
    left_down, right_down = lower - tilt, lower + tilt
    corners = (
        (left, top + left_down), (right, top + right_down), (right, bottom + right_down), (left, bottom + left_down)
    )  # fmt: skip
    return Detection(
        tuple(Point(*(float(v) for v in axes.along * x + axes.across * y)) for x, y in corners),
        row.score,
        rise * longer**2 / max(bottom - top, 1e-6),
    )


def _join_pieces(rows: Sequence[Detection]) -> list[Detection]:
    left = list(rows)
    done: list[Detection] = []
    while left:
        row = left.pop(0)
        while piece := next((other for other in left if _are_pieces_of_one_row(row, other)), None):
            left.remove(piece)
            # Assumed straight: pieces are too short to measure the bend of the whole.
            row = Detection(_bounding_quad(row, (row, piece)), max(row.score, piece.score))
        done.append(row)
    return done


def _are_pieces_of_one_row(row: Detection, other: Detection) -> bool:
    axes = _RowAxes(row)
    height = max(axes.height, 1e-6)
    left, top, right, bottom = axes.span(other)
    own_left, own_top, own_right, own_bottom = axes.span(row)
    ratio = (bottom - top) / height
    if not 0.5 <= ratio <= 2.0:
        return False
    level = abs((top + bottom) - (own_top + own_bottom)) / 2 <= 0.45 * height
    gap = max(left - own_right, own_left - right)
    wide = (max(right, own_right) - min(left, own_left)) / max(height, bottom - top)
    return level and -0.5 * height <= gap <= MAX_PIECE_GAP * height and wide <= MAX_ROW_ASPECT


def _are_stacked(row: Detection, other: Detection) -> bool:
    axes = _RowAxes(row)
    left, top, right, bottom = axes.span(other)
    own_left, own_top, own_right, own_bottom = axes.span(row)
    height, other_height = own_bottom - own_top, bottom - top
    if min(height, other_height) <= 0 or not 0.3 <= other_height / height <= 3.3:
        return False
    shared = min(right, own_right) - max(left, own_left)
    gap = max(top - own_bottom, own_top - bottom)
    wide = (max(right, own_right) - min(left, own_left)) / (max(bottom, own_bottom) - min(top, own_top))
    return (
        shared >= 0.5 * min(right - left, own_right - own_left)
        and -0.35 * max(height, other_height) <= gap <= MAX_ROW_GAP * max(height, other_height)
        and wide <= MAX_STACK_ASPECT
    )


def _bounding_quad(row: Detection, rows: Sequence[Detection]) -> Polygon:
    axes = _RowAxes(row)
    spans = [axes.span(one) for one in rows]
    left, top = min(s[0] for s in spans), min(s[1] for s in spans)
    right, bottom = max(s[2] for s in spans), max(s[3] for s in spans)
    return tuple(
        Point(*(float(v) for v in axes.along * x + axes.across * y))
        for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))
    )

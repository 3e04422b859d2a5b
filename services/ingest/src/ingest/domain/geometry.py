"""Spots and vehicle boxes, in pixels from the top left of the picture they refer to."""

from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
Quad = tuple[Point, Point, Point, Point]

# A smaller area is a line or a point that was not drawn to its end.
SMALLEST_AREA_PX2 = 4.0


@dataclass(frozen=True, slots=True)
class Size:
    """A picture's size in pixels."""

    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Box:
    """Top left corner and size, pixels."""

    x: float
    y: float
    width: float
    height: float


def in_order(corners: Quad) -> Quad:
    """The corners in order around the spot, so that no two sides cross.

    Installers also write them row by row (left top, right top, left bottom, right bottom), which read
    as a polygon is a bow tie with two empty halves. A simple polygon comes back unchanged.
    """
    a, b, c, d = corners
    if _cross(a, b, c, d):
        return a, c, b, d
    if _cross(b, c, d, a):
        return a, b, d, c
    return corners


def _cross(p: Point, q: Point, r: Point, s: Point) -> bool:
    """Whether the open segments pq and rs cross."""
    return _side(p, q, r) * _side(p, q, s) < 0 and _side(r, s, p) * _side(r, s, q) < 0


def _side(p: Point, q: Point, r: Point) -> float:
    """Positive on one side of the line through p and q, negative on the other, 0 on it."""
    return (q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0])


def area_px2(polygon: Sequence[Point]) -> float:
    """The area inside a simple polygon (shoelace formula)."""
    total = 0.0
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        total += x1 * y2 - x2 * y1
    return abs(total) / 2


def is_degenerate(corners: Quad) -> bool:
    """Whether the corners enclose no area."""
    return area_px2(in_order(corners)) < SMALLEST_AREA_PX2


def box_between(x1: float, y1: float, x2: float, y2: float) -> Box | None:
    """The box between two opposite corners in either order; None when it is empty: no vehicle was seen."""
    box = Box(min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1))
    return box if box.width > 0 and box.height > 0 else None


def scale_quad(corners: Quad, source: Size, target: Size) -> Quad:
    """The same corners in a picture of another size."""
    fx, fy = target.width_px / source.width_px, target.height_px / source.height_px
    a, b, c, d = ((x * fx, y * fy) for x, y in corners)
    return a, b, c, d


def scale_box(box: Box, source: Size, target: Size) -> Box | None:
    """The same box in a picture of another size, clipped to that picture; None if no part of it is inside."""
    fx, fy = target.width_px / source.width_px, target.height_px / source.height_px
    left, top = max(box.x * fx, 0.0), max(box.y * fy, 0.0)
    right = min((box.x + box.width) * fx, float(target.width_px))
    bottom = min((box.y + box.height) * fy, float(target.height_px))
    if right <= left or bottom <= top:
        return None
    return Box(left, top, right - left, bottom - top)

"""Areas of polygons and boxes."""

from itertools import pairwise

from plate_ocr.domain.values import Box, Point, Polygon


def polygon_area(polygon: Polygon) -> float:
    """Square pixels; 0 for fewer than three corners. Gauss's shoelace formula."""
    return abs(_signed_area(polygon))


def contains(polygon: Polygon, point: Point) -> bool:
    """Even-odd rule; a point on the left or upper edge counts as inside, on the right or lower edge not."""
    inside = False
    for a, b in _edges(polygon):
        if (a.y > point.y) != (b.y > point.y):
            crossing_x = a.x + (point.y - a.y) * (b.x - a.x) / (b.y - a.y)
            inside ^= point.x < crossing_x
    return inside


def share_inside(box: Box, polygon: Polygon) -> float:
    """Share of the box that is in the polygon, 0 to 1. 0 for a box or a polygon without area.

    The box is convex, so the polygon is clipped by the box (Sutherland and Hodgman, 1974), which is correct for
    polygons that are not convex too: the bridges that the method leaves have no area.
    """
    if box.area <= 0 or len(polygon) < 3:
        return 0.0
    clipped = polygon
    for axis, limit, keeps_above in (
        (0, box.x, True),
        (0, box.right, False),
        (1, box.y, True),
        (1, box.bottom, False),
    ):
        clipped = _clip(clipped, axis, limit, keeps_above=keeps_above)
        if len(clipped) < 3:
            return 0.0
    return min(polygon_area(clipped) / box.area, 1.0)


def scaled(polygon: Polygon, factor_x: float, factor_y: float) -> Polygon:
    """The polygon in the pixels of the same picture at another size."""
    return tuple(Point(p.x * factor_x, p.y * factor_y) for p in polygon)


def iou(first: Box, second: Box) -> float:
    """Intersection over union, 0 to 1."""
    width = min(first.right, second.right) - max(first.x, second.x)
    height = min(first.bottom, second.bottom) - max(first.y, second.y)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (first.area + second.area - shared)


def _signed_area(polygon: Polygon) -> float:
    return sum(a.x * b.y - b.x * a.y for a, b in _edges(polygon)) / 2


def _edges(polygon: Polygon) -> list[tuple[Point, Point]]:
    return list(pairwise((*polygon, polygon[0]))) if polygon else []


def _clip(polygon: Polygon, axis: int, limit: float, *, keeps_above: bool) -> Polygon:
    kept: list[Point] = []
    for a, b in _edges(polygon):
        a_in, b_in = (a[axis] >= limit) == keeps_above, (b[axis] >= limit) == keeps_above
        if a_in:
            kept.append(a)
        if a_in != b_in:
            share = (limit - a[axis]) / (b[axis] - a[axis])
            kept.append(Point(a.x + share * (b.x - a.x), a.y + share * (b.y - a.y)))
    return tuple(kept)

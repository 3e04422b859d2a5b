"""Clipping and areas: examples and properties."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.geometry import contains, iou, polygon_area, scaled, share_inside
from plate_ocr.domain.values import Box, Point, Polygon

SQUARE = (Point(0, 0), Point(10, 0), Point(10, 10), Point(0, 10))
TRIANGLE = (Point(0, 0), Point(10, 0), Point(0, 10))
ARROW = (Point(0, 0), Point(10, 0), Point(10, 10), Point(5, 2), Point(0, 10))
LEANING = (Point(4, 0), Point(14, 0), Point(10, 10), Point(0, 10))

coordinate = st.floats(-2000, 2000, allow_nan=False, width=32)
size = st.floats(0.5, 2000, allow_nan=False, width=32)
boxes = st.builds(Box, coordinate, coordinate, size, size)


@st.composite
def round_polygons(draw: st.DrawFn) -> Polygon:
    """Star-shaped around a centre: simple, and not always convex."""
    x, y = draw(coordinate), draw(coordinate)
    radii = draw(st.lists(st.floats(5, 500, width=32), min_size=3, max_size=9))
    turn = 2 * math.pi / len(radii)
    return tuple(Point(x + r * math.cos(i * turn), y + r * math.sin(i * turn)) for i, r in enumerate(radii))


@pytest.mark.parametrize(
    ("polygon", "area"),
    [
        (SQUARE, 100),
        (TRIANGLE, 50),
        (ARROW, 60),
        (LEANING, 100),
        ((), 0),
        (SQUARE[:2], 0),
        (SQUARE[::-1], 100),
    ],
)
def test_area(polygon: Polygon, area: float) -> None:
    assert polygon_area(polygon) == pytest.approx(area)


@pytest.mark.parametrize(
    ("polygon", "box", "share"),
    [
        (SQUARE, Box(2, 2, 4, 4), 1.0),
        (SQUARE, Box(-5, 0, 10, 10), 0.5),
        (SQUARE, Box(-5, -5, 10, 10), 0.25),
        (SQUARE, Box(-5, -5, 20, 20), 0.25),
        (SQUARE, Box(10, 0, 5, 5), 0.0),
        (SQUARE, Box(20, 20, 5, 5), 0.0),
        (TRIANGLE, Box(0, 0, 10, 10), 0.5),
        (TRIANGLE, Box(5, 5, 5, 5), 0.0),
        (ARROW, Box(0, 0, 10, 10), 0.6),
        (ARROW, Box(4, 5, 2, 5), 0.0),
        (LEANING, Box(4, 0, 6, 10), 1.0),
        (SQUARE, Box(2, 2, 0, 4), 0.0),
        (SQUARE[:2], Box(0, 0, 1, 1), 0.0),
    ],
)
def test_share_inside(polygon: Polygon, box: Box, share: float) -> None:
    assert share_inside(box, polygon) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize(
    ("polygon", "point", "is_inside"),
    [
        (SQUARE, Point(5, 5), True),
        (SQUARE, Point(0, 0), True),
        (SQUARE, Point(10, 5), False),
        (SQUARE, Point(5, 10), False),
        (SQUARE, Point(-1, 5), False),
        (ARROW, Point(5, 8), False),
        (ARROW, Point(5, 1), True),
        ((), Point(0, 0), False),
    ],
)
def test_contains(polygon: Polygon, point: Point, is_inside: bool) -> None:
    assert contains(polygon, point) is is_inside


@given(boxes, round_polygons())
def test_a_share_is_a_share(box: Box, polygon: Polygon) -> None:
    share = share_inside(box, polygon)
    assert 0 <= share <= 1
    assert share * box.area <= polygon_area(polygon) * (1 + 1e-6) + 1e-3


@given(boxes, round_polygons())
def test_turning_direction_and_first_corner_do_not_matter(box: Box, polygon: Polygon) -> None:
    share = share_inside(box, polygon)
    assert share_inside(box, polygon[::-1]) == pytest.approx(share, abs=1e-6)
    assert share_inside(box, polygon[1:] + polygon[:1]) == pytest.approx(share, abs=1e-6)


@given(boxes, round_polygons(), st.floats(0.05, 20), st.floats(0.05, 20))
def test_scaling_both_keeps_the_share(box: Box, polygon: Polygon, x: float, y: float) -> None:
    larger = Box(box.x * x, box.y * y, box.width * x, box.height * y)
    assert share_inside(larger, scaled(polygon, x, y)) == pytest.approx(share_inside(box, polygon), abs=1e-4)


@given(boxes, boxes)
def test_a_box_in_a_box(first: Box, second: Box) -> None:
    shared = share_inside(first, second.corners()) * first.area
    assert shared == pytest.approx(share_inside(second, first.corners()) * second.area, rel=1e-6, abs=1e-2)
    both = first.area + second.area - shared
    assert iou(first, second) == pytest.approx(shared / both, abs=1e-4)


@given(boxes, round_polygons())
def test_two_halves_make_the_whole(box: Box, polygon: Polygon) -> None:
    left = Box(box.x, box.y, box.width / 2, box.height)
    right = Box(box.x + box.width / 2, box.y, box.width / 2, box.height)
    halves = (share_inside(left, polygon) + share_inside(right, polygon)) / 2
    assert halves == pytest.approx(share_inside(box, polygon), abs=1e-6)


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        (Box(-5, -5, 20, 20), Box(0, 0, 15, 15)),
        (Box(90, 40, 20, 20), Box(90, 40, 10, 10)),
        (Box(200, 200, 5, 5), Box(100, 50, 0, 0)),
        (Box(-20, 5, 10, 10), Box(0, 5, 0, 10)),
    ],
)
def test_clipping_to_the_picture(box: Box, clipped: Box) -> None:
    assert box.clipped(100, 50) == clipped

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ingest.domain.geometry import (
    Box,
    Size,
    area_px2,
    box_between,
    in_order,
    is_degenerate,
    scale_box,
    scale_quad,
)

ROUND = ((0.0, 0.0), (10.0, 0.0), (10.0, 5.0), (0.0, 5.0))


@pytest.mark.parametrize(
    "corners",
    [
        ROUND,
        tuple(reversed(ROUND)),
        (ROUND[0], ROUND[1], ROUND[3], ROUND[2]),  # row by row
        (ROUND[0], ROUND[3], ROUND[1], ROUND[2]),  # column by column
        (ROUND[0], ROUND[2], ROUND[1], ROUND[3]),
    ],
)
def test_corners_in_any_order_enclose_the_spot(corners: Any) -> None:
    assert area_px2(in_order(corners)) == 50
    assert not is_degenerate(corners)


def test_corners_that_are_in_order_stay_as_they_are() -> None:
    assert in_order(ROUND) == ROUND
    dart = ((0.0, 0.0), (10.0, 0.0), (4.0, 4.0), (0.0, 10.0))  # not convex, and no sides cross
    assert in_order(dart) == dart


@pytest.mark.parametrize(
    "corners",
    [
        ((0, 0), (0, 0), (0, 0), (0, 0)),
        ((0, 0), (5, 5), (10, 10), (15, 15)),
        ((0, 0), (10, 0), (10, 0), (0, 0)),
        ((0, 0), (1, 0), (1, 1), (0, 1)),
    ],
)
def test_a_spot_without_an_inside_is_degenerate(corners: Any) -> None:
    assert is_degenerate(corners)


coordinates = st.floats(-1000, 1000, allow_nan=False, width=32)
quads = st.tuples(*(st.tuples(coordinates, coordinates) for _ in range(4)))


@given(quads)
def test_putting_corners_in_order_keeps_them_and_is_done_once(corners: Any) -> None:
    ordered = in_order(corners)
    assert sorted(ordered) == sorted(corners)
    assert in_order(ordered) == ordered


@given(quads, st.integers(1, 5000), st.integers(1, 5000))
def test_scaling_there_and_back_changes_nothing(corners: Any, width_px: Any, height_px: Any) -> None:
    source, target = Size(640, 480), Size(width_px, height_px)
    back = scale_quad(scale_quad(corners, source, target), target, source)
    for (x1, y1), (x2, y2) in zip(corners, back, strict=True):
        assert x1 == pytest.approx(x2, abs=1e-6)
        assert y1 == pytest.approx(y2, abs=1e-6)


def test_both_axes_scale_by_their_own_factor() -> None:
    assert scale_quad(ROUND, Size(10, 10), Size(20, 50))[2] == (20, 25)


@pytest.mark.parametrize("points", [(0, 0, 0, 0), (5, 5, 5, 9), (5, 5, 9, 5), (-1, -1, -1, -1)])
def test_an_empty_box_is_no_vehicle(points: Any) -> None:
    assert box_between(*points) is None


def test_a_box_may_be_given_by_any_two_opposite_corners() -> None:
    assert box_between(9, 8, 1, 2) == box_between(1, 2, 9, 8) == box_between(1, 8, 9, 2) == Box(1, 2, 8, 6)


def test_a_box_is_cut_to_its_picture() -> None:
    assert scale_box(Box(-10, 50, 60, 100), Size(100, 100), Size(200, 100)) == Box(0, 50, 100, 50)
    assert scale_box(Box(-20, 0, 10, 10), Size(100, 100), Size(100, 100)) is None


@given(coordinates, coordinates, coordinates, coordinates)
def test_a_scaled_box_lies_in_its_picture(x1: Any, y1: Any, x2: Any, y2: Any) -> None:
    box = box_between(x1, y1, x2, y2)
    assume(box is not None)
    assert box is not None
    scaled = scale_box(box, Size(500, 400), Size(1920, 1080))
    if scaled is not None:
        assert scaled.x >= 0
        assert scaled.y >= 0
        assert scaled.x + scaled.width <= 1920.0001
        assert scaled.y + scaled.height <= 1080.0001
        assert scaled.width > 0
        assert scaled.height > 0

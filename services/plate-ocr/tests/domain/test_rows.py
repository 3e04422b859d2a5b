"""Which rows are grouped into one plate."""

import math
from dataclasses import replace

import pytest

from plate_ocr.domain.rows import (
    PlateRows,
    extended_left,
    group_rows,
    is_tilted,
    second_row_region,
    with_vertical_sides,
)
from plate_ocr.domain.values import Box, Detection, Point


def row(x: float, y: float, width: float, height: float, score: float = 0.9, turn: float = 0.0) -> Detection:
    """Turned about the origin by `turn` degrees."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    corners = tuple(Point(p.x * c - p.y * s, p.x * s + p.y * c) for p in Box(x, y, width, height).corners())
    return Detection(corners, score)


def shape(plates: tuple[PlateRows, ...]) -> list[int]:
    return sorted(len(plate.rows) for plate in plates)


@pytest.mark.parametrize("turn", [0, 12, -20])
def test_two_rows_are_one_plate_in_reading_order(turn: float) -> None:
    upper, lower = row(310, 100, 30, 16, 0.7, turn), row(300, 124, 60, 30, 0.95, turn)
    (plate,) = group_rows([lower, upper])
    assert plate.rows == (upper, lower)
    assert plate.score == 0.95
    assert plate.height_px == pytest.approx(54, abs=0.5)


@pytest.mark.parametrize("turn", [0, 12, -20])
def test_pieces_of_a_row_are_joined(turn: float) -> None:
    (plate,) = group_rows([row(340, 100, 80, 24, 0.9, turn), row(300, 101, 16, 23, 0.8, turn)])
    assert len(plate.rows) == 1
    corners = plate.rows[0].corners
    assert math.dist(corners[0], corners[1]) == pytest.approx(120, abs=1)


def middle_at(row: Detection, x: float) -> float:
    """How far down the middle of the row is there, along its arc."""
    a, b, c, d = row.corners
    left, right = (a.y + d.y) / 2, (b.y + c.y) / 2
    place = 2 * (x - a.x) / (b.x - a.x) - 1
    return left + (right - left) * (place + 1) / 2 + row.bend * (d.y - a.y) * (place**2 - 1 / 3)


@pytest.mark.parametrize("bend", [-0.3, 0.0, 0.4])
def test_the_area_beside_a_bent_row_is_bent_as_the_row_is(bend: float) -> None:
    bent = replace(row(300, 100, 80, 20), bend=bend)
    places = (290, 320, 340, 375)
    above, below = second_row_region(bent, is_above=True), second_row_region(bent, is_above=False)
    for other, offset in ((extended_left(bent), 0), (above, -20.8), (below, 20.8)):
        for x in places:
            assert middle_at(other, x) == pytest.approx(middle_at(bent, x) + offset, abs=1e-6)


def test_a_row_of_joined_pieces_is_straight() -> None:
    pieces = [replace(row(340, 100, 80, 24), bend=0.2), row(300, 101, 16, 23)]
    (plate,) = group_rows(pieces)
    assert [one.bend for one in plate.rows] == [0]


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (row(100, 100, 100, 20), row(400, 100, 100, 20), "two cars side by side"),
        (row(100, 100, 100, 20), row(100, 200, 100, 20), "two cars in a queue"),
        (row(100, 100, 120, 20), row(100, 126, 120, 20), "two long rows: a poster"),
        (row(100, 100, 100, 20), row(100, 122, 10, 5), "a dealer's web address"),
        (row(100, 100, 100, 20), row(204, 100, 100, 20), "too long for one row"),
    ],
)
def test_rows_that_do_not_belong_together(first: Detection, second: Detection, why: str) -> None:
    assert shape(group_rows([first, second])) == [1, 1], why


def test_no_row_belongs_to_two_plates() -> None:
    rows = [row(100, 100, 60, 20), row(100, 124, 60, 20), row(100, 148, 60, 20)]
    assert shape(group_rows(rows)) == [1, 2]


def test_nothing() -> None:
    assert group_rows([]) == ()


def test_an_extended_row_covers_a_code_field() -> None:
    row = Detection(Box(100, 50, 200, 40).corners(), 0.8)
    wider = extended_left(row)
    assert (wider.box.right, wider.box.y, wider.box.height) == pytest.approx((300, 50, 40))
    assert wider.box.x == pytest.approx(100 - 1.7 * 40)


def tilted_row(degrees: float) -> Detection:
    """A row of 200 by 40 px around (300, 200), turned clockwise on the screen."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    places = ((-100, -20), (100, -20), (100, 20), (-100, 20))
    return Detection(tuple(Point(300 + x * c - y * s, 200 + x * s + y * c) for x, y in places), 0.8)


@pytest.mark.parametrize(
    ("degrees", "expected"), [(0, False), (9, False), (-9, False), (20, True), (-20, True)]
)
def test_tilted(degrees: float, *, expected: bool) -> None:
    assert is_tilted(tilted_row(degrees)) is expected


@pytest.mark.parametrize("degrees", [20, -20])
def test_vertical_sides(degrees: float) -> None:
    row = tilted_row(degrees)
    a, b, c, d = with_vertical_sides(row).corners
    assert (a.x, b.x) == pytest.approx((d.x, c.x))
    assert math.degrees(math.atan2(b.y - a.y, b.x - a.x)) == pytest.approx(degrees)
    # As high across the row as before, and no wider.
    assert (d.y - a.y) * math.cos(math.radians(degrees)) == pytest.approx(40)
    assert math.dist((a.x, a.y), (b.x, b.y)) < 200


def test_vertical_sides_keep_the_bend() -> None:
    assert with_vertical_sides(replace(tilted_row(20), bend=0.3)).bend == 0.3


def test_vertical_sides_of_a_level_row_are_its_own() -> None:
    row = tilted_row(0)
    for ours, before in zip(with_vertical_sides(row).corners, row.corners, strict=True):
        assert (ours.x, ours.y) == pytest.approx((before.x, before.y))

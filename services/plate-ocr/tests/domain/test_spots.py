"""What is in the spot: the 65 % rule, and the occupancy without a vehicle source."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plate_ocr.domain.geometry import contains
from plate_ocr.domain.spots import MIN_SHARE_IN_SPOT, overlap_with_spot, plate_in_spot, spot_state
from plate_ocr.domain.values import (
    Box,
    PlateReading,
    Point,
    SpotOccupancy,
    UnreadReason,
    VehicleDetection,
    seen_not_read,
)

SPOT = (Point(100, 100), Point(200, 100), Point(200, 200), Point(100, 200))
NARROW = (Point(140, 0), Point(160, 0), Point(160, 400), Point(140, 400))


def plate(x: float, y: float) -> PlateReading:
    """With its centre there."""
    return PlateReading("A1", "A1", "", "", "A1", 0.9, (), Box(x - 10, y - 5, 20, 10))


def seen(x: float, y: float) -> PlateReading:
    """With its centre there."""
    return seen_not_read(Box(x - 10, y - 5, 20, 10), UnreadReason.TOO_BLURRED, height_px=10)


def vehicle(x: float, y: float, width: float = 80, height: float = 80) -> VehicleDetection:
    return VehicleDetection(Box(x, y, width, height), "car", 0.9, "camera")


@pytest.mark.parametrize(
    ("box", "share", "is_in_spot"),
    [
        (Box(110, 110, 80, 80), 1.0, True),
        (Box(100, 165, 100, 100), 0.35, False),
        (Box(100, 135, 100, 100), 0.65, True),
        (Box(100, 136, 100, 100), 0.64, False),
        (Box(65, 100, 100, 100), 0.65, True),
        (Box(90, 90, 120, 120), 0.694, True),
        (Box(60, 60, 180, 180), 0.309, False),
        (Box(300, 300, 50, 50), 0.0, False),
    ],
)
def test_the_65_percent_rule(box: Box, share: float, is_in_spot: bool) -> None:
    overlap = overlap_with_spot(box, SPOT)
    assert overlap.share == pytest.approx(share, abs=0.001)
    assert overlap.is_in_spot is is_in_spot


def test_enough_of_the_box_but_not_its_centre() -> None:
    frame = (
        Point(0, 0), Point(100, 0), Point(100, 100), Point(60, 100), Point(60, 40), Point(40, 40), Point(40, 100),
        Point(0, 100),
    )  # fmt: skip
    overlap = overlap_with_spot(Box(0, 0, 100, 100), frame)
    assert overlap.share > MIN_SHARE_IN_SPOT
    assert not overlap.is_in_spot


@given(st.floats(0, 300), st.floats(0, 300), st.floats(1, 200), st.floats(1, 200))
def test_a_vehicle_is_in_the_spot_by_share_and_centre(
    x: float, y: float, width: float, height: float
) -> None:
    box = Box(x, y, width, height)
    overlap = overlap_with_spot(box, SPOT)
    assert overlap.is_in_spot == (overlap.share >= MIN_SHARE_IN_SPOT and contains(SPOT, box.centre))


@pytest.mark.parametrize(
    ("plates", "vehicles", "index"),
    [
        ([], [], -1),
        ([plate(150, 150)], [], 0),
        ([plate(10, 10), plate(150, 150)], [], 1),
        ([plate(150, 150), plate(160, 160)], [], 0),
        ([plate(10, 10)], [vehicle(110, 110)], -1),
        ([plate(150, 205)], [], -1),
        ([plate(150, 205)], [vehicle(110, 130, 80, 80)], 0),
        ([plate(150, 205)], [vehicle(110, 180, 80, 80)], -1),
        ([plate(150, 205), plate(150, 150)], [vehicle(110, 130, 80, 80)], 1),
        ([seen(150, 150)], [], 0),
        ([seen(10, 10)], [], -1),
        ([seen(150, 150), plate(160, 160)], [], 1),
        ([seen(150, 150), plate(10, 10)], [], 0),
        ([seen(150, 150), plate(150, 205)], [vehicle(110, 130, 80, 80)], 1),
        ([seen(150, 205), seen(150, 150)], [vehicle(110, 130, 80, 80)], 1),
    ],
)
def test_plate_in_spot(plates: list[PlateReading], vehicles: list[VehicleDetection], index: int) -> None:
    assert plate_in_spot(plates, vehicles, SPOT) == index


@pytest.mark.parametrize(
    ("plates", "vehicles", "has_source", "occupancy"),
    [
        ([plate(150, 150)], [], False, SpotOccupancy.OCCUPIED),
        ([plate(150, 150)], [vehicle(400, 400)], True, SpotOccupancy.OCCUPIED),
        ([], [vehicle(110, 110)], True, SpotOccupancy.OCCUPIED),
        ([], [vehicle(400, 400)], True, SpotOccupancy.FREE),
        ([], [], True, SpotOccupancy.FREE),
        ([], [], False, SpotOccupancy.UNKNOWN),
        ([seen(150, 150)], [], False, SpotOccupancy.OCCUPIED),
        ([seen(150, 150)], [vehicle(400, 400)], True, SpotOccupancy.OCCUPIED),
        ([seen(10, 10)], [], False, SpotOccupancy.UNKNOWN),
        ([plate(10, 10)], [], False, SpotOccupancy.UNKNOWN),
        ([plate(10, 10)], [vehicle(400, 400)], True, SpotOccupancy.FREE),
    ],
)
def test_spot_state(
    plates: list[PlateReading], vehicles: list[VehicleDetection], has_source: bool, occupancy: SpotOccupancy
) -> None:
    state = spot_state(plates, vehicles, SPOT, has_vehicle_source=has_source)
    assert state.occupancy is occupancy
    assert (state.plate_index >= 0) <= (occupancy is SpotOccupancy.OCCUPIED)


@pytest.mark.parametrize(
    ("x", "has_source", "occupancy"),
    [
        (150, False, SpotOccupancy.OCCUPIED),
        (150, True, SpotOccupancy.OCCUPIED),
        (10, False, SpotOccupancy.UNKNOWN),
        (10, True, SpotOccupancy.FREE),
    ],
)
def test_a_skipped_plate_shows_that_the_spot_is_occupied(
    x: float, has_source: bool, occupancy: SpotOccupancy
) -> None:
    state = spot_state([], [], SPOT, has_vehicle_source=has_source, skipped=[plate(x, 150).box])
    assert (state.occupancy, state.plate_index) == (occupancy, -1)


@pytest.mark.parametrize("polygon", [(), SPOT[:1], SPOT[:2]])
def test_without_a_spot_the_occupancy_is_unknown(polygon: tuple[Point, ...]) -> None:
    state = spot_state([plate(150, 150)], [vehicle(110, 110)], polygon, has_vehicle_source=True)
    assert (state.occupancy, state.plate_index) == (SpotOccupancy.UNKNOWN, -1)


def test_a_spot_narrower_than_the_car() -> None:
    assert not overlap_with_spot(Box(110, 100, 80, 80), NARROW).is_in_spot

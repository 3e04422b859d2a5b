"""Which vehicles and plates are in a parking spot."""

from collections.abc import Sequence
from dataclasses import dataclass

from plate_ocr.domain.geometry import contains, share_inside
from plate_ocr.domain.values import Box, PlateReading, Polygon, SpotOccupancy, VehicleDetection

MIN_SHARE_IN_SPOT = 0.65
"""Of the vehicle's box. Operators rely on this figure; a lower one includes the neighbour's car."""


@dataclass(frozen=True, slots=True)
class SpotOverlap:
    """Of a vehicle with the spot. `share`: of its box in the polygon, 0 to 1."""

    share: float
    is_in_spot: bool


@dataclass(frozen=True, slots=True)
class SpotState:
    """`plate_index`: of the plate that is in the spot, -1 for none."""

    occupancy: SpotOccupancy
    plate_index: int


def overlap_with_spot(box: Box, polygon: Polygon) -> SpotOverlap:
    """A vehicle is in a spot when its box's centre and at least 65 % of the box are in the polygon."""
    share = share_inside(box, polygon)
    return SpotOverlap(share, share >= MIN_SHARE_IN_SPOT and contains(polygon, box.centre))


def plate_in_spot(
    plates: Sequence[PlateReading], vehicles: Sequence[VehicleDetection], polygon: Polygon
) -> int:
    """Index of the first plate that is in the spot, -1 for none.

    A plate is there when its centre is in the polygon, or in the box of a vehicle that is there: seen from a pole,
    the front of a car extends over the edge of its spot. A plate in the polygon goes before one that only its vehicle
    places there, and every plate with a text before those that were only seen, which show that a vehicle is there but
    not which.
    """
    if len(polygon) < 3:
        return -1
    vehicles_in_spot = [v.box.corners() for v in vehicles if overlap_with_spot(v.box, polygon).is_in_spot]
    for is_read in (True, False):
        indices = [index for index, plate in enumerate(plates) if plate.is_read is is_read]
        for places in ([polygon], vehicles_in_spot):
            for index in indices:
                if any(contains(corners, plates[index].box.centre) for corners in places):
                    return index
    return -1


def spot_state(
    plates: Sequence[PlateReading],
    vehicles: Sequence[VehicleDetection],
    polygon: Polygon,
    *,
    has_vehicle_source: bool,
    skipped: Sequence[Box] = (),
) -> SpotState:
    """Whether the spot is occupied, and by which plate.

    `vehicles` are those of this very picture. `has_vehicle_source`: vehicles were looked for in it; otherwise, no
    plate in the spot does not mean that no car is there with its plate hidden. `skipped`: boxes of plates that were
    found and not read; one in the polygon shows that a vehicle is there.
    """
    if len(polygon) < 3:
        return SpotState(SpotOccupancy.UNKNOWN, -1)
    index = plate_in_spot(plates, vehicles, polygon)
    is_seen = any(contains(polygon, box.centre) for box in skipped)
    if index >= 0 or is_seen or any(overlap_with_spot(v.box, polygon).is_in_spot for v in vehicles):
        return SpotState(SpotOccupancy.OCCUPIED, index)
    return SpotState(SpotOccupancy.FREE if has_vehicle_source else SpotOccupancy.UNKNOWN, -1)

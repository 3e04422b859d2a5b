"""Which spot a report is about, and where it lies in the snapshot.

Both sides draw spots: the operator in the registry, the installer in the camera. Where the operator has drawn
any spot of a camera, the registry decides alone, and a number it does not know is refused: somebody meant
another spot, and a ticket on a spot that does not exist helps nobody. A camera of which the operator has
drawn none teaches its spots with its reports, so that a new camera works on the day it is hung; such a spot
follows the camera's own drawing until an operator edits it. The camera's `number_of_parking` bounds what can
be taught, because anybody who reaches the public address could teach more.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ingest.domain.errors import ErrorKind, FieldProblem, InputError
from ingest.domain.geometry import Quad, Size, in_order, scale_quad
from ingest.domain.parking_push import ParkingPush
from ingest.domain.site import CameraSite, RegisteredSpot, SpotOrigin

# Redrawing by less than this is the rounding of firmware that keeps its corners in per mille.
_SAME_WITHIN_PX = 2.0


@dataclass(frozen=True, slots=True)
class SpotChoice:
    """`corners` in pixels of the snapshot, in order; `known` is None for a spot still to be learned."""

    spot_number: int
    corners: Quad
    known: RegisteredSpot | None
    is_to_learn: bool


def choose_spot(
    site: CameraSite, report: ParkingPush, snapshot: Size, *, may_learn: bool, most_spots: int
) -> SpotChoice:
    """The spot of `report`; `most_spots` bounds a camera whose `number_of_parking` is 0.

    Raises:
        InputError: `unknown_spot`.
    """
    number = report.index_number
    known = site.spots.get(number)
    if known is not None and known.origin is SpotOrigin.OPERATOR:
        return SpotChoice(number, in_order(known.corners), known, is_to_learn=False)
    reported = in_order(scale_quad(report.corners, report.resolution, snapshot))
    if known is not None:
        is_redrawn = may_learn and not _is_same(known.corners, reported)
        return SpotChoice(
            number, reported if may_learn else in_order(known.corners), known, is_to_learn=is_redrawn
        )
    if not may_learn or _has_drawn_spots(site.spots) or number > (site.number_of_parking or most_spots):
        raise _unknown_spot(site, number)
    return SpotChoice(number, reported, None, is_to_learn=True)


def _has_drawn_spots(spots: Mapping[int, RegisteredSpot]) -> bool:
    return any(spot.origin is SpotOrigin.OPERATOR for spot in spots.values())


def _is_same(one: Quad, other: Quad) -> bool:
    pairs = zip(one, other, strict=True)
    return all(
        abs(x1 - x2) <= _SAME_WITHIN_PX and abs(y1 - y2) <= _SAME_WITHIN_PX for (x1, y1), (x2, y2) in pairs
    )


def _unknown_spot(site: CameraSite, number: int) -> InputError:
    reason = f"camera {site.location_code}{site.api_code} has no spot {number}"
    return InputError(ErrorKind.INVALID, "unknown_spot", reason, (FieldProblem("index_number", reason),))

"""Which spot a push is about, and where it is in the snapshot.

Both sides draw spots: the operator in the registry, the installer in the camera. Where the operator has drawn any spot
of a camera, only the registry counts, and an unknown number is an error, since nobody could use a ticket on a spot
that does not exist. If the operator has drawn none, spots are learned from the camera's pushes, so that a new camera
works on the day it is installed; such a spot follows the camera's drawing until an operator edits it. The camera's
`number_of_parking` limits how many are learned, because anybody who reaches the public address can push.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ingest.domain.errors import ErrorKind, FieldProblem, InputError
from ingest.domain.geometry import Quad, Size, in_order, scale_quad
from ingest.domain.parking_push import ParkingPush
from ingest.domain.site import CameraSite, RegisteredSpot, SpotOrigin

# A smaller change is the rounding of firmware that stores its corners in per mille.
_SAME_WITHIN_PX = 2.0


@dataclass(frozen=True, slots=True)
class SpotChoice:
    """`corners` in pixels of the snapshot, in order; `known` is None for a spot that is yet to be learned."""

    spot_number: int
    corners: Quad
    known: RegisteredSpot | None
    is_to_learn: bool


def choose_spot(
    site: CameraSite, push: ParkingPush, snapshot: Size, *, may_learn: bool, max_spots: int
) -> SpotChoice:
    """The spot of `push`; `max_spots` is the limit for a camera whose `number_of_parking` is 0.

    Raises:
        InputError: `unknown_spot`.
    """
    number = push.index_number
    known = site.spots.get(number)
    if known is not None and known.origin is SpotOrigin.OPERATOR:
        return SpotChoice(number, in_order(known.corners), known, is_to_learn=False)
    reported = in_order(scale_quad(push.corners, push.resolution, snapshot))
    if known is not None:
        is_redrawn = may_learn and not _is_same(known.corners, reported)
        return SpotChoice(
            number, reported if may_learn else in_order(known.corners), known, is_to_learn=is_redrawn
        )
    if not may_learn or _has_drawn_spots(site.spots) or number > (site.number_of_parking or max_spots):
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

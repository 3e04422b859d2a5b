"""Bent rows: plates follow bumpers, and lenses bend straight lines.

Positions along a row run from -1 at its left end to 1 at its right.
"""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_MIN_MIDDLES = 24
_IGNORED_END = 0.05
"""Share of the row's length at either end, where marks are round or ragged."""


def arc_at(places: Vector) -> Vector:
    """How far down the arc of a row is at these positions, as a share of its sagitta; 0 on the average of the row."""
    return places**2 - 1 / 3


def sagitta(middles: Vector) -> float:
    """How much higher the middle of a row is than its two ends, in the unit of `middles`; negative where the ends
    are higher, 0 where there are too few values.

    `middles`: how far down the row's centre line is, at even distances from the left end to the right.
    """
    count = len(middles)
    if count < _MIN_MIDDLES:
        return 0.0
    places = (2 * np.arange(count) + 1) / count - 1
    kept = np.abs(places) <= 1 - 2 * _IGNORED_END
    return float(np.polyfit(places[kept], middles[kept], 2)[0])

"""How often a reading of some confidence is right: the recogniser's own figure, brought in line with what was counted.

`make bench-plates` prints the reliability table that this is held to.
"""

import math

SLOPE, SHIFT = 0.82, 0.27
"""Of the logistic map on the log-odds (Platt, 1999), fitted by `training/calibrate.py`."""
_FLOOR, _CEILING = 1e-4, 0.999


def calibrated(confidence: float) -> float:
    """0 to 1; rises with `confidence`, and is never 1: no picture proves a plate."""
    p = min(max(confidence, _FLOOR), 1 - _FLOOR)
    odds = SLOPE * math.log(p / (1 - p)) + SHIFT
    return min(1 / (1 + math.exp(-odds)), _CEILING)

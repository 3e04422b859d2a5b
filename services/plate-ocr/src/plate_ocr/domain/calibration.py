"""How often a reading of some confidence is right: the recognizer's own confidence, fitted to counted frequencies.

`make bench-plates` prints the reliability table that shows how well it fits.
"""

import math

SLOPE, SHIFT = 0.82, 0.27
"""Of the logistic function of the log-odds (Platt, 1999), fitted by `training/calibrate.py`."""
_FLOOR, _CEILING = 1e-4, 0.999


def calibrated(confidence: float) -> float:
    """0 to 1; increases with `confidence`, and is never 1: no picture proves a plate."""
    p = min(max(confidence, _FLOOR), 1 - _FLOOR)
    odds = SLOPE * math.log(p / (1 - p)) + SHIFT
    return min(1 / (1 + math.exp(-odds)), _CEILING)

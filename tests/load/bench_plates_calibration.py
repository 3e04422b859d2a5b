"""Calibration of the confidence: of the readings with confidence 0.8, four in five should be right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

BINS = 10
Pair = tuple[float, bool]
"""Confidence, 0 to 1, and whether the reading was right."""


@dataclass(frozen=True)
class Bin:
    """Readings with a confidence from `low` up to `high`. The means are NaN if there are none."""

    low: float
    high: float
    readings: int
    confidence: float
    right: float


def reliability(pairs: Sequence[Pair], bins: int = BINS) -> list[Bin]:
    """Bins of equal width (Guo et al., "On calibration of modern neural networks", 2017); the last one includes 1."""
    filled: list[list[Pair]] = [[] for _ in range(bins)]
    for confidence, is_right in pairs:
        filled[min(max(int(confidence * bins), 0), bins - 1)].append((confidence, is_right))
    return [
        Bin(
            index / bins,
            (index + 1) / bins,
            len(inside),
            _mean([confidence for confidence, _ in inside]),
            _mean([float(is_right) for _, is_right in inside]),
        )
        for index, inside in enumerate(filled)
    ]


def calibration_error(table: Sequence[Bin]) -> float:
    """Expected calibration error: |confidence - share right|, weighted by the readings; NaN if there are none."""
    readings = sum(each.readings for each in table)
    if not readings:
        return math.nan
    return (
        math.fsum(abs(each.confidence - each.right) * each.readings for each in table if each.readings)
        / readings
    )


def lines(table: Sequence[Bin]) -> list[str]:
    """The reliability table as text."""
    shown = ["confidence   readings  mean confidence  share right"]
    for each in table:
        means = f"{each.confidence:15.3f}  {each.right:11.3f}" if each.readings else f"{'-':>15}  {'-':>11}"
        shown.append(f"{each.low:.1f} to {each.high:.1f}  {each.readings:9}  {means}")
    return shown


def check() -> None:
    """Assert properties of the computation, before each use."""
    calibrated = [(0.75, True)] * 3 + [(0.75, False)]
    assert calibration_error(reliability(calibrated)) == 0
    overconfident = [(1.0, False)] * 2
    assert calibration_error(reliability(overconfident)) == 1
    both = reliability(calibrated + overconfident)
    assert [each.readings for each in both] == [0] * 7 + [4, 0, 2]
    assert math.isclose(calibration_error(both), 2 / 6)
    assert math.isnan(calibration_error(reliability([])))
    assert len(lines(both)) == BINS + 1


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan

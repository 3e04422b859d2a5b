"""How far a reading's confidence can be believed: of those that claim 0.8, four in five should be right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

BINS = 10
Pair = tuple[float, bool]
"""Confidence, 0 to 1, and whether the reading was right."""


@dataclass(frozen=True)
class Bin:
    """Readings whose confidence lies from `low` up to `high`. The means are not numbers where there is none."""

    low: float
    high: float
    readings: int
    confidence: float
    right: float


def reliability(pairs: Sequence[Pair], bins: int = BINS) -> list[Bin]:
    """Equal steps of confidence, 1 in the last (Guo et al., "On calibration of modern neural networks", 2017)."""
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
    """Expected: the distance between confidence and share right, weighted by the readings; NaN without any."""
    readings = sum(one.readings for one in table)
    if not readings:
        return math.nan
    return (
        math.fsum(abs(one.confidence - one.right) * one.readings for one in table if one.readings) / readings
    )


def lines(table: Sequence[Bin]) -> list[str]:
    """The reliability table."""
    shown = ["confidence   readings  mean confidence  share right"]
    for one in table:
        means = f"{one.confidence:15.3f}  {one.right:11.3f}" if one.readings else f"{'-':>15}  {'-':>11}"
        shown.append(f"{one.low:.1f} to {one.high:.1f}  {one.readings:9}  {means}")
    return shown


def check() -> None:
    """What the computation has to hold, asserted before each use."""
    honest = [(0.75, True)] * 3 + [(0.75, False)]
    assert calibration_error(reliability(honest)) == 0
    boastful = [(1.0, False)] * 2
    assert calibration_error(reliability(boastful)) == 1
    both = reliability(honest + boastful)
    assert [one.readings for one in both] == [0] * 7 + [4, 0, 2]
    assert math.isclose(calibration_error(both), 2 / 6)
    assert math.isnan(calibration_error(reliability([])))
    assert len(lines(both)) == BINS + 1


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan

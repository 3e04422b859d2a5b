"""How far a row is bent, by the middles of its mark."""

import numpy as np
import pytest

from plate_ocr.domain.bend import arc_at, sagitta


def middles(count: int, rise: float, *, tilt: float = 0.0, noise: float = 0.0) -> np.ndarray:
    """Of a row that rises `rise` px over its ends and runs down by `tilt` px on its way to the right."""
    places = np.linspace(-1, 1, count)
    return 40 + rise * arc_at(places) + tilt / 2 * places + np.random.default_rng(3).normal(0, noise, count)


@pytest.mark.parametrize("count", [30, 60, 200])
@pytest.mark.parametrize("rise", [-6.0, -1.0, 0.0, 2.0, 5.0])
@pytest.mark.parametrize("tilt", [-8.0, 0.0, 3.0])
def test_the_rise_of_the_middle_over_the_ends(count: int, rise: float, tilt: float) -> None:
    assert sagitta(middles(count, rise, tilt=tilt)) == pytest.approx(rise, rel=0.1, abs=1e-6)


@pytest.mark.parametrize("rise", [-2.0, 0.0, 2.0])
def test_ragged_columns(rise: float) -> None:
    assert sagitta(middles(90, rise, noise=0.4)) == pytest.approx(rise, abs=0.4)


def test_the_ends_of_a_row_are_ignored() -> None:
    row = middles(80, 0.0)
    row[:4] += 5
    row[-4:] += 5
    assert sagitta(row) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 23])
def test_rows_too_short_to_measure(count: int) -> None:
    assert sagitta(middles(count, 9.0)) == 0


def test_an_arc_is_where_the_row_is_on_average_and_its_ends_are_lower() -> None:
    arc = arc_at(np.linspace(-1, 1, 1001))
    assert arc.mean() == pytest.approx(0, abs=1e-2)
    assert arc[0] - arc[500] == pytest.approx(1)
    assert arc[0] == arc[-1]

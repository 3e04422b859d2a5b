"""Confidence as the API shows it."""

import pytest

from tickets.http.schemas import percent


@pytest.mark.parametrize(
    ("confidence", "shown"), [(0, 0), (0.29, 29), (0.934, 93), (0.994, 99), (0.995, 99), (0.999, 99), (1, 99)]
)
def test_confidence_is_shown_as_0_to_99(confidence: float, shown: int) -> None:
    assert percent(confidence) == shown

"""Numbers as operators see them."""

import pytest

from tickets.http.shapes import percent


@pytest.mark.parametrize(
    ("confidence", "shown"), [(0, 0), (0.29, 29), (0.934, 93), (0.994, 99), (0.995, 99), (0.999, 99), (1, 99)]
)
def test_no_reading_is_certain(confidence: float, shown: int) -> None:
    assert percent(confidence) == shown

"""Whether a camera works, and how many spots are free."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest.domain.site_status import (
    CameraSigns,
    SpotCounts,
    StatusLimits,
    camera_status,
    count_spots,
    is_check_due,
    sum_of,
)

NOW = datetime(2026, 3, 14, 8, 30, tzinfo=UTC)
LIMITS = StatusLimits(fresh=timedelta(minutes=5), silent=timedelta(hours=24))


def signs(**minutes_ago: Any) -> CameraSigns:
    values: dict[str, Any] = {
        name: NOW - timedelta(minutes=value) if name.endswith("_at") else value
        for name, value in minutes_ago.items()
    }
    return CameraSigns(**values)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({}, "OFFLINE NEVER_SEEN"),
        ({"failed_at": 1}, "OFFLINE NO_ANSWER"),
        ({"pushed_at": 1}, "ONLINE PUSHED"),
        ({"answered_at": 1}, "ONLINE ANSWERED"),
        ({"pushed_at": 60, "answered_at": 30}, "ONLINE ANSWERED"),
        ({"pushed_at": 30, "answered_at": 60}, "ONLINE PUSHED"),
        ({"pushed_at": 30, "failed_at": 60}, "ONLINE PUSHED"),
        ({"pushed_at": 30, "failed_at": 10}, "OFFLINE NO_ANSWER"),
        ({"answered_at": 30, "failed_at": 10}, "OFFLINE NO_ANSWER"),
        # Its clip or picture failed right after its push.
        ({"pushed_at": 4, "failed_at": 3}, "ONLINE PUSHED"),
        ({"pushed_at": 24 * 60}, "ONLINE PUSHED"),
        ({"pushed_at": 24 * 60 + 1}, "OFFLINE SILENT"),
        ({"pushed_at": 24 * 60 + 1, "answered_at": 1}, "ONLINE ANSWERED"),
        # The clock was set back.
        ({"pushed_at": -60}, "ONLINE PUSHED"),
        ({"pushed_at": 1, "answered_at": 1, "is_enabled": False}, "OFFLINE DISABLED"),
    ],
)
def test_the_status_of_a_camera(seen: dict[str, Any], expected: str) -> None:
    status, reason = camera_status(signs(**seen), NOW, LIMITS)
    assert f"{status} {reason}" == expected


@pytest.mark.parametrize(
    ("seen", "is_due"),
    [
        ({}, True),
        ({"is_enabled": False}, False),
        ({"pushed_at": 4}, False),
        ({"pushed_at": 5}, True),
        ({"pushed_at": 60, "answered_at": 4}, False),
        ({"pushed_at": 60, "failed_at": 4}, False),
        ({"pushed_at": 60, "failed_at": 6}, True),
    ],
)
def test_a_camera_is_called_when_nothing_is_known_of_it(seen: dict[str, Any], is_due: bool) -> None:
    assert is_check_due(signs(**seen), NOW, timedelta(minutes=5)) is is_due


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((0, 0, 0, 0), (0, 0, 0, 0)),
        ((8, 0, 0, 0), (8, 0, 0, 8)),
        ((8, 5, 2, 3), (8, 2, 3, 3)),
        ((2, 5, 2, 2), (5, 2, 2, 1)),
    ],
)
def test_spots_are_counted(given: tuple[int, int, int, int], expected: tuple[int, int, int, int]) -> None:
    counts = count_spots(*given)
    assert (counts.total, counts.occupied, counts.free, counts.unknown) == expected


def test_the_spots_of_cameras_add_up() -> None:
    assert sum_of([SpotCounts(8, 2, 3), SpotCounts(5, 1, 4)]) == SpotCounts(13, 3, 7)
    assert sum_of([]) == SpotCounts()

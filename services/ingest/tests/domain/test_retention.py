"""How far time is trusted to have passed, as tables."""

from datetime import UTC, datetime, timedelta

import pytest

from ingest.domain.retention import ClockLimits, RetentionClock, advance_clock, most_deletions

AT = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR_S = 3600.0
WEEK = ClockLimits(max_step=7 * DAY, confirm_after=7 * DAY)


def known(
    trusted: timedelta = timedelta(0), checked: timedelta = timedelta(0), waited_s: float = 0
) -> RetentionClock:
    return RetentionClock(AT + trusted, AT + checked, waited_s)


@pytest.mark.parametrize(
    ("before", "now", "elapsed_s", "trusted", "ahead"),
    [
        pytest.param(
            known(), timedelta(hours=1), HOUR_S, timedelta(hours=1), timedelta(0), id="an hour passed"
        ),
        pytest.param(known(), 6 * DAY, 0.0, 6 * DAY, timedelta(0), id="off for six days"),
        pytest.param(
            known(), 90 * DAY, 90 * 86_400.0, 90 * DAY, timedelta(0), id="suspended job, time was observed"
        ),
        pytest.param(known(), 500 * DAY, 0.0, timedelta(0), 500 * DAY, id="ahead at the start"),
        pytest.param(
            known(),
            500 * DAY,
            HOUR_S,
            timedelta(hours=1),
            500 * DAY - timedelta(hours=1),
            id="set while running",
        ),
        pytest.param(known(), -DAY, HOUR_S, -DAY, timedelta(0), id="set back"),
        pytest.param(
            known(checked=500 * DAY, waited_s=6 * 86_400),
            500 * DAY + timedelta(hours=1),
            HOUR_S,
            timedelta(hours=1),
            500 * DAY,
            id="still waiting",
        ),
        pytest.param(
            known(checked=500 * DAY, waited_s=7 * 86_400 - HOUR_S),
            500 * DAY + timedelta(hours=1),
            HOUR_S,
            500 * DAY + timedelta(hours=1),
            timedelta(0),
            id="waited long enough",
        ),
        pytest.param(
            known(checked=500 * DAY, waited_s=7 * 86_400 - HOUR_S),
            900 * DAY,
            HOUR_S,
            timedelta(hours=1),
            900 * DAY - timedelta(hours=1),
            id="a second jump waits anew",
        ),
        pytest.param(
            known(checked=500 * DAY, waited_s=7 * 86_400 - HOUR_S),
            500 * DAY + timedelta(seconds=1),
            HOUR_S,
            timedelta(seconds=1),
            500 * DAY,
            id="another replica has just counted that hour",
        ),
        pytest.param(
            known(checked=500 * DAY, waited_s=6 * 86_400),
            DAY,
            HOUR_S,
            DAY,
            timedelta(0),
            id="set right again",
        ),
    ],
)
def test_the_clock_is_followed_only_as_far_as_time_has_passed(
    before: RetentionClock, now: timedelta, elapsed_s: float, trusted: timedelta, ahead: timedelta
) -> None:
    clock, is_ahead = advance_clock(before, AT + now, elapsed_s, WEEK)
    assert clock.trusted_until - AT == trusted
    assert clock.checked_at - AT == now
    assert is_ahead == ahead


@pytest.mark.parametrize(
    ("existing", "most"), [(0, 20), (43, 20), (400, 20), (1000, 50), (1_000_000, 50_000)]
)
def test_a_run_deletes_a_share_of_what_exists(existing: int, most: int) -> None:
    assert most_deletions(existing, max_share=0.05, min_count=20) == most

from datetime import UTC, datetime, timedelta

import pytest

from gateway.domain.sessions import RefreshOutcome, RefreshState, decide_refresh

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER, EARLIER = NOW + timedelta(days=1), NOW - timedelta(days=1)


@pytest.mark.parametrize(
    ("expires_at", "used_at", "ended_at", "is_active", "outcome"),
    [
        (LATER, None, None, True, RefreshOutcome.ROTATE),
        (LATER, EARLIER, None, True, RefreshOutcome.REUSED),
        (EARLIER, EARLIER, None, True, RefreshOutcome.REUSED),
        (EARLIER, None, None, True, RefreshOutcome.ENDED),
        (NOW, None, None, True, RefreshOutcome.ENDED),
        (LATER, None, EARLIER, True, RefreshOutcome.ENDED),
        (LATER, EARLIER, EARLIER, True, RefreshOutcome.ENDED),
        (LATER, None, None, False, RefreshOutcome.ENDED),
    ],
)
def test_the_outcome_for_a_refresh_token(expires_at, used_at, ended_at, is_active, outcome):
    assert decide_refresh(RefreshState(expires_at, used_at, ended_at, is_active), NOW) is outcome

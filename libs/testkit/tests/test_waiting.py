from datetime import UTC, datetime, timedelta, timezone

import pytest

from testkit import ManualClock, eventually


async def test_it_returns_the_first_truthy_value_of_sync_and_async_conditions():
    values = iter([0, None, "", 7])
    assert await eventually(lambda: next(values), interval_s=0) == 7
    numbers = iter([False, 3])

    async def condition() -> int:
        return next(numbers)

    assert await eventually(condition, interval_s=0) == 3


async def test_a_failed_assertion_is_tried_again():
    values = iter([1, 2, 3])

    def condition() -> bool:
        assert next(values) == 3, "not there"
        return True

    assert await eventually(condition, interval_s=0)


async def test_the_error_at_the_deadline_has_message_and_last_value():
    with pytest.raises(AssertionError, match=r"the queue empties within 0.05 s; last value: \[\]"):
        await eventually(list, 0.05, "the queue empties")

    def condition() -> bool:
        raise AssertionError("two left")

    with pytest.raises(AssertionError, match="two left"):
        await eventually(condition, 0.05)


async def test_other_exceptions_are_raised_at_once():
    with pytest.raises(ZeroDivisionError):
        await eventually(lambda: 1 / 0)


def test_a_manual_clock_only_changes_when_it_is_set_or_advanced():
    clock = ManualClock(datetime(2026, 3, 14, 12, 30, tzinfo=timezone(timedelta(hours=4))))
    assert clock.now() == clock.now() == datetime(2026, 3, 14, 8, 30, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    clock.advance(90)
    assert clock.advance(timedelta(minutes=1)) == datetime(2026, 3, 14, 8, 32, 30, tzinfo=UTC)
    clock.set(datetime(2026, 1, 1, tzinfo=UTC))
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="time zone"):
        clock.set(datetime(2026, 1, 1))  # noqa: DTZ001 - the case under test

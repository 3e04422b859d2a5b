from datetime import UTC, datetime, timedelta, timezone

import pytest

from testkit import ManualClock, eventually


async def test_it_gives_back_the_first_truthy_value_of_plain_and_async_looks():
    values = iter([0, None, "", 7])
    assert await eventually(lambda: next(values), interval_s=0) == 7
    numbers = iter([False, 3])

    async def look() -> int:
        return next(numbers)

    assert await eventually(look, interval_s=0) == 3


async def test_a_failed_assertion_is_not_yet():
    left = iter([1, 2, 3])

    def look() -> bool:
        assert next(left) == 3, "not there"
        return True

    assert await eventually(look, interval_s=0)


async def test_at_the_deadline_it_says_what_it_waited_for_and_saw():
    with pytest.raises(AssertionError, match=r"the queue empties within 0.05 s; last seen: \[\]"):
        await eventually(list, 0.05, "the queue empties")

    def look() -> bool:
        raise AssertionError("two left")

    with pytest.raises(AssertionError, match="two left"):
        await eventually(look, 0.05)


async def test_other_errors_come_at_once():
    with pytest.raises(ZeroDivisionError):
        await eventually(lambda: 1 / 0)


def test_a_manual_clock_stands_until_it_is_moved():
    clock = ManualClock(datetime(2026, 3, 14, 12, 30, tzinfo=timezone(timedelta(hours=4))))
    assert clock.now() == clock.now() == datetime(2026, 3, 14, 8, 30, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    clock.advance(90)
    assert clock.advance(timedelta(minutes=1)) == datetime(2026, 3, 14, 8, 32, 30, tzinfo=UTC)
    clock.set(datetime(2026, 1, 1, tzinfo=UTC))
    assert clock.now() == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="time zone"):
        clock.set(datetime(2026, 1, 1))  # noqa: DTZ001 - what must be refused

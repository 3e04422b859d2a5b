from datetime import UTC, datetime, timedelta

from gateway.domain.lockout import LockoutPolicy, after_failure, lockout_left_s

POLICY = LockoutPolicy(max_failures=3, window=timedelta(minutes=10), lockout=timedelta(minutes=5))
START = datetime(2026, 1, 1, tzinfo=UTC)


def after(*minutes):
    failed_sign_ins = None
    for minute in minutes:
        failed_sign_ins = after_failure(failed_sign_ins, START + timedelta(minutes=minute), POLICY)
    return failed_sign_ins


def locked(failed_sign_ins, minute):
    return lockout_left_s(failed_sign_ins, START + timedelta(minutes=minute), POLICY)


def test_failures_below_the_maximum_do_not_lock_out():
    assert locked(None, 0) == 0
    assert locked(after(0, 1), 1) == 0


def test_the_maximum_of_failures_locks_out():
    failed_sign_ins = after(0, 1, 2)
    assert locked(failed_sign_ins, 2) == 300
    assert locked(failed_sign_ins, 6.999) == 1
    assert locked(failed_sign_ins, 7) == 0


def test_failures_outside_the_window_do_not_add_up():
    assert locked(after(0, 6, 12), 12) == 0
    assert locked(after(0, 6, 9), 9) == 300


def test_after_a_lockout_within_the_window_one_more_failure_locks_again():
    assert locked(after(0, 1, 2, 8), 8) == 300


def test_failures_past_their_window_and_lockout_do_not_count():
    assert after(0, 1, 2).expires_at(POLICY) == START + timedelta(minutes=10)
    assert locked(after(0, 1, 2, 10.5), 10.5) == 0


def test_a_clock_that_is_set_back_does_not_prolong_a_lockout():
    failed_sign_ins = after(0, 1, 2)
    assert locked(failed_sign_ins, -24 * 60) == 0
    again = after_failure(failed_sign_ins, START - timedelta(days=1), POLICY)
    assert (again.failures, again.first_at) == (1, START - timedelta(days=1))

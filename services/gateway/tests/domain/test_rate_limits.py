import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.rate_limits import RateLimit, parse_rate, take


@pytest.mark.parametrize(
    ("text", "amount", "window_s"),
    [("1/second", 1, 1.0), ("600/minute", 600, 60.0), (" 5 / hour ", 5, 3600.0), ("9/day", 9, 86400.0)],
)
def test_a_rate_is_parsed(text, amount, window_s):
    assert parse_rate("x", text) == RateLimit("x", amount, window_s)


@pytest.mark.parametrize(
    "text", ["", "10", "0/minute", "-1/minute", "ten/minute", "1.5/minute", "10/fortnight", "10 per minute"]
)
def test_an_invalid_rate_is_refused(text):
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate("x", text)


def test_the_bucket_empties_and_refills():
    limit = RateLimit("x", 3, 60.0)
    state = None
    seen = []
    for at_s in [100.0, 100.0, 100.0, 100.0, 119.9, 120.1, 120.1]:
        result = take(limit, state, at_s)
        state = result.full_at_s
        seen.append((result.is_allowed, result.remaining))
    assert seen == [(True, 2), (True, 1), (True, 0), (False, 0), (False, 0), (True, 0), (False, 0)]


def test_a_refusal_says_when_to_retry():
    limit = RateLimit("x", 2, 10.0)
    first = take(limit, None, 0.0)
    second = take(limit, first.full_at_s, 0.0)
    refused = take(limit, second.full_at_s, 1.0)
    assert not refused.is_allowed
    assert refused.retry_after_s == pytest.approx(4.0)
    assert take(limit, refused.full_at_s, 1.0 + refused.retry_after_s).is_allowed


@given(
    amount=st.integers(1, 1000),
    window_s=st.sampled_from([1.0, 60.0, 3600.0]),
    start_s=st.floats(0, 1e9),
    gaps=st.lists(st.floats(0, 2.0), max_size=300),
)
def test_no_more_requests_than_a_full_bucket_and_its_refill(amount, window_s, start_s, gaps):
    limit = RateLimit("x", amount, window_s)
    state, now_s, allowed = None, start_s, 0
    for gap_s in gaps:
        now_s += gap_s
        result = take(limit, state, now_s)
        state = result.full_at_s
        allowed += result.is_allowed
        assert 0 <= result.remaining < amount
    assert allowed <= amount + (now_s - start_s) * amount / window_s + 1

from gateway.domain.rate_limits import RateLimit
from gateway.http.rate_limiter import RateLimiter

LIMIT = RateLimit("x", 2, 10.0)


class Time:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def test_each_client_and_limit_has_its_own_bucket():
    limiter = RateLimiter(monotonic=Time())
    assert [limiter.take(LIMIT, "a").is_allowed for _ in range(3)] == [True, True, False]
    assert limiter.take(LIMIT, "b").is_allowed
    assert limiter.take(RateLimit("y", 1, 1.0), "a").is_allowed


def test_memory_is_bounded_and_full_buckets_are_dropped_first():
    time = Time()
    limiter = RateLimiter(max_clients=100, monotonic=time)
    for number in range(100):
        limiter.take(LIMIT, f"idle-{number}")
    time.now_s = 60.0
    for _ in range(2):
        limiter.take(LIMIT, "busy")
    limiter.take(LIMIT, "one more")
    assert len(limiter) == 2
    assert not limiter.take(LIMIT, "busy").is_allowed


def test_a_flood_of_addresses_keeps_the_emptiest_buckets():
    limiter = RateLimiter(max_clients=100, monotonic=Time())
    for _ in range(3):
        limiter.take(LIMIT, "busy")
    for number in range(1000):
        limiter.take(LIMIT, f"flood-{number}")
    assert len(limiter) <= 101
    assert not limiter.take(LIMIT, "busy").is_allowed

from twite.gateway.rate_limiter import RateLimiter

HERE = "203.0.113.7"


def spent(buckets, address=HERE, *, now, times):
    return [buckets.spend(address, now=now) for _ in range(times)]


def test_unused_rate_limit_allows_a_burst():
    buckets = RateLimiter(size=3, per=60_000)

    assert spent(buckets, now=0, times=5) == [0, 0, 0, 20_000, 20_000]


def test_rate_limit_allows_one_more_request_at_each_interval():
    buckets = RateLimiter(size=3, per=60_000)
    spent(buckets, now=0, times=3)

    assert spent(buckets, now=19_999, times=1) == [1]
    assert spent(buckets, now=20_000, times=2) == [0, 20_000]


def test_refused_request_does_not_count_towards_the_rate_limit():
    buckets = RateLimiter(size=1, per=60_000)
    spent(buckets, now=0, times=100)

    assert spent(buckets, now=60_000, times=1) == [0]


def test_unused_rate_adds_up_only_to_the_limit():
    buckets = RateLimiter(size=2, per=60_000)
    spent(buckets, now=0, times=1)

    assert spent(buckets, now=10**9, times=3) == [0, 0, 30_000]


def test_each_key_has_its_own_rate_limit():
    buckets = RateLimiter(size=1, per=60_000)
    spent(buckets, now=0, times=1)

    assert spent(buckets, "203.0.113.8", now=0, times=1) == [0]


def test_number_of_keys_is_limited_and_the_least_recent_forgotten():
    buckets = RateLimiter(size=1, per=60_000, most=2)
    for number in range(1, 4):
        spent(buckets, f"203.0.113.{number}", now=number, times=1)

    assert spent(buckets, "203.0.113.2", now=3, times=1) == [59_999]
    assert spent(buckets, "203.0.113.1", now=3, times=1) == [0]


def test_request_that_exceeded_the_limit_delays_the_next():
    buckets = RateLimiter(size=2, per=60_000)
    buckets.take(HERE, 2, now=0)
    full = buckets.wait(HERE, now=0)
    buckets.take(HERE, 3, now=0)

    assert (full, buckets.wait(HERE, now=0), buckets.wait(HERE, now=89_999)) == (0, 90_000, 1)
    assert buckets.wait(HERE, now=90_000) == 0
    assert buckets.wait("another", now=0) == 0

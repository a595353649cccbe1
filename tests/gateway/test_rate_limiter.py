from twite.gateway.rate_limiter import RateLimiter

HERE = "203.0.113.7"


def taken(buckets, address=HERE, *, now, times):
    return [buckets.spend(address, now=now) for _ in range(times)]


def test_full_bucket_can_be_spent_at_once():
    buckets = RateLimiter(size=3, per=60_000)

    assert taken(buckets, now=0, times=5) == [0, 0, 0, 20_000, 20_000]


def test_tokens_return_one_by_one():
    buckets = RateLimiter(size=3, per=60_000)
    taken(buckets, now=0, times=3)

    assert taken(buckets, now=19_999, times=1) == [1]
    assert taken(buckets, now=20_000, times=2) == [0, 20_000]


def test_refused_request_costs_no_token():
    buckets = RateLimiter(size=1, per=60_000)
    taken(buckets, now=0, times=100)

    assert taken(buckets, now=60_000, times=1) == [0]


def test_bucket_never_exceeds_its_size():
    buckets = RateLimiter(size=2, per=60_000)
    taken(buckets, now=0, times=1)

    assert taken(buckets, now=10**9, times=3) == [0, 0, 30_000]


def test_keys_do_not_share_a_bucket():
    buckets = RateLimiter(size=1, per=60_000)
    taken(buckets, now=0, times=1)

    assert taken(buckets, "203.0.113.8", now=0, times=1) == [0]


def test_table_is_bounded_and_forgets_the_least_recent():
    buckets = RateLimiter(size=1, per=60_000, most=2)
    for number in range(1, 4):
        taken(buckets, f"203.0.113.{number}", now=number, times=1)

    assert taken(buckets, "203.0.113.2", now=3, times=1) == [59_999]
    assert taken(buckets, "203.0.113.1", now=3, times=1) == [0]


def test_debt_is_waited_for():
    buckets = RateLimiter(size=2, per=60_000)
    buckets.take(HERE, 2, now=0)
    full = buckets.wait(HERE, now=0)
    buckets.take(HERE, 3, now=0)

    assert (full, buckets.wait(HERE, now=0), buckets.wait(HERE, now=89_999)) == (0, 90_000, 1)
    assert buckets.wait(HERE, now=90_000) == 0
    assert buckets.wait("another", now=0) == 0

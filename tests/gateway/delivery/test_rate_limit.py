"""All workers of an account share one rate limit, whatever clock and responses say."""

import asyncio
from datetime import UTC, datetime
from email.utils import format_datetime

import msgspec
import pytest

from builders import a_destination
from fakes import MovingClock, conversions_of, refused, taken
from twite.domain.destination import LONGEST_X_WAIT, RATE_WINDOW
from twite.domain.errors import LedgerUnavailable
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.worker import WorkerConfig
from twite.gateway.ports.transport import Response
from worker_bench import Setting

NO_IDENTIFIER = ("INVALID_PARAMETER", "At least one user identifier must be provided", "")
UNAUTHORIZED = ("UNAUTHORIZED_ACCESS", "This request is not properly authenticated", "")


def a_quota(clock, *, limit=100, past=()):
    return RateLimit(limit=limit, clock=clock, past=past)


def limited(*, reset, date=None):
    headers = {"x-rate-limit-reset": str(reset // SECOND)}
    if date is not None:
        headers["date"] = format_datetime(datetime.fromtimestamp(date / 1000, UTC), usegmt=True)
    body = b'{"errors":[{"code":"TOO_MANY_REQUESTS","message":"","parameter":""}]}'
    return Response(status=429, headers=headers, body=body)


def slow_claims(setting, ms):
    """Delay each claim, as a slow disk would."""
    claim = setting.store.claim

    async def slowly(wish):
        batch = await claim(wish)
        await setting.clock.sleep(ms)
        return batch

    setting.store.claim = slowly


async def test_two_pixels_of_one_account_share_its_rate_limit():
    two = [
        msgspec.structs.replace(a_destination(pixel, rate=10), account="both")
        for pixel in ("o8z6j", "p2")
    ]
    setting = Setting(destinations=two)
    slow_claims(setting, 20)
    await setting.record(*[f"a{i}" for i in range(10)])
    await setting.record(*[f"b{i}" for i in range(10)], pixel="p2")

    await setting.run.start()
    await setting.clock.advance(MINUTE)

    assert sum(len(ids) for ids in setting.sent()) == 10
    await setting.run.stop(within=1_000)


async def test_rate_limit_window_begins_when_a_request_leaves():
    setting = Setting(destinations=[a_destination(rate=10)], worker_config=WorkerConfig(batch=10))
    left = []

    async def post(outbound):
        left.append(setting.clock.elapsed())
        return taken(outbound)

    setting.transport.post = post
    slow_claims(setting, 3 * SECOND)
    await setting.record(*[f"c{i}" for i in range(20)])
    await setting.run.start()

    await setting.clock.advance(20 * MINUTE)

    assert len(left) == 2
    assert left[1] - left[0] >= 15 * MINUTE
    await setting.run.stop(within=1_000)


def test_wall_clock_set_forward_does_not_reset_the_rate_limit():
    clock = MovingClock()
    rate_limit = a_quota(clock)
    rate_limit.spend(100)

    clock.jump(DAY)

    assert rate_limit.left() == 0


async def test_wall_clock_set_back_does_not_extend_the_window():
    clock = MovingClock()
    rate_limit = a_quota(clock)
    rate_limit.spend(100)

    clock.jump(-DAY)
    await clock.advance(15 * MINUTE)

    assert rate_limit.left() == 100


def test_conversions_sent_before_the_start_count_towards_the_rate_limit():
    clock = MovingClock()

    rate_limit = a_quota(clock, past=[(clock.now() - MINUTE, 30)])

    assert rate_limit.left() == 70


def test_older_response_does_not_undo_an_exhausted_rate_limit():
    clock = MovingClock()
    rate_limit = a_quota(clock)
    rate_limit.obey(left=0, reset=clock.now() + 10 * MINUTE)

    rate_limit.obey(left=50, reset=clock.now() + MINUTE)

    assert (rate_limit.left(), rate_limit.wait()) == (0, 10 * MINUTE)


async def test_response_after_the_reset_may_allow_more():
    clock = MovingClock()
    rate_limit = a_quota(clock)
    rate_limit.obey(left=0, reset=clock.now() + MINUTE)
    await clock.advance(MINUTE)

    rate_limit.obey(left=7, reset=clock.now() + MINUTE)

    assert rate_limit.left() == 7


def test_reset_time_in_another_century_is_ignored():
    clock = MovingClock()
    rate_limit = a_quota(clock)

    rate_limit.obey(left=0, reset=clock.now() + 100 * 365 * DAY)

    assert rate_limit.left() == 100
    assert (rate_limit.is_closed_by_x, rate_limit.unnoted()) == (False, None)


async def test_rate_limit_is_obeyed_by_the_time_of_x_if_the_clock_is_wrong():
    setting = Setting()
    right = setting.clock.now()
    setting.clock.jump(-HOUR)
    setting.transport.reply(limited(reset=right + 5 * MINUTE, date=right))
    await setting.run.start()
    await setting.record("a")
    await setting.clock.advance(5 * MINUTE - 2 * SECOND)

    early = setting.sent()
    await setting.clock.advance(20 * SECOND)

    assert early == [["a"]]
    assert setting.sent() == [["a"], ["a"]]
    await setting.run.stop(within=1_000)


async def test_refused_batch_as_large_as_the_limit_does_not_use_up_each_window():
    setting = Setting(destinations=[a_destination(rate=4)], worker_config=WorkerConfig(batch=4))
    bad = {"c0", "c2"}

    async def post(outbound):
        ids = {str(conversion["conversion_id"]) for conversion in conversions_of(outbound)}
        return refused(NO_IDENTIFIER) if ids & bad else taken(outbound)

    setting.transport.post = post
    await setting.record("c0", "c1", "c2", "c3")
    await setting.run.start()

    await setting.clock.advance(2 * HOUR)

    assert [await setting.state(f"c{i}") for i in range(4)] == [
        "dead",
        "delivered",
        "dead",
        "delivered",
    ]
    await setting.run.stop(within=1_000)


async def test_paused_pixel_is_probed_once_a_minute_despite_store_errors():
    setting = Setting(replies=[refused(UNAUTHORIZED, status=401)] * 100)
    settle = setting.store.settle
    await setting.run.start()
    await setting.record("a", "b", "c", "d")
    await setting.clock.advance(SECOND)
    before = len(setting.sent())

    async def broken(settlement):
        raise LedgerUnavailable(reason="disk full", retry_after=1)

    setting.store.settle = broken
    await setting.clock.advance(3 * MINUTE)
    during = len(setting.sent()) - before
    setting.store.settle = settle

    assert during == 3
    await asyncio.sleep(0)
    await setting.run.stop(within=1_000)


async def test_earlier_conversions_count_until_their_window_ends():
    clock = MovingClock()
    clock.jump(-DAY)
    rate_limit = a_quota(clock, past=[(clock.now() - 14 * MINUTE, 60), (clock.now() - MINUTE, 40)])

    left = [rate_limit.left()]
    for _ in range(15):
        await clock.advance(MINUTE)
        left.append(rate_limit.left())

    assert left == [0, *[60] * 13, 100, 100]


async def test_reset_time_is_recorded_once_by_the_wall_clock():
    clock = MovingClock()
    clock.jump(-DAY)
    rate_limit = a_quota(clock)
    reset = clock.now() + 10 * MINUTE

    rate_limit.obey(left=0, reset=reset)
    reported = (rate_limit.unnoted(), rate_limit.wait())
    rate_limit.noted(reset)

    assert reported == (reset, 10 * MINUTE)
    assert rate_limit.unnoted() is None
    later = reset + MINUTE
    rate_limit.obey(left=0, reset=later)
    assert rate_limit.unnoted() == later


async def test_waits_and_resets_are_correct_after_an_hour_of_running():
    clock = MovingClock()
    await clock.advance(HOUR)
    quota = a_quota(clock, limit=10)
    quota.spend(10)
    await clock.advance(MINUTE)

    assert (quota.left(), quota.wait()) == (0, RATE_WINDOW - MINUTE)

    reset = clock.now() + 5 * MINUTE
    quota.obey(left=0, reset=reset)
    assert (quota.is_closed_by_x, quota.unnoted()) == (True, reset)
    quota.noted(reset)
    assert quota.unnoted() is None
    await clock.advance(5 * MINUTE)
    assert not quota.is_closed_by_x


def test_new_rate_limit_is_open_and_has_nothing_to_record():
    quota = a_quota(MovingClock())

    assert (quota.left(), quota.wait(), quota.is_closed_by_x, quota.unnoted()) == (
        100, 0, False, None,
    )  # fmt: skip


async def test_wait_for_the_rate_limit_is_exact_to_the_millisecond():
    clock = MovingClock()
    quota = a_quota(clock)
    quota.spend(100)
    await clock.advance(RATE_WINDOW - 1)

    assert quota.wait() == 1
    await clock.advance(1)
    assert quota.wait() == 0


def test_wait_for_an_exhausted_rate_limit_is_never_zero():
    assert a_quota(MovingClock(), limit=0).wait() == 1


def test_reset_of_less_than_a_second_is_not_recorded():
    clock = MovingClock()
    quota = a_quota(clock)

    quota.obey(left=0, reset=clock.now() + SECOND)
    soon = quota.unnoted()
    quota.obey(left=0, reset=clock.now() + SECOND + 1)

    assert (soon, quota.unnoted()) == (None, clock.now() + SECOND + 1)


def test_reset_time_is_used_up_to_the_longest_wait():
    clock = MovingClock()
    near, far = a_quota(clock), a_quota(clock)

    near.obey(left=0, reset=clock.now() + LONGEST_X_WAIT)
    far.obey(left=0, reset=clock.now() + LONGEST_X_WAIT + 1)

    assert (near.left(), near.wait(), far.left()) == (0, LONGEST_X_WAIT, 100)


def test_account_is_open_while_x_allows_one_conversion():
    clock = MovingClock()
    quota = a_quota(clock)

    quota.obey(left=1, reset=clock.now() + MINUTE)

    assert (quota.left(), quota.wait(), quota.is_closed_by_x) == (1, 0, False)


ONE, OTHER = ("p", "one"), ("p", "other")


def exceed(rate_limit, clock, whose=ONE, *, after=10 * MINUTE, names_window=False):
    rate_limit.exceeded(whose, reset=clock.now() + after, names_window=names_window)
    return rate_limit.is_closed_by_x


@pytest.mark.parametrize(("spent", "is_closed"), [(90, False), (91, True)])
def test_status_429_without_a_window_closes_an_account_that_has_little_left(spent, is_closed):
    clock = MovingClock()
    rate_limit = a_quota(clock)
    rate_limit.spend(spent)

    assert exceed(rate_limit, clock) is is_closed


@pytest.mark.parametrize(
    ("left", "ago", "is_closed"),
    [
        (None, 0, True), (9, 0, True), (10, 0, False), (50, MINUTE, False),
        (50, MINUTE + 1, True), (0, 0, True),
    ],
)  # fmt: skip
async def test_status_429_closes_the_account_unless_x_allows_more(left, ago, is_closed):
    clock = MovingClock()
    await clock.advance(HOUR)
    rate_limit = a_quota(clock)
    if left is not None:
        rate_limit.obey(left=left, reset=clock.now() + 5 * MINUTE)
    await clock.advance(ago)

    assert exceed(rate_limit, clock, names_window=True) is is_closed


async def test_second_event_with_a_429_closes_the_account_until_the_later_reset():
    clock = MovingClock()
    await clock.advance(HOUR)
    rate_limit = a_quota(clock)

    first = exceed(rate_limit, clock), exceed(rate_limit, clock)
    second = exceed(rate_limit, clock, OTHER, after=MINUTE)

    assert (first, second) == ((False, False), True)
    assert rate_limit.wait() == 10 * MINUTE


async def test_event_whose_rate_limit_was_reset_does_not_close_the_account():
    clock = MovingClock()
    rate_limit = a_quota(clock)
    exceed(rate_limit, clock, after=MINUTE)

    await clock.advance(MINUTE)

    assert not exceed(rate_limit, clock, OTHER)

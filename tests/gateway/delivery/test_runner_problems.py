"""While the store fails, the runner reports it, waits, and tries again."""

import pytest
from ownership_stage import AWAY, SharedSetting

from builders import a_destination
from twite.domain.errors import LedgerUnavailable
from twite.domain.pause import Pause
from twite.gateway.ports.events import ProblemPlace, ProblemSeen
from twite.gateway.ports.ownership import SHARE_OUT_EVERY
from worker_bench import Setting

FULL = LedgerUnavailable(reason="disk full", retry_after=1)


def problems(setting):
    """Return the reasons of the reported problems of the outbox."""
    return [
        notice.reason
        for notice in setting.seen.notices
        if isinstance(notice, ProblemSeen) and notice.where is ProblemPlace.OUTBOX
    ]


@pytest.mark.parametrize(("error", "reason"), [(FULL, "disk full"), (KeyError(), "KeyError")])
async def test_added_pixel_is_tried_again_every_two_seconds(error, reason):
    setting = Setting()
    await setting.run.start()
    load = setting.store.load

    async def failing(kind):
        if kind is Pause:
            raise error
        return await load(kind)

    setting.store.load = failing
    setting.run.send_to(a_destination("p2"))
    await setting.clock.advance(SHARE_OUT_EVERY - 1)
    before = problems(setting)
    await setting.clock.advance(1)

    assert (before, problems(setting)) == ([reason], [reason, reason])
    await setting.run.stop(within=1_000)


async def test_pixel_removed_before_its_worker_starts_is_not_a_problem():
    setting = Setting()
    await setting.run.start()

    setting.run.replace([a_destination(), a_destination("p2")])
    setting.run.replace([a_destination()])
    await setting.clock.advance(SHARE_OUT_EVERY)

    assert problems(setting) == []
    await setting.run.stop(within=1_000)


@pytest.mark.parametrize(("error", "reason"), [(AWAY, AWAY.reason), (KeyError(), "KeyError")])
async def test_failed_division_of_the_accounts_is_reported(begin, error, reason):
    setting = await begin("a")

    async def failing():
        raise error

    setting.ownership.refresh = failing
    await setting.shared_out()

    assert problems(setting) == [reason]


async def test_internal_error_while_reading_changes_is_reported_and_they_are_read_again(begin):
    setting = await begin("a")
    await setting.clock.advance(setting.ownership.next_news)
    news, setting.ownership.news = setting.ownership.news, failing_news
    await setting.clock.advance(setting.ownership.next_news)
    setting.ownership.news = news
    setting.ownership.calls.clear()
    await setting.clock.advance(SHARE_OUT_EVERY)

    assert set(problems(setting)) == {"KeyError"}
    assert "news" in setting.ownership.calls


async def failing_news(_idle):
    raise KeyError


async def test_failed_release_of_an_account_is_reported_and_repeated_later(begin):
    setting = await begin("a", "p3")
    workers = dict(setting.run._workers)  # noqa: SLF001
    setting.ownership.due = frozenset({"a"})
    setting.ownership.failures["give up p3"] = 2

    await setting.clock.advance(SHARE_OUT_EVERY)
    first = setting.gave_up(), problems(setting)
    await setting.clock.advance(SHARE_OUT_EVERY)
    second = len(setting.gave_up()), problems(setting)

    assert first == (["give up p3"], [AWAY.reason])
    assert second == (2, [AWAY.reason, AWAY.reason])
    # The workers of the other account go on.
    assert setting.run._workers == {pixel: workers[pixel] for pixel in ("p1", "p2")}  # noqa: SLF001


async def test_stopping_gateway_asks_for_no_more_accounts():
    setting = SharedSetting("a")
    await setting.run.start()
    await setting.clock.advance(1)
    setting.ownership.calls.clear()

    await setting.run.stop(within=1_000)

    assert setting.ownership.calls == ["leave"]

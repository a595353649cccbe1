# ruff: noqa: S101 - assertions are how laws speak
"""What is ignored is counted, and nothing else is kept of it."""

from twite.domain.account import Account
from twite.domain.ignored import MOST_NAMES, OTHER, IgnoredTally
from twite.domain.submission import Door, Entry, Ignored, Recorded, Submission
from twite.domain.times import DAY
from twite.testing.builders import NOW, an_entry
from twite.testing.laws.acts import Store

_TODAY = NOW // DAY


def _submission(
    *names: str, receipt: str = "r1", at: int = NOW, entries: tuple[Entry, ...] = ()
) -> Submission:
    return Submission(
        receipt=receipt,
        source="shop",
        door=Door.GA4,
        received_at=at,
        body=b"{}",
        entries=entries,
        ignored=tuple(Ignored(name=name, reason="not_configured") for name in names),
    )


def _counted(name: str, times: int, *, day: int = _TODAY) -> IgnoredTally:
    return IgnoredTally(
        day=day, source="shop", door="ga4", name=name, reason="not_configured", times=times
    )


class IgnoringLaws:
    async def test_what_is_ignored_is_counted_by_day_source_door_and_name(
        self, store: Store
    ) -> None:
        await store.record(_submission("scroll", "click", "scroll"))
        await store.record(_submission("scroll", receipt="r2"))
        await store.record(_submission("scroll", receipt="r3", at=NOW + DAY))

        assert list(await store.ignored(since=0)) == [
            _counted("click", 1),
            _counted("scroll", 3),
            _counted("scroll", 1, day=_TODAY + 1),
        ]

    async def test_days_before_the_first_that_is_asked_for_are_left_out(self, store: Store) -> None:
        await store.record(_submission("scroll"))
        await store.record(_submission("scroll", receipt="r2", at=NOW + DAY))

        assert list(await store.ignored(since=_TODAY + 1)) == [
            _counted("scroll", 1, day=_TODAY + 1)
        ]

    async def test_what_is_ignored_beside_a_conversion_is_counted_with_it(
        self, store: Store
    ) -> None:
        recorded = await store.record(_submission("scroll", entries=(an_entry("order-1"),)))

        assert recorded == Recorded()
        assert list(await store.ignored(since=0)) == [_counted("scroll", 1)]
        assert list(await store.accounts()) == [
            Account(source="shop", pixel="o8z6j", received=1, pending=1)
        ]

    async def test_of_what_is_only_ignored_no_submission_and_no_account_is_kept(
        self, store: Store
    ) -> None:
        recorded = await store.record(_submission("scroll"))

        assert recorded == Recorded()
        assert list(await store.submission("r1")) == []
        assert list(await store.accounts()) == []

    async def test_a_day_of_too_many_names_counts_the_rest_under_one(self, store: Store) -> None:
        names = [f"name-{number:03}" for number in range(MOST_NAMES + 20)]

        await store.record(_submission(*names))
        await store.record(_submission(names[0], names[-1], receipt="r2"))

        counted = {one.name: one.times for one in await store.ignored(since=0)}
        assert counted == dict.fromkeys(names[:MOST_NAMES], 1) | {names[0]: 2, OTHER: 21}

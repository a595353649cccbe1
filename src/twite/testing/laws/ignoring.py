# ruff: noqa: S101 - assertions are how laws speak
"""Store contract: ignored events are counted, and nothing else is stored."""

import msgspec

from twite.domain.history import ConversionCounts, TagNotFired
from twite.domain.ignored import MOST_NAMES, OTHER, IgnoredTally
from twite.domain.submission import (
    AcceptedConversion,
    Endpoint,
    Ignored,
    Recorded,
    Submission,
    UnfiredTags,
)
from twite.domain.times import DAY
from twite.gateway.ports.queries import ByReceipt, IgnoredQuery
from twite.gateway.ports.store import Store
from twite.testing.builders import NOW, an_entry

_TODAY = NOW // DAY
_RECEIPT = "019abf0e-0000-7000-8000-000000000001"


def _submission(
    *names: str, receipt: str = "r1", at: int = NOW, entries: tuple[AcceptedConversion, ...] = ()
) -> Submission:
    return Submission(
        receipt=receipt,
        source="shop",
        endpoint=Endpoint.GA4,
        received_at=at,
        body=b"{}",
        entries=entries,
        ignored=tuple(Ignored(name=name, reason="not_configured") for name in names),
    )


def _counted(name: str, times: int, *, day: int = _TODAY) -> IgnoredTally:
    return IgnoredTally(
        day=day, source="shop", endpoint="ga4", name=name, reason="not_configured", times=times
    )


class IgnoringLaws:
    async def test_what_is_ignored_is_counted_by_day_source_door_and_name(
        self, store: Store
    ) -> None:
        await store.record(_submission("scroll", "click", "scroll"))
        await store.record(_submission("scroll", receipt="r2"))
        await store.record(_submission("scroll", receipt="r3", at=NOW + DAY))

        assert list(await store.answer(IgnoredQuery(since=0))) == [
            _counted("click", 1),
            _counted("scroll", 3),
            _counted("scroll", 1, day=_TODAY + 1),
        ]

    async def test_days_before_the_first_that_is_asked_for_are_left_out(self, store: Store) -> None:
        await store.record(_submission("scroll"))
        await store.record(_submission("scroll", receipt="r2", at=NOW + DAY))

        assert list(await store.answer(IgnoredQuery(since=_TODAY + 1))) == [
            _counted("scroll", 1, day=_TODAY + 1)
        ]

    async def test_what_is_ignored_beside_a_conversion_is_counted_with_it(
        self, store: Store
    ) -> None:
        recorded = await store.record(_submission("scroll", entries=(an_entry("order-1"),)))

        assert recorded == Recorded()
        assert list(await store.answer(IgnoredQuery(since=0))) == [_counted("scroll", 1)]
        assert list(await store.balance()) == [
            ConversionCounts(source="shop", pixel="o8z6j", received=1, pending=1)
        ]

    async def test_of_what_is_only_ignored_no_submission_and_no_account_is_kept(
        self, store: Store
    ) -> None:
        recorded = await store.record(_submission("scroll"))

        assert recorded == Recorded()
        assert list(await store.find(ByReceipt(receipt="r1"))) == []
        assert list(await store.balance()) == []

    async def test_a_day_of_too_many_names_counts_the_rest_under_one(self, store: Store) -> None:
        names = [f"name-{number:03}" for number in range(MOST_NAMES + 20)]

        await store.record(_submission(*names))
        await store.record(_submission(names[0], names[-1], receipt="r2"))

        counted = {tally.name: tally.times for tally in await store.answer(IgnoredQuery(since=0))}
        assert counted == dict.fromkeys(names[:MOST_NAMES], 1) | {names[0]: 2, OTHER: 21}

    async def test_a_tag_that_does_not_fire_is_counted_and_told_in_the_life(
        self, store: Store
    ) -> None:
        entries = (an_entry("order-1", index=0), an_entry("order-2", index=2))
        heard = Submission(
            receipt=_RECEIPT,
            source="shop",
            endpoint=Endpoint.GA4,
            received_at=NOW,
            body=b"{}",
            entries=entries,
            unfired=(
                _unfired("tag:crm", 0),
                _unfired("tag:crm", 2),
                _unfired("tag:ads", 2),
                _unfired("tag:ads", None),
            ),
        )

        await store.record(heard)

        histories = {
            history.conversion_id: history
            for history in await store.find(ByReceipt(receipt=_RECEIPT))
        }
        crm, ads = (
            TagNotFired(tag=f"tag:{name}", why="consent ad_storage") for name in ("crm", "ads")
        )
        assert histories["order-1"].not_fired == (crm,)
        assert histories["order-2"].not_fired == (crm, ads)
        assert [
            (tally.name, tally.reason, tally.times)
            for tally in await store.answer(IgnoredQuery(since=0))
        ] == [
            ("tag:ads", "tag_consent", 2),
            ("tag:crm", "tag_consent", 2),
        ]

    async def test_of_events_that_only_tags_pass_over_no_submission_is_kept(
        self, store: Store
    ) -> None:
        heard = msgspec.structs.replace(_submission(), unfired=(_unfired("tag:crm", None),))

        await store.record(heard)

        assert [
            (tally.name, tally.times) for tally in await store.answer(IgnoredQuery(since=0))
        ] == [("tag:crm", 1)]
        assert list(await store.balance()) == []


def _unfired(tag: str, index: int | None) -> UnfiredTags:
    return UnfiredTags(tag=tag, bar="consent", why="consent ad_storage", index=index)

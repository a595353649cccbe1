"""Store contract: rejected conversions, the latest of each source and pixel."""

import msgspec

from builders import NOW, a_submission, an_entry
from twite.domain.fault import MaskedFault, fault
from twite.domain.history import ConversionCounts, TagNotFired
from twite.domain.submission import (
    MOST_KEPT,
    MOST_NAMES,
    OTHER,
    AcceptedConversion,
    Endpoint,
    Ignored,
    IgnoredTally,
    Recorded,
    RejectedConversion,
    Rejection,
    RejectionQuery,
    Submission,
    UnfiredTags,
)
from twite.domain.test_mode import in_test
from twite.domain.times import DAY, MINUTE
from twite.gateway.ports.listing import ConversionSummary, ListedState, ListQuery
from twite.gateway.ports.queries import ByReceipt, IgnoredQuery, RejectionsQuery
from twite.gateway.ports.store import Store

_PIXEL = "o8z6j"
_EVERYTHING = RejectionQuery()


def _refusal(conversion_id: str, code: str = "event_unknown", **more: object) -> RejectedConversion:
    values: dict[str, object] = {
        "index": 0,
        "pixel": _PIXEL,
        "errors": (fault("event", code),),
        "event": "bought",
        "conversion_id": conversion_id,
        "faults": (MaskedFault(path="event", code=code, message="no such event", value="bought"),),
    }
    return msgspec.convert(values | more, RejectedConversion)


def _submission(
    *refusals: RejectedConversion,
    receipt: str = "r1",
    source: str = "shop",
    at: int = NOW,
    entries: tuple[AcceptedConversion, ...] = (),
) -> Submission:
    return Submission(
        receipt=receipt,
        source=source,
        endpoint=Endpoint.NATIVE,
        received_at=at,
        body=b"{}",
        entries=entries,
        refusals=refusals,
    )


class RejectionLaws:
    async def test_rejection_in_a_list_names_its_codes(self, store: Store) -> None:
        faults = tuple(MaskedFault(path=code, code=code, message="no") for code in ("late", "odd"))
        refusal = RejectedConversion(
            index=3, pixel=_PIXEL, errors=(), event="bought", conversion_id="order-1", faults=faults
        )
        submission = a_submission(receipt="r1")
        await store.record(msgspec.structs.replace(submission, refusals=(refusal,)))

        (summary,) = (await store.page(ListQuery())).summaries

        assert summary == ConversionSummary(
            key=summary.key,
            delivery=None,
            received_at=NOW,
            pixel=_PIXEL,
            event="bought",
            conversion_id="order-1",
            source="shop",
            endpoint="native",
            receipt="r1",
            state=ListedState.REJECTED,
            reason="late, odd",
            body=b"",
        )

    async def test_rejections_of_a_source_include_its_tests(self, store: Store) -> None:
        test = _submission(
            _refusal("order-1", pixel=in_test(_PIXEL)), source=in_test("shop"), receipt="r1"
        )
        await store.record(test)
        await store.record(_submission(_refusal("order-2"), source="page", receipt="r2"))

        query = RejectionsQuery(rejection_query=RejectionQuery(source="shop"))
        (found,) = await store.answer(query)

        assert (found.source, found.pixel) == (in_test("shop"), in_test(_PIXEL))

    async def test_rejection_has_its_errors_and_values(self, store: Store) -> None:
        entry = an_entry("order-1", index=0)

        await store.record(_submission(_refusal("order-2", index=1), entries=(entry,)))

        assert list(await store.answer(RejectionsQuery(rejection_query=_EVERYTHING))) == [
            Rejection(
                at=NOW,
                source="shop",
                pixel=_PIXEL,
                endpoint="native",
                receipt="r1",
                index=1,
                event="bought",
                conversion_id="order-2",
                faults=_refusal("order-2").faults,
            )
        ]

    async def test_each_conversion_of_a_rejected_request_is_counted(self, store: Store) -> None:
        await store.record(_submission(_refusal("order-1"), _refusal("order-2", index=1)))

        assert [
            rejection.conversion_id
            for rejection in await store.answer(RejectionsQuery(rejection_query=_EVERYTHING))
        ] == [
            "order-2",
            "order-1",
        ]
        assert list(await store.balance()) == [
            ConversionCounts(source="shop", pixel=_PIXEL, received=2, rejected=2)
        ]

    async def test_rejected_conversions_are_latest_first_and_limited(self, store: Store) -> None:
        for number in range(3):
            at = NOW + number * MINUTE
            await store.record(
                _submission(_refusal(f"order-{number}"), receipt=f"r{number}", at=at)
            )

        found = await store.answer(RejectionsQuery(rejection_query=RejectionQuery(limit=2)))

        assert [rejection.conversion_id for rejection in found] == ["order-2", "order-1"]

    async def test_rejected_conversions_can_be_filtered(self, store: Store) -> None:
        later = NOW + MINUTE
        await store.record(_submission(_refusal("order-1")))
        await store.record(
            _submission(
                _refusal("order-2", "not_a_time", pixel=""), receipt="r2", source="web", at=later
            )
        )

        async def ids(query: RejectionQuery) -> list[str]:
            return [
                rejection.conversion_id
                for rejection in await store.answer(RejectionsQuery(rejection_query=query))
            ]

        assert await ids(RejectionQuery(since=later)) == ["order-2"]
        assert await ids(RejectionQuery(until=later, limit=1)) == ["order-1"]
        assert await ids(RejectionQuery(code="event_unknown")) == ["order-1"]
        assert await ids(RejectionQuery(name="order-1")) == ["order-1"]
        assert await ids(RejectionQuery(name="r2")) == ["order-2"]
        assert await ids(RejectionQuery(source="web")) == ["order-2"]
        assert await ids(RejectionQuery(pixels=frozenset({_PIXEL}))) == ["order-1"]
        assert await ids(RejectionQuery(name="order-3")) == []

    async def test_only_the_latest_rejected_conversions_are_stored(self, store: Store) -> None:
        await store.record(_submission(_refusal("quiet"), source="web"))
        for part in range(MOST_KEPT // 500 + 1):
            ids = [f"order-{part * 500 + number}" for number in range(500)]
            await store.record(_submission(*map(_refusal, ids), receipt=f"r{part}", at=NOW + part))

        more = RejectionQuery(limit=2 * MOST_KEPT)
        found = await store.answer(RejectionsQuery(rejection_query=more))

        by_source = {
            name: [rejection for rejection in found if rejection.source == name]
            for name in ("shop", "web")
        }
        assert len(by_source["shop"]) == MOST_KEPT
        assert by_source["shop"][0].conversion_id == f"order-{MOST_KEPT + 499}"
        assert by_source["shop"][-1].conversion_id == "order-500"
        assert [rejection.conversion_id for rejection in by_source["web"]] == ["quiet"]


_TODAY = NOW // DAY
_RECEIPT = "019abf0e-0000-7000-8000-000000000001"


def _with_ignored(
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
    async def test_ignored_events_are_counted_by_day_source_and_name(self, store: Store) -> None:
        await store.record(_with_ignored("scroll", "click", "scroll"))
        await store.record(_with_ignored("scroll", receipt="r2"))
        await store.record(_with_ignored("scroll", receipt="r3", at=NOW + DAY))

        assert list(await store.answer(IgnoredQuery(since=0))) == [
            _counted("click", 1),
            _counted("scroll", 3),
            _counted("scroll", 1, day=_TODAY + 1),
        ]

    async def test_ignored_events_before_the_first_day_are_omitted(self, store: Store) -> None:
        await store.record(_with_ignored("scroll"))
        await store.record(_with_ignored("scroll", receipt="r2", at=NOW + DAY))

        assert list(await store.answer(IgnoredQuery(since=_TODAY + 1))) == [
            _counted("scroll", 1, day=_TODAY + 1)
        ]

    async def test_ignored_events_beside_a_conversion_are_counted(self, store: Store) -> None:
        recorded = await store.record(_with_ignored("scroll", entries=(an_entry("order-1"),)))

        assert recorded == Recorded()
        assert list(await store.answer(IgnoredQuery(since=0))) == [_counted("scroll", 1)]
        assert list(await store.balance()) == [
            ConversionCounts(source="shop", pixel="o8z6j", received=1, pending=1)
        ]

    async def test_request_of_ignored_events_stores_no_submission(self, store: Store) -> None:
        recorded = await store.record(_with_ignored("scroll"))

        assert recorded == Recorded()
        assert list(await store.find(ByReceipt(receipt="r1"))) == []
        assert list(await store.balance()) == []

    async def test_names_beyond_the_daily_limit_are_counted_together(self, store: Store) -> None:
        names = [f"name-{number:03}" for number in range(MOST_NAMES + 20)]

        await store.record(_with_ignored(*names))
        await store.record(_with_ignored(names[0], names[-1], receipt="r2"))

        counted = {tally.name: tally.times for tally in await store.answer(IgnoredQuery(since=0))}
        assert counted == dict.fromkeys(names[:MOST_NAMES], 1) | {names[0]: 2, OTHER: 21}

    async def test_tag_that_did_not_fire_is_counted_and_in_the_history(self, store: Store) -> None:
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

    async def test_events_that_tags_skip_store_no_submission(self, store: Store) -> None:
        heard = msgspec.structs.replace(_with_ignored(), unfired=(_unfired("tag:crm", None),))

        await store.record(heard)

        assert [
            (tally.name, tally.times) for tally in await store.answer(IgnoredQuery(since=0))
        ] == [("tag:crm", 1)]
        assert list(await store.balance()) == []


def _unfired(tag: str, index: int | None) -> UnfiredTags:
    return UnfiredTags(tag=tag, reason="consent", why="consent ad_storage", index=index)

# ruff: noqa: S101 - assertions are how laws speak
"""Store contract: rejected conversions, the latest of each source and pixel."""

import msgspec

from twite.domain.fault import MaskedFault, fault
from twite.domain.history import ConversionCounts
from twite.domain.rejection import MOST_KEPT, Rejection, RejectionQuery
from twite.domain.submission import AcceptedConversion, Endpoint, RejectedConversion, Submission
from twite.domain.times import MINUTE
from twite.gateway.ports.queries import RejectionsQuery
from twite.gateway.ports.store import Store
from twite.testing.builders import NOW, an_entry

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
    async def test_a_rejected_conversion_is_told_with_what_is_wrong_and_what_stood_there(
        self, store: Store
    ) -> None:
        entry = an_entry("order-1", index=0)

        await store.record(_submission(_refusal("order-2", index=1), entries=(entry,)))

        assert list(await store.answer(RejectionsQuery(wanted=_EVERYTHING))) == [
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

    async def test_of_a_request_that_is_rejected_whole_all_are_told_and_counted(
        self, store: Store
    ) -> None:
        await store.record(_submission(_refusal("order-1"), _refusal("order-2", index=1)))

        assert [
            rejection.conversion_id
            for rejection in await store.answer(RejectionsQuery(wanted=_EVERYTHING))
        ] == [
            "order-2",
            "order-1",
        ]
        assert list(await store.balance()) == [
            ConversionCounts(source="shop", pixel=_PIXEL, received=2, rejected=2)
        ]

    async def test_the_latest_comes_first_and_no_more_than_the_limit(self, store: Store) -> None:
        for number in range(3):
            at = NOW + number * MINUTE
            await store.record(
                _submission(_refusal(f"order-{number}"), receipt=f"r{number}", at=at)
            )

        found = await store.answer(RejectionsQuery(wanted=RejectionQuery(limit=2)))

        assert [rejection.conversion_id for rejection in found] == ["order-2", "order-1"]

    async def test_they_are_found_by_time_code_name_source_and_pixel(self, store: Store) -> None:
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
                for rejection in await store.answer(RejectionsQuery(wanted=query))
            ]

        assert await ids(RejectionQuery(since=later)) == ["order-2"]
        assert await ids(RejectionQuery(code="event_unknown")) == ["order-1"]
        assert await ids(RejectionQuery(name="order-1")) == ["order-1"]
        assert await ids(RejectionQuery(name="r2")) == ["order-2"]
        assert await ids(RejectionQuery(source="web")) == ["order-2"]
        assert await ids(RejectionQuery(pixels=frozenset({_PIXEL}))) == ["order-1"]
        assert await ids(RejectionQuery(name="order-3")) == []

    async def test_of_each_source_and_pixel_only_the_latest_are_kept(self, store: Store) -> None:
        await store.record(_submission(_refusal("quiet"), source="web"))
        for part in range(MOST_KEPT // 500 + 1):
            ids = [f"order-{part * 500 + number}" for number in range(500)]
            await store.record(_submission(*map(_refusal, ids), receipt=f"r{part}", at=NOW + part))

        found = await store.answer(RejectionsQuery(wanted=RejectionQuery(limit=2 * MOST_KEPT)))

        by_source = {
            name: [rejection for rejection in found if rejection.source == name]
            for name in ("shop", "web")
        }
        assert len(by_source["shop"]) == MOST_KEPT
        assert by_source["shop"][0].conversion_id == f"order-{MOST_KEPT + 499}"
        assert by_source["shop"][-1].conversion_id == "order-500"
        assert [rejection.conversion_id for rejection in by_source["web"]] == ["quiet"]

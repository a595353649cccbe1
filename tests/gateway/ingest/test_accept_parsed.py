"""Conversions of other formats follow the native format's rules; ignored ones are counted."""

import msgspec
import pytest
from test_accept import AcceptStage

from builders import NOW, a_source, an_entry
from twite.domain.fault import fault
from twite.domain.submission import Endpoint, Ignored, IgnoredTally
from twite.domain.times import DAY
from twite.formats.parsed_request import Native, ParsedRequest
from twite.gateway.ingest.entries import tag_outcomes
from twite.gateway.ports.events import Accepted, IgnoredSome
from twite.gateway.ports.queries import IgnoredQuery

SCROLL = Ignored(name="scroll", reason="not_configured")
BOT = Ignored(name="purchase", reason="bot")


async def found(stage, found, *, endpoint=Endpoint.GA4):
    return await stage.accept.parsed(found, source=a_source(), endpoint=endpoint)


def signed_up(**fields):
    return Native(**{"event": "sign_up", "twclid": "abc"} | fields)


async def test_ignored_events_are_counted_by_reason_after_the_commit():
    stage = AcceptStage()

    receipt = await found(stage, ParsedRequest(ignored=(SCROLL, SCROLL, BOT)))

    assert (receipt.accepted, receipt.rejected) == (0, ())
    assert stage.notices == [
        Accepted(source="shop", accepted=0, duplicates=0, suppressed=0, rejected=0, endpoint="ga4"),
        IgnoredSome(source="shop", endpoint="ga4", reasons={"not_configured": 2, "bot": 1}),
    ]
    assert [
        (tally.name, tally.times) for tally in await stage.store.answer(IgnoredQuery(since=0))
    ] == [
        ("purchase", 1),
        ("scroll", 2),
    ]


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint.BEACON,
        Endpoint.GA4,
        Endpoint.MEASUREMENT_PROTOCOL,
        Endpoint.DATA_TAG,
        Endpoint.SGTM,
    ],
)
async def test_rejection_on_any_route_has_its_reason(endpoint):
    stage = AcceptStage()
    # A private network address is a warning, not a reason to reject.
    unknown = signed_up(event="nothing_of_ours", ip="10.0.0.1", value=msgspec.Raw(b'"much"'))
    wrong = fault("url", "wrong_type")

    await found(
        stage,
        ParsedRequest(
            conversions=(unknown, signed_up(), signed_up()),
            faults=((), (wrong,), ()),
        ),
        endpoint=endpoint,
    )

    [reported] = stage.notices
    assert (reported.endpoint, reported.rejected) == (endpoint.value, 2)
    assert reported.codes == {"event_unknown": 1, "wrong_type": 1}


async def test_ignored_event_beside_a_conversion_does_not_change_the_balance():
    stage = AcceptStage()

    receipt = await found(stage, ParsedRequest(conversions=(signed_up(),), ignored=(SCROLL,)))

    (account,) = await stage.store.balance()
    assert (receipt.accepted, account.received, account.balance) == (1, 1, 0)
    assert list(await stage.store.answer(IgnoredQuery(since=NOW // DAY))) == [
        IgnoredTally(
            day=NOW // DAY,
            source="shop",
            endpoint="ga4",
            name="scroll",
            reason="not_configured",
            times=1,
        )
    ]


async def test_repeated_hit_without_an_id_is_a_duplicate():
    stage = AcceptStage()
    first = ParsedRequest(conversions=(signed_up(ip="203.0.113.7"),), repeated=("GA4 1 2",))
    again = ParsedRequest(conversions=(signed_up(ip="203.0.113.9"),), repeated=("GA4 1 2",))

    receipts = [await found(stage, request) for request in (first, again)]

    assert [(receipt.accepted, receipt.duplicates) for receipt in receipts] == [(1, 0), (0, 1)]


async def test_equal_conversions_of_different_hits_are_separate():
    stage = AcceptStage()
    occasions = [
        ParsedRequest(conversions=(signed_up(),), repeated=(said,))
        for said in ("GA4 1 2", "GA4 1 3")
    ]

    receipts = [await found(stage, occasion) for occasion in occasions]

    assert [receipt.accepted for receipt in receipts] == [1, 1]


async def test_conversion_id_overrides_the_key_of_the_hit():
    stage = AcceptStage()
    both = [
        ParsedRequest(conversions=(signed_up(conversion_id="lead-1"),), repeated=(said,))
        for said in ("GA4 1 2", "GA4 1 3")
    ]

    receipts = [await found(stage, request) for request in both]

    assert [(receipt.accepted, receipt.duplicates) for receipt in receipts] == [(1, 0), (0, 1)]


def test_results_of_fired_tags_are_counted_by_name():
    fired = (
        an_entry(pixel="tag:a", index=1),
        an_entry(pixel="tag:b", index=2, held="a person decides"),
        an_entry(pixel="tag:c", index=3, suppressed="ad_storage"),
        an_entry(pixel="tag:d", index=4, held="a person decides"),
    )

    outcomes = tag_outcomes(fired, duplicates=(0, 4))

    assert [(outcome.tag, outcome.status) for outcome in outcomes] == [
        ("a", "queued"),
        ("b", "held"),
        ("c", "suppressed"),
        ("d", "duplicate"),
    ]

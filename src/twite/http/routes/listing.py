"""`GET /v1/conversions/list`: the conversions of the console's list, page by page."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from twite.domain.test_mode import real_name
from twite.domain.times import LATEST, spelled
from twite.gateway.operations.conversion_value import value_of
from twite.gateway.operations.dedup_count import of_counted
from twite.gateway.operations.list_filter import events_of, pixel_of
from twite.gateway.ports.listing import (
    TEST_FILTERS,
    ConversionSummary,
    ListedState,
    ListPosition,
    ListQuery,
    QueryScope,
)
from twite.gateway.ports.tags import PREFIX
from twite.http.authorization import Requester
from twite.http.responses import HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest
from twite.http.routes.reports import time_asked
from twite.redaction.mask_tree import masked_words

MOST_ON_A_PAGE: Final = 1_000
_LIMIT: Final = re.compile(r"[1-9][0-9]{0,3}", re.ASCII)
_ENCODER: Final = msgspec.json.Encoder()


class ConversionView(msgspec.Struct, frozen=True, kw_only=True):
    """One conversion of a list. Times are RFC 3339 in UTC.

    `number` is that of its delivery, null if it was rejected: then `reason` has the error codes.
    `value` and `currency` are null once the body is deleted. `duplicates` counts dropped copies.
    """

    number: int | None
    received_at: str
    pixel: str
    event: str
    conversion_id: str
    receipt: str
    source: str
    endpoint: str
    state: ListedState
    reason: str | None
    value: str | None
    currency: str | None
    duplicates: int


class ConversionList(msgspec.Struct, frozen=True, kw_only=True):
    """Conversions, latest first. Send `next` as `before` for the next page; null: it is the last.

    `searched_to` is set if the page ended before it was full: how far back the search has come.
    """

    conversions: tuple[ConversionView, ...]
    next: str | None
    searched_to: str | None = None


async def listed(request: HttpRequest, requester: Requester) -> HttpResponse:
    """Answer with conversions of the source, or of the API key's pixels.

    Raises HttpRefusal (400) for an invalid filter.
    """
    services, list_query = request.services, _query(request, requester)
    await _require_known(list_query.scope, request, requester)
    if list_query.state is ListedState.TWO_IDS:
        list_query = of_counted(list_query, await services.dedup_count.first())
    page = await services.queries.page(list_query)
    answer = ConversionList(
        conversions=tuple(map(_view, page.summaries)),
        next=None if page.back_to is None else str(page.back_to),
        searched_to=None if page.searched_to is None else spelled(page.searched_to),
    )
    return HttpResponse(status=200, body=_ENCODER.encode(answer))


def _query(request: HttpRequest, requester: Requester) -> ListQuery:
    now, asked = request.services.clock.now(), request.query()
    state, before, limit = asked.get("state"), asked.get("before"), asked.get("limit", "100")
    if state is not None and state not in set(ListedState):
        raise _wrong("state", f"state must be one of: {', '.join(ListedState)}")
    position = None if before is None else ListPosition.read(before)
    if before is not None and position is None:
        raise _wrong("before", "before must be the `next` of a page")
    if not _LIMIT.fullmatch(limit) or int(limit) > MOST_ON_A_PAGE:
        raise _wrong("limit", f"limit must be a whole number from 1 to {MOST_ON_A_PAGE}")
    test = asked.get("test")
    if test is not None and test not in TEST_FILTERS:
        raise _wrong("test", f"test must be one of: {', '.join(TEST_FILTERS)}")
    until = time_asked(asked.get("until"), now, name="until")
    scope = QueryScope(
        # A source sees all its conversions, also those of tags.
        pixels=None if requester.source else requester.pixels,
        pixel=pixel_of(asked.get("pixel")),
        source=requester.source or asked.get("source"),
    )
    tests = TEST_FILTERS.get(test or "")
    return ListQuery(
        scope=scope.of_tests if tests else scope,
        events=events_of(request.services.destinations.values(), asked.get("event")),
        state=None if state is None else ListedState(state),
        reason=asked.get("reason"),
        since=time_asked(asked.get("since"), now) or 0,
        until=LATEST if until is None else until,
        named=asked.get("id"),
        digest=asked.get("digest"),
        tests=tests,
        position=position,
        limit=int(limit),
    )


async def _require_known(
    query_scope: QueryScope, request: HttpRequest, requester: Requester
) -> None:
    """Raise HttpRefusal (400) for a pixel or source that does not exist, or is not visible."""
    services, pixel, source = request.services, query_scope.pixel, query_scope.source
    if pixel is None and source in {None, requester.source}:
        return
    counted = [counts for counts in await services.queries.balance() if requester.counts(counts)]
    pixels = {*filter(requester.sees, services.destinations)}
    pixels |= {real_name(counts.pixel) for counts in counted if counts.pixel}
    sees_tag = pixel is not None and (
        pixel.startswith(PREFIX)
        and (requester.source is not None or requester.sees(pixel))
        and services.has_tag(pixel)
    )
    if pixel and real_name(pixel) not in pixels and not sees_tag:
        raise _unknown("pixel", pixels)
    sources = {each.name for each in services.sources if any(map(requester.sees, each.pixels))}
    sources |= {real_name(counts.source) for counts in counted}
    if source not in {None, requester.source} and real_name(source) not in sources:
        raise _unknown("source", sources)


def _unknown(name: str, known: Iterable[str]) -> HttpRefusal:
    there = ", ".join(sorted(known)) or "none"
    return _wrong(name, f"this key sees no such {name}. Available: {there}")


def _wrong(name: str, message: str) -> HttpRefusal:
    return HttpRefusal(error(400, "filter", message, path=name))


def _view(summary: ConversionSummary) -> ConversionView:
    amount = value_of(summary.body)
    return ConversionView(
        number=summary.delivery,
        received_at=spelled(summary.received_at),
        pixel=summary.pixel,
        event=summary.event,
        conversion_id=summary.conversion_id,
        receipt=summary.receipt,
        source=summary.source,
        endpoint=summary.endpoint,
        state=summary.state,
        reason=summary.reason and masked_words(summary.reason),
        value=amount.value,
        currency=amount.price_currency,
        duplicates=summary.duplicates,
    )

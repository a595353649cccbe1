"""`GET /v1/conversions/…`, `/v1/accounting`, `/v1/rejections`, `/v1/deduplication`."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.fault import CODES, ROW_CODES, Fault, MaskedFault
from twite.domain.history import (
    ConversionCounts,
    History,
    tests_of,
    total,
    waiting,
    without_tests,
)
from twite.domain.joins import JoinKind, age_of
from twite.domain.stats.deduplication import MOST_DAYS
from twite.domain.submission import KEPT_FOR, Rejection, RejectionQuery
from twite.domain.test_mode import is_test, real_name
from twite.domain.times import DAY, spelled, time_limit
from twite.domain.value_change import ValueChange
from twite.gateway.operations.dedup_report import DEFAULT_DAYS, first_moment, read_report, ways_by
from twite.gateway.ports.queries import ByConversionId, IgnoredQuery, RejectionsQuery
from twite.gateway.ports.tags import PREFIX
from twite.http.authorization import Requester
from twite.http.responses import HttpRefusal, HttpResponse, error
from twite.http.route import HttpRequest

IGNORED_DAYS: Final = 7
_UNKNOWN: Final = error(404, "conversion_unknown")
_ENCODER: Final = msgspec.json.Encoder()
# the maximum number of rejections in one response, which lists the latest first
MOST_LISTED: Final = 1_000
_NUMBER: Final = re.compile(r"[0-9]{1,3}", re.ASCII)
_WRONG_DAYS: Final = error(
    400, "days", f"days must be a whole number from 1 to {MOST_DAYS}", path="days"
)


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. `status` is X's HTTP status, null if no response came.

    It is also null if a tag made no request: then `answer` begins with "it made no request".
    """

    at: str
    outcome: str
    status: int | None
    answer: str
    ambiguous: bool


class TagView(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that did not fire for the conversion, and why."""

    tag: str
    reason: str


class GainedView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An identifier that another event of the visitor added.

    `origin` is the name of this event, `at` when the identifier was first known; `age` is that of a
    click, with the windows of X that include it.
    """

    identifier: str
    origin: str
    at: str
    age: str | None = None


def gained_views(history: History) -> tuple[GainedView, ...]:
    """Return what a conversion gained, with the age of a click at the conversion's time."""
    return tuple(
        GainedView(
            identifier=each.identifier,
            origin=each.origin,
            at=spelled(each.at),
            age=age_of(each) if each.identifier == JoinKind.CLICK else None,
        )
        for each in history.gained
    )


class HistoryView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The delivery history of one conversion. Times are RFC 3339 in UTC.

    `sent` is the conversion as X receives it, with hashed identifiers; `cause` and `reason` say
    why it is held, dead or suppressed; `due_at` is the time of the next attempt; `waiting` says why
    a queued one is not sent now; `duplicates` counts its duplicates; `consent` is the consent
    verdict, if signals were given or needed; `not_fired` are the tags that did not fire; `gained`
    are the identifiers that it gained while it waited; `value_change` is what a value rule made of
    its amount; `others` are its other copies, and the histories of other events under the same id;
    only the built-in emulator got a `test`.
    """

    pixel: str
    event: str
    conversion_id: str
    state: State
    source: str
    receipt: str
    received_at: str
    deadline_at: str
    sent: msgspec.Raw
    attempts: tuple[AttemptView, ...]
    duplicates: int
    cause: DeliveryCause | None = None
    reason: str | None = None
    due_at: str | None = None
    waiting: str | None = None
    consent: msgspec.Raw | None = None
    not_fired: tuple[TagView, ...] = ()
    gained: tuple[GainedView, ...] = ()
    value_change: ValueChange | None = None
    others: tuple["HistoryView", ...] = ()
    test: bool = False


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Conversions by state. `balance` is received minus accounted for: 0."""

    received: int
    delivered: int
    duplicate: int
    suppressed: int
    rejected: int
    dead: int
    held: int
    pending: int
    balance: int


class BalanceOf(Balance, frozen=True, kw_only=True):
    source: str
    pixel: str


class IgnoredBy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a route ignored an event on one day (UTC), and why."""

    day: str
    endpoint: str
    name: str
    reason: str
    times: int


class BalanceBy(Balance, frozen=True, kw_only=True, omit_defaults=True):
    """The total, and its parts by source and pixel. `pixel` is "" if unknown.

    `ignored` lists the last seven days' events that were no conversions, `tests` test conversions.
    """

    by: tuple[BalanceOf, ...]
    ignored: tuple[IgnoredBy, ...] = ()
    tests: tuple[BalanceOf, ...] = ()


async def history(request: HttpRequest, requester: Requester) -> HttpResponse:
    """Answer with the latest history of this id; `others` has the rest. Raises HttpRefusal (404).

    `event` in the query selects one event, by its name in the settings or X's id.
    """
    services, event = request.services, request.query().get("event")
    pixel, conversion_id = request.parameters["pixel"], request.parameters["conversion_id"]
    if pixel.startswith(PREFIX):
        return await _history_of_tag(request, requester, pixel, conversion_id, event)
    destination = services.destinations.get(real_name(pixel))
    if destination is None or not requester.sees(pixel):
        raise HttpRefusal(_UNKNOWN)
    # Without an event, search all events that the pixel ever had, because the mapping in the
    # settings may have changed.
    events = None if event is None else (destination.event_id(event) or event,)
    histories = await services.queries.find(
        ByConversionId(pixel=pixel, events=events, conversion_id=conversion_id)
    )
    return _shown(histories, requester, now=services.clock.now())


async def _history_of_tag(
    request: HttpRequest, requester: Requester, pixel: str, conversion_id: str, event: str | None
) -> HttpResponse:
    """Answer with a tag's history of the conversion: a source sees only its own requests."""
    if requester.source is None and not requester.sees(pixel):
        raise HttpRefusal(_UNKNOWN)
    services, events = request.services, None if event is None else (event,)
    histories = await services.queries.find(
        ByConversionId(pixel=pixel, events=events, conversion_id=conversion_id)
    )
    seen = [live for live in histories if requester.source in {None, live.source}]
    return _shown(seen, requester, now=services.clock.now())


def _shown(histories: Sequence[History], requester: Requester, *, now: int) -> HttpResponse:
    if not histories:
        raise HttpRefusal(_UNKNOWN)
    latest, *others = (
        _visible(history, requester, now=now)
        for history in sorted(histories, key=lambda history: history.received_at, reverse=True)
    )
    found = msgspec.structs.replace(latest, others=tuple(others))
    return HttpResponse(status=200, body=_ENCODER.encode(found))


def _visible(history: History, requester: Requester, *, now: int) -> HistoryView:
    # A source can read its own tags, and an API key the tags of its pixels.
    is_own = requester.source == history.source
    return history_view(history, now=now, shows=lambda tag: is_own or requester.sees(tag))


async def balance(request: HttpRequest, requester: Requester) -> HttpResponse:
    """Answer with the balance of the source, or of the API key's pixels."""
    records = request.services.queries
    accounts = [account for account in await records.balance() if requester.counts(account)]
    since = request.services.clock.now() // DAY - IGNORED_DAYS + 1
    ignored = tuple(
        IgnoredBy(
            day=spelled(tally.day * DAY)[:10],
            endpoint=tally.endpoint,
            name=tally.name,
            reason=tally.reason,
            times=tally.times,
        )
        for tally in await records.answer(IgnoredQuery(since=since))
        # Ignored events have a source and no pixel.
        if (requester.source or tally.source) == tally.source
        and (requester.source or requester.pixels is None)
    )
    return HttpResponse(status=200, body=_ENCODER.encode(balance_of(accounts, ignored)))


def balance_of(
    accounts: Sequence[ConversionCounts], ignored: tuple[IgnoredBy, ...] = ()
) -> BalanceBy:
    """Return the sum over the accounts, and the counts of each account; those of tests apart."""
    real, parts = without_tests(accounts), _parts(tests_of(accounts))
    return BalanceBy(**_sums(total(real)), ignored=ignored, by=_parts(real), tests=parts)


def _parts(accounts: Sequence[ConversionCounts]) -> tuple[BalanceOf, ...]:
    return tuple(
        BalanceOf(source=account.source, pixel=account.pixel, **_sums(account))
        for account in accounts
    )


def _sums(counts: ConversionCounts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in Balance.__struct_fields__}


def history_view(
    history: History, *, now: int, shows: Callable[[str], bool] = lambda _tag: True
) -> HistoryView:
    """Return a history as the API shows it, with the tags that `shows` allows."""
    return HistoryView(
        pixel=history.pixel,
        event=history.event,
        conversion_id=history.conversion_id,
        state=history.state,
        source=history.source,
        receipt=history.receipt,
        received_at=spelled(history.received_at),
        deadline_at=spelled(history.deadline_at),
        sent=msgspec.Raw(history.sent or b"null"),
        attempts=tuple(
            AttemptView(
                at=spelled(attempt.at),
                outcome=attempt.outcome,
                status=attempt.status,
                answer=attempt.answer,
                ambiguous=attempt.ambiguous,
            )
            for attempt in history.attempts
        ),
        duplicates=history.duplicates,
        cause=history.cause,
        reason=history.reason,
        due_at=None if history.due_at is None else spelled(history.due_at),
        consent=None if history.consent is None else msgspec.Raw(history.consent),
        waiting=waiting(history, now=now),
        not_fired=tuple(
            TagView(tag=firing.tag, reason=firing.why)
            for firing in history.not_fired
            if shows(firing.tag)
        ),
        gained=gained_views(history),
        value_change=history.value_change,
        test=is_test(history.pixel),
    )


class RejectionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rejected conversion. `at` is RFC 3339 in UTC; `index` its place in the request.

    `event` and `conversion_id` are the submitted values, masked if they are at fault; `errors` are
    those of the response, each with the masked `value`. `pixel`, `event` and `conversion_id` are ""
    if absent.
    """

    at: str
    source: str
    pixel: str
    endpoint: str
    receipt: str
    index: int
    event: str
    conversion_id: str
    errors: tuple[MaskedFault, ...]


class RejectionList(msgspec.Struct, frozen=True, kw_only=True):
    """Rejections, latest first. `more` is true if further rejections match the query."""

    rejections: tuple[RejectionView, ...]
    more: bool


async def rejections(request: HttpRequest, requester: Requester) -> HttpResponse:
    """Answer with the rejections of the source, or of the API key's pixels.

    Raises HttpRefusal (400) for an invalid time or code.
    """
    now, asked = request.services.clock.now(), request.query()
    wanted = RejectionQuery(
        since=max(now - KEPT_FOR, time_asked(asked.get("since"), now) or 0),
        code=_code(asked.get("code")),
        name=asked.get("conversion_id"),
        source=requester.source,
        # A source can read all its rejections, including those without a pixel.
        pixels=None if requester.source else requester.pixels,
        limit=MOST_LISTED + 1,
    )
    found = await request.services.queries.answer(RejectionsQuery(rejection_query=wanted))
    listed = RejectionList(
        rejections=tuple(map(rejection_view, found[:MOST_LISTED])), more=len(found) > MOST_LISTED
    )
    return HttpResponse(status=200, body=_ENCODER.encode(listed))


def rejection_view(rejection: Rejection) -> RejectionView:
    """Return a rejection as the API shows it."""
    return RejectionView(
        at=spelled(rejection.at),
        source=rejection.source,
        pixel=rejection.pixel,
        endpoint=rejection.endpoint,
        receipt=rejection.receipt,
        index=rejection.index,
        event=rejection.event,
        conversion_id=rejection.conversion_id,
        errors=rejection.faults,
    )


def time_asked(text: str | None, now: int, *, name: str = "since") -> int | None:
    """Read a time of a query string. Raises HttpRefusal (400)."""
    if text is None:
        return None
    # In a query, an unescaped "+" is a space.
    read = time_limit(text.replace(" ", "+"), now=now, path=name)
    if isinstance(read, Fault):
        raise HttpRefusal(error(400, "since", read.message, path=name))
    return read


def _code(text: str | None) -> str | None:
    if text is not None and text not in CODES | ROW_CODES:
        raise HttpRefusal(error(400, "code", path="code"))
    return text


async def dedup_report(request: HttpRequest, requester: Requester) -> HttpResponse:
    """Answer with the deduplication report of the visible pixels.

    Raises HttpRefusal (400) if `days` is out of range.
    """
    services, days = request.services, request.query().get("days")
    number = DEFAULT_DAYS if days is None else _days(days)
    since = first_moment(services.clock.now(), number)
    found, pairs = await read_report(services.queries, since=since)
    report = ways_by(
        [row for row in found if requester.sees(row.pixel)],
        services.destinations,
        since=since,
        pairs=[pair for pair in pairs if requester.sees(pair.pixel)],
    )
    return HttpResponse(status=200, body=_ENCODER.encode(report))


def _days(text: str) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= MOST_DAYS:
        raise HttpRefusal(_WRONG_DAYS)
    return number

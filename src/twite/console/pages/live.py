"""Live view of conversions, and the history of each."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response, StreamingResponse

from twite.console.page import NavigationGroup, PageLocation, PageRequest, PageRoute
from twite.console.pages.rejected import PATH as REJECTED
from twite.console.pages.rejected import rejections_seen
from twite.console.render import masked as masked_reason
from twite.console.render import moment, shown, table
from twite.console.request_checks import AccessDenied
from twite.console.scope import TONES, EventNames, asked_again, look_of, worth_of
from twite.domain.delivery import State
from twite.domain.destination import Destination
from twite.domain.history import History
from twite.domain.people.users import AuditAction, Role
from twite.domain.stats.deduplication import KEPT_FOR
from twite.domain.times import MINUTE
from twite.domain.times import moment as read_moment
from twite.gateway.operations.explain import masked, own_part, steps
from twite.gateway.ports.machine import Clock, wait_for_event
from twite.gateway.ports.queries import (
    ByConversionId,
    ConversionSummary,
    ListQuery,
    NumberAtQuery,
    PixelReportsQuery,
    Queries,
    QueryScope,
    RejectionsQuery,
)
from twite.redaction.mask_tree import masked_words

PATH: Final = "/console/live"
FILTERS: Final = ("pixel", "source", "event", "state", "reason")
_ON_A_PAGE: Final = 50
_EXPORTED: Final = 10_000
# Streams end after this time and browsers reconnect, so that a shutdown does not wait for them.
_STREAM: Final = 8_000
_EVERY: Final = 1_000
# How long, in milliseconds, a browser waits before it reconnects after another stream replaced its
# own.
_MADE_WAY: Final = b"retry: 15000\n\n"


EACH: Final = 4
MOST: Final = 32


class Stream:
    """An open event stream. `ended` is set when another stream replaces it."""

    def __init__(self, who: str) -> None:
        self.who = who
        self.ended = asyncio.Event()


class Streams:
    """The open streams, oldest first: at most `each` per user and `most` in total.

    At the limit per user, a new stream ends the user's oldest stream. At the total limit, it ends
    the oldest stream of the user with the most streams.
    """

    def __init__(self, *, each: int = EACH, most: int = MOST) -> None:
        self._each = each
        self._most = most
        self._open: list[Stream] = []

    def open(self, who: str) -> Stream:
        """Return a new stream. At a limit, another stream ends."""
        counts = Counter(stream.who for stream in self._open)
        if counts[who] >= self._each:
            self._end_oldest(who)
        elif len(self._open) >= self._most:
            greatest = max(counts.values())
            # If several users have the most streams, the one with the oldest stream loses it.
            self._end_oldest(
                next(stream.who for stream in self._open if counts[stream.who] == greatest)
            )
        stream = Stream(who)
        self._open.append(stream)
        return stream

    def close(self, stream: Stream) -> None:
        if stream in self._open:
            self._open.remove(stream)

    def _end_oldest(self, who: str) -> None:
        oldest = next(stream for stream in self._open if stream.who == who)
        self._open.remove(oldest)
        oldest.ended.set()


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class LivePage:
    """The page of the latest conversions, with filters; new ones appear as they arrive."""

    destinations: Mapping[str, Destination]
    sources: Sequence[str]
    watched: frozenset[str]
    queries: Queries
    clock: Clock
    names: EventNames
    _streams: Streams = field(init=False, default_factory=Streams)

    @property
    def routes(self) -> Sequence[PageRoute]:
        return (
            PageRoute(
                "GET", PATH, self._list, location=PageLocation("Live", NavigationGroup.CONVERSIONS)
            ),
            PageRoute("GET", f"{PATH}/new", self._new),
            PageRoute("POST", f"{PATH}/export", self._export, role=Role.OPERATOR),
            PageRoute("GET", f"{PATH}/{{delivery}}", self._history),
        )

    async def _list(self, request: PageRequest) -> Response:
        query = request.query
        named = query.first("id").strip()
        if named:
            return await self._found(request, named)
        look = look_of(request, query, limit=_ON_A_PAGE)
        at = (
            read_moment(f"{query.first('at')}Z", now=request.now, path="at")
            if query.first("at")
            else 0
        )
        if look.before is None and isinstance(at, int) and at:
            before = await self.queries.answer(NumberAtQuery(at=at))
            look = msgspec.structs.replace(look, before=before)
        listing = await self.queries.page(look)
        return request.page(
            "live.html",
            title="Live",
            lines=[self._line(summary) for summary in listing.summaries],
            back_to=listing.back_to,
            # Only of the shown conversions: the latest of all would reveal when others arrive.
            latest=max((summary.delivery for summary in listing.summaries), default=0),
            is_first=look.before is None,
            query=asked_again(query, FILTERS),
            chosen={name: query.first(name) for name in FILTERS},
            pixels=request.viewer.of(self.destinations),
            sources=self.sources if request.viewer.pixels is None else (),
            events=self.names.all(request),
            states=[state.value for state in State],
        )

    async def _found(self, request: PageRequest, named: str) -> Response:
        """Redirect to the conversion with an id, or the latest one if several events share the id.

        The search covers all events that a pixel ever had, because `events` may have changed since.
        If no configured pixel has the id, it also covers pixels that are no longer configured.
        """
        histories = await self._histories(request.viewer.of(self.destinations), named)
        if not histories:
            # Tags, and pixels that are no longer configured.
            came = {account.pixel for account in await self.queries.balance()}
            others = sorted(came - self.destinations.keys())
            histories = await self._histories(request.viewer.of(others), named)
        rejected = RejectionsQuery(rejection_query=rejections_seen(request, name=named, limit=1))
        if not histories and len(await self.queries.answer(rejected)):
            return request.back_to(f"{REJECTED}?{urlencode({'id': named})}")
        if not histories:
            sentence = f"No stored conversion has the id {shown(named, 80)}."
            return request.back_to(PATH, message=sentence, bad=True)
        latest = max(histories, key=lambda history: history.received_at)
        return request.back_to(f"{PATH}/{latest.delivery}")

    async def _histories(self, pixels: Iterable[str], named: str) -> list[History]:
        return [
            history
            for pixel in pixels
            for history in await self.queries.find(
                ByConversionId(pixel=pixel, events=None, conversion_id=named)
            )
        ]

    async def _new(self, request: PageRequest) -> Response:
        """Send new conversions as server-sent events."""
        look = look_of(request, request.query, limit=_ON_A_PAGE)
        sent = request.request.headers.get("last-event-id", "")
        after = int(sent) if sent.isascii() and sent.isdigit() and len(sent) < 16 else None
        if after is None:
            after = request.query.number("after") or 0
        look = msgspec.structs.replace(look, before=None, after=after)
        # A client that does not request a stream gets only the existing conversions.
        lasting = _STREAM if "text/event-stream" in request.request.headers.get("accept", "") else 0
        return StreamingResponse(
            self._events(look, lasting, request.viewer.name),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    async def _events(self, query: ListQuery, lasting: int, who: str) -> AsyncIterator[bytes]:
        stream = self._streams.open(who)
        try:
            yield b"retry: 1000\n\n"
            until = self.clock.elapsed() + lasting
            while True:
                listing = await self.queries.page(query)
                if listing.summaries:
                    number = listing.summaries[0].delivery
                    lines = [self._line(summary) for summary in reversed(listing.summaries)]
                    yield b"id: %d\ndata: %s\n\n" % (number, msgspec.json.encode(lines))
                query = msgspec.structs.replace(query, after=max(listing.latest, query.after))
                if self.clock.elapsed() >= until:
                    return
                await wait_for_event(stream.ended, self.clock, most=_EVERY)
                if stream.ended.is_set():
                    yield _MADE_WAY
                    return
        finally:
            self._streams.close(stream)

    async def _export(self, request: PageRequest) -> Response:
        form = request.form
        await request.note(AuditAction.EXPORT, "live", asked_again(form, FILTERS))
        found: list[ConversionSummary] = []
        look = look_of(request, form, limit=1_000)
        while len(found) < _EXPORTED:
            listing = await self.queries.page(look)
            found += listing.summaries
            if listing.back_to is None:
                break
            look = msgspec.structs.replace(look, before=listing.back_to)
        head = ("number", "received_at", "pixel", "event", "name", "conversion_id", "source")
        return table(
            "conversions",
            (*head, "endpoint", "state", "reason", "value"),
            [
                (
                    str(summary.delivery), moment(summary.received_at), summary.pixel,
                    summary.event, self.names(summary.pixel, summary.event),
                    summary.conversion_id, summary.source, summary.endpoint,
                    summary.state.value, masked_words(summary.reason or ""), worth_of(summary.body),
                )
                for summary in found
            ],
        )  # fmt: skip

    async def _history(self, request: PageRequest) -> Response:
        part = request.part("delivery")
        scope = QueryScope(pixels=request.viewer.pixels)
        origin = None
        if part.isascii() and part.isdigit() and len(part) < 16:
            origin = await self.queries.get(int(part), scope)
        if origin is None:
            raise AccessDenied(
                404, "Not found", "The conversion does not exist, or is no longer stored."
            )
        history = origin.history
        reports = await self.queries.answer(
            PixelReportsQuery(
                pixel=history.pixel, event=history.event, conversion_id=history.conversion_id
            )
        )
        return request.page(
            "history.html",
            title=history.conversion_id,
            history=history,
            origin=origin,
            name=self.names(history.pixel, history.event),
            tone=TONES[history.state],
            worth=worth_of(history.sent),
            steps=steps(origin),
            pixel_reports=[
                (report, report.after(history.received_at), report.meets(history.received_at))
                for report in reports
            ],
            watched=history.pixel in self.watched,
            not_fired=[tag for tag in history.not_fired if scope.shows(tag.tag)],
            forgotten=request.now - history.received_at > KEPT_FOR,
            came=masked(origin.body if request.viewer.pixels is None else own_part(origin)),
            sent=masked(history.sent),
            consent=masked(history.consent or b""),
            rests=history.state in {State.DEAD, State.HELD},
            soon=MINUTE,
        )

    def _line(self, summary: ConversionSummary) -> dict[str, str]:
        """Return one conversion as text; each part is safe to display."""
        return {
            "number": str(summary.delivery),
            "at": moment(summary.received_at)[5:],
            "pixel": shown(summary.pixel, 40),
            "event": shown(self.names(summary.pixel, summary.event) or summary.event, 40),
            "id": shown(summary.conversion_id, 60),
            "source": shown(summary.source, 40),
            "state": summary.state.value,
            "tone": TONES[summary.state],
            "reason": masked_reason(summary.reason or "", 90),
            "worth": shown(worth_of(summary.body), 40),
            "flag": "" if summary.flag is None else summary.flag.kind.replace("_", " "),
        }

"""Calls to runContainer by tags: accept the created event, and wait for the tags that it fires.

    call ─▶ limits ─▶ the event on disk ─▶ its tags run from their queues ─▶ the call has ended

A repeated run that creates the same event gets the same call id, so the store drops the event's
deliveries as duplicates.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from twite.consent.google import decode_word
from twite.consent.tcf import MalformedSignal
from twite.domain.destination import Destination, Source
from twite.domain.submission import Endpoint
from twite.domain.times import SECOND, spelled
from twite.formats.event_data.consent import signals_of, strictest
from twite.formats.event_data.conversions import parse_events
from twite.formats.page_visit import Visitor, cookies_of
from twite.formats.parsed_request import ParsedRequest
from twite.gateway.ingest.accept import Accept
from twite.gateway.ingest.receipts import AcceptReceipt
from twite.gateway.ports.request_watch import set_watch
from twite.tags.json_tree import Tree
from twite.tags.ports.tags import CreatedEventOrigin, TagCall
from twite.tags.preview.trace import RequestTrace
from twite.tags.run.payload import TagPayload, persons_in

MOST_NESTED: Final = 5
# The most events created by one run together with the runs that its events cause.
MOST_CREATED: Final = 100
WAITS: Final = 5 * SECOND
_MOST_ROOTS: Final = 10_000


class EndedTags:
    """The tags of a created event that have run once: their names, and whether they succeeded."""

    def __init__(self) -> None:
        self.tags: list[tuple[str, bool]] = []
        self._changed = asyncio.Event()

    def add(self, tag: str, *, succeeded: bool) -> None:
        self.tags.append((tag, succeeded))
        self._changed.set()

    async def wait(self, names: Iterable[str], *, until: float) -> None:
        """Wait until each of these tags has ended, or until the event loop's time is `until`."""
        expected = sorted(names)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while _lacks(self.tags, expected):
                    self._changed.clear()
                    await self._changed.wait()


class ContainerCalls:
    """Accepts the events that tags create. `sources` are the configured sources."""

    def __init__(
        self,
        *,
        accept: Accept,
        sources: Iterable[Source],
        destinations: Mapping[str, Destination],
    ) -> None:
        self._accept = accept
        self._sources = {source.name: source for source in sources}
        self._destinations = destinations
        self._ended: dict[str, EndedTags] = {}
        self._created: OrderedDict[str, set[str]] = OrderedDict()

    def use(self, accept: Accept, sources: Iterable[Source]) -> None:
        """Accept events with other settings, after a reload."""
        self._accept = accept
        self._sources = {source.name: source for source in sources}
        self._destinations = accept.destinations

    def denied(self, call: TagCall, payload: TagPayload) -> str | None:
        """Return why a call may not create an event; None if it may."""
        if len(call.tags) > MOST_NESTED:
            return f"the event was created by {MOST_NESTED} nested calls, which is the limit"
        if payload.source not in self._sources:
            return "the event's source is not configured"
        created = self._created.setdefault(call.root, set())
        self._created.move_to_end(call.root)
        while len(self._created) > _MOST_ROOTS:
            self._created.popitem(last=False)
        if call.id not in created and len(created) >= MOST_CREATED:
            return f"the event's tags have created {MOST_CREATED} events, which is the limit"
        created.add(call.id)
        return None

    async def accept(
        self,
        event: Mapping[str, Tree],
        *,
        call: TagCall,
        payload: TagPayload,
        trace: RequestTrace | None,
    ) -> AcceptReceipt:
        """Accept an event that a run with this payload creates.

        Raises MalformedRequest, QueueFull, LedgerUnavailable; nothing is stored then.
        """
        source = self._sources[payload.source]
        # In its own task, because the current trace is set per task.
        return await asyncio.create_task(self._accepted(event, call, payload, source, trace))

    async def _accepted(
        self,
        event: Mapping[str, Tree],
        call: TagCall,
        payload: TagPayload,
        source: Source,
        trace: RequestTrace | None,
    ) -> AcceptReceipt:
        set_watch(None if trace is None else trace.prolonged())
        return await self._accept.parsed(
            self._found(event, call, payload, source),
            source=source,
            endpoint=Endpoint.TAG,
            origin=CreatedEventOrigin(
                request=payload.request,
                client=payload.client,
                from_page=payload.from_page,
                call=call,
                persons=persons_in(payload),
            ),
        )

    def _found(
        self, event: Mapping[str, Tree], call: TagCall, payload: TagPayload, source: Source
    ) -> ParsedRequest:
        headers = dict(payload.request.headers)
        found = parse_events(
            [event],
            source=source,
            destinations=self._destinations,
            visitor=Visitor(
                trusted=True,
                referer=headers.get("referer"),
                cookies=cookies_of(headers.get("cookie", "")),
                # The template may have computed the amount from data that the page sent.
                value_limit=source.browser_value_limit if payload.from_page else None,
                now=payload.at,
                # The event's consent also applies to all events that its tags create.
                consent=_signals(payload),
            ),
            repeated=[f"runContainer {call.id}"],
        )
        click = next((person.twclid for person in payload.identifiers if person.twclid), None)
        return msgspec.structs.replace(
            found,
            conversions=tuple(
                msgspec.structs.replace(
                    native, time=native.time or spelled(payload.at), twclid=native.twclid or click
                )
                for native in found.conversions
            ),
        )

    def expect(self, call: TagCall) -> EndedTags:
        """Record which tags of the call's event end from now on, until `forget` is called."""
        return self._ended.setdefault(call.id, EndedTags())

    def forget(self, call: TagCall) -> None:
        self._ended.pop(call.id, None)

    def end(self, call: TagCall | None, tag: str, *, succeeded: bool) -> None:
        """Record that a tag of a call's event has run."""
        ended = None if call is None else self._ended.get(call.id)
        if ended is not None:
            ended.add(tag, succeeded=succeeded)


def _signals(payload: TagPayload) -> dict[str, str | bool]:
    """Return the signals of a payload's event and of its request."""
    signals = signals_of(payload.event, opted_out=False)
    # An unreadable signal is neither a grant nor a denial.
    granted = {
        name: is_granted
        for name, is_granted in payload.granted.items()
        if is_granted
        or name not in signals
        or not isinstance(decode_word(signals[name]), MalformedSignal)
    }
    return strictest(granted, signals)


def _lacks(ended: Iterable[tuple[str, bool]], expected: list[str]) -> bool:
    left = list(expected)
    for tag, _ in ended:
        if tag in left:
            left.remove(tag)
    return bool(left)

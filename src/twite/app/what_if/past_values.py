"""Amounts and fields of value rules in stored requests, read beside a running gateway."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple

import msgspec

from twite.app.what_if.compare import intake_settings
from twite.config.settings import Settings
from twite.domain.conversion import Conversion
from twite.domain.submission import Endpoint
from twite.domain.test_mode import is_test
from twite.domain.times import DAY
from twite.domain.value_change import RuleFields
from twite.formats.value_rules import FIELDS_OF_LINES, document_of
from twite.gateway.ports.past_requests import OUT_OF_ORDER, PastRequest, PastRequestsQuery
from twite.gateway.ports.store import StoreReader
from twite.gateway.what_if.reread import Reread, Rereader
from twite.gateway.what_if.reread_x import IN_X_FORMAT, XRereader
from twite.machine.system import YieldingPause

_AT_ONCE: Final = 200  # requests
# So many conversions show which fields a source sends. They take less than a second.
_MOST_COPIES: Final = 2_000
_FEW_COPIES: Final = 100


class StoredReader:
    """Reads conversions of stored requests again, with their original amounts."""

    def __init__(self, settings: Settings, *, salt: bytes) -> None:
        own = intake_settings(settings)
        self._rereader = Rereader(new_settings=own, current_settings=own, salt=salt, rejected={})
        self._x_rereader = XRereader(new_settings=own, current_settings=own, salt=salt)

        self._events = {
            (pixel, event)
            for pixel, destination in own.destinations.items()
            for event in destination.events.values()
        }

    def reread(self, request: PastRequest) -> list[Reread]:
        if request.endpoint not in IN_X_FORMAT:
            return self._rereader.reread(request)
        return self._x_rereader.reread(request)

    def reread_copies(self, request: PastRequest) -> list[Reread]:
        """Return the conversions of a request that stored none, because all were copies.

        A request in X's format does not say its pixel. It is taken for the only one that has all
        its events; if several have them, there are none.
        """
        if request.endpoint not in IN_X_FORMAT or request.conversions:
            return []
        possible = [
            copies.rereads
            for copies in self._x_rereader.copies(request)
            if self._events.issuperset(
                (each.read.conversion.pixel, each.read.conversion.event)
                for each in copies.rereads
                if each.read is not None and each.read.conversion is not None
            )
        ]
        return possible[0] if len(possible) == 1 else []


async def past_requests(
    store_reader: StoreReader, *, since: int, until: int
) -> AsyncIterator[PastRequest]:
    """Yield stored requests of a range of times (ms), a few at a time, with pauses."""
    pause = YieldingPause()
    number: int | None = None
    while True:
        query = PastRequestsQuery(since=since, number=number, limit=_AT_ONCE)
        requests = await store_reader.answer(query)
        if not requests or requests[0].received_at >= until + OUT_OF_ORDER:
            return
        for request in requests:
            if since <= request.received_at < until:
                yield request
        number = requests[-1].number + 1
        await pause()


class SentCopies(NamedTuple):
    """The way by which a source sends an event (X's id) of a pixel."""

    pixel: str
    event: str
    source: str
    endpoint: Endpoint


class SentFields(msgspec.Struct, kw_only=True):
    """How many conversions were sent, and how many of them had each field of value rules.

    A field of lines, such as `price`, counts if every line has it.
    """

    conversions: int = 0
    having: Counter[str] = msgspec.field(default_factory=Counter)


class SentCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion as a source sent it, before any rule."""

    copies: SentCopies
    conversion: Conversion
    rule_fields: RuleFields


class SentLately(msgspec.Struct, kw_only=True):
    """The fields by the way of sending, and conversions that came in two ways: both copies."""

    fields: dict[SentCopies, SentFields] = msgspec.field(default_factory=dict)
    pairs: list[tuple[SentCopy, SentCopy]] = msgspec.field(default_factory=list)


async def sent_lately(settings: Settings, store_reader: StoreReader, *, now: int) -> SentLately:
    """Return what was lately sent, also by copies that came second.

    Reads the last day, or, if few conversions came, all days whose requests are stored. Raises
    LedgerUnavailable.
    """
    stored_for = settings.store.keep_bodies
    found, copies = await _sent_since(settings, store_reader, now=now, span=min(DAY, stored_for))
    if copies < _FEW_COPIES and stored_for > DAY:
        found, _ = await _sent_since(settings, store_reader, now=now, span=stored_for)
    return found


async def _sent_since(
    settings: Settings, store_reader: StoreReader, *, now: int, span: int
) -> tuple[SentLately, int]:
    """Return what was sent in the last `span` milliseconds, and by how many copies."""
    found = SentLately()
    first: dict[tuple[str, str, str], SentCopy] = {}
    copies = 0
    reader = StoredReader(settings, salt=store_reader.salt)
    async for request in past_requests(store_reader, since=now - span, until=now + 1):
        if not is_test(request.source):
            for copy in _copies(request, reader):
                copies += 1
                _count(found.fields.setdefault(copy.copies, SentFields()), copy)
                key = copy.conversion.pixel, copy.conversion.event, copy.conversion.conversion_id
                earlier = first.setdefault(key, copy)
                if earlier.copies != copy.copies:
                    found.pairs.append((earlier, copy))
        if copies >= _MOST_COPIES:
            break
        # The console's checks run in the gateway, beside intake.
        await asyncio.sleep(0)
    return found, copies


def _copies(request: PastRequest, reader: StoredReader) -> Iterator[SentCopy]:
    for reread in reader.reread_copies(request) or reader.reread(request):
        read = reread.read
        if read is not None and read.conversion is not None:
            copies = SentCopies(
                read.conversion.pixel,
                read.conversion.event,
                request.source,
                Endpoint(request.endpoint),
            )
            yield SentCopy(copies=copies, conversion=read.conversion, rule_fields=read.rule_fields)


def _count(fields: SentFields, copy: SentCopy) -> None:
    fields.conversions += 1
    document = document_of(copy.conversion, copy.rule_fields)
    fields.having.update(name for name, value in document.items() if value is not None)
    lines = copy.conversion.contents
    fields.having.update(
        name
        for name in FIELDS_OF_LINES
        if lines and all(getattr(line, name) is not None for line in lines)
    )

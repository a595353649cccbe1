"""Stored requests that the new settings cannot touch, found without reading them again.

Most conversions are like this: accepted and queued, with an id of their own. The new settings give
the same event to their names, the same decision to their consent, and no rule to their values. What
was stored of them is what would be stored. Other requests are read again (`reread`).
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from twite.domain.consent import ConsentAction, policy_version
from twite.domain.conversion import Conversion, Identifiers, dedup_key
from twite.domain.destination import Source
from twite.domain.secret import Masked
from twite.domain.submission import AcceptedConversion, Endpoint
from twite.domain.test_mode import is_test
from twite.formats.native.conversion import ReadConversion
from twite.formats.parsed_request import Native
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.past_guards import PastGuards
from twite.gateway.what_if.reread import Reread
from twite.gateway.what_if.stored_request import BATCH
from twite.gateway.what_if.verdict import IntakeOutcome, IntakeVerdict

_NULL: Final = msgspec.Raw(b"null")
_NO_FIELDS: Final = Native()
_NOBODY: Final = Identifiers()
_SENT: Final = IntakeVerdict(outcome=IntakeOutcome.SENT)
_WITH_IDENTIFIERS: Final = b'"identifiers":[{'


class _StatedFields(Masked, frozen=True, gc=False):
    """What the settings are applied to."""

    event: str | None = None
    pixel: str | None = None
    conversion_id: str | int | None = None
    value: msgspec.Raw = _NULL
    currency: str | None = None


class _StatedBatch(Masked, frozen=True):
    conversions: list[_StatedFields]
    hit: msgspec.Raw = _NULL


class _SentAmount(Masked, frozen=True, gc=False):
    value: str | None = None
    price_currency: str | None = None


class _Decided(msgspec.Struct, frozen=True, gc=False):
    action: str
    policy: str


_ONE: Final = msgspec.json.Decoder(_StatedFields)
_MANY: Final = msgspec.json.Decoder(_StatedBatch)
_AMOUNT: Final = msgspec.json.Decoder(_SentAmount)
_DECIDED: Final = msgspec.json.Decoder(_Decided)


class Untouched:
    """Finds requests that the new settings cannot touch."""

    def __init__(
        self, *, new_settings: IntakeSettings, current_settings: IntakeSettings, guards: PastGuards
    ) -> None:
        self._new_settings, self._current_settings = new_settings, current_settings
        self._guards = guards
        # X's event by source, pixel and name; None if the settings may touch it.
        self._events: dict[tuple[str, str, str], str | None] = {}
        # Whether the settings leave an event of a source untouched.
        self._sources: dict[str, bool] = {}

    def found(self, request: PastRequest) -> list[Reread] | None:
        """Return the conversions of a request as they were stored; None if it must be read."""
        source = self._new_settings.source(request.source)
        if (
            source is None
            or request.refused
            or request.entries != len(request.conversions)
            or not self._has_any(source)
            or not self._may_skip(source, request)
        ):
            return None
        stated = _stated(request.body)
        if stated is None or len(stated) != request.entries:
            return None
        found = []
        for place, fields in enumerate(stated):
            past = request.conversions.get(request.first + place)
            if past is None:
                return None
            reread = self._one(source, place, fields, past)
            if reread is None:
                return None
            found.append(reread)
        return found

    def _has_any(self, source: Source) -> bool:
        """Return whether the settings leave an event of a source untouched."""
        if source.name not in self._sources:
            destinations = self._new_settings.destinations
            pixels = [destinations[pixel] for pixel in source.pixels & destinations.keys()]
            self._sources[source.name] = any(
                self._event(source, each.pixel, name) for each in pixels for name in each.events
            )
        return self._sources[source.name]

    def _may_skip(self, source: Source, request: PastRequest) -> bool:
        before = self._current_settings.source(request.source)
        return (
            before is not None
            and not before.wait
            and not source.wait
            and not is_test(request.source)
            and (source.test_until is None or request.received_at >= source.test_until)
            and (source.browser_value_limit is None or request.endpoint != Endpoint.BEACON)
        )

    def _one(
        self, source: Source, place: int, fields: _StatedFields, past: PastConversion
    ) -> Reread | None:
        if (
            past.suppressed is not None
            or past.held is not None
            or past.flag is not None
            or past.is_joined
            or not fields.event
            or _id(fields) != past.conversion_id
            or (fields.pixel or source.pixel) != past.pixel
            or self._event(source, past.pixel, fields.event) != past.event
            or not _is_decided_alike(past, source)
            or _WITH_IDENTIFIERS not in past.body
        ):
            return None
        try:
            amount = _AMOUNT.decode(past.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if (
            bytes(fields.value).strip(b'"') != (amount.value or "null").encode()
            or fields.currency != amount.price_currency
        ):
            return None
        reread = _as_stored(source.name, place, past, amount)
        return None if self._would_hold(reread, past) else reread

    def _would_hold(self, reread: Reread, past: PastConversion) -> bool:
        conversion = None if reread.read is None else reread.read.conversion
        if conversion is None or conversion.value is None:
            return False
        return self._guards.look(reread.source, past)(conversion)[1] is not None

    def _event(self, source: Source, pixel: str, name: str) -> str | None:
        key = source.name, pixel, name
        if key not in self._events:
            self._events[key] = self._untouched_event(source, pixel, name)
        return self._events[key]

    def _untouched_event(self, source: Source, pixel: str, name: str) -> str | None:
        destination = self._new_settings.destinations.get(pixel)
        if destination is None or pixel not in source.pixels:
            return None
        event = destination.events.get(name) or destination.events.get(name.strip().lower())
        if event is None:
            return None
        rules = self._new_settings.value_rules
        is_ruled = rules.of(source=source.name, pixel=pixel, event=event)
        return None if is_ruled else event


def _stated(body: bytes) -> Sequence[_StatedFields] | None:
    try:
        if body.startswith(BATCH):
            batch = _MANY.decode(body)
            # Event data is a list, with names that the settings may map otherwise.
            return None if bytes(batch.hit).startswith(b"[") else batch.conversions
        return (_ONE.decode(body),)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _id(fields: _StatedFields) -> str:
    return "" if fields.conversion_id is None else str(fields.conversion_id).strip()


def _is_decided_alike(past: PastConversion, source: Source) -> bool:
    """Return whether consent is decided as before. Without a record, there were no signals."""
    if past.evidence is None:
        return not source.consent.required
    try:
        decided = _DECIDED.decode(past.evidence)
    except msgspec.DecodeError:
        return False
    return decided.action != ConsentAction.HOLD and decided.policy == policy_version(source.consent)


def _as_stored(source: str, place: int, past: PastConversion, amount: _SentAmount) -> Reread:
    pixel, event, identity = past.pixel, past.event, past.conversion_id
    conversion = Conversion(
        pixel=pixel,
        event=event,
        conversion_id=identity,
        time=0,
        identifiers=_NOBODY,
        value=amount.value,
        currency=amount.price_currency,
    )
    return Reread(
        place=place,
        past_verdict=_SENT,
        past=past,
        source=source,
        read=ReadConversion(index=place, pixel=pixel, native=_NO_FIELDS, conversion=conversion),
        accepted=AcceptedConversion(
            index=place,
            key=dedup_key(pixel, event, identity),
            pixel=pixel,
            event=event,
            conversion_id=identity,
            body=past.body,
            consent=past.evidence,
        ),
    )

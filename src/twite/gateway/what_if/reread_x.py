"""Read a stored request in X's format again under other settings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.consent import REVOKED
from twite.domain.conversion import Conversion, Identifiers, dedup_key
from twite.domain.destination import Destination
from twite.domain.submission import Endpoint
from twite.domain.test_mode import in_test, is_test, real_name
from twite.formats.native.conversion import ReadConversion
from twite.formats.parsed_request import Native
from twite.formats.x_api import read as x_api
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.recorded import deliveries_of, recorded_verdict
from twite.gateway.what_if.reread import Reread
from twite.gateway.what_if.verdict import IntakeOutcome, IntakeVerdict, NotStored, unknown

IN_X_FORMAT: Final = frozenset({Endpoint.X_API.value, Endpoint.STAPE.value})
_NO_FIELDS: Final = Native()


class _StoredX(msgspec.Struct, frozen=True):
    conversions: list[msgspec.Raw]


_DECODER: Final = msgspec.json.Decoder(_StoredX)


class RereadCopies(msgspec.Struct, frozen=True, kw_only=True):
    """What a request of copies would be for a pixel, with the dedup keys it had and would have."""

    past_keys: list[bytes]
    keys: list[bytes]
    rereads: list[Reread]


class XRereader:
    """Reads requests again. X's format has neither names of events nor consent."""

    def __init__(
        self, *, new_settings: IntakeSettings, current_settings: IntakeSettings, salt: bytes
    ) -> None:
        self._new_settings, self._current_settings = new_settings, current_settings
        self._salt = salt

    def reread(self, request: PastRequest) -> list[Reread]:
        """Return all conversions of a request. Its pixel is known by those that are stored."""
        past = _past(request)
        pixel = next((real_name(each.pixel) for each in past if each is not None), None)
        return self._rereads(request, past, pixel)

    def copies(self, request: PastRequest) -> Iterator[RereadCopies]:
        """Yield what a request would be for each pixel, if all its conversions were copies."""
        past = _past(request)
        for pixel, destination in self._current_settings.destinations.items():
            reading = x_api.read(request.body, destination=destination, salt=self._salt)
            if isinstance(reading, x_api.XReading):
                past_keys, keys = (
                    [
                        dedup_key(
                            in_test(pixel) if is_test(name) else pixel,
                            each.event,
                            each.conversion_id,
                        )
                        for each in reading.conversions
                    ]
                    for name in (request.source, self._source_name(request))
                )
                rereads = self._rereads(request, past, pixel)
                yield RereadCopies(past_keys=past_keys, keys=keys, rereads=rereads)

    def _rereads(
        self, request: PastRequest, past: Sequence[PastConversion | None], pixel: str | None
    ) -> list[Reread]:
        name = self._source_name(request)
        found: IntakeVerdict | list[ReadConversion] = unknown(NotStored.PIXEL)
        if pixel is not None:
            destination = self._new_settings.destinations.get(pixel)
            found = _results(request, past, destination, salt=self._salt)
        return [
            Reread(
                place=place,
                past_verdict=recorded_verdict(
                    request,
                    conversion,
                    codes=() if place in request.refused else None,
                    current_settings=self._current_settings,
                ),
                past=conversion,
                source=name,
                verdict=found if isinstance(found, IntakeVerdict) else None,
                read=None if isinstance(found, IntakeVerdict) else found[place],
            )
            for place, conversion in enumerate(past)
        ]

    def _source_name(self, request: PastRequest) -> str:
        """Return the name of a request's source, or of its tests, under the new settings."""
        source = self._new_settings.source(request.source)
        return request.source if source is None else source.at(request.received_at).name


def _past(request: PastRequest) -> list[PastConversion | None]:
    return [
        None if delivery is None else request.conversions.get(delivery)
        for delivery in deliveries_of(request, request.entries + len(request.refused))
    ]


def _results(
    request: PastRequest,
    past: Sequence[PastConversion | None],
    destination: Destination | None,
    *,
    salt: bytes,
) -> IntakeVerdict | list[ReadConversion]:
    """Return a result for each conversion, or the verdict on the whole request."""
    if destination is None:
        return IntakeVerdict(outcome=IntakeOutcome.REJECTED, reason="pixel_unknown")
    try:
        given = _DECODER.decode(request.body).conversions
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        given = []
    if len(given) != len(past):
        return unknown(NotStored.BODY)
    revoked = {
        place: conversion
        for place, conversion in enumerate(past)
        if conversion is not None and conversion.suppressed is not None
    }
    # Without identifiers, X's reader would refuse them.
    kept = [bytes(raw) for place, raw in enumerate(given) if place not in revoked]
    conversions: Sequence[Conversion] = ()
    if kept:
        body = b'{"conversions":[%b]}' % b",".join(kept)
        reading = x_api.read(body, destination=destination, salt=salt)
        if isinstance(reading, x_api.XApiRefusal):
            return unknown(NotStored.IDENTIFIERS)
        conversions = reading.conversions
    return list(_each(request, past, revoked, iter(conversions)))


def _each(
    request: PastRequest,
    past: Sequence[PastConversion | None],
    revoked: Mapping[int, PastConversion],
    conversions: Iterator[Conversion],
) -> Iterator[ReadConversion]:
    """Yield all results: the conversions that were read, and those of persons who opted out."""
    for place, past_conversion in enumerate(past):
        is_revoked = place in revoked
        conversion = _revoked(revoked[place], request) if is_revoked else next(conversions)
        if past_conversion is not None:
            # A derived id depends on the place in the whole request.
            conversion = msgspec.structs.replace(
                conversion, conversion_id=past_conversion.conversion_id
            )
        yield ReadConversion(
            index=place,
            pixel=conversion.pixel,
            native=_NO_FIELDS,
            conversion=conversion,
            suppressed=REVOKED if is_revoked else None,
            cause=DeliveryCause.CONSENT_REVOKED if is_revoked else None,
            event=conversion.event,
        )


def _revoked(past: PastConversion, request: PastRequest) -> Conversion:
    return Conversion(
        pixel=real_name(past.pixel),
        event=past.event,
        conversion_id=past.conversion_id,
        time=request.received_at,
        identifiers=Identifiers(),
    )

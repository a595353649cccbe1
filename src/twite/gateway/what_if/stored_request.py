"""Conversions as they are stored in a request, and what the settings read them as."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.cause import CONSENT_CAUSES
from twite.domain.fault import MaskedFault
from twite.domain.secret import Masked
from twite.domain.submission import Ignored
from twite.formats.event_data.conversions import STANDARD, our_name
from twite.formats.native.conversion import ReadContext, ReadConversion, read_conversion
from twite.formats.parsed_request import Native
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.stored_judge import StoredJudge

# In place of identifiers that were not stored, so that only consent decides.
_STAND_IN: Final = "d3ac5ab07a13c4c96b8a16e24b7b6b1d2e2a2f4ed09de9c4d3c4b1b7fbe9a1c0"
BATCH: Final = b'{"conversions":'
_ONE: Final = msgspec.json.Decoder(Native)


class StoredBatch(Masked, frozen=True):
    """A stored request. `hit` has the event data that each conversion was read from.

    Of a beacon, it is an object: what the script said of the page.
    """

    conversions: list[Native]
    hit: list[dict[str, object]] | dict[str, object] | None = None


_MANY: Final = msgspec.json.Decoder(StoredBatch)


class StoredNative(Masked, frozen=True, kw_only=True):
    """A conversion in a stored request. `faults` are those for which it was rejected, if known.

    `past` is what it became, None if it was rejected or a duplicate. `native` is as the new
    settings name its event, `context` what they read it with.
    """

    in_repr = ("place",)
    place: int
    native: Native
    request: PastRequest
    context: ReadContext
    past: PastConversion | None = None
    faults: Sequence[MaskedFault] = ()
    is_rejected: bool = False

    @property
    def is_repeat(self) -> bool:
        return self.past is None and not self.is_rejected

    @property
    def was_denied(self) -> bool:
        """Whether consent was denied, so that no identifiers are stored."""
        past = self.past
        return (
            past is not None
            and past.suppressed is not None
            and (past.cause is None or past.cause in CONSENT_CAUSES)
        )

    @property
    def given(self) -> Native:
        """The conversion, with a stand-in for identifiers that were not stored."""
        if not self.was_denied:
            return self.native
        return msgspec.structs.replace(self.native, email_sha256=_STAND_IN)

    @property
    def is_bare(self) -> bool:
        """Whether a denied conversion was stored without its content, because it had faults."""
        if self.past is None:
            return False
        body, native = self.past.body, self.native
        return (
            (bytes(native.value) != b"null" and b'"value":' not in body)
            or (native.url is not None and b'"event_source_url":' not in body)
            or (bool(native.contents) and b'"contents":' not in body)
        )

    def read_again(self, judge: StoredJudge) -> ReadConversion:
        context = self.context
        if not judge.is_plain:
            context = msgspec.structs.replace(context, judge=judge)
        return read_conversion(self.given, self.place, context)


def stored_conversions(body: bytes) -> tuple[list[Native], Sequence[dict[str, object]]] | None:
    """Return the conversions of a stored request, and their event data; None if unreadable."""
    try:
        if body.startswith(BATCH):
            batch = _MANY.decode(body)
            return batch.conversions, batch.hit if isinstance(batch.hit, list) else ()
        return [_ONE.decode(body)], ()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def renamed(native: Native, trace: Mapping[str, object], context: ReadContext) -> Native | Ignored:
    """Return a conversion with the name that the settings give to its tag event, if it has one."""
    name, standard = trace.get("event_name"), trace.get(STANDARD)
    if not isinstance(name, str) or not name:
        return native
    source = context.source
    pixel = source.pixel if native.pixel is None else native.pixel
    destination = context.destinations.get(pixel)
    found = our_name(
        name,
        chosen=source.events,
        known=() if destination is None else destination.events,
        standard=standard if isinstance(standard, str) else None,
    )
    return found if isinstance(found, Ignored) else msgspec.structs.replace(native, event=found)

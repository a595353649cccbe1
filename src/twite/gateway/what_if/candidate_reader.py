"""Read stored requests under other settings, each by itself."""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from twite.domain.conversion import Conversion, Identifiers
from twite.domain.submission import AcceptedConversion, Rejection
from twite.domain.test_mode import is_test
from twite.formats.native.conversion import ReadConversion
from twite.gateway.ingest.entries import entry_of
from twite.gateway.ingest.tested import tested_conversion
from twite.gateway.ports.copies import said
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.candidate import (
    Candidate,
    CopiesCandidate,
    RequestCandidate,
    decoded_part,
    encoded,
)
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.reread import Reread, Rereader
from twite.gateway.what_if.reread_x import IN_X_FORMAT, XRereader
from twite.gateway.what_if.stored_ids import id_of

# Bodies for X begin with the time: {"conversion_time":"2026-11-24T10:00:00.000Z"
_TIME_ENDS: Final = 45
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOBODY: Final = Identifiers()


class CandidateReader:
    """Reads requests in any order. `current_settings` are those that took part in their intake.

    `breathe` is called between requests beside intake, to let other processes go first.
    """

    def __init__(
        self,
        *,
        new_settings: IntakeSettings,
        current_settings: IntakeSettings,
        salt: bytes,
        rejections: Sequence[Rejection],
        breathe: Callable[[], None] = lambda: None,
    ) -> None:
        self._breathe = breathe
        faults = {
            (rejection.receipt, rejection.index): rejection.faults for rejection in rejections
        }
        self._rules = new_settings.value_rules
        self._rereader = Rereader(
            new_settings=new_settings,
            current_settings=current_settings,
            salt=salt,
            rejected=faults,
        )
        self._x_rereader = XRereader(
            new_settings=new_settings, current_settings=current_settings, salt=salt
        )

    def read(self, request: PastRequest) -> RequestCandidate:
        copies: Sequence[CopiesCandidate] = ()
        if request.endpoint in IN_X_FORMAT:
            found = self._x_rereader.reread(request)
            if not request.conversions:
                copies = [
                    CopiesCandidate(
                        past_keys=each.past_keys,
                        keys=each.keys,
                        conversions=self._candidates(request, each.rereads),
                    )
                    for each in self._x_rereader.copies(request)
                ]
        else:
            found = self._rereader.reread(request)
        return RequestCandidate(
            receipt=request.receipt,
            source=request.source,
            received_at=request.received_at,
            entries=request.entries,
            refused=request.refused,
            conversions=self._candidates(request, found),
            copies=copies,
        )

    def read_encoded(self, message: bytes) -> bytes:
        """Read the requests of another process."""
        part, found = decoded_part(message), []
        for request in part.requests:
            found.append(self.read(request))
            if part.is_beside_intake:
                self._breathe()
        return encoded(found)

    def _candidates(self, request: PastRequest, rereads: Sequence[Reread]) -> list[Candidate]:
        return [self._candidate(reread, request.received_at) for reread in rereads]

    def _candidate(self, reread: Reread, at: int) -> Candidate:
        read, past = reread.read, reread.past
        conversion = None if read is None else read.conversion
        accepted, fields = None, None
        if read is None or conversion is None:
            return Candidate(
                place=reread.place,
                past_verdict=reread.past_verdict,
                source=reread.source,
                past=past,
                verdict=reread.verdict,
                names=_names(read, past),
                lacks=reread.lacks,
                is_consent_assumed=reread.is_consent_assumed,
            )
        if self._rules:
            result = self._rules.applied(
                conversion, source=reread.source, rule_fields=read.rule_fields
            )
            conversion = result.conversion
        if reread.verdict is None:
            accepted = _entry(reread, read, conversion)
            if past is not None and reread.past_verdict.is_accepted and not accepted.suppressed:
                fields = _differing(past, accepted.body, at)
            if fields is None:
                accepted = msgspec.structs.replace(accepted, body=b"")
        return Candidate(
            place=reread.place,
            past_verdict=reread.past_verdict,
            source=reread.source,
            past=past,
            verdict=reread.verdict,
            conversion=Conversion(
                pixel=conversion.pixel,
                event=conversion.event,
                conversion_id=conversion.conversion_id,
                time=0,
                identifiers=_NOBODY,
                value=conversion.value,
                currency=conversion.currency,
            ),
            accepted=accepted,
            fields=fields,
            lacks=reread.lacks,
            is_consent_assumed=reread.is_consent_assumed,
            derived_id=reread.derived_id,
            is_mapped_alike=reread.is_mapped_alike,
        )


def _names(read: ReadConversion | None, past: PastConversion | None) -> tuple[str, str, str] | None:
    stored_id = "" if past is None else past.conversion_id
    if read is not None and read.event:
        # Its pixel and event under the new settings, which may not be those of `past`.
        return read.pixel, read.event, id_of(read.native) or stored_id
    return None if past is None else (past.pixel, past.event, stored_id)


def _entry(reread: Reread, read: ReadConversion, conversion: Conversion) -> AcceptedConversion:
    accepted = entry_of(
        conversion,
        read.index,
        _unchecked,
        suppressed=read.suppressed,
        held=read.held,
        cause=read.cause,
        consent=read.evidence,
    )
    return tested_conversion(accepted) if is_test(reread.source) else accepted


def _unchecked(conversion: Conversion) -> tuple[None, None]:
    """Check no amount: what is usual depends on the order of conversions (PastIntake)."""
    del conversion
    return None, None


def _differing(past: PastConversion, body: bytes, at: int) -> tuple[str, ...] | None:
    """Return the fields that differ from what was stored; None if X would get the same."""
    before, after = said_at(past.body, body, at)
    if _is_same(past, before, after):
        return None
    try:
        old, new = _FIELDS.decode(before), _FIELDS.decode(after)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()
    changed = [name for name, value in old.items() if new.get(name) != value]
    return (*changed, *[name for name in new if name not in old])


def said_at(before: bytes, after: bytes, at: int) -> tuple[bytes, bytes]:
    """Return two bodies, without their times if these are only the time of receipt, and differ."""
    if before[:_TIME_ENDS] == after[:_TIME_ENDS]:
        return before, after
    return said(before, at=at), said(after, at=at)


def _is_same(past: PastConversion, before: bytes, after: bytes) -> bool:
    """Return whether X would get the same, except what was joined: that is not part of intake."""
    if past.is_joined:
        return _without_identifiers(before) == _without_identifiers(after)
    return before == after


def _without_identifiers(body: bytes) -> bytes:
    try:
        tree = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body
    tree.pop("identifiers", None)
    return msgspec.json.encode(tree)

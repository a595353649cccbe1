"""Intake's decisions about past conversions, made again under other settings."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.conversion import Conversion, dedup_key
from twite.domain.destination import Source
from twite.domain.submission import AcceptedConversion, Rejection
from twite.domain.test_mode import in_test, is_test, real_name
from twite.formats.native.conversion import ReadConversion
from twite.gateway.ingest.entries import entry_of
from twite.gateway.ingest.tested import tested_conversion
from twite.gateway.ports.copies import said
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.past_copies import PastCopies
from twite.gateway.what_if.past_guards import PastGuards
from twite.gateway.what_if.past_ignored import PastIgnored
from twite.gateway.what_if.report import PastComparison
from twite.gateway.what_if.reread import BY_SETTINGS, Reread, Rereader
from twite.gateway.what_if.reread_x import IN_X_FORMAT, reread_x
from twite.gateway.what_if.stored_ids import id_of
from twite.gateway.what_if.untouched import Untouched
from twite.gateway.what_if.verdict import IntakeOutcome, IntakeVerdict, NotStored, unknown

# Faults and notes of a conversion without identifiers, which it may gain by waiting.
_OF_NOBODY: Final = frozenset(
    {
        "identifier_missing", "email_unusable", "phone_unusable", "twclid_unusable",
        "twpid_unusable", "ip_unusable", "user_agent_unusable",
    }
)  # fmt: skip
# Bodies for X begin with the time: {"conversion_time":"2026-11-24T10:00:00.000Z"
_TIME_ENDS: Final = 45


class PastIntake:
    """Intake's decisions, made again in the order of receipt."""

    def __init__(
        self,
        *,
        new_settings: IntakeSettings,
        current_settings: IntakeSettings,
        salt: bytes,
        rejections: Sequence[Rejection],
        past_ignored: PastIgnored,
    ) -> None:
        self._past_ignored = past_ignored
        self._new_settings, self._current_settings = new_settings, current_settings
        self._rules = new_settings.value_rules
        self._salt = salt
        self._rejections: dict[tuple[str, int], Rejection] = {
            (rejection.receipt, rejection.index): rejection for rejection in rejections
        }
        self._rereader = Rereader(
            new_settings=new_settings,
            current_settings=current_settings,
            salt=salt,
            rejected={key: rejection.faults for key, rejection in self._rejections.items()},
        )
        # The latest first.
        self._order = sorted(rejections, key=lambda each: -each.at)
        self._copies = PastCopies(new_settings.dedup_window)
        self._guards = PastGuards(new_settings=new_settings, current_settings=current_settings)
        self._untouched = Untouched(
            new_settings=new_settings, current_settings=current_settings, guards=self._guards
        )

    def decide(self, request: PastRequest) -> list[PastComparison]:
        """Decide about the conversions of a request, and compare the verdicts."""
        self._confuse_denied(until=request.received_at)
        found = self._untouched.found(request)
        if found is not None:
            pass
        elif request.endpoint in IN_X_FORMAT:
            found = reread_x(
                request,
                new_settings=self._new_settings,
                current_settings=self._current_settings,
                salt=self._salt,
                copies=self._copies,
            )
        else:
            found = self._rereader.reread(request)
        at = request.received_at
        valued = [self._valued(reread) for reread in found]
        decided = [
            self._decided(reread, conversion, at)
            for reread, conversion in zip(found, valued, strict=True)
        ]
        self._copies.end_request(at=at)
        comparisons = []
        for reread, conversion, (verdict, accepted) in zip(found, valued, decided, strict=True):
            comparison = _comparison(request, reread, verdict, accepted)
            self._learn(reread, conversion, comparison, accepted)
            self._rejections.pop((request.receipt, reread.place), None)
            comparisons.append(comparison)
        return comparisons

    def decide_rejected(self, *, since: int, until: int) -> Iterator[PastComparison]:
        """Decide about the rejections of requests that are not stored."""
        for rejection in reversed(self._rejections.values()):
            if not since <= rejection.at < until:
                continue
            codes = [fault.code for fault in rejection.faults]
            verdict_before = IntakeVerdict(
                outcome=IntakeOutcome.REJECTED, reason=codes[0] if codes else ""
            )
            yield PastComparison(
                source=real_name(rejection.source),
                receipt=rejection.receipt,
                index=rejection.index,
                received_at=rejection.at,
                pixel=real_name(rejection.pixel),
                event=rejection.event,
                conversion_id=rejection.conversion_id,
                verdict_before=verdict_before,
                verdict_after=self._rejected_again(rejection, codes, verdict_before),
            )

    def _rejected_again(
        self, rejection: Rejection, codes: Sequence[str], verdict_before: IntakeVerdict
    ) -> IntakeVerdict:
        """Return the verdict on a conversion of which only the faults are stored.

        If it has other faults than an unknown event or pixel, it is not sent. If consent denied it,
        too, intake would record the denial: it still counts as rejected here.
        """
        source = self._new_settings.source(rejection.source)
        if source is None:
            return verdict_before
        waits_now = self._waits_now(source, rejection)
        if BY_SETTINGS.isdisjoint(codes):
            return unknown(NotStored.VISITOR) if waits_now else verdict_before
        others = [code for code in codes if code not in BY_SETTINGS and not waits_now]
        if "pixel_unknown" in codes:
            had = self._current_settings.source(rejection.source)
            may_be_known = had is None or not had.pixels >= source.pixels
            reason = NotStored.PIXEL
        else:
            may_be_known = self._may_have(source, rejection)
            reason = NotStored.REJECTED
        if not may_be_known:
            return verdict_before
        if others:
            return IntakeVerdict(outcome=IntakeOutcome.REJECTED, reason=others[0])
        return unknown(reason)

    def _waits_now(self, source: Source, rejection: Rejection) -> bool:
        """Return whether a conversion may only lack identifiers, and would wait for them now."""
        had = self._current_settings.source(rejection.source)
        waited = had is not None and had.wait > 0 and not is_test(rejection.source)
        codes = {fault.code for fault in rejection.faults} - BY_SETTINGS
        is_nobody = bool(codes) and codes <= _OF_NOBODY
        is_unread = "event_unknown" in {fault.code for fault in rejection.faults}
        return is_nobody and source.at(rejection.at).wait > 0 and (not waited or is_unread)

    def _may_have(self, source: Source, rejection: Rejection) -> bool:
        """Return whether a pixel has an event now. Whether the request named its pixel is unknown.

        If it did not, it would be for the source's new pixel.
        """
        had = self._current_settings.source(rejection.source)
        pixels = {real_name(rejection.pixel)}
        if had is None or had.pixel != source.pixel:
            pixels.add(source.pixel)
        for pixel in pixels:
            destination = self._new_settings.destinations.get(pixel)
            known = {} if destination is None else destination.events
            if rejection.event in known or rejection.event.strip().lower() in known:
                return True
        return False

    def _decided(
        self, reread: Reread, conversion: Conversion | None, at: int
    ) -> tuple[IntakeVerdict, AcceptedConversion | None]:
        """Return the verdict on one conversion, and its entry if intake would have stored one."""
        read = reread.read
        if reread.verdict is not None or read is None or conversion is None:
            verdict = reread.verdict or unknown(NotStored.BODY)
            if verdict.outcome is IntakeOutcome.UNKNOWN:
                self._confuse(reread, at)
            return verdict, None
        accepted = reread.accepted or self._entry(reread, read, conversion)
        if not self._copies.knows(accepted.key) or self._may_be_copy_of_ignored(accepted, at):
            return unknown(NotStored.COPY), None
        if reread.is_consent_assumed and not self._copies.is_final(accepted.key, at=at):
            self._copies.confuse(accepted.key, at=at, is_held=True)
            return unknown(NotStored.CONSENT_STRINGS), None
        is_in_doubt = accepted.suppressed is None and self._guards.is_in_doubt(
            reread.source, conversion
        )
        takes, held, cause = self._copies.take(accepted, at=at)
        if not takes:
            return IntakeVerdict(outcome=IntakeOutcome.DUPLICATE), None
        if is_in_doubt:
            return unknown(NotStored.AMOUNTS), None
        return _verdict_on(accepted, held=held, cause=cause), accepted

    def _entry(
        self, reread: Reread, read: ReadConversion, conversion: Conversion
    ) -> AcceptedConversion:
        accepted = entry_of(
            conversion,
            read.index,
            self._guards.look(reread.source, reread.past),
            suppressed=read.suppressed,
            held=read.held,
            cause=read.cause,
            consent=read.evidence,
        )
        return tested_conversion(accepted) if is_test(reread.source) else accepted

    def _may_be_copy_of_ignored(self, accepted: AcceptedConversion, at: int) -> bool:
        """Return whether an event that was ignored may have the key; then its holder is unknown.

        What X accepted remains the holder, and a denial is recorded in any case.
        """
        if accepted.suppressed is not None or self._copies.has_sent(accepted.key, at=at):
            return False
        since = at - self._new_settings.dedup_window
        pixel = real_name(accepted.pixel)
        if not self._past_ignored.had(pixel, accepted.event, since=since, until=at):
            return False
        self._copies.confuse(accepted.key, at=at, is_held=True)
        return True

    def _confuse_denied(self, *, until: int) -> None:
        """Note rejections before a time that may be denials under the new settings.

        A denial applies to all copies of a conversion, but that of a rejected one is not stored.
        """
        while self._order and self._order[-1].at < until:
            rejection = self._order.pop()
            source = self._new_settings.source(rejection.source)
            is_stored = (rejection.receipt, rejection.index) not in self._rejections
            if source is None or is_stored or not rejection.conversion_id:
                continue
            is_by_settings = any(fault.code in BY_SETTINGS for fault in rejection.faults)
            is_known_now = is_by_settings and self._may_have(source, rejection)
            waits_now = self._waits_now(source, rejection)
            if self._has_same_policy(rejection.source) and not (is_known_now or waits_now):
                continue
            at, destinations = rejection.at, self._new_settings.destinations
            for pixel in {real_name(rejection.pixel), source.pixel} & destinations.keys():
                events = destinations[pixel].events
                event = events.get(rejection.event) or events.get(rejection.event.strip().lower())
                if event is not None:
                    named = in_test(pixel) if is_test(source.at(at).name) else pixel
                    key = dedup_key(named, event, rejection.conversion_id.strip())
                    self._copies.confuse(key, at=at)

    def _has_same_policy(self, source: str) -> bool:
        return self._new_settings.policy(source) == self._current_settings.policy(source)

    def _valued(self, reread: Reread) -> Conversion | None:
        """Return a conversion with the value that the rules give it; None if it is none."""
        read, rules = reread.read, self._rules
        conversion = None if read is None else read.conversion
        if read is None or conversion is None or reread.accepted is not None or not rules:
            return conversion
        fields = read.rule_fields
        return rules.applied(conversion, source=reread.source, rule_fields=fields).conversion

    def _confuse(self, reread: Reread, at: int) -> None:
        """Record that it is unknown whether a conversion holds its dedup key."""
        read = reread.read
        conversion = None if read is None else read.conversion
        past = reread.past
        if conversion is not None:
            names = conversion.pixel, conversion.event, conversion.conversion_id
        elif read is not None and read.event:
            # Its pixel and event under the new settings, which may not be those of `past`.
            stored_id = "" if past is None else past.conversion_id
            names = read.pixel, read.event, id_of(read.native) or stored_id
        elif past is not None:
            names = past.pixel, past.event, past.conversion_id
        else:
            return
        pixel, event, identity = names
        if identity:
            pixel = in_test(pixel) if is_test(reread.source) else real_name(pixel)
            is_of_tags = reread.verdict == unknown(NotStored.TAGS)
            self._copies.confuse(dedup_key(pixel, event, identity), at=at, is_held=is_of_tags)

    def _learn(
        self,
        reread: Reread,
        conversion: Conversion | None,
        comparison: PastComparison,
        accepted: AcceptedConversion | None,
    ) -> None:
        valued = None if is_test(reread.source) else conversion
        source = real_name(reread.source)
        if comparison.verdict_after.outcome is IntakeOutcome.UNKNOWN and valued is not None:
            self._guards.learn_unknown(source, valued)
        verdict_before = comparison.verdict_before
        was_learned = verdict_before.is_accepted and verdict_before.outcome != IntakeOutcome.TEST
        self._guards.learn(
            source,
            valued if comparison.verdict_after.is_accepted else None,
            past=reread.past if was_learned else None,
            is_same=accepted is not None and comparison.is_same,
        )


def _verdict_on(
    accepted: AcceptedConversion, *, held: str | None, cause: DeliveryCause | None
) -> IntakeVerdict:
    """Return the verdict on a conversion that intake stores; `held` and `cause` as it holds it."""
    if accepted.suppressed is not None:
        reason = accepted.suppressed if accepted.cause is None else accepted.cause.value
        return IntakeVerdict(outcome=IntakeOutcome.SUPPRESSED, reason=reason)
    if held is not None:
        reason = "" if cause is None else cause.value
        return IntakeVerdict(outcome=IntakeOutcome.HELD, reason=reason)
    is_for_tests = is_test(accepted.pixel)
    return IntakeVerdict(outcome=IntakeOutcome.TEST if is_for_tests else IntakeOutcome.SENT)


def _comparison(
    request: PastRequest,
    reread: Reread,
    verdict: IntakeVerdict,
    accepted: AcceptedConversion | None,
) -> PastComparison:
    named = accepted or reread.past
    pixel_before = None
    body_before = body_after = b""
    if reread.past_verdict.is_accepted and verdict.is_accepted and accepted and reread.past:
        # The time of a conversion without one may differ.
        if reread.accepted is None:
            body_before, body_after = _said(reread.past.body, accepted.body, request.received_at)
        if _is_same(reread.past, body_before, body_after):
            body_before = body_after = b""
        if real_name(reread.past.pixel) != real_name(accepted.pixel):
            pixel_before = real_name(reread.past.pixel)
    return PastComparison(
        source=real_name(request.source),
        receipt=request.receipt,
        index=reread.place,
        received_at=request.received_at,
        pixel="" if named is None else real_name(named.pixel),
        event="" if named is None else named.event,
        conversion_id="" if named is None else named.conversion_id,
        verdict_before=reread.past_verdict,
        verdict_after=verdict,
        pixel_before=pixel_before,
        body_before=body_before,
        body_after=body_after,
        lacks=reread.lacks if verdict.is_accepted else (),
    )


def _said(before: bytes, after: bytes, at: int) -> tuple[bytes, bytes]:
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

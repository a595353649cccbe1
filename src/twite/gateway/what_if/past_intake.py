"""Intake's decisions about past conversions, made again under other settings."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.conversion import Conversion, dedup_key
from twite.domain.destination import Source
from twite.domain.submission import AcceptedConversion, Rejection
from twite.domain.test_mode import in_test, is_test, real_name
from twite.gateway.what_if.candidate import Candidate, CopiesCandidate, RequestCandidate
from twite.gateway.what_if.candidate_reader import said_at
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.past_copies import PastCopies
from twite.gateway.what_if.past_guards import PastGuards
from twite.gateway.what_if.past_ignored import PastIgnored
from twite.gateway.what_if.recorded_keys import RecordedKeys
from twite.gateway.what_if.report import PastComparison
from twite.gateway.what_if.reread import BY_SETTINGS, UNUSABLE
from twite.gateway.what_if.stored_ids import StoredIds
from twite.gateway.what_if.verdict import (
    DUPLICATE,
    SENT,
    TEST,
    IntakeOutcome,
    IntakeVerdict,
    NotStored,
    unknown,
)

# Faults and notes of a conversion without identifiers, which it may gain by waiting.
_OF_NOBODY: Final = UNUSABLE | {"identifier_missing"}
# Faults and notes that alone do not reject a conversion under any settings.
_NOT_FINAL: Final = UNUSABLE | BY_SETTINGS


class PastIntake:
    """Intake's decisions, made again in the order of receipt."""

    def __init__(
        self,
        *,
        new_settings: IntakeSettings,
        current_settings: IntakeSettings,
        rejections: Sequence[Rejection],
        past_ignored: PastIgnored,
    ) -> None:
        self._past_ignored = past_ignored
        self._new_settings, self._current_settings = new_settings, current_settings
        self._rejections: dict[tuple[str, int], Rejection] = {
            (rejection.receipt, rejection.index): rejection for rejection in rejections
        }
        self._ids = StoredIds()
        # The latest first.
        self._order = sorted(rejections, key=lambda each: -each.at)
        self._copies = PastCopies(new_settings.dedup_window)
        self._recorded_keys = RecordedKeys(current_settings.dedup_window)
        self._guards = PastGuards(new_settings=new_settings, current_settings=current_settings)
        self._is_earlier_unread = False

    def leave_earlier_unread(self) -> None:
        """Note that what was received from here until the next request is not read."""
        self._is_earlier_unread = True

    def decide(self, request: RequestCandidate) -> list[PastComparison]:
        """Decide about the conversions of a request, and compare the verdicts."""
        at = request.received_at
        self._confuse_denied(until=at)
        candidates = [
            candidate if candidate.derived_id is None else self._ids.resolved(request, candidate)
            for candidate in self._conversions(request)
        ]
        decided = [self._decided(candidate, at) for candidate in candidates]
        self._copies.end_request(at=at)
        comparisons = []
        for candidate, (verdict, accepted) in zip(candidates, decided, strict=True):
            comparison = _comparison(request, candidate, verdict, accepted)
            self._learn(candidate, comparison, accepted)
            self._recorded_keys.learn(candidate, at=at)
            if self._rejections:
                self._rejections.pop((request.receipt, candidate.place), None)
            comparisons.append(comparison)
        return comparisons

    def _conversions(self, request: RequestCandidate) -> Sequence[Candidate]:
        """Return the conversions of a request, also of one whose pixel is not stored.

        All of these were copies, so it was for a pixel of which stored conversions had their keys.
        """
        at = request.received_at
        possible = [
            copies
            for copies in request.copies
            if self._is_earlier_unread
            or all(self._recorded_keys.held(key, at=at) for key in copies.past_keys)
        ]
        if len(possible) == 1 and not self._is_earlier_unread:
            return possible[0].conversions
        if possible and all(self._are_duplicates(copies, at) for copies in possible):
            return possible[0].conversions
        # It may have taken the keys of any pixel, or changed their holders.
        for copies in possible or request.copies:
            for key in copies.keys:
                if not self._copies.is_final(key, at=at):
                    self._copies.confuse(key, at=at, is_held=True)
        return request.conversions

    def _are_duplicates(self, copies: CopiesCandidate, at: int) -> bool:
        return all(self._copies.is_final(key, at=at) for key in copies.keys) and all(
            candidate.verdict is None for candidate in copies.conversions
        )

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
        others = [code for code in codes if code not in _NOT_FINAL and not waits_now]
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
        self, candidate: Candidate, at: int
    ) -> tuple[IntakeVerdict, AcceptedConversion | None]:
        """Return the verdict on one conversion, and its entry if intake would have stored one."""
        accepted, conversion = candidate.accepted, candidate.conversion
        if candidate.verdict is not None or conversion is None or accepted is None:
            verdict = candidate.verdict or unknown(NotStored.BODY)
            if verdict.outcome is IntakeOutcome.UNKNOWN:
                self._confuse(candidate, at)
            return verdict, None
        is_suppressed = accepted.suppressed is not None
        if not is_suppressed and accepted.held is None:
            accepted = self._checked(candidate, conversion, accepted)
        if (
            self._may_be_copy_of_unknown(accepted, at)
            or self._may_be_copy_of_ignored(accepted, at)
            or self._may_be_copy_of_unread(candidate, accepted, at)
        ):
            return unknown(NotStored.COPY), None
        if candidate.is_consent_assumed and not self._copies.is_final(accepted.key, at=at):
            self._copies.confuse(accepted.key, at=at, is_held=True)
            return unknown(NotStored.CONSENT_STRINGS), None
        is_in_doubt = not is_suppressed and self._guards.is_in_doubt(candidate.source, conversion)
        takes, held, cause = self._copies.take(accepted, at=at)
        if not takes:
            return DUPLICATE, None
        if is_in_doubt:
            return unknown(NotStored.AMOUNTS), None
        return _verdict_on(accepted, held=held, cause=cause), accepted

    def _checked(
        self, candidate: Candidate, conversion: Conversion, accepted: AcceptedConversion
    ) -> AcceptedConversion:
        """Return an entry, held if its amount is unusual and the value guard holds such ones."""
        flag, held = self._guards.look(candidate.source, candidate.past)(conversion)
        if held is None or flag is None:
            return accepted
        cause = DeliveryCause(f"amount_{flag.kind}")
        return msgspec.structs.replace(accepted, held=held, cause=cause, flag=flag)

    def _may_be_copy_of_unknown(self, accepted: AcceptedConversion, at: int) -> bool:
        """Return whether the key's holder is unknown; then it may be this conversion now."""
        if self._copies.knows(accepted.key, at=at):
            return False
        self._copies.confuse(accepted.key, at=at)
        return True

    def _may_be_copy_of_ignored(self, accepted: AcceptedConversion, at: int) -> bool:
        """Return whether an event that was ignored may have the key; then its holder is unknown.

        What X accepted remains the holder, and a denial is recorded in any case.
        """
        is_none = not self._past_ignored or accepted.suppressed is not None
        if is_none or self._copies.has_sent(accepted.key, at=at):
            return False
        since = at - self._new_settings.dedup_window
        pixel = real_name(accepted.pixel)
        if not self._past_ignored.had(pixel, accepted.event, since=since, until=at):
            return False
        self._copies.confuse(accepted.key, at=at, is_held=True)
        return True

    def _may_be_copy_of_unread(
        self, candidate: Candidate, accepted: AcceptedConversion, at: int
    ) -> bool:
        """Return whether a copy has no holder because that was not read; then this is unknown.

        What was received before the range's window is not read: it may be held, or have had a copy
        in that window.
        """
        if (
            candidate.past_verdict.outcome is not IntakeOutcome.DUPLICATE
            or accepted.suppressed is not None
            or self._copies.holds(accepted.key, at=at)
            or self._recorded_keys.held(accepted.key, at=at)
        ):
            return False
        self._copies.confuse(accepted.key, at=at)
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

    def _confuse(self, candidate: Candidate, at: int) -> None:
        """Record that it is unknown whether a conversion holds its dedup key."""
        conversion = candidate.conversion
        if conversion is not None:
            names = conversion.pixel, conversion.event, conversion.conversion_id
        elif candidate.names is not None:
            names = candidate.names
        else:
            return
        pixel, event, identity = names
        if identity:
            pixel = in_test(pixel) if is_test(candidate.source) else real_name(pixel)
            is_of_tags = candidate.verdict == unknown(NotStored.TAGS)
            self._copies.confuse(dedup_key(pixel, event, identity), at=at, is_held=is_of_tags)

    def _learn(
        self,
        candidate: Candidate,
        comparison: PastComparison,
        accepted: AcceptedConversion | None,
    ) -> None:
        if not self._guards.may_hold:
            return
        valued = None if is_test(candidate.source) else candidate.conversion
        source = real_name(candidate.source)
        if comparison.verdict_after.outcome is IntakeOutcome.UNKNOWN and valued is not None:
            self._guards.learn_unknown(source, valued)
        verdict_before = comparison.verdict_before
        was_learned = verdict_before.is_accepted and verdict_before.outcome != IntakeOutcome.TEST
        self._guards.learn(
            source,
            valued if comparison.verdict_after.is_accepted else None,
            past=candidate.past if was_learned else None,
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
    return TEST if is_test(accepted.pixel) else SENT


def _comparison(
    request: RequestCandidate,
    candidate: Candidate,
    verdict: IntakeVerdict,
    accepted: AcceptedConversion | None,
) -> PastComparison:
    past = candidate.past
    named = accepted or past
    pixel_before = fields = None
    body_before = body_after = b""
    if candidate.past_verdict.is_accepted and verdict.is_accepted and accepted and past:
        fields = candidate.fields
        if fields is not None:
            body_before, body_after = said_at(past.body, accepted.body, request.received_at)
        if real_name(past.pixel) != real_name(accepted.pixel):
            pixel_before = real_name(past.pixel)
    return PastComparison(
        source=real_name(request.source),
        receipt=request.receipt,
        index=candidate.place,
        received_at=request.received_at,
        pixel="" if named is None else real_name(named.pixel),
        event="" if named is None else named.event,
        conversion_id="" if named is None else named.conversion_id,
        verdict_before=candidate.past_verdict,
        verdict_after=verdict,
        pixel_before=pixel_before,
        body_before=body_before,
        body_after=body_after,
        fields=fields or (),
        lacks=candidate.lacks if verdict.is_accepted else (),
    )

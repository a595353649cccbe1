"""Read a stored request again under other settings, by the functions that intake uses.

What is stored is not all that was received: emails and phone numbers are hashes, strings of the IAB
too, and identifiers that consent did not allow are missing. Where the outcome depends on that, the
verdict is unknown.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.consent.verdict import judging
from twite.domain.cause import DENIALS
from twite.domain.fault import MaskedFault
from twite.domain.secret import Masked
from twite.domain.submission import Endpoint, Ignored
from twite.domain.test_mode import is_test, real_name
from twite.formats.native.conversion import ReadContext, ReadConversion, read_conversion
from twite.formats.native.values import is_more
from twite.formats.parsed_request import Native
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.ports.tags import PREFIX
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.recorded import deliveries_of, evidence_of, recorded_verdict
from twite.gateway.what_if.stored_ids import DerivedIds, id_of
from twite.gateway.what_if.stored_judge import StoredJudge
from twite.gateway.what_if.stored_request import StoredNative, renamed, stored_conversions
from twite.gateway.what_if.verdict import IntakeOutcome, IntakeVerdict, NotStored, unknown

# Faults that depend on the settings. Another fault rejects a conversion whatever they are.
BY_SETTINGS: Final = frozenset({"event_unknown", "pixel_unknown"})
# Notes on identifiers that are omitted, which reject nothing by themselves.
UNUSABLE: Final = frozenset(
    {
        "email_unusable", "phone_unusable", "twclid_unusable", "twpid_unusable", "ip_unusable",
        "user_agent_unusable",
    }
)  # fmt: skip
_NOT_FINAL: Final = BY_SETTINGS | UNUSABLE
_MISSING: Final = "identifier_missing"
_KEY_FIELDS: Final = frozenset({"pixel", "event", "conversion_id"})


class Reread(Masked, frozen=True, kw_only=True):
    """A conversion read again.

    If `verdict` is None, `read` is a conversion as intake would accept it; if the verdict is
    unknown, it may have its id. `source` is the name of the source, or that of its tests. `lacks`
    names identifiers of the result that consent removed when it was stored, and that the new
    settings would have sent. `is_consent_assumed` is whether it is a repeat of which only that it
    was not denied is known. `derived_id` and `is_mapped_alike` are as in Candidate.
    """

    in_repr = ("place", "recorded", "verdict")
    place: int
    past_verdict: IntakeVerdict
    past: PastConversion | None
    source: str
    verdict: IntakeVerdict | None = None
    read: ReadConversion | None = None
    lacks: tuple[str, ...] = ()
    is_consent_assumed: bool = False
    derived_id: str | None = None
    is_mapped_alike: bool = False


class Rereader:
    """Reads requests again. `current_settings` are those that took part in their intake.

    `rejected` has the faults of stored rejections by receipt and place.
    """

    def __init__(
        self,
        *,
        new_settings: IntakeSettings,
        current_settings: IntakeSettings,
        salt: bytes,
        rejected: Mapping[tuple[str, int], Sequence[MaskedFault]],
    ) -> None:
        self._new_settings = new_settings
        self._current_settings = current_settings
        self._salt = salt
        self._rejected = rejected
        self._ids = DerivedIds(
            new_settings=new_settings, current_settings=current_settings, salt=salt
        )

    def reread(self, request: PastRequest) -> list[Reread]:
        """Return all conversions of a request in the native form, without those of tags."""
        decoded = stored_conversions(request.body)
        natives, traces = decoded or ((), ())
        count = len(natives) if decoded else request.entries + len(request.refused)
        deliveries = deliveries_of(request, count)
        source = self._new_settings.source(request.source)
        if decoded is None:
            return [
                self._reread(request, place, delivery, verdict=unknown(NotStored.BODY))
                for place, delivery in enumerate(deliveries)
                if not _is_tags(request, delivery)
            ]
        if source is None:
            rejected = IntakeVerdict(outcome=IntakeOutcome.REJECTED, reason="source_unknown")
            return [
                self._reread(request, place, delivery, verdict=rejected)
                for place, delivery in enumerate(deliveries)
            ]
        source = source.at(request.received_at)
        context = ReadContext(
            source=source,
            destinations=self._new_settings.destinations,
            now=request.received_at,
            salt=self._salt,
            idempotency_key=None,
            judge=judging(policy=source.consent, now=request.received_at),
            careful=bool(request.refused),
            lengthy=bool(request.refused),
        )
        if _are_of_tags(request, natives, deliveries):
            # Which of the conversions the deliveries are of is not stored, but what they may be is.
            return [
                self._reread(
                    request,
                    place,
                    deliveries[place],
                    source=source.name,
                    verdict=unknown(NotStored.TAGS),
                    read=read_conversion(native, place, context),
                )
                for place, native in enumerate(natives)
            ]
        found = []
        for place, native in enumerate(natives):
            named = renamed(native, traces[place], context) if place < len(traces) else native
            found.append(self._one(request, place, named, deliveries[place], context))
        if all(map(id_of, natives)):
            return found
        return self._with_ids(request, natives, found)

    def _one(
        self,
        request: PastRequest,
        place: int,
        native: Native | Ignored,
        delivery: int | None,
        context: ReadContext,
    ) -> Reread:
        name = context.source.name
        if isinstance(native, Ignored):
            ignored = IntakeVerdict(outcome=IntakeOutcome.IGNORED, reason=native.reason)
            return self._reread(request, place, delivery, source=name, verdict=ignored)
        stored_native = StoredNative(
            place=place,
            native=native,
            request=request,
            context=context,
            past=None if delivery is None else request.conversions.get(delivery),
            faults=() if delivery is not None else self._rejected.get((request.receipt, place), ()),
            is_rejected=delivery is None,
        )
        evidence = evidence_of(stored_native.past)
        judge = StoredJudge(
            evidence,
            native,
            context,
            is_settled=stored_native.is_repeat and self._has_same_policy(request),
            was_denied=stored_native.was_denied,
        )
        read = stored_native.read_again(judge)
        if any(fault.code not in _NOT_FINAL for fault in stored_native.faults):
            verdict = self._faulty(stored_native, read, judge)
        else:
            refused = self._refused(stored_native, read, judge)
            verdict = refused or self._in_doubt(stored_native, read)
        return self._reread(
            request,
            place,
            delivery,
            source=name,
            verdict=verdict,
            read=read,
            lacks=judge.missing(read),
            is_consent_assumed=judge.is_assumed,
        )

    def _reread(
        self,
        request: PastRequest,
        place: int,
        delivery: int | None,
        *,
        source: str | None = None,
        verdict: IntakeVerdict | None = None,
        read: ReadConversion | None = None,
        lacks: tuple[str, ...] = (),
        is_consent_assumed: bool = False,
    ) -> Reread:
        past = None if delivery is None else request.conversions.get(delivery)
        faults = self._rejected.get((request.receipt, place), ())
        codes = None if delivery is not None else [fault.code for fault in faults]
        return Reread(
            place=place,
            past_verdict=recorded_verdict(
                request, past, codes=codes, current_settings=self._current_settings
            ),
            past=past,
            source=request.source if source is None else source,
            verdict=verdict,
            read=read,
            lacks=lacks,
            is_consent_assumed=is_consent_assumed,
        )

    def _faulty(
        self, stored_native: StoredNative, read: ReadConversion, judge: StoredJudge
    ) -> IntakeVerdict | None:
        """Return the verdict on a conversion with faults that the settings do not change.

        It is not sent. But if consent denies it, and its dedup key is readable, that is recorded:
        then return None.
        """
        request, faults = stored_native.request, stored_native.faults
        waits = stored_native.context.source.wait > 0 and not self._waited(request)
        if waits and any(fault.code == _MISSING for fault in faults):
            return unknown(NotStored.VISITOR)
        if id_of(stored_native.native) and read.event and not _KEY_FIELDS & _fields(faults):
            was_unread = any(fault.code in BY_SETTINGS for fault in faults)
            if judge.is_unknown and (was_unread or not self._has_same_policy(request)):
                return unknown(NotStored.CONSENT_STRINGS)
            is_denied = read.suppressed is not None and read.cause in DENIALS
            if is_denied and read.conversion is not None:
                return None
        now = {fault.code for fault in read.faults}
        still = (each.code for each in faults if each.code not in BY_SETTINGS or each.code in now)
        return IntakeVerdict(outcome=IntakeOutcome.REJECTED, reason=next(still))

    def _refused(
        self, stored_native: StoredNative, read: ReadConversion, judge: StoredJudge
    ) -> IntakeVerdict | None:
        """Return the verdict on a conversion that would be rejected or ignored; else None."""
        codes = [fault.code for fault in read.faults]
        limit = stored_native.context.source.browser_value_limit
        ignored_verdict: IntakeVerdict | None = None
        if (
            stored_native.request.endpoint == Endpoint.BEACON
            and limit is not None
            and is_more(stored_native.native.value, limit)
        ):
            ignored_verdict = IntakeVerdict(outcome=IntakeOutcome.IGNORED, reason="value_limit")
        if not BY_SETTINGS.isdisjoint(codes):
            # Not even a denial is recorded for it.
            return ignored_verdict or _rejected(codes)
        if judge.is_unknown:
            return unknown(NotStored.CONSENT_STRINGS)
        is_lacking = judge.lacks_identifiers
        if read.conversion is None and set(codes) == {_MISSING}:
            had_some = stored_native.past is None or not self._waited(stored_native.request)
            if not had_some and stored_native.context.source.wait:
                return unknown(NotStored.VISITOR)  # it waited for its visitor then
            is_lacking |= had_some or bool(judge.removed)
        if is_lacking:
            return unknown(NotStored.IDENTIFIERS)
        if read.conversion is None:
            return ignored_verdict or _rejected(codes)
        # Of what is ignored, only a denial is recorded, which needs signals.
        is_denied = read.suppressed is not None and bool(stored_native.native.consent)
        return None if is_denied else ignored_verdict

    def _in_doubt(self, stored_native: StoredNative, read: ReadConversion) -> IntakeVerdict | None:
        """Return why it is unknown what an accepted conversion would become; else None."""
        is_sent = read.suppressed is None
        if stored_native.was_denied and is_sent:
            return unknown(NotStored.IDENTIFIERS)
        is_denial = read.cause in DENIALS
        would_wait = stored_native.context.source.wait > 0
        if stored_native.was_denied and self._waited(stored_native.request) and not would_wait:
            return unknown(NotStored.IDENTIFIERS)  # perhaps it had none
        if stored_native.was_denied and not is_denial and stored_native.is_bare:
            return unknown(NotStored.FAULTS)
        if stored_native.is_rejected and not stored_native.faults:
            return unknown(NotStored.FAULTS)
        identifiers = None if read.conversion is None else read.conversion.identifiers
        is_enough = identifiers is not None and identifiers.suffice
        if is_sent and not is_enough and not self._waited(stored_native.request):
            waits = stored_native.context.source.wait > 0
            return unknown(NotStored.VISITOR if waits else NotStored.IDENTIFIERS)
        return None

    def _with_ids(
        self, request: PastRequest, natives: Sequence[Native], found: list[Reread]
    ) -> list[Reread]:
        """Give conversions without an id of their own the id that was stored for them."""
        results = [None if each.verdict is not None else each.read for each in found]
        past = [each.past for each in found]
        for place, result in self._ids.of(request, natives, results, past).items():
            derived_id, read, is_mapped_alike = result
            found[place] = msgspec.structs.replace(
                found[place], read=read, derived_id=derived_id, is_mapped_alike=is_mapped_alike
            )
        return found

    def _waited(self, request: PastRequest) -> bool:
        source = self._current_settings.source(request.source)
        # Nothing is joined in test mode.
        return source is not None and source.wait > 0 and not is_test(request.source)

    def _has_same_policy(self, request: PastRequest) -> bool:
        before = self._current_settings.policy(request.source)
        return before is not None and before == self._new_settings.policy(request.source)


def _rejected(codes: Sequence[str]) -> IntakeVerdict:
    return IntakeVerdict(outcome=IntakeOutcome.REJECTED, reason=codes[0] if codes else "")


def _is_tags(request: PastRequest, delivery: int | None) -> bool:
    past = None if delivery is None else request.conversions.get(delivery)
    return past is not None and real_name(past.pixel).startswith(PREFIX)


def _are_of_tags(
    request: PastRequest, natives: Sequence[Native], deliveries: Sequence[int | None]
) -> bool:
    """Return whether a delivery is one of a tag, or of another conversion of the request.

    An event that only tags received has no delivery of its own, so that those of later conversions
    and of tags seem to be its own. If the tags' deliveries were duplicates, only the ids tell.
    """
    for place, delivery in enumerate(deliveries):
        past = None if delivery is None else request.conversions.get(delivery)
        if past is None:
            continue
        if real_name(past.pixel).startswith(PREFIX):
            return True
        stated_id = id_of(natives[place])
        if past.conversion_id != stated_id and (
            stated_id or past.conversion_id in map(id_of, natives)
        ):
            return True
    return False


def _fields(faults: Sequence[MaskedFault]) -> set[str]:
    """Return the fields with faults that do not depend on the settings."""
    return {fault.path.partition("[")[0] for fault in faults if fault.code not in BY_SETTINGS}

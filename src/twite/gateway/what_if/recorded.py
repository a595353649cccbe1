"""What intake decided about the conversions of a stored request."""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from twite.consent.verdict import Evidence, read_evidence
from twite.domain.cause import UNUSUAL_AMOUNTS
from twite.domain.consent import ConsentAction
from twite.domain.stats.value_guard import ValueGuard
from twite.domain.test_mode import is_test, real_name
from twite.gateway.ingest.value_guard import guard_of
from twite.gateway.ports.past_requests import PastConversion, PastRequest
from twite.gateway.what_if.intake_settings import IntakeSettings
from twite.gateway.what_if.verdict import DUPLICATE, SENT, TEST, IntakeOutcome, IntakeVerdict


def deliveries_of(request: PastRequest, count: int) -> list[int | None]:
    """Return the delivery of each of the request's `count` conversions; None if rejected."""
    if not request.refused:
        return list(range(request.first, request.first + count))
    found: list[int | None] = []
    delivery = request.first
    for place in range(count):
        if place in request.refused:
            found.append(None)
        else:
            found.append(delivery)
            delivery += 1
    return found


def evidence_of(conversion: PastConversion | None) -> Evidence | None:
    """Return the record of the consent decision; None if there is none, or it is unreadable."""
    if conversion is None or conversion.evidence is None:
        return None
    try:
        return _evidence(conversion.evidence)
    except msgspec.DecodeError:
        return None


# Cached, because many conversions share signals.
@lru_cache(maxsize=4_096)
def _evidence(kept: bytes) -> Evidence:
    return read_evidence(kept)


def recorded_verdict(
    request: PastRequest,
    conversion: PastConversion | None,
    *,
    codes: Sequence[str] | None,
    current_settings: IntakeSettings,
) -> IntakeVerdict:
    """Return the verdict at intake. `codes` are the faults of a rejected conversion.

    Whether the value guard held it is known while it is held. For a conversion that a user has
    decided about since, the guard is taken from the current settings.
    """
    if codes is not None:
        return IntakeVerdict(outcome=IntakeOutcome.REJECTED, reason=codes[0] if codes else "")
    if conversion is None:
        return DUPLICATE
    if conversion.suppressed is not None:
        reason = conversion.suppressed if conversion.cause is None else conversion.cause.value
        return IntakeVerdict(outcome=IntakeOutcome.SUPPRESSED, reason=reason)
    evidence = evidence_of(conversion)
    if evidence is not None and evidence.action == ConsentAction.HOLD:
        reason = "" if evidence.cause is None else evidence.cause.value
        return IntakeVerdict(outcome=IntakeOutcome.HELD, reason=reason)
    if conversion.flag is not None and (
        conversion.cause in UNUSUAL_AMOUNTS
        or _guard(request, conversion, current_settings) is ValueGuard.HOLD
    ):
        return IntakeVerdict(outcome=IntakeOutcome.HELD, reason=f"amount_{conversion.flag.kind}")
    return TEST if is_test(request.source) else SENT


def _guard(
    request: PastRequest, conversion: PastConversion, current_settings: IntakeSettings
) -> ValueGuard:
    source = current_settings.source(request.source)
    destination = current_settings.destinations.get(real_name(conversion.pixel))
    return guard_of(
        None if source is None else source.value_guard,
        None if destination is None else destination.value_guard,
    )

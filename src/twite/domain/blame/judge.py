"""Judge an answer of X: blame nobody, the deliveries, their event, the pixel or X."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from twite.domain.blame.bisect import Refused
from twite.domain.blame.evidence import Instant, PixelEvidence
from twite.domain.delivery import Delivery, Group
from twite.domain.outcome import (
    Delivered,
    Errored,
    Outcome,
    Rejected,
    RejectionScope,
    is_about_content,
    is_failure,
    is_unexplained,
)
from twite.domain.pause import Cause
from twite.domain.times import spelled

# After refusals of this many different deliveries in a row, without an acceptance or another
# verdict, the pixel may be at fault, even if the deliveries are suspects. Deliveries of paused
# events, and those that X has refused alone before, do not count: they are not new evidence.
MOST_IN_A_ROW: Final = 20
# The reasons of event pauses, and of held deliveries, begin with these.
REFUSED_ALIKE: Final = "all conversions refused alike"
FAILS_AT_ALL: Final = "all conversions failed"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one request, which contained `group` of an event.

    `why` is the outcome that is being bisected, if any. `was_hanging`: X accepted a later request
    in the meantime. `is_account_limited`: the rate limit of the whole account is used up.
    `is_bisected`: a batch of the event is being bisected; `may_bisect`: one more may be.
    """

    event: str
    group: Group
    outcome: Outcome
    why: Outcome | None = None
    was_hanging: bool = False
    is_account_limited: bool = False
    is_bisected: bool = False
    may_bisect: bool = True


def is_open(evidence: PixelEvidence, answer: Answer) -> bool:
    """Whether a delivery or its event may be at fault, so that the answer decides nothing yet."""
    outcome, why, suspects = answer.outcome, answer.why, evidence.suspects
    many = len(answer.group) > 1
    if is_about_content(outcome):
        return True
    if is_unexplained(outcome):
        if why is not None and is_unexplained(why):
            return True
        if answer.event in evidence.pauses or suspects.explain(answer.group):
            return True
        unclear = outcome.scope is RejectionScope.UNCLEAR or suspects.is_shown(outcome)
        return many and unclear and not evidence.breaker.is_paused
    if not many or evidence.is_cautious or not is_failure(outcome):
        return False
    return is_failure(why) or suspects.explain(answer.group)


def judge(
    evidence: PixelEvidence, answer: Answer, instant: Instant, *, is_open: bool, is_known: bool
) -> PixelEvidence:
    """Blame nobody, X, the event or the pixel."""
    event, group, outcome = answer.event, answer.group, answer.outcome
    evidence = _count(evidence, event, group, outcome)
    if isinstance(outcome, Errored):
        return _judge_failure(evidence, answer, instant, is_blamed_on_delivery=is_open or is_known)
    evidence = evidence.but(breaker=evidence.breaker.responded(instant.elapsed))
    if not is_unexplained(outcome):
        # X accepted the credentials and judged the content.
        return evidence.but(failing=frozenset(), breaker=evidence.breaker.passed())
    is_the_event = evidence.suspects.is_the_event(event)
    may_be_others = len(evidence.refused_in_row) >= MOST_IN_A_ROW
    if is_open and not may_be_others and (is_known or not is_the_event):
        return evidence
    return _stop(evidence, event, group, outcome, instant)


def _count(evidence: PixelEvidence, event: str, group: Group, outcome: Outcome) -> PixelEvidence:
    """Record the deliveries of the request: accepted, or bad."""
    suspects = evidence.suspects
    if isinstance(outcome, Delivered):
        return evidence.but(
            suspects=suspects.took(group, event=event),
            failed={},
            failed_alone=frozenset(),
            refused_in_row=frozenset(),
        )
    if is_unexplained(outcome):
        is_old = len(group) == 1 and suspects.was_refused_alone(group[0])
        row = evidence.refused_in_row
        if event not in evidence.pauses and not is_old:
            row |= {group[0].id}
        return evidence.but(suspects=suspects.note(group, event=event), refused_in_row=row)
    if is_failure(outcome):
        return evidence.but(suspects=suspects.note(group, event=event))
    if isinstance(outcome, Rejected):
        return evidence.but(refused_in_row=frozenset())
    return evidence


def _judge_failure(
    evidence: PixelEvidence, answer: Answer, instant: Instant, *, is_blamed_on_delivery: bool
) -> PixelEvidence:
    event, outcome = answer.event, answer.outcome
    assert isinstance(outcome, Errored)  # noqa: S101  for the type checker
    if outcome.limited:
        if outcome.retry_at is None or answer.is_account_limited:
            return evidence
        return evidence.pause_event(
            event,
            Cause.EVENT_LIMITED,
            f"X limits only this event until {spelled(outcome.retry_at)}: {outcome.reason}",
            instant=instant,
            probe_in=max(0, outcome.retry_at - instant.now),
        )
    if is_failure(outcome) and evidence.suspects.is_the_event(event):
        reason = f"{FAILS_AT_ALL}: {outcome.reason}"
        return evidence.pause_event(event, Cause.EVENT_FAILED, reason, instant=instant)
    if is_blamed_on_delivery and is_failure(outcome):
        return evidence
    # X itself may be down: try other deliveries.
    failed = evidence.breaker.failed(elapsed=instant.elapsed, jitter=instant.pixel_jitter)
    return evidence.remember_failed(event, answer.group).but(breaker=failed)


def _stop(
    evidence: PixelEvidence,
    event: str,
    group: Sequence[Delivery],
    rejected: Rejected,
    instant: Instant,
) -> PixelEvidence:
    """Pause the event or the pixel until a probe is accepted."""
    evidence = evidence.remember_failed(event, group)
    suspects = evidence.suspects
    if suspects.is_the_event(event):
        reason = f"{REFUSED_ALIKE}: {rejected.reason}"
        return evidence.pause_event(event, Cause.EVENT_REFUSED, reason, instant=instant)
    unclear = rejected.scope is RejectionScope.UNCLEAR or suspects.is_shown(rejected)
    is_nobody = rejected.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    cause = Cause.CREDENTIALS_REFUSED if is_nobody else Cause.PIXEL_REFUSED
    breaker = evidence.breaker.doubted(
        evidence.pause_for(cause, rejected.reason, now=instant.now),
        alone=len(group) == 1,
        is_likely=not (unclear or suspects.is_repeated(event)),
        elapsed=instant.elapsed,
    )
    return evidence.but(breaker=breaker)


def blame_pixel(
    evidence: PixelEvidence, event: str, found: Sequence[Refused], instant: Instant
) -> PixelEvidence:
    """Record that X refused each delivery of a batch when sent alone, and accepted none."""
    refusal = found[-1][1]
    group = [delivery for delivery, _ in found]
    suspects = evidence.suspects.blamed(refusal).refused_alike(group, event=event)
    return _stop(evidence.but(suspects=suspects), event, group, refusal, instant)

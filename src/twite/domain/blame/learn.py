"""Learn from an answer of X: (evidence, answer, time) → (evidence, actions).

The answer decides about the deliveries of its request, unless one of them or their event may be at
fault, and the rest can be delivered: then the request is bisected.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from twite.domain.blame.bisect import Bisect, Refused
from twite.domain.blame.evidence import Instant, PixelEvidence
from twite.domain.blame.judge import REFUSED_ALIKE, Answer, blame_pixel, is_open, judge
from twite.domain.blame.transitions import given_up, postponed, refused_alike, transitions
from twite.domain.delivery import Delivery, Group, Transition, backoff, ids_of
from twite.domain.outcome import (
    Delivered,
    Errored,
    Rejected,
    is_about_content,
    is_failure,
    is_unexplained,
)
from twite.domain.pause import Cause
from twite.domain.times import MINUTE

# How long deliveries wait that a bisect did not reach, because its budget is per minute.
BISECT_PAUSE: Final = MINUTE
# Spreads the retries of several deliveries at one time.
_GOLDEN: Final = 0.618


class Actions(msgspec.Struct, frozen=True, kw_only=True):
    """What to do after an answer, in this order.

    Settle the deliveries by `transitions`; hold the dead letters `to_hold`, for `reason`; store
    the pauses; if `recalls`, queue the held deliveries of the event again; run the `bisect`.
    `is_open`: the bisect that sent the request decides about its deliveries.
    """

    transitions: tuple[Transition, ...] = ()
    to_hold: tuple[int, ...] = ()
    reason: str = ""
    recalls: bool = False
    bisect: Bisect | None = None
    is_open: bool = False

    def then(self, later: "Actions") -> "Actions":
        """Return both: the transitions of this one come first."""
        return msgspec.structs.replace(
            later,
            transitions=(*self.transitions, *later.transitions),
            to_hold=later.to_hold or self.to_hold,
            reason=later.reason or self.reason,
        )


Learned = tuple[PixelEvidence, Actions]


def learn(evidence: PixelEvidence, answer: Answer, instant: Instant) -> Learned:
    """Return the evidence after an answer, and what to do."""
    event, group, outcome = answer.event, answer.group, answer.outcome
    if answer.was_hanging and is_failure(outcome):
        evidence = evidence.but(suspects=evidence.suspects.hung(group))
    is_known = evidence.suspects.explain(group)
    opens = is_open(evidence, answer)
    evidence = judge(evidence, answer, instant, is_open=opens, is_known=is_known)
    if is_failure(outcome) and len(group) == 1 and (is_known or is_failure(answer.why)):
        evidence = _isolate(evidence, event, group[0], None, instant)
    if opens and answer.why is not None:
        return evidence, Actions(is_open=True)
    if opens and len(group) > 1:
        return _begin_bisect(evidence, answer, instant, is_known=is_known)
    if answer.why is None:
        evidence, _ = evidence.reach(group)
    if opens and is_unexplained(outcome):
        return _give_up_or_back_off(evidence, event, [(group[0], outcome)], instant)
    if is_about_content(outcome):
        return _give_up_or_hold(evidence, event, [(group[0], outcome)], instant)
    decided = transitions(
        group, outcome, now=instant.now, jitter=instant.jitter, is_cautious=evidence.is_cautious
    )
    if not isinstance(outcome, Delivered):
        return evidence, Actions(transitions=decided)
    stats, recalls = evidence.stats_of(event).took()
    if answer.why is None:
        stats = stats.landed(taken=len(group), refused=0)
        evidence = evidence.but(size=evidence.size.landed())
    evidence = evidence.resume_event(event).with_stats(event, stats)
    return evidence, Actions(transitions=decided, recalls=recalls)


def end_bisect(
    evidence: PixelEvidence,
    event: str,
    bisect: Bisect,
    unsent: Group,
    instant: Instant,
    *,
    at_once: bool,
) -> Learned:
    """Return the evidence after a bisect, and what to do with the deliveries not settled yet.

    `unsent` is the group that was not sent, or whose outcome ended the bisect. The rest waits for
    the next bisect, or is sent `at_once`. If X accepted part of the batch, the refused conversions
    are at fault. An exception is a long run of refusals after the last acceptance: its deliveries
    are held. Those of a short run are held if X refuses the next conversion of the event, too.
    """
    rest = (*unsent, *bisect.rest)
    stats = evidence.stats_of(event).landed(taken=bisect.taken, refused=len(bisect.refused))
    if bisect.is_the_account:
        stats = stats.not_sent(ids_of(rest))
    evidence = evidence.with_stats(event, stats).but(
        size=evidence.size.too_large(bisect.too_large),
        unreached={**evidence.unreached, **dict.fromkeys(ids_of(rest), event)}
        if bisect.taken
        else evidence.unreached,
    )
    unexplained = [found for found in bisect.refused if is_unexplained(found[1])]
    at_once |= bisect.is_the_account or evidence.breaker.is_tripped
    actions = Actions()
    if unexplained and not bisect.taken and not bisect.is_known:
        evidence = blame_pixel(evidence, event, unexplained, instant)
        rest, at_once = (*rest, *(delivery for delivery, _ in unexplained)), True
    else:
        evidence, actions = _give_up_or_back_off(evidence, event, unexplained, instant)
    evidence, later = _settle_judged(evidence, event, bisect, instant)
    actions = actions.then(later)
    if rest:
        due_at = instant.now + (0 if at_once else BISECT_PAUSE)
        actions = actions.then(Actions(transitions=(postponed(ids_of(rest), due_at),)))
    return evidence, actions


def undo(evidence: PixelEvidence, event: str, actions: Actions) -> PixelEvidence:
    """Return the evidence after a failure of the store, so that the actions are tried again.

    Held deliveries are requeued at the next acceptance of the event, and its dead letters are held
    at the next refusal, which pauses the event again.
    """
    if actions.to_hold:
        evidence = evidence.resume_event(event)
    return evidence.recall_later(event) if actions.recalls else evidence


def _begin_bisect(
    evidence: PixelEvidence, answer: Answer, instant: Instant, *, is_known: bool
) -> Learned:
    event, group, outcome = answer.event, answer.group, answer.outcome
    assert isinstance(outcome, Rejected | Errored)  # noqa: S101  for the type checker
    evidence = evidence.but(size=evidence.size.too_many(group, outcome))
    is_paused = event in evidence.pauses
    # Only one batch of suspects is in flight at a time, so suspects use no slot of their event.
    if is_paused or not (is_known or answer.may_bisect):
        wait = 0 if is_paused or answer.is_bisected else BISECT_PAUSE
        return evidence, Actions(transitions=(postponed(ids_of(group), instant.now + wait),))
    evidence, was_unreached = evidence.reach(group)
    bisect = Bisect.of(
        group,
        outcome,
        evidence.stats_of(event).cleared.intersection(ids_of(group)),
        is_suspected=is_known,
        is_known=is_known or was_unreached,
    )
    return evidence, Actions(bisect=bisect, is_open=True)


def _isolate(
    evidence: PixelEvidence,
    event: str,
    delivery: Delivery,
    rejected: Rejected | None,
    instant: Instant,
) -> PixelEvidence:
    found = evidence.suspects.found(delivery, rejected, event=event, elapsed=instant.elapsed)
    return evidence.but(suspects=found)


def _give_up_or_back_off(
    evidence: PixelEvidence, event: str, found: Sequence[Refused], instant: Instant
) -> Learned:
    """Give up deliveries that X keeps refusing while it accepts others; else back off."""
    if event in evidence.pauses and found:
        return _blame_event(evidence, event, found, instant)
    decided = []
    for place, (delivery, refusal) in enumerate(found):
        evidence = _isolate(evidence, event, delivery, refusal, instant)
        isolated = evidence.suspects.isolated[delivery.id]
        if evidence.suspects.is_certain(isolated.proven):
            decided.append(given_up((delivery.id,), refusal.reason))
            continue
        jitter = (instant.jitter + place * _GOLDEN) % 1
        wait = backoff(attempts=isolated.times, randomness=jitter)
        decided.append(postponed((delivery.id,), instant.now + wait))
    return evidence, Actions(transitions=tuple(decided))


def _give_up_or_hold(
    evidence: PixelEvidence,
    event: str,
    found: Sequence[Refused],
    instant: Instant,
    *,
    at_fault: AbstractSet[int] = frozenset(),
) -> Learned:
    """Make refused deliveries dead letters, or hold them if the event may be at fault.

    `at_fault` contains the ids of deliveries whose batch X accepted in part.
    """
    if found and event in evidence.pauses:
        return _blame_event(evidence, event, found, instant)
    stats, is_in_doubt = evidence.stats_of(event), False
    for delivery, refusal in found:
        if delivery.id not in at_fault and delivery.id not in stats.cleared:
            stats = stats.refuse(delivery, refusal)
            is_in_doubt |= stats.doubts
    doubtful = set(stats.run) - at_fault if stats.doubts else set()
    decided = tuple(
        _held((delivery.id,), refusal)
        if delivery.id in doubtful
        else given_up((delivery.id,), refusal.reason)
        for delivery, refusal in found
    )
    evidence, actions = evidence.with_stats(event, stats), Actions(transitions=decided)
    if not is_in_doubt:
        return evidence, actions
    evidence, later = _pause_refused_event(evidence, event, found[-1][1], instant)
    return evidence, actions.then(later)


def _settle_judged(
    evidence: PixelEvidence, event: str, bisect: Bisect, instant: Instant
) -> Learned:
    """Settle the deliveries that X refused for their content during a bisect."""
    judged = [found for found in bisect.refused if not is_unexplained(found[1])]
    row = [found for found in bisect.row if not is_unexplained(found[1])]
    blamed = {delivery.id for delivery, _ in row} if bisect.is_the_account else set()
    others = [found for found in judged if found[0].id not in blamed]
    at_fault = frozenset(delivery.id for delivery, _ in judged if bisect.taken)
    evidence, actions = _give_up_or_hold(evidence, event, others, instant, at_fault=at_fault)
    if blamed:
        evidence, later = _blame_event(evidence, event, row, instant)
        return evidence, actions.then(later)
    if bisect.taken:
        evidence = _refuse(evidence, event, row)
    return evidence, actions


def _blame_event(
    evidence: PixelEvidence, event: str, found: Sequence[Refused], instant: Instant
) -> Learned:
    """Hold deliveries and pause their event, because X refused many alike and accepted none."""
    # The next acceptance requeues them, however few they are.
    evidence = _refuse(evidence, event, found).recall_later(event)
    held = _held(tuple(delivery.id for delivery, _ in found), found[0][1])
    actions = Actions(transitions=(held,))
    if event in evidence.pauses:
        reason = f"{REFUSED_ALIKE}: {found[0][1].reason}"
        return evidence.pause_event(event, Cause.EVENT_REFUSED, reason, instant=instant), actions
    evidence, later = _pause_refused_event(evidence, event, found[0][1], instant)
    return evidence, actions.then(later)


def _pause_refused_event(
    evidence: PixelEvidence, event: str, rejected: Rejected, instant: Instant
) -> Learned:
    """Pause the event, and hold those deliveries of the run that are already dead letters."""
    reason = f"{REFUSED_ALIKE}: {rejected.reason}"
    run = evidence.stats_of(event).run
    evidence = evidence.pause_event(event, Cause.EVENT_REFUSED, reason, instant=instant)
    return evidence, Actions(to_hold=run, reason=reason)


def _refuse(evidence: PixelEvidence, event: str, found: Sequence[Refused]) -> PixelEvidence:
    stats = evidence.stats_of(event)
    for delivery, refusal in found:
        stats = stats.refuse(delivery, refusal)
    return evidence.with_stats(event, stats)


def _held(ids: tuple[int, ...], rejected: Rejected) -> Transition:
    return refused_alike(ids, f"{REFUSED_ALIKE}: {rejected.reason}")

"""Outcome of a tag run: decide whether its delivery is delivered, retried, held or dead.

| the template | its requests | at least once | at most once |
|---|---|---|---|
| gtmOnSuccess | any result | delivered | delivered |
| its engine process ended | any result | held | held |
| its pending triggers do not match | only lookups | not fired | not fired |
| its pending triggers lack a value | only lookups | retried | retried |
| anything else | none was sent | retried | retried |
| anything else | one got no answer, 408, 425, 429, 5xx or Firestore's 409 | retried | held |
| anything else | all answered, at least one refused (4xx) | MOST_TRIES tries, then dead | dead |
| anything else | all answered, none refused | MOST_TRIES tries, then dead | held |

After MOST_LOOK_UPS tries, a value that pending triggers lack is taken as undefined.
"""

from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import (
    ANSWER_LIMIT,
    LAST_CEILING,
    MAYBE_ARRIVED,
    NO_REQUEST,
    Attempt,
    Transition,
    Trigger,
    backoff,
)
from twite.domain.outcome import AttemptOutcome
from twite.domain.times import SECOND
from twite.tags.ports.tags import RepeatPolicy, TagRule
from twite.tags.template.sandbox import RunResult

# The maximum number of attempts after a vendor's refusal or a template's error, because retries
# rarely help.
MOST_TRIES: Final = 5
# The maximum number of attempts to look up a value for a trigger: they take half an hour.
MOST_LOOK_UPS: Final = 12
_TOO_LONG: Final = "it took longer than"
# How errors about CPU or memory limits begin, and how errors about any limit begin.
_SPENT: Final = ("the run ",)
_LIMIT: Final = (*_SPENT, _TOO_LONG, "more than ", "it made more than ")
NOT_FIRED: Final = "the tag did not fire"
AT_MOST_ONCE: Final = f"{MAYBE_ARRIVED}, and the tag runs at most once"
_PASSING: Final = frozenset({408, 425, 429})
_End = tuple[Trigger, DeliveryCause | None, str | None]


class RequestOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one request of a run.

    `words` is the masked response; `left` is whether the request may have been sent. `retry_after`
    is in milliseconds, None if the response has none. `passing` is whether a retry may get another
    response, regardless of the status.
    """

    status: int | None
    words: str
    left: bool
    retry_after: int | None = None
    passing: bool = False

    @property
    def may_pass(self) -> bool:
        """Whether a retry may succeed."""
        return self.passing or self.status is None or self.status in _PASSING or self.status >= 500

    @property
    def is_refused(self) -> bool:
        """Whether the vendor refused the request because of its content."""
        return self.status is not None and self.status >= 400 and not self.may_pass


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a run.

    `error` is the thrown error, or the exceeded limit. `not_run` is why the tag did not run: a user
    must fix that. `lost` is whether the engine process ended during one of the run's turns. `notes`
    are added to the attempt's record. `not_fired` is why pending triggers did not fire the tag;
    `undecided` is whether they are still to be evaluated.
    """

    outcome: RunResult = RunResult.SILENT
    error: str | None = None
    tried: tuple[RequestOutcome, ...] = ()
    not_run: str | None = None
    lost: bool = False
    notes: tuple[str, ...] = ()
    not_fired: str | None = None
    undecided: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the template reported success and threw no error."""
        return self.outcome is RunResult.SUCCESS and self.error is None

    @property
    def left(self) -> bool:
        """Whether any request may have been sent."""
        return any(request.left for request in self.tried)

    @property
    def may_pass(self) -> bool:
        """Whether a failed request may succeed on a retry."""
        return any(request.may_pass for request in self.tried)

    @property
    def is_spent(self) -> bool:
        """Whether the run used up its CPU time or memory: such runs cost far more than others."""
        return self.lost or (self.error is not None and self.error.startswith(_SPENT))

    @property
    def passed_a_limit(self) -> bool:
        return self.lost or (self.error is not None and self.error.startswith(_LIMIT))

    @property
    def reason(self) -> str:
        """Why the run failed, for users."""
        if self.not_fired is not None:
            return f"{NOT_FIRED}: {self.not_fired}"
        if self.undecided:
            return f"a lookup that decides whether the tag fires failed ({self._failure})"
        if self.error is not None:
            return f"the template failed: {self.error}"
        verb = (
            "reported failure"
            if self.outcome is RunResult.FAILURE
            else "reported neither success nor failure"
        )
        last = next((request for request in reversed(self.tried) if request.status != 200), None)
        if last is None:
            return f"the template {verb}"
        answered = "no answer" if last.status is None else f"{last.status}"
        return f"the template {verb} ({answered})"

    @property
    def _failure(self) -> str:
        if self.error is not None:
            return self.error
        failed = next((request for request in self.tried if request.may_pass), None)
        status = None if failed is None else failed.status
        return "no answer" if status is None else f"{status}"


def timed_out(timeout: int) -> str:
    """Return the error of a run that exceeded its tag's timeout (milliseconds), with a fix."""
    return (
        f"{_TOO_LONG} {timeout / SECOND:g} s. "
        "Raise timeout in [[tag]] (for an imported tag in [container]), at most to 1 min"
    )


def attempt_of(
    run_outcome: RunOutcome, delivery: int, *, pixel: str, event: str, at: int
) -> Attempt:
    last = next(
        (
            request
            for request in reversed(run_outcome.tried)
            if request.is_refused or request.may_pass
        ),
        None,
    )
    last = last or (run_outcome.tried[-1] if run_outcome.tried else None)
    words = [] if run_outcome.tried else [NO_REQUEST]
    words += run_outcome.notes
    words += [] if run_outcome.succeeded else [run_outcome.reason]
    words += [last.words] if last is not None and last.words else []
    outcome = _outcome_of(run_outcome)
    return Attempt(
        at=at,
        pixel=pixel,
        event=event,
        outcome=outcome,
        deliveries=(delivery,),
        status=None if last is None else last.status,
        answer=": ".join(words)[:ANSWER_LIMIT],
        ambiguous=outcome is AttemptOutcome.ERRORED and run_outcome.left,
    )


def transition_of(
    run_outcome: RunOutcome,
    delivery: int,
    *,
    rule: TagRule,
    tries: int,
    now: int,
    randomness: float,
) -> Transition:
    """Return the transition of a delivery after `tries` attempts, including this one."""
    ids = (delivery,)
    final = _final(run_outcome, rule=rule, tries=tries)
    if final is not None:
        trigger, cause, reason = final
        return Transition(trigger=trigger, deliveries=ids, cause=cause, reason=reason)
    wait = backoff(attempts=tries, randomness=randomness)
    named = max((request.retry_after or 0 for request in run_outcome.tried), default=0)
    due = now + max(wait, min(named, LAST_CEILING))
    return Transition(
        trigger=Trigger.POSTPONED, deliveries=ids, due_at=due, reason=run_outcome.reason
    )


def _final(run_outcome: RunOutcome, *, rule: TagRule, tries: int) -> _End | None:
    """Return how the delivery's attempts end; None to retry."""
    at_most_once = rule.repeat is RepeatPolicy.AT_MOST_ONCE and run_outcome.left
    found: _End | None = None
    if run_outcome.not_fired is not None:
        found = Trigger.NOT_FIRED, DeliveryCause.NOT_FIRED, run_outcome.reason
    elif run_outcome.not_run is not None or run_outcome.lost:
        # Another run would probably end another engine process.
        reason = run_outcome.not_run or run_outcome.reason
        found = Trigger.HELD, DeliveryCause.FAILED, reason
    elif run_outcome.undecided:
        if tries >= MOST_LOOK_UPS:
            reason = f"{NOT_FIRED}: {run_outcome.reason}"
            found = Trigger.NOT_FIRED, DeliveryCause.NOT_FIRED, reason
    elif run_outcome.succeeded:
        found = Trigger.DELIVERED, None, None
    elif at_most_once and not _is_refused(run_outcome):
        reason = f"{AT_MOST_ONCE}: {run_outcome.reason}"
        found = Trigger.HELD, DeliveryCause.MAY_COUNT_TWICE, reason
    elif at_most_once or (tries >= MOST_TRIES and not run_outcome.may_pass):
        found = Trigger.GIVEN_UP, DeliveryCause.FAILED, run_outcome.reason
    return found


def _outcome_of(run_outcome: RunOutcome) -> AttemptOutcome:
    if run_outcome.succeeded:
        return AttemptOutcome.DELIVERED
    return AttemptOutcome.REJECTED if _is_refused(run_outcome) else AttemptOutcome.ERRORED


def _is_refused(run_outcome: RunOutcome) -> bool:
    """Whether no failed request may succeed on a retry, and at least one was refused."""
    return (
        run_outcome.error is None
        and not run_outcome.may_pass
        and any(request.is_refused for request in run_outcome.tried)
    )

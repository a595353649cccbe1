"""The history of a conversion, as text and as the JSON of the HTTP response."""

from typing import Final

import msgspec

from twite.cli import printing
from twite.domain.delivery import NO_REQUEST, State
from twite.domain.history import History, PastAttempt, waiting
from twite.domain.times import spelled
from twite.gateway.operations.explain import compact
from twite.gateway.ports.tags import PREFIX
from twite.redaction.mask_tree import masked_words

_LONGEST_ANSWER: Final = 300
_LONGEST_EVIDENCE: Final = 2_000
_STYLES: Final = {
    State.DELIVERED: "green",
    State.HELD: "bold yellow",
    State.DEAD: "bold red",
    State.SUPPRESSED: "dim",
}


def told(life: History, *, now: int = 0) -> dict[str, object]:
    """Return what `GET /v1/conversions/…` answers of a life, and its number; masked."""
    shown: dict[str, object] = {
        "delivery": life.delivery,
        "pixel": life.pixel,
        "event": life.event,
        "conversion_id": life.conversion_id,
        "state": life.state,
        "source": life.source,
        "receipt": life.receipt,
        "received_at": spelled(life.received_at),
        "deadline_at": spelled(life.deadline_at),
        "sent": msgspec.Raw(compact(life.sent)),
        "attempts": [
            {
                "at": spelled(attempt.at),
                "outcome": attempt.outcome,
                "status": attempt.status,
                "answer": masked_words(attempt.answer),
                "ambiguous": attempt.ambiguous,
            }
            for attempt in life.attempts
        ],
        "duplicates": life.duplicates,
    }
    if life.reason is not None:
        shown["reason"] = masked_words(life.reason)
    if life.due_at is not None:
        shown["due_at"] = spelled(life.due_at)
    if life.not_fired:
        shown["not_fired"] = [{"tag": tag.tag, "reason": tag.why} for tag in life.not_fired]
    if life.consent is not None:
        shown["consent"] = msgspec.Raw(compact(life.consent))
    if life.superseded_by is not None:
        shown["superseded_by"] = life.superseded_by
    if life.supersedes:
        shown["supersedes"] = list(life.supersedes)
    if (why := waiting(life, now=now)) is not None:
        shown["waiting"] = masked_words(why)
    return shown


def print_life(life: History, *, now: int) -> None:
    """Print it whole. `now` is in milliseconds."""
    state = printing.styled(life.state.value, _STYLES.get(life.state, "bold"))
    printing.say(f"{life.conversion_id}  event {life.event} of pixel {life.pixel}: ", state)
    if life.reason:
        printing.say(f"  because      {_safe(life.reason)}")
    if (why := waiting(life, now=now)) is not None:
        printing.say(f"  waits        {_safe(why)}")
    printing.say(f"  source       {life.source}")
    printing.say(f"  receipt      {life.receipt}")
    printing.say(f"  received at  {spelled(life.received_at)}")
    if life.due_at is not None:
        printing.say(f"  next try at  {spelled(life.due_at)}")
    printing.say(f"  deadline at  {spelled(life.deadline_at)}")
    printing.say(f"  duplicates   {life.duplicates}")
    printing.say(f"  delivery     {life.delivery}")
    _print_copies(life)
    body = compact(life.sent).decode() if life.sent else "no longer kept, or damaged"
    if life.consent is not None:
        shown = printing.safe(compact(life.consent).decode(), longest=_LONGEST_EVIDENCE)
        printing.say(f"  consent      {shown}")
    printing.say(f"  body         {body}")
    for tag in life.not_fired:
        why = printing.safe(tag.why, longest=_LONGEST_ANSWER)
        printing.say(f"  {printing.safe(tag.tag, longest=60):<12} did not fire: {why}")
    if not life.attempts:
        printing.say("  no attempt yet")
    other = "the other side" if life.pixel.startswith(PREFIX) else "X"
    for number, attempt in enumerate(life.attempts, 1):
        status, answer = _answered(attempt)
        doubt = f", and {other} may have processed it" if attempt.ambiguous else ""
        printing.say(
            f"  attempt {number}    {spelled(attempt.at)}  {attempt.outcome}, {status}{doubt}"
        )
        if answer:
            printing.say(f"               {_safe(answer)}")


def _print_copies(life: History) -> None:
    if life.superseded_by is not None:
        printing.say(f"  superseded by delivery {life.superseded_by}, a later copy")
    if life.supersedes:
        older = ", ".join(str(supersede) for supersede in life.supersedes)
        printing.say(f"  supersedes   delivery {older}")


def _answered(attempt: PastAttempt) -> tuple[str, str]:
    """Return how it was answered, and in which words."""
    if attempt.is_without_request:
        return "made no request", attempt.answer.removeprefix(NO_REQUEST).removeprefix(": ")
    status = "no answer" if attempt.status is None else f"HTTP {attempt.status}"
    return status, attempt.answer


def _safe(text: str) -> str:
    return printing.safe(masked_words(text), longest=_LONGEST_ANSWER)

"""The timeline of a conversion: what happened to it and to its copies, in order of time."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from twite.console.render import lasting, number
from twite.domain.delivery import State
from twite.domain.fault import Fault
from twite.domain.history import History, PastAttempt, waiting
from twite.domain.plural import plural
from twite.domain.stats.deduplication import PixelReport
from twite.domain.submission import Endpoint
from twite.domain.test_mode import is_test
from twite.domain.times import moment
from twite.domain.value_change import change_text
from twite.gateway.operations.explain import flat
from twite.gateway.ports.queries import ConversionOrigin
from twite.gateway.ports.tags import PREFIX

WAYS_IN: Final = {
    Endpoint.NATIVE: "the API, a file or a sync (POST /v1/conversions)",
    Endpoint.X_API: "X's own format (POST /12/measurement/conversions)",
    Endpoint.BEACON: "a page (twite.js)",
    Endpoint.GA4: "a GA4 hit (/g/collect)",
    Endpoint.MEASUREMENT_PROTOCOL: "the Measurement Protocol (/mp/collect)",
    Endpoint.DATA_TAG: "Stape's Data Tag (/data)",
    Endpoint.SGTM: "Twite's tag in a server container (/v1/sgtm)",
    Endpoint.STAPE: "Stape's auth proxy",
    Endpoint.WEBHOOK: "a webhook",
    Endpoint.SEGMENT: "Segment's API",
    Endpoint.TAG: "a tag template",
    Endpoint.CLIENT: "a client template",
}
MOST_ATTEMPTS: Final = 20
_VENDOR: Final = "the tag's vendor"
_TONES: Final = {"delivered": "done", "rejected": "failed"}
_ENDED: Final = {
    State.DEAD: ("Given up", "failed"),
    State.HELD: ("Held: it waits for your decision", "waits"),
    State.SUPPRESSED: ("Not sent", ""),
}


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`tone` is a class of the list: done, failed, waits or "". `answer` is untrusted text.

    `text` and `answer` may contain untrusted text with personal data: templates mask them.
    """

    at: int | None
    title: str
    text: str = ""
    tone: str = ""
    status: str = ""
    answer: str = ""


def way_in(endpoint: str) -> str:
    """Return how a conversion came; an unknown endpoint as it is."""
    return WAYS_IN[Endpoint(endpoint)] if endpoint in set(Endpoint) else endpoint


def timeline(
    origin: ConversionOrigin, reports: Iterable[PixelReport], *, now: int
) -> list[TimelineEntry]:
    """Return the entries with a time in its order, then the present state."""
    history = origin.history
    timed = [
        *_happened(history),
        *(_reported(report, history.received_at) for report in reports),
        *(
            TimelineEntry(
                at=gained.at,
                title=f"Gained: {gained.identifier} became known",
                text=f"from {gained.origin}",
                tone="done",
            )
            for gained in history.gained
        ),
        TimelineEntry(
            at=history.received_at,
            title="Received and stored",
            text=f"from source {history.source}, by {way_in(origin.endpoint)}",
            tone="done",
        ),
        *_revalued(history),
        *(
            TimelineEntry(at=at, title="Changed by a user", text=note)
            for at, note in origin.amended
        ),
        *_attempts(history),
    ]
    # Of one moment, in the order above.
    entries = sorted(timed, key=lambda entry: entry.at or 0)
    if history.duplicates:
        copies = plural(history.duplicates, "later copy", "later copies")
        entries.append(
            TimelineEntry(
                at=None,
                title=f"{copies} dropped",
                text="Twite sends a conversion id once. Duplicates have no times of their own.",
            )
        )
    return [*entries, *_present(history, now=now)]


def _happened(history: History) -> Sequence[TimelineEntry]:
    """Return when the conversion itself happened, if its body still says so."""
    text = flat(history.sent).get("conversion_time")
    at = moment(text, now=1 << 60, path="") if isinstance(text, str) else None
    if at is None or isinstance(at, Fault):
        return ()
    before = history.received_at - at
    late = f"{_lasting(before)} before Twite received it" if before >= 1_000 else ""
    return (TimelineEntry(at=at, title="The conversion happened", text=late),)


def _revalued(history: History) -> Sequence[TimelineEntry]:
    """Return what a value rule made of the amount."""
    change = history.value_change
    if change is None:
        return ()
    failed = change.problem is not None
    return (
        TimelineEntry(
            at=history.received_at,
            title="A value rule failed" if failed else "Amount changed by a value rule",
            text=change_text(change),
            tone="failed" if failed else "done",
        ),
    )


def _reported(report: PixelReport, received_at: int) -> TimelineEntry:
    """Return the copy that a page sent to X's pixel."""
    apart = _lasting(abs(report.after(received_at)))
    if report.blocked:
        return TimelineEntry(
            at=report.at,
            title="A page used the same id for X's pixel, whose script did not load",
            text="The gateway's copy is the only one.",
        )
    if report.meets(received_at):
        return TimelineEntry(
            at=report.at,
            title="A page sent the same id to X's pixel",
            text=f"{apart} from the gateway's copy, so X drops one of the two.",
            tone="done",
        )
    return TimelineEntry(
        at=report.at,
        title="A page sent the same id to X's pixel, too far apart",
        text=f"{apart} from the gateway's copy: more than 48 hours, so X counts both.",
        tone="failed",
    )


def _attempts(history: History) -> list[TimelineEntry]:
    latest = history.attempts[-MOST_ATTEMPTS:]
    earlier = len(history.attempts) - len(latest)
    entries = [_attempt(attempt, receiver=receiver_of(history.pixel)) for attempt in latest]
    if earlier:
        first = history.attempts[0].at
        entries.insert(
            0, TimelineEntry(at=first, title=f"{plural(earlier, 'earlier attempt')} not shown")
        )
    return entries


def receiver_of(pixel: str) -> str:
    """Return who gets the conversions of a pixel, or the events of a tag."""
    if pixel.startswith(PREFIX):
        return _VENDOR
    return "the emulator" if is_test(pixel) else "X"


def _attempt(attempt: PastAttempt, *, receiver: str) -> TimelineEntry:
    batch = "alone" if attempt.size == 1 else f"in a batch of {number(attempt.size)}"
    words = {"delivered": "delivered", "rejected": "refused", "errored": "failed"}
    outcome = words.get(attempt.outcome, attempt.outcome)
    title = (
        f"The tag ran: {outcome}"
        if receiver == _VENDOR
        else f"Sent to {receiver} {batch}: {outcome}"
    )
    text = f"{receiver} may have it" if attempt.ambiguous else ""
    if attempt.status is None:
        none = "it made no request" if attempt.is_without_request else "no response came"
        text = f"{none}; {text}" if text else none
    return TimelineEntry(
        at=attempt.at,
        title=title,
        text=text,
        tone=_TONES.get(attempt.outcome, "waits"),
        status="" if attempt.status is None else str(attempt.status),
        answer=attempt.answer,
    )


def _present(history: History, *, now: int) -> Sequence[TimelineEntry]:
    if history.state in _ENDED:
        title, tone = _ENDED[history.state]
        return (TimelineEntry(at=None, title=title, text=history.reason or "", tone=tone),)
    if history.state is State.DELIVERED:
        return ()
    if history.state is State.SENDING:
        return (TimelineEntry(at=None, title="Being sent", tone="waits"),)
    why = waiting(history, now=now) or "it is next in the queue"
    return (TimelineEntry(at=None, title="Waiting", text=why, tone="waits"),)


def _lasting(ms: int) -> str:
    """Format a duration with plain spaces, because `masked` shows others as codes."""
    return lasting(ms).replace("\N{NO-BREAK SPACE}", " ")

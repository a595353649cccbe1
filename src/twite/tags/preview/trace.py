"""A previewed request: what Twite did with it. All texts are masked when they are recorded.

`current()` returns the trace of the request that is being handled, or None if the request belongs
to no session.
"""

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Final, cast

import msgspec

from twite.domain.incoming_request import IncomingRequest
from twite.domain.submission import AcceptedConversion
from twite.gateway.ports.request_watch import current_watch
from twite.gateway.ports.tags import PREFIX
from twite.redaction.mask_text import network
from twite.redaction.mask_tree import masked_tree, masked_words
from twite.tags.redaction.mask_line import LineMask
from twite.tags.template.effects import (
    AnyEffect,
    BrowserPixel,
    Header,
    HttpEffect,
    LogEffect,
    Service,
    SetCookie,
)
from twite.tags.template.sandbox import EffectAnswer, RunResult, Turn
from twite.tags.template.texts import UNDEFINED

if TYPE_CHECKING:
    from twite.tags.container.explain import Explanation
    from twite.tags.template.template import Template

MOST_TEXT: Final = 64 * 1024  # characters of one request's trace
LONGEST: Final = 2_000  # characters of one text
MOST_EVENTS: Final = 20
MOST_RUNS: Final = 40
MOST_LINES: Final = 100  # per run
LEFT_OUT: Final = "…"


class PreviewPair(msgspec.Struct, kw_only=True):
    """A name with a value or a verdict; `note` says more. `good` is whether it matches or fires."""

    name: str
    value: str = ""
    note: str = ""
    good: bool | None = None


class PreviewLine(msgspec.Struct, kw_only=True):
    """One line of a run: a request, a response, a log line, a cookie, and so on."""

    kind: str
    text: str


class PreviewRun(msgspec.Struct, kw_only=True):
    """A run of a tag or client. `permissions` are those granted to its templates."""

    name: str
    outcome: str = "running"
    permissions: tuple[str, ...] = ()
    lines: list[PreviewLine] = []


class PreviewEvent(msgspec.Struct, kw_only=True):
    """One event: its data, its consent, its variables and triggers, and the tags' verdicts."""

    name: str
    data: str
    consent: str
    variables: list[PreviewPair] = []
    triggers: list[PreviewPair] = []
    tags: list[PreviewPair] = []


class PreviewedRequest(msgspec.Struct, kw_only=True):
    """One request of a preview session. All texts are masked."""

    number: int
    at: int
    method: str
    path: str
    query: str
    headers: list[PreviewPair]
    address: str = ""
    body: str = ""
    client: str = ""
    status: int = 0
    cookies: list[str] = []
    events: list[PreviewEvent] = []
    conversions: list[PreviewPair] = []
    runs: list[PreviewRun] = []
    sent_nothing: bool = False
    version: int = 0


class RequestTrace:
    """Records one request into `seen`.

    If `sends_nothing`, the request is neither stored nor sent. `id` connects deliveries with the
    trace. `dry_run` runs a tag's entry without sending. `handling` returns whether the request may
    still be in progress; tasks that outlive the request are not traced.
    """

    def __init__(
        self,
        previewed: PreviewedRequest,
        *,
        id_: str,
        changed: Callable[[], None],
        handling: Callable[[], bool],
        dry_run: Callable[[str, bytes, "RequestTrace"], None] | None = None,
    ) -> None:
        self.seen = previewed
        self.id = id_
        self.handling = handling
        self._changed = changed
        self._dry_run = dry_run
        self._left = [MOST_TEXT]  # shared with `prolonged` traces

    def prolonged(self) -> "RequestTrace":
        """Return a trace of the same request for a short task that may begin after the request."""
        other = copy(self)
        other.handling = lambda: True
        return other

    @property
    def sends_nothing(self) -> bool:
        return self.seen.sent_nothing

    @property
    def is_active(self) -> bool:
        return self.handling()

    def request(self, request: IncomingRequest, *, client: str) -> None:
        """Record the request as tags and clients see it."""
        self.seen.client = self.seen.client or self.shortened(client)
        self.seen.address = network(request.remote_address)
        if request.body and not self.seen.body:
            self.seen.body = self.shortened(masked_words(request.body))
        self.tell()

    def claimed(self, client: str) -> None:
        self.seen.client = client
        self.tell()

    def answered(self, status: int, cookies: Iterable[str]) -> None:
        """Record the response: its status, and its cookies without their values."""
        self.seen.status = status
        self.seen.cookies = [self.shortened(_without_value(cookie)) for cookie in cookies]
        self.tell()

    def event(
        self, name: str, data: Mapping[str, object], consent: str, mask: LineMask
    ) -> PreviewEvent | None:
        """Record an event; None if there are too many. `mask` knows the secrets of the tags."""
        if len(self.seen.events) >= MOST_EVENTS:
            return None
        event = PreviewEvent(
            name=self.shortened(mask.over(name, most=LONGEST)),
            data=self.shortened(mask.own(_as_json(masked_tree(dict(data))), most=MOST_TEXT)),
            consent=self.shortened(consent),
        )
        self.seen.events.append(event)
        self.tell()
        return event

    def explain(self, event: PreviewEvent, explanation: "Explanation", mask: LineMask) -> None:
        """Record the values of variables and the verdicts of triggers."""
        for value in explanation.values:
            shown = "undefined"
            if value.value is not UNDEFINED:
                held = masked_tree({value.name: value.value})
                shown = mask.over(_as_json(_only(held)), most=LONGEST)
            event.variables.append(
                PreviewPair(
                    name=self.shortened(value.name),
                    value="" if value.why_not else self.shortened(shown),
                    note=self.shortened(value.why_not),
                )
            )
        for trigger in explanation.triggers:
            event.triggers.append(
                PreviewPair(
                    name=self.shortened(trigger.name),
                    value=self.shortened(mask.over(trigger.decided, most=LONGEST)),
                    note=self.shortened(mask.over(trigger.left, most=LONGEST)),
                    good=trigger.matches,
                )
            )
        self.tell()

    def tag(self, event: PreviewEvent, name: str, why: str, *, fires: bool) -> None:
        event.tags.append(
            PreviewPair(name=self.shortened(name), note=self.shortened(why), good=fires)
        )
        self.tell()

    def record_entries(self, entries: Iterable[AcceptedConversion]) -> None:
        """Record the entries of the request; if nothing is to be sent, start dry runs of tags."""
        for entry in entries:
            if entry.pixel.startswith(PREFIX):
                if self.sends_nothing and entry.suppressed is None and self._dry_run is not None:
                    self._dry_run(entry.pixel, entry.body, self)
            elif len(self.seen.conversions) < MOST_EVENTS:
                text = masked_words(entry.body.decode("utf-8", "replace"))
                verdict = "would be sent" if self.sends_nothing else "sent"
                if entry.suppressed is not None:
                    verdict = f"suppressed: {entry.suppressed}"
                elif entry.held is not None:
                    verdict = f"held: {entry.held}"
                self.seen.conversions.append(
                    PreviewPair(
                        name=f"{entry.pixel} {entry.event}",
                        value=self.shortened(text),
                        note=verdict,
                    )
                )
                self.tell()

    def run(self, name: str, mask: LineMask, templates: Iterable["Template"] = ()) -> "RunRecorder":
        """Return a recorder for a run; it masks all texts with `mask`."""
        run = PreviewRun(
            name=self.shortened(name),
            permissions=tuple(
                sorted({grant.permission for each in templates for grant in each.grants})
            ),
        )
        if len(self.seen.runs) < MOST_RUNS:
            self.seen.runs.append(run)
        self.tell()
        return RunRecorder(self, run, mask)

    def tell(self) -> None:
        """Increase the version, because something was recorded."""
        self.seen.version += 1
        self._changed()

    def shortened(self, text: str) -> str:
        """Shorten a text to the limits of a text and of the request."""
        text = text if len(text) <= LONGEST else text[:LONGEST] + LEFT_OUT
        if len(text) > self._left[0]:
            text = LEFT_OUT if text else ""
        self._left[0] -= len(text)
        return text


class RunRecorder:
    """Records the turns of one run: effects, answers, errors."""

    def __init__(self, trace: RequestTrace, run: PreviewRun, mask: LineMask) -> None:
        self._trace = trace
        self._run = run
        self._mask = mask

    def turn(self, template: str, turn: Turn) -> None:
        """Record the effects of a turn, and its error."""
        self.effects(turn.effects)
        if turn.outcome is not RunResult.SILENT:
            self._write("result", f"{template}: {turn.outcome.value}")
        if turn.error is not None:
            self._write("error", f"{template}: {turn.error}")

    def effects(self, effects: Iterable[AnyEffect]) -> None:
        for effect in effects:
            kind, text = _spelled(effect)
            self._write(kind, text)

    def answers(self, answers: Iterable[EffectAnswer]) -> None:
        for answer in answers:
            if answer.status is not None:
                self._write("answer", f"{answer.id}: {answer.status} {answer.body or ''}")
            elif answer.reason is not None:
                self._write("answer", f"{answer.id}: {answer.reason}")
            elif answer.phase is None and answer.type is None:
                self._write("answer", f"{answer.id}: {_as_json(answer.value)}")

    def end(self, outcome: str) -> None:
        self._run.outcome = self._trace.shortened(self._mask.own(outcome, most=LONGEST))
        self._trace.tell()

    def _write(self, kind: str, text: str) -> None:
        if len(self._run.lines) < MOST_LINES:
            shown = self._trace.shortened(self._mask.over(text, most=LONGEST))
            self._run.lines.append(PreviewLine(kind=kind, text=shown))
            self._trace.tell()


def masked_headers(headers: Iterable[tuple[str, str]]) -> list[PreviewPair]:
    masked = masked_tree({"headers": [[name, value] for name, value in headers]})
    held = masked.get("headers") if isinstance(masked, dict) else None
    return [
        PreviewPair(name=str(name)[:100], value=str(value)[:LONGEST])
        for name, value in (held if isinstance(held, list) else [])[:100]
    ]


def _only(masked: object) -> object:
    return next(iter(masked.values()), None) if isinstance(masked, dict) else masked


def _spelled(effect: AnyEffect) -> tuple[str, str]:
    """Return the kind of a line, and its unmasked text."""
    match effect:
        case HttpEffect():
            headers = f" [{', '.join(effect.headers)}]" if effect.headers else ""
            body = f" {effect.body}" if effect.body else ""
            found = "request", f"{effect.id}: {effect.method} {effect.url}{headers}{body}"
        case Service():
            found = "request", f"{effect.id}: {effect.name} {_as_json(effect.arguments)}"
        case SetCookie():
            scope = f"domain {effect.domain or 'host'}, max-age {effect.max_age}"
            found = "cookie", f"{effect.name} ({scope})"
        case Header():
            found = "header", f"{effect.name}: {effect.value or ''}"
        case LogEffect(denied=str() as permission):
            found = "denied", f"the template lacks the permission {permission}"
        case LogEffect():
            found = "log", effect.text
        case BrowserPixel():
            found = "pixel", effect.url
        case _:
            fields = msgspec.to_builtins(effect)
            found = str(fields.pop("effect", "effect")), _as_json(fields)
    return found


def _without_value(cookie: str) -> str:
    pair, _, attributes = cookie.partition("; ")
    return f"{pair.partition('=')[0]}=…; {attributes}" if attributes else pair.partition("=")[0]


def _as_json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return LEFT_OUT


def current() -> RequestTrace | None:
    """Return the trace of the request that is being handled; None if it is not previewed."""
    return cast("RequestTrace | None", current_watch())  # only preview sessions set a watch

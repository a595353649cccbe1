"""Outbound requests of one tag run: HTTP requests, and calls to Google's services.

Each has limits. Some runs may be repeated only if certainly none of their requests was sent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import msgspec

from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.transport import NoResponse, always
from twite.gateway.ports.transport import Response as HttpAnswer
from twite.tags.google.calls import GoogleCalls, InsertIds
from twite.tags.google.requests import GoogleClient, GoogleRequestDenied, Sends
from twite.tags.google_requests.request import GoogleRequest
from twite.tags.ports.tags import TagRule
from twite.tags.ports.web import Web, WebRequest
from twite.tags.preview.sessions import PreviewSessions
from twite.tags.preview.trace import RequestTrace
from twite.tags.redaction.mask_line import LineMask
from twite.tags.run.container_calls import ContainerCalls
from twite.tags.run.once_per_event import OncePerEvent
from twite.tags.run.outcome import RequestOutcome
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.runtime.tag_log import TagLog
from twite.tags.template.effects import HttpEffect, Service
from twite.tags.template.sandbox import EffectAnswer, RunResult, Turn
from twite.tags.template.template import Template

if TYPE_CHECKING:
    from asyncio import Task

    from twite.tags.json_tree import Tree

T = TypeVar("T")
MOST_REQUESTS: Final = 100  # per delivery
TOO_MANY: Final = (
    f"it made more than {MOST_REQUESTS} requests. Combine requests in the template, or divide them "
    "among several tags"
)
AT_ONCE: Final = 6
_LONGEST: Final = 15_000  # milliseconds, for a request without a timeout
_LONGEST_WORDS: Final = 1_500


class QueuesForX(Protocol):
    """Queues a template's request to X: see to_x.ToX."""

    async def take(self, effect: HttpEffect, *, source: str) -> HttpAnswer | None: ...


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """The engine processes, the outbound requests, and the observer."""

    engine_pool: EnginePool
    web: Web
    google: GoogleClient
    to_x: QueuesForX
    storage: TemplateStorage
    clock: Clock
    observer: Observer
    # False once another gateway may have claimed the deliveries of this one.
    may_send: Callable[[], bool] = always
    previews: PreviewSessions | None = None
    container_calls: ContainerCalls | None = None  # None if this process does not run containers
    once_per_event: OncePerEvent = msgspec.field(default_factory=OncePerEvent)

    def trace(self, preview: str) -> RequestTrace | None:
        """Return the trace of a previewed delivery, while its session is open."""
        if not preview or self.previews is None:
            return None
        return self.previews.trace(preview)


@dataclass(slots=True, eq=False, repr=False)
class TagOutbound:
    """Performs the requests of one tag run. `tried` has their outcomes."""

    run_context: RunContext
    _: KW_ONLY
    rule: TagRule
    mask: LineMask
    lines: TagLog
    marks: Callable[[], InsertIds]
    _calls: GoogleCalls | None = field(init=False, default=None)
    _slots: asyncio.Semaphore = field(
        init=False, default_factory=lambda: asyncio.Semaphore(AT_ONCE)
    )
    _in_progress: int = field(init=False, default=0)
    _asked: int = field(init=False, default=0)
    _looks_up: bool = field(init=False, default=False)
    tried: list[RequestOutcome] = field(init=False, default_factory=list)

    @property
    def left(self) -> bool:
        """Whether any request was sent, or may have been sent."""
        return self._in_progress > 0 or any(request.left for request in self.tried)

    @contextmanager
    def looking_up(self) -> Iterator[None]:
        """Count requests within this context as unsent.

        These requests only look up a value, and may be repeated. Google's container also looks up a
        variable each time it needs the value.
        """
        self._looks_up = True
        try:
            yield
        finally:
            self._looks_up = False

    def is_too_much(self, turn: Turn) -> bool:
        """Count a turn's requests; return whether the run has made too many requests."""
        self._asked += sum(isinstance(effect, HttpEffect | Service) for effect in turn.effects)
        return self._asked > MOST_REQUESTS

    async def request(self, effect: HttpEffect) -> EffectAnswer:
        asked = WebRequest(
            url=effect.url,
            method=effect.method,
            headers=effect.headers,
            body=(effect.body or "").encode("utf-8", "replace"),
            timeout=max(1, min(effect.timeout, self.rule.timeout)),
            allow_hosts=self.rule.allow_hosts,
            may_send=self.run_context.may_send,
        )

        local = self.rule.redirected(asked)

        async def send(
            attempt: "_OutboundAttempt",
        ) -> HttpAnswer | NoResponse | GoogleRequestDenied:
            # A redirect of all other hosts does not apply to conversions for X that Twite delivers:
            # X would get those of the source a second time.
            if effect.authorization is None and not self.rule.names_host_of(asked):
                to_x = self.run_context.to_x.take(effect, source=self.rule.pixel)
                taken = await attempt.out(to_x)
                if taken is not None:
                    return taken
            if local is not None:
                return await attempt.out(self.run_context.web.ask(local))
            return await self.run_context.google.send(
                asked, scopes=effect.authorization, by=self._by(attempt)
            )

        response = await self._out(send)
        if isinstance(response, GoogleRequestDenied):
            self.lines.say(f"getGoogleAuth: {response.why}")
            return EffectAnswer(id=effect.id, reason="failed")
        return answer_of(effect.id, response)

    async def call(self, service: Service) -> EffectAnswer:
        if self._calls is None:
            self._calls = GoogleCalls(
                self.run_context.google,
                sends=self._ask,
                log_message=self.lines.say,
                ids=self.marks(),
            )
        return await self._calls.perform(service)

    async def _ask(
        self, google_request: GoogleRequest
    ) -> HttpAnswer | NoResponse | GoogleRequestDenied:
        asked = WebRequest(
            url=google_request.url,
            method=google_request.method,
            headers=google_request.headers,
            body=google_request.body,
            timeout=max(1, min(google_request.timeout or _LONGEST, self.rule.timeout)),
            may_send=self.run_context.may_send,
        )
        return await self._out(
            lambda leaving: self.run_context.google.send(
                asked, scopes=google_request.scopes or None, by=self._by(leaving), own=True
            ),
            google_request=google_request,
        )

    async def _out(
        self,
        send: Callable[
            ["_OutboundAttempt"], Awaitable[HttpAnswer | NoResponse | GoogleRequestDenied]
        ],
        *,
        google_request: GoogleRequest | None = None,
    ) -> HttpAnswer | NoResponse | GoogleRequestDenied:
        counts = not self._looks_up
        async with self._slots:
            leaving = _OutboundAttempt(self._count if counts else lambda _more: None)
            try:
                response = await send(leaving)
            except asyncio.CancelledError:
                left = counts and leaving.began
                self.tried.append(RequestOutcome(status=None, words="no answer in time", left=left))
                raise
            # A request that was denied a token is not an attempt: it would be denied again.
            if not isinstance(response, GoogleRequestDenied):
                self.tried.append(self._trial(response, google_request, counts=counts))
            return response

    def _by(self, attempt: "_OutboundAttempt") -> Sends:
        async def send(request: WebRequest) -> HttpAnswer | NoResponse:
            return await attempt.out(self.run_context.web.ask(request))

        return send

    def _count(self, more: int) -> None:
        self._in_progress += more

    def _trial(
        self,
        response: HttpAnswer | NoResponse,
        google_request: GoogleRequest | None,
        *,
        counts: bool,
    ) -> RequestOutcome:
        if isinstance(response, NoResponse):
            words = self.mask.over(response.reason, most=_LONGEST_WORDS)
            return RequestOutcome(status=None, words=words, left=counts and response.left)
        quiet = (
            google_request is not None and not google_request.is_recorded and response.status < 400
        )
        text = "" if quiet else response.body[:_LONGEST_WORDS].decode("utf-8", "replace")
        named = response.headers.get("retry-after", "")
        return RequestOutcome(
            status=response.status,
            words=self.mask.over(text, most=_LONGEST_WORDS),
            left=counts,
            passing=google_request is not None and response.status in google_request.passing,
            retry_after=int(named) * 1_000 if named.isdecimal() and len(named) < 9 else None,
        )


class _OutboundAttempt:
    """One attempt. `began` is whether bytes may have been sent: not while it waits for a token."""

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self.began = False

    async def out(self, going: Awaitable[T]) -> T:
        """Wait for a request, and count it as in progress meanwhile."""
        self.began = True
        self._count(1)
        try:
            return await going
        finally:
            self._count(-1)


class TemplateRun:
    """A template's run, begun at `began`. `after` has callbacks for the end of the event."""

    def __init__(self, template: Template, *, began: int) -> None:
        self.template = template
        self.began = began
        self.id = 0
        self.turns = 0
        self.tasks: set[Task[EffectAnswer]] = set()
        self.after: list[int] = []
        self.outcome = RunResult.SILENT
        self.returned: Tree = None
        self.error: str | None = None
        self.wake_at: int | None = None
        self.listening: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.error is not None or not (self.tasks or self.wake_at is not None)


def answer_of(id_: int, response: HttpAnswer | NoResponse) -> EffectAnswer:
    """Return the result that a template receives for its request."""
    if isinstance(response, NoResponse):
        return EffectAnswer(id=id_, reason="timed_out" if response.is_late else "failed")
    headers: dict[str, str | list[str]] = dict(response.headers)
    if response.cookies:
        headers["set-cookie"] = list(
            response.cookies
        )  # as in Node.js, on which Google's server runs
    return EffectAnswer(
        id=id_,
        status=response.status,
        headers=headers,
        body=response.body.decode("utf-8", "replace"),
    )

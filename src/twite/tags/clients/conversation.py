"""Client conversation: run a client template from the claimed request to its response.

    claimed ─▶ effects performed ─▶ resumed with the answers ─▶ … ─▶ returnResponse ─▶ answered
                  │                                                       │
                  └─ runContainer: on disk before anything is answered ───┘

The template may continue after its answer, until the time limit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from twite.domain.destination import Source
from twite.domain.errors import ClientFailed
from twite.domain.incoming_request import IncomingRequest
from twite.domain.secret import Masked, Secret
from twite.tags.container import parts
from twite.tags.container.values import EventContext, Values, given_fields
from twite.tags.json_tree import Tree
from twite.tags.ports.tags import ContainerRun, SuppliedHeaders
from twite.tags.preview.trace import RunRecorder, current
from twite.tags.redaction.secrets import without_secrets
from twite.tags.runtime.client_engines import ClientEngines
from twite.tags.runtime.engine_pool import TemplateStorage
from twite.tags.runtime.tag_log import MASKED_EVENT, STORAGE_FULL, RunLines
from twite.tags.template.effects import (
    AfterEvent,
    AnyEffect,
    Forget,
    HttpEffect,
    Keep,
    LogEffect,
    Respond,
    RunContainer,
    Service,
)
from twite.tags.template.fields import fill
from twite.tags.template.response import ClientResponse, InvalidResponse, added
from twite.tags.template.sandbox import EffectAnswer, Turn
from twite.tags.template.tag_response import ResponseSite, beneath, joined
from twite.tags.template.template import Template
from twite.tags.template.texts import UNDEFINED, Value

LogMessage = Callable[[str], None]
Asked = asyncio.Task[tuple[EffectAnswer, ...]]
Kept = asyncio.Future[ContainerRun]


class TemplateClient(Masked, frozen=True, kw_only=True):
    """A client: a template with its fields; `source` is the source of its events.

    The fields of a client in a `container` may refer to variables. With `defaults`, missing fields
    get the template's defaults. `secrets` never appear in the log; `field_secrets` are the secrets
    in the fields, and are masked in the client's events. `allow_hosts` names hosts that may have
    private addresses. `headers` are added to requests without any of these headers.
    """

    in_repr = ("name",)
    name: str
    template: Template
    source: Source
    fields: Mapping[str, Tree] = {}
    priority: int = 0
    container: parts.Container | None = None
    defaults: bool = True
    secrets: tuple[Secret, ...] = ()
    field_secrets: tuple[Secret, ...] = ()
    allow_hosts: frozenset[str] = frozenset()
    headers: SuppliedHeaders = ()

    def fields_for(self, request: IncomingRequest, *, now: int, draw: int = 0) -> dict[str, Tree]:
        """Return the fields with variables replaced by their values; `draw` is the random seed.

        Raises Unfilled.
        """
        if self.container is None:
            return dict(self.fields)
        occasion = EventContext(event={}, now=now, request=request, client=self.name, draw=draw)
        values = Values(self.container, occasion, _NoTemplates())
        given = given_fields(self.fields, values.filled)
        if not self.defaults:
            return given
        return fill(self.template.fields, given, written=self.fields)


class RunsContainer(Protocol):
    """Accepts an event of a client: its conversions, and the tags that fire for it."""

    async def run(
        self,
        event: Mapping[str, Tree],
        *,
        request: IncomingRequest,
        client: TemplateClient,
        waits: bool,
    ) -> ContainerRun:
        """Accept the event; after the commit, return the tags that fired.

        `waits` is whether the response is still to be sent. Raises MalformedRequest, QueueFull,
        LedgerUnavailable; nothing is stored then.
        """
        ...


class ClientEffects(Protocol):
    """Sends the requests of clients. `log_message` gets messages for the template's author."""

    async def fetch(
        self, effect: HttpEffect, *, client: TemplateClient, log_message: Callable[[str], None]
    ) -> EffectAnswer:
        """Send an HTTP request; return the response, or the reason why there is none."""
        ...

    def calls(
        self, *, log_message: Callable[[str], None], mark: bytes
    ) -> Callable[[Service], Awaitable[EffectAnswer]]:
        """Return a function that performs the Google calls of one run.

        `mark` is unique to the run.
        """
        ...


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class ClientConversation:
    """One claimed request.

    `answered` is completed with the response, or with the error that prevented it. `log_message`
    gets messages for the template's author; `lines` gets what the template logs. `mark` is unique
    to the run.
    """

    client: TemplateClient
    request: IncomingRequest
    runs: ClientEngines
    container: RunsContainer
    outbound: ClientEffects
    storage: TemplateStorage
    site: ResponseSite
    mark: bytes
    log_message: LogMessage
    lines: RunLines
    _call: Callable[[Service], Awaitable[EffectAnswer]] = field(init=False)
    _recorder: RunRecorder | None = field(init=False, default=None)
    answered: asyncio.Future[ClientResponse] = field(init=False, default_factory=asyncio.Future)
    _response: ClientResponse = field(init=False, default_factory=ClientResponse)
    _responds: bool = field(init=False, default=False)
    # The tasks whose results the template waits for, and the events being committed, with the
    # number of their effect.
    _asked: set[Asked] = field(init=False, default_factory=set)
    _kept: list[tuple[int, Kept]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        # Retrieve the exception, so that asyncio does not log it if no caller waits.
        self.answered.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._call = self.outbound.calls(log_message=self.log_message, mark=self.mark)
        if (trace := current()) is not None:
            name, templates = f"client {self.client.name}", (self.client.template,)
            self._recorder = trace.run(name, self.lines.mask(), templates)

    async def go_on(self, turn: Turn, *, within: int, charge: Callable[[float], None]) -> None:
        """Run turn after turn, until the run ends or the time limit is reached.

        `charge` gets the CPU seconds of each turn after this one.
        """
        work = asyncio.create_task(self._turns(turn, charge))
        limit = asyncio.create_task(self.runs.clock.sleep(within))
        late = False
        try:
            await asyncio.wait({work, limit}, return_when=asyncio.FIRST_COMPLETED)
            late = not work.done()
            if late:
                self.log_message("the run exceeded its time limit, so Twite ended it")
            else:
                work.result()
        except Exception as fault:  # noqa: BLE001  the caller gets it
            self._fail(fault)
        finally:
            for task in (work, limit, *self._asked):
                task.cancel()
            for _, kept in self._kept:
                kept.cancel()
            await self.runs.end(self.client.name, turn.run)
            self._fail(ClientFailed(client=self.client.name, late=late))

    async def _turns(self, turn: Turn, charge: Callable[[float], None]) -> None:
        while True:
            self.lines.log_turn(turn)
            if self._recorder is not None:
                self._recorder.turn(self.client.name, turn)
            now = [answer for effect in turn.effects for answer in self._perform(effect)]
            if turn.error is not None:
                self.log_message(in_short(turn))
            await self._answer()
            if turn.error is not None or (turn.done and not self._asked and not now):
                break
            answers = tuple(now) or await self._come(turn)
            turn = await self.runs.resume(
                self.client.name, turn.run, answers, now=self.runs.clock.now()
            )
            charge(turn.took)
        # Commits in progress are completed, whatever the outcome of the run.
        await self._on_disk()

    def _perform(self, effect: AnyEffect) -> tuple[EffectAnswer, ...]:
        """Perform an effect, or start it; return its immediate result."""
        match effect:
            case RunContainer():
                return self._run_container(effect)
            case HttpEffect():
                self._asked.add(asyncio.create_task(self._fetch(effect)))
            case AfterEvent():
                self._asked.add(asyncio.create_task(self._after_event(effect)))
            case Service():
                self._asked.add(asyncio.create_task(_alone(self._call(effect))))
            case Respond():
                self._responds = True
            case Keep() | Forget():
                if not self.storage.change(self.client.template, effect):
                    self.log_message(STORAGE_FULL)
            case LogEffect(denied=str() as permission):
                self.log_message(f"the template lacks the permission {permission}")
            case _ if not self._responds:
                self._add(effect)
        return ()

    def _run_container(self, run_container: RunContainer) -> tuple[EffectAnswer, ...]:
        kept = asyncio.ensure_future(
            self._accepted(run_container.event, waits=not self.answered.done())
        )
        self._kept.append((run_container.id, kept))
        if run_container.on_complete:
            self._asked.add(asyncio.create_task(_completed(run_container.id, kept)))
        return (EffectAnswer(id=run_container.id, phase="start"),) if run_container.on_start else ()

    async def _accepted(self, event: Mapping[str, Tree], *, waits: bool) -> ContainerRun:
        given = without_secrets(event, self.client.field_secrets)
        if given is not event:
            self.log_message(MASKED_EVENT)
        return await self.container.run(
            given, request=self.request, client=self.client, waits=waits
        )

    async def _fetch(self, effect: HttpEffect) -> tuple[EffectAnswer, ...]:
        asked = self.outbound.fetch(effect, client=self.client, log_message=self.log_message)
        return (await asked,)

    async def _after_event(self, after: AfterEvent) -> tuple[EffectAnswer, ...]:
        """Report the tags that fired. They are only queued: none has run yet."""
        ran = await self._on_disk(after.event)
        tags: list[Tree] = [
            {"id": outcome.tag, "status": outcome.status, "executionTime": 0}
            for each in ran
            for outcome in each.tags
        ]
        return (EffectAnswer(id=after.id, value={"tags": tags}),)

    async def _on_disk(self, event: int = 0) -> list[ContainerRun]:
        """Wait until all events of runContainer, or the event of one effect, are on disk."""
        kept = [call for number, call in self._kept if event in {0, number}]
        return await asyncio.gather(*kept)

    def _add(self, effect: AnyEffect) -> None:
        try:
            self._response = added(self._response, effect, site=self.site.site)
        except InvalidResponse as unfit:
            self.log_message(str(unfit))

    async def _answer(self) -> None:
        """Respond once all events of runContainer are on disk. Raises the error of a commit."""
        if not self._responds or self.answered.done():
            return
        ran = await self._on_disk()
        tags = joined(
            [response for each in ran for response in each.responses],
            site=self.site,
            log_message=lambda tag, text: self.log_message(f"{tag}: {text}"),
        )
        self.answered.set_result(beneath(self._response, tags))

    async def _come(self, turn: Turn) -> tuple[EffectAnswer, ...]:
        """Wait for results, or until the time when the template is to be resumed."""
        waiting: set[asyncio.Task[tuple[EffectAnswer, ...]]] = set(self._asked)
        if turn.wake_at is not None:
            waiting.add(asyncio.create_task(self._woken(turn.wake_at)))
        done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in others - self._asked:
            task.cancel()
        self._asked -= done
        return tuple(answer for task in done for answer in task.result())

    async def _woken(self, at: int) -> tuple[EffectAnswer, ...]:
        await self.runs.clock.sleep(max(0, at - self.runs.clock.now()))
        return ()

    def _fail(self, why: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(why)


async def _alone(answering: Awaitable[EffectAnswer]) -> tuple[EffectAnswer, ...]:
    return (await answering,)


async def _completed(number: int, kept: Kept) -> tuple[EffectAnswer, ...]:
    await kept
    return (EffectAnswer(id=number, phase="complete"),)


class _NoTemplates:
    """Template variables have no value in a client's fields."""

    def value(self, template: Template, fields: dict[str, Tree], context: EventContext) -> Value:
        del template, fields, context
        return UNDEFINED


def in_short(turn: Turn) -> str:
    """Describe a thrown error without its text, which could contain personal data."""
    kind = (turn.error or "").partition(":")[0]
    return f"{kind} in line {turn.line} of its code" if turn.line is not None else kind

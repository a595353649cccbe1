"""Client conversation: run a client template from the claimed request to its response.

    claimed ─▶ effects performed ─▶ resumed with the answers ─▶ … ─▶ returnResponse ─▶ answered
                  │                                                       │
                  └─ runContainer: on disk before anything is answered ───┘

The template may continue after its answer, until the time limit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field

import msgspec

from twite.domain.errors import OperatorError
from twite.domain.json_tree import Tree
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.tags import ContainerRun
from twite.gateway.tags.runtime.client_engines import ClientEngines
from twite.gateway.tags.runtime.tag_log import STORAGE_FULL
from twite.gtm.template.effects import (
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
from twite.gtm.template.response import ClientResponse, InvalidResponse, added
from twite.gtm.template.sandbox import EffectAnswer, Turn
from twite.gtm.template.tag_response import ResponseSite, beneath, joined

LogMessage = Callable[[str], None]
LogTurn = Callable[[Turn], None]
Asked = asyncio.Task[tuple[EffectAnswer, ...]]
Kept = asyncio.Future[ContainerRun]


class ClientFailed(OperatorError):
    """A client claimed the request and did not respond. `late`: its time limit ended the run."""

    def __init__(self, *, client: str, late: bool = False) -> None:
        why = "did not answer in time" if late else "ended without an answer"
        super().__init__(f"the client {client} {why}")
        self.client = client
        self.late = late


class Performs(msgspec.Struct, frozen=True, kw_only=True):
    """Performs effects. `change` returns False if the storage is full.

    `run_container` receives an event, and whether the answer was not sent yet.
    """

    run_container: Callable[[Mapping[str, Tree], bool], Awaitable[ContainerRun]]
    fetch: Callable[[HttpEffect], Awaitable[EffectAnswer]]
    call: Callable[[Service], Awaitable[EffectAnswer]]
    change: Callable[[Keep | Forget], bool]


@dataclass(slots=True, eq=False, repr=False)
class ClientConversation:
    """One claimed request.

    `answered` becomes the response, or the reason why there is none. `log_message` gets messages
    for the template's author; `log_turn` gets the lines that the template logs.
    """

    client: str
    _: KW_ONLY
    runs: ClientEngines
    performs: Performs
    site: ResponseSite
    clock: Clock
    log_message: LogMessage
    log_turn: LogTurn
    answered: asyncio.Future[ClientResponse] = field(init=False, default_factory=asyncio.Future)
    _response: ClientResponse = field(init=False, default_factory=ClientResponse)
    _responds: bool = field(init=False, default=False)
    # The tasks whose results are awaited, and by effect the events being committed.
    _asked: set[Asked] = field(init=False, default_factory=set)
    _kept: list[tuple[int, Kept]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        # A failure that no caller awaits is not logged.
        self.answered.add_done_callback(lambda future: future.cancelled() or future.exception())

    async def go_on(self, turn: Turn, *, within: int) -> None:
        """Run turn after turn, until the run ends or the time limit is reached."""
        work = asyncio.create_task(self._turns(turn))
        limit = asyncio.create_task(self.clock.sleep(within))
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
            await self.runs.end(self.client, turn.run)
            self._fail(ClientFailed(client=self.client, late=late))

    async def _turns(self, turn: Turn) -> None:
        while True:
            self.log_turn(turn)
            now = [answer for effect in turn.effects for answer in self._perform(effect)]
            if turn.error is not None:
                self.log_message(in_short(turn))
            await self._answer()
            if turn.error is not None or (turn.done and not self._asked and not now):
                break
            answers = tuple(now) or await self._come(turn)
            turn = await self.runs.resume(self.client, turn.run, answers, now=self.clock.now())
        # Commits in progress are finished, whatever the outcome of the run.
        await self._on_disk()

    def _perform(self, effect: AnyEffect) -> tuple[EffectAnswer, ...]:
        """Perform an effect, or start it; return its immediate result."""
        match effect:
            case RunContainer():
                return self._run_container(effect)
            case HttpEffect():
                self._asked.add(asyncio.create_task(_alone(self.performs.fetch(effect))))
            case AfterEvent():
                self._asked.add(asyncio.create_task(self._after_event(effect)))
            case Service():
                self._asked.add(asyncio.create_task(_alone(self.performs.call(effect))))
            case Respond():
                self._responds = True
            case Keep() | Forget():
                if not self.performs.change(effect):
                    self.log_message(STORAGE_FULL)
            case LogEffect(denied=str() as permission):
                self.log_message(f"the template lacks the permission {permission}")
            case _ if not self._responds:
                self._add(effect)
        return ()

    def _run_container(self, effect: RunContainer) -> tuple[EffectAnswer, ...]:
        kept = asyncio.ensure_future(
            self.performs.run_container(effect.event, not self.answered.done())
        )
        self._kept.append((effect.id, kept))
        if effect.on_complete:
            self._asked.add(asyncio.create_task(_completed(effect.id, kept)))
        return (EffectAnswer(id=effect.id, phase="start"),) if effect.on_start else ()

    async def _after_event(self, effect: AfterEvent) -> tuple[EffectAnswer, ...]:
        """Report the tags that fired. None has run yet: each is only queued."""
        ran = await self._on_disk(effect.event)
        tags: list[Tree] = [
            {"id": outcome.tag, "status": outcome.status, "executionTime": 0}
            for each in ran
            for outcome in each.tags
        ]
        return (EffectAnswer(id=effect.id, value={"tags": tags}),)

    async def _on_disk(self, event: int = 0) -> list[ContainerRun]:
        """Wait for the events of runContainer, or for the event of one effect."""
        kept = [call for number, call in self._kept if event in {0, number}]
        return await asyncio.gather(*kept)

    def _add(self, effect: AnyEffect) -> None:
        try:
            self._response = added(self._response, effect, site=self.site.site)
        except InvalidResponse as unfit:
            self.log_message(str(unfit))

    async def _answer(self) -> None:
        """Respond after all events of runContainer are on disk. Raises a commit's error."""
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
        """Wait for results, or for the time at which the template wants to be resumed."""
        waiting: set[asyncio.Task[tuple[EffectAnswer, ...]]] = set(self._asked)
        if turn.wake_at is not None:
            waiting.add(asyncio.create_task(self._woken(turn.wake_at)))
        done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in others - self._asked:
            task.cancel()
        self._asked -= done
        return tuple(answer for task in done for answer in task.result())

    async def _woken(self, at: int) -> tuple[EffectAnswer, ...]:
        await self.clock.sleep(max(0, at - self.clock.now()))
        return ()

    def _fail(self, why: Exception) -> None:
        if not self.answered.done():
            self.answered.set_exception(why)


async def _alone(answering: Awaitable[EffectAnswer]) -> tuple[EffectAnswer, ...]:
    return (await answering,)


async def _completed(number: int, kept: Kept) -> tuple[EffectAnswer, ...]:
    await kept
    return (EffectAnswer(id=number, phase="complete"),)


def in_short(turn: Turn) -> str:
    """Describe a thrown error without its text, which could contain personal data."""
    kind = (turn.error or "").partition(":")[0]
    return f"{kind} in line {turn.line} of its code" if turn.line is not None else kind

"""The runContainer calls of one tag run: onStart, onComplete, and their events' callbacks."""

import asyncio
from collections import Counter
from dataclasses import KW_ONLY, dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import msgspec

from twite.domain.errors import MalformedRequest, TransientError
from twite.domain.times import SECOND
from twite.formats.event_data.conversions import REASONS, UNKNOWN_TO_X
from twite.gateway.ports.events import ContainerCalled
from twite.gateway.ports.tags import TagOutcome
from twite.redaction.scrub_text import free_text
from twite.tags.ports.tags import TagCall, TagRule
from twite.tags.preview.trace import RequestTrace
from twite.tags.redaction.mask_line import LineMask
from twite.tags.redaction.secrets import without_secrets
from twite.tags.run.container_calls import WAITS, EndedTags
from twite.tags.run.outbound import RunContext, TemplateRun
from twite.tags.run.outcome import RequestOutcome
from twite.tags.run.payload import TagPayload
from twite.tags.runtime.tag_log import MASKED_EVENT, TagLog
from twite.tags.template.effects import AfterEvent, RunContainer
from twite.tags.template.sandbox import EffectAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twite.tags.json_tree import Tree

_NOT_HERE: Final = "runContainer was ignored: this command does not run the container"
_MOST_NOTES: Final = 5
_LONGEST_NAME: Final = 64
MOST_BYTES: Final = 256 * 1024  # of an event as JSON
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


class CreatedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the run created, its tags, and which of them have ended."""

    call: TagCall
    tags: tuple[TagOutcome, ...] = ()
    ended: EndedTags | None = None
    at: float = 0
    until: float = 0


@dataclass(slots=True, eq=False, repr=False)
class RunCalls:
    """Performs the calls of one run. `notes` lists the created events, for the attempt's record."""

    run_context: RunContext
    _: KW_ONLY
    rule: TagRule
    payload: TagPayload
    seed: int
    lines: TagLog
    mask: LineMask
    trace: RequestTrace | None
    notes: list[str] = field(init=False, default_factory=list)
    unstored: list[RequestOutcome] = field(init=False, default_factory=list)
    _events: dict[tuple[TemplateRun, int], CreatedEvent] = field(init=False, default_factory=dict)
    _expected: list[TagCall] = field(init=False, default_factory=list)
    _seen: Counter[bytes] = field(init=False, default_factory=Counter)

    async def perform(self, run_container: RunContainer, run: TemplateRun) -> None:
        """Create the event, and call back. If the event cannot be stored, the run fails."""
        created = await self._created(run_container)
        if created is None:
            run.error = "the event of runContainer could not be stored"
            return
        self._events[run, run_container.id] = created
        if run_container.on_start:
            run.tasks.add(
                asyncio.create_task(answered(EffectAnswer(id=run_container.id, phase="start")))
            )
        if run_container.on_complete:
            run.tasks.add(asyncio.create_task(self._completed(run_container.id, created)))

    def after_event(self, after: AfterEvent, run: TemplateRun) -> bool:
        """Call back when a created event's tags have ended; False if the event is the run's own."""
        created = self._events.get((run, after.event))
        if created is not None:
            run.tasks.add(asyncio.create_task(self._completed(after.id, created)))
        return created is not None

    def close(self) -> None:
        """Stop recording which tags end."""
        if self.run_context.container_calls is not None:
            for call in self._expected:
                self.run_context.container_calls.forget(call)

    async def _created(self, run_container: RunContainer) -> CreatedEvent | None:
        event: Mapping[str, Tree] = run_container.event
        is_too_large = len(_ENCODER.encode(event)) > MOST_BYTES
        if not is_too_large:
            event = without_secrets(event, self.rule.field_secrets)
        if event is not run_container.event:
            self.lines.say_once(MASKED_EVENT)
        calls, call = self.run_context.container_calls, self._call(event)
        if calls is None:
            self.lines.say_once(_NOT_HERE)
            return CreatedEvent(call=call)
        denied = calls.denied(call, self.payload)
        if denied is not None:
            self.lines.say_once(f"runContainer was ignored: {denied}")
            self._count("limit")
            return CreatedEvent(call=call)
        if is_too_large:
            self.lines.say_once("runContainer was ignored: the event is larger than 256 KiB")
            self._count("unreadable")
            return CreatedEvent(call=call)
        loop = asyncio.get_running_loop()
        ended = calls.expect(call)
        self._expected.append(call)
        try:
            receipt = await calls.accept(event, call=call, payload=self.payload, trace=self.trace)
        except MalformedRequest as malformed:
            self.lines.say(f"runContainer was ignored: {malformed}")
            self._count("unreadable")
            return CreatedEvent(call=call)
        except TransientError as passing:
            # This is no response from the tag's vendor: retry the run as after a request without a
            # response.
            self.unstored.append(RequestOutcome(status=None, words=passing.reason, left=False))
            self._count("failed")
            return None
        self._count("accepted")
        for ignored in receipt.ignored:
            if ignored.reason not in UNKNOWN_TO_X:
                self.lines.say_once(
                    f"the event of runContainer was ignored: {REASONS[ignored.reason]}"
                )
        self._note(event, receipt.receipt)
        within = min(WAITS, self.rule.timeout // 2) / SECOND
        return CreatedEvent(
            call=call, tags=receipt.tags, ended=ended, at=loop.time(), until=loop.time() + within
        )

    def _call(self, event: "Mapping[str, Tree]") -> TagCall:
        """Return the call. Repeated runs that create the same event get the same call."""
        before = self.payload.call
        tags = (*(() if before is None else before.tags), self.rule.name)
        run = (self.rule.pixel, self.seed, self.payload.at, "" if before is None else before.id)
        digest = blake2b(_ENCODER.encode((run, event)), digest_size=8).digest()
        self._seen[digest] += 1
        id_ = blake2b(digest + self._seen[digest].to_bytes(2), digest_size=8).hexdigest()
        root = blake2b(_ENCODER.encode(run), digest_size=8).hexdigest()
        return TagCall(id=id_, root=root if before is None else before.root, tags=tags)

    def _note(self, event: "Mapping[str, Tree]", receipt: str) -> None:
        given = self.mask.over(str(event.get("event_name") or ""), most=_LONGEST_NAME)
        name = free_text(given) or "an event"
        if len(self.notes) < _MOST_NOTES:
            self.notes.append(f"runContainer created {name}, receipt {receipt}")

    async def _completed(self, id_: int, created: CreatedEvent) -> EffectAnswer:
        ended = created.ended
        if ended is not None and not (self.trace is not None and self.trace.sends_nothing):
            # Do not wait for the calling tags: their runs may in turn wait for this run.
            awaited = [
                outcome.tag
                for outcome in created.tags
                if outcome.status == "queued" and outcome.tag not in created.call.tags
            ]
            await ended.wait(awaited, until=created.until)
        return EffectAnswer(id=id_, phase="complete", value={"tags": _statuses(created)})

    def _count(self, result: str) -> None:
        self.run_context.observer.see(ContainerCalled(tag=self.rule.pixel, result=result))


def _statuses(created: CreatedEvent) -> "list[Tree]":
    ended = list(() if created.ended is None else created.ended.tags)
    took = int((asyncio.get_running_loop().time() - created.at) * SECOND)
    found: list[Tree] = []
    for outcome in created.tags:
        status, time = str(outcome.status), 0
        result = next((each for each in ended if each[0] == outcome.tag), None)
        if result is not None:
            ended.remove(result)
            status, time = "success" if result[1] else "failure", took
        found.append({"id": outcome.tag, "status": status, "executionTime": time})
    return found


async def answered(answer: EffectAnswer) -> EffectAnswer:
    """Return an answer as a coroutine, like the answer to a request."""
    return answer

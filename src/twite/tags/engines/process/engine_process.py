"""The gateway's side of an engine process.

Requests are sent in batches and answered in order. The process is not trusted: every response is
parsed as a turn of the requested run. If it asks for an effect that the template has no permission
for, Twite ends the process.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.errors import TemplatesBusy
from twite.tags.engines.boot import answers_text, call_texts, read_turn, unusable
from twite.tags.engines.context_limits import OUT_OF_MEMORY, too_long
from twite.tags.engines.process.engine_line import (
    AskedTurn,
    EngineLine,
    EngineRun,
    Spawns,
    TemplateBoots,
    way_of,
)
from twite.tags.engines.process.engine_memory import EngineMemory
from twite.tags.engines.process.frames import Act, EngineRequest, EngineResponse, FrameTooLong
from twite.tags.ports.engines import EngineLost
from twite.tags.template.allowed import lacking
from twite.tags.template.sandbox import Call, EffectAnswer, RunLimits, Turn
from twite.tags.template.template import Template

IDLE: Final = 60.0  # seconds without a run
BEHIND: Final = 19  # nice value: at most a fiftieth of a core if other processes need it
_SLOWER: Final = 12  # times the CPU limit; used if the kernel did not end the process
_LONGER: Final = 2.75  # maximum CPU seconds over the limit
_LEAST: Final = 0.5  # seconds, enough to load a template
_STUCK: Final = 120.0  # seconds for a turn that uses no CPU
_LOOKS: Final = 4  # checks during a turn that does not end
_CHUNK: Final = 64 * 1024  # bytes
_CONTEXTS: Final = 8  # times the memory of a context, in addition to the process's initial memory
_OWN_MEMORY: Final = 256 * 1024 * 1024
_WIDEST: Final = 4  # bytes per character
_ROOM: Final = 1024 * 1024
_REPORT: Final = 1.0  # seconds
_GONE: Final = "unknown run: the run has ended, or it exceeded a limit"
_WITH_OTHERS: Final = "the run was lost with its engine process, and is too large to repeat"
HANGS: Final = "a run could not be interrupted, so Twite ended its engine process"
_NOT_ALLOWED: Final = (
    "the engine process requested an effect that {permission} does not allow, so Twite ended it"
)
_UNREADABLE: Final = "the engine process sent an invalid response, so Twite ended it"
_RESPONSE: Final = msgspec.msgpack.Decoder(EngineResponse)


class QuickJsProcess:
    """One engine process; see gateway.ports.engines.EngineProcess.

    `keys` are the keys for hmacSha256, by id; after `idle` seconds without a run, the process ends.
    """

    def __init__(
        self,
        spawns: Spawns,
        *,
        limits: RunLimits,
        keys: Mapping[str, str],
        memory: EngineMemory | None = None,
        idle: float = IDLE,
    ) -> None:
        self._server = spawns
        self._limits = limits
        self._idle = idle
        self._total = memory or EngineMemory()
        self._memory = _OWN_MEMORY + _CONTEXTS * limits.memory
        self._patience = max(_LEAST, min(_SLOWER * limits.time, _LONGER + limits.time))
        self._line: EngineLine | None = None
        self._last_run = 0
        self._runs: dict[int, EngineRun] = {}
        self._boots = TemplateBoots(limits, keys)
        self._is_behind = False
        self._watch: asyncio.TimerHandle | None = None
        self._idle_timer: asyncio.TimerHandle | None = None
        self._used_at = 0.0
        self._reports: set[asyncio.Task[None]] = set()
        self._is_over = self.stays = False

    @property
    def pid(self) -> int | None:
        """The process id, once it is known."""
        line = self._line
        known = line is not None and line.pid.done() and not line.pid.cancelled()
        return line.pid.result() if line is not None and known else None

    def prepare(self, template: Template) -> None:
        """Load a template for its first run, if there is memory for the process."""
        if self._is_over or not self._total.hold_now(self, self._memory):
            return
        try:
            line = self._current()
        except TemplatesBusy:  # the first run reports the error
            self._total.release(self)
            return
        self.stays = True
        self._used_at = asyncio.get_running_loop().time()
        line.load(self._boots.of(template))

    async def start(self, template: Template, call: Call) -> Turn:
        """Begin a run."""
        boot = self._boots.of(template)
        self._last_run += 1
        run = self._runs[self._last_run] = EngineRun(self._last_run, boot, call_texts(call))
        try:
            return await self._ask(run)
        except asyncio.CancelledError:
            self.end(run.number)
            raise

    async def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        """Continue a run."""
        found = self._runs.get(run)
        if found is None:
            return Turn(run=run, error=_GONE)
        found.add(answers_text(answers, now=now))
        return await self._ask(found)

    def end(self, run: int) -> None:
        """Forget a run that will not be resumed."""
        found = self._runs.pop(run, None)
        line = self._line
        if found is not None and line is not None:
            line.write(EngineRequest(Act.END, run, 0))

    @property
    def idle_since(self) -> float | None:
        """When the last turn began; None if there is no process, or a turn is in progress."""
        return self._used_at if self._line is not None and not self._line.sent else None

    def rest(self) -> None:
        """End the idle process. Its runs continue in the next one."""
        if self._line is not None:
            self._close(self._line)
        self._total.release(self)

    def demote(self) -> None:
        """Give the process the lowest priority from now on."""
        self._is_behind = True
        self._put_behind(self._line)

    def stop(self) -> None:
        """End the process, and cancel the turns queued for it."""
        self._is_over = True
        for timer in (self._watch, self._idle_timer):
            if timer is not None:
                timer.cancel()
        for task in self._reports:
            task.cancel()
        line = self._line
        self._runs.clear()
        if line is not None:
            waiting = list(line.sent)
            line.sent.clear()
            self._close(line)
            self._kill(line)
            for asked in waiting:
                asked.future.cancel()
        self._total.release(self)

    async def _ask(self, run: EngineRun) -> Turn:
        loop = asyncio.get_running_loop()
        asked = AskedTurn(run, loop.create_future())
        try:
            if not self._total.has(self):
                await self._total.hold(self, self._memory)
            self._used_at = loop.time()
            self._send(self._current(), asked)
        except (asyncio.CancelledError, TemplatesBusy):
            if self._line is None:
                self._total.release(self)
            raise
        if self._watch is None:
            self._watch = loop.call_later(self._patience / _LOOKS, self._look)
        return await asked.future

    def _current(self) -> EngineLine:
        """Return the connection; start a process if there is none. Raises TemplatesBusy."""
        if self._is_over:
            raise asyncio.CancelledError
        if self._line is None:
            ends, pid = self._server.spawn(memory=self._memory)
            longest = _WIDEST * self._limits.output + _ROOM
            line = self._line = EngineLine(ends, pid, longest=longest)
            asyncio.get_running_loop().add_reader(ends.reader, self._read, line)
            pid.add_done_callback(lambda _: self._put_behind(line) if self._is_behind else None)
            if self._idle_timer is None:
                self._come_back_idle()
        return self._line

    def _send(self, line: EngineLine, asked: AskedTurn) -> None:
        run = asked.run
        if run.line is line:
            line.write(EngineRequest(Act.RESUME, run.number, 0, (run.last,)))
        elif run.parts is None:
            self._runs.pop(run.number, None)
            asked.future.set_result(Turn(run=run.number, error=_WITH_OTHERS, spent=True))
            return
        else:
            number = line.load(run.boot)
            line.write(EngineRequest(Act.RUN, run.number, number, run.parts))
        line.add(asked)

    def _read(self, line: EngineLine) -> None:
        try:
            data = os.read(line.ends.reader, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose(line)
            return
        try:
            for frame in line.frames.feed(data):
                if line.is_open:
                    self._hear(line, _RESPONSE.decode(frame))
        except (FrameTooLong, msgspec.DecodeError, UnicodeDecodeError):
            self._condemn(line, _UNREADABLE)

    def _hear(self, line: EngineLine, response: EngineResponse) -> None:
        """Process a response. Raises msgspec.DecodeError if it is invalid."""
        if not line.sent or line.sent[0].run.number != response.run:
            raise msgspec.DecodeError("the response is for another run")
        asked = line.sent[0]
        run = asked.run
        if response.line > 0:
            self._refuse(line, response)
            return
        turn = self._checked(line, run, response.turn)
        if turn is None:
            return
        took = response.took if 0 <= response.took <= self._patience else self._patience
        is_full = (turn.error or "").startswith(OUT_OF_MEMORY)
        if response.ends and is_full and line.answered:
            # Earlier runs may have left too little memory, so the run is repeated in a new process.
            asked.took += took
            self._close(line)
            self._ask_again(line)
            return
        line.remove()
        # The frozen turn can be changed, because no one else has it yet.
        msgspec.structs.force_setattr(turn, "run", run.number)
        msgspec.structs.force_setattr(turn, "took", took + asked.took)
        if turn.done and not turn.listening:
            self._runs.pop(run.number, None)
        else:
            run.line = line
        if response.ends:
            self._close(line)
            self._ask_again(line)
        elif not line.sent:
            self._total.serve()
        if not asked.future.done():
            asked.future.set_result(turn)

    def _checked(self, line: EngineLine, run: EngineRun, text: str) -> Turn | None:
        """Return a turn with only permitted effects; None if Twite ended the process."""
        turn = read_turn(text)
        if len(turn.effects) > self._limits.effects:
            raise msgspec.DecodeError("the turn has more effects than a run may have")
        for effect in turn.effects:
            lacked = lacking(effect, run.boot.policy)
            if lacked is not None:
                # The sandbox checks every call itself, so it must have been bypassed.
                self._condemn(line, _NOT_ALLOWED.format(permission=lacked))
                return None
        return turn

    def _refuse(self, line: EngineLine, response: EngineResponse) -> None:
        """Answer a turn of a template whose code cannot be used."""
        asked = line.sent.popleft()
        self._runs.pop(asked.run.number, None)
        if not asked.future.done():
            found = unusable(asked.run.boot.template, response.line, response.message)
            asked.future.set_exception(found)
        self._total.serve()

    def _lose(self, line: EngineLine) -> None:
        """Handle the end of the process: only the run of the current turn is lost."""
        if not line.is_open:
            return
        self._close(line)
        if line.sent:
            asked = line.sent.popleft()
            self._runs.pop(asked.run.number, None)
            task = asyncio.get_running_loop().create_task(self._report_end(line, asked))
            self._reports.add(task)
            task.add_done_callback(self._reports.discard)
        self._ask_again(line)

    async def _report_end(self, line: EngineLine, asked: AskedTurn) -> None:
        """Tell the caller how the process ended."""
        reason = line.why
        try:
            async with asyncio.timeout(_REPORT):
                pid = await asyncio.shield(line.pid)
                status = await asyncio.shield(self._server.ended(pid))
                self._server.forget(pid)
                if status == -signal.SIGPROF and not reason:
                    self._time_out(asked)
                    return
                reason = reason or f"its engine process ended {way_of(status)}"
        except (TimeoutError, asyncio.CancelledError):
            reason = reason or "its engine process ended"
        if not asked.future.done():
            lost = EngineLost(reason, took=line.took)
            asked.future.set_exception(lost)

    def _time_out(self, asked: AskedTurn) -> None:
        """Answer a turn for which the kernel ended the process: it exceeded its time limit."""
        if not asked.future.done():
            limit = self._limits.time
            error, took = too_long(limit), limit + asked.took
            turn = Turn(run=asked.run.number, error=error, spent=True, took=took)
            asked.future.set_result(turn)

    def _ask_again(self, line: EngineLine) -> None:
        """Repeat the pending requests in the next process, which takes over the memory."""
        waiting = [asked for asked in line.sent if not asked.future.done()]
        line.sent.clear()
        for asked in waiting:
            try:
                self._send(self._current(), asked)
            except TemplatesBusy as busy:
                asked.future.set_exception(busy)
        if self._line is None:
            self._total.release(self)

    def _condemn(self, line: EngineLine, why: str) -> None:
        line.why = why
        self._kill(line)
        self._lose(line)

    def _kill(self, line: EngineLine) -> None:
        def kill(pid: "asyncio.Future[int]") -> None:
            if not pid.cancelled() and pid.result():
                self._server.kill(pid.result())

        line.pid.add_done_callback(kill)

    def _close(self, line: EngineLine) -> None:
        line.close()
        if self._line is line:
            self._line = None

    def _put_behind(self, line: EngineLine | None) -> None:
        if line is None or not line.pid.done() or line.pid.cancelled() or not line.pid.result():
            return
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, line.pid.result(), BEHIND)

    def _look(self) -> None:
        """Check whether the current turn has taken too long."""
        loop, line, self._watch = asyncio.get_running_loop(), self._line, None
        if line is None or not line.sent:
            return  # the next request checks again
        self._watch = loop.call_later(self._patience / _LOOKS, self._look)
        burned = line.burned()
        if line.at is not line.sent[0]:
            line.at, line.since = line.sent[0], loop.time()
            line.cpu = burned or 0.0
        elif burned is not None and burned - line.cpu > self._patience:
            line.took = burned - line.cpu
            self._condemn(line, HANGS)
        elif loop.time() - line.since > _STUCK:
            self._condemn(line, HANGS)

    def _come_back_idle(self) -> None:
        self._idle_timer = asyncio.get_running_loop().call_later(self._idle, self._rest)

    def _rest(self) -> None:
        """End the process if it has not been used for some time."""
        self._idle_timer = None
        line = self._line
        if line is None:
            return
        is_idle = asyncio.get_running_loop().time() - self._used_at >= self._idle
        if is_idle and not (self.stays or self._runs or line.sent):
            self.rest()
        else:
            self._come_back_idle()

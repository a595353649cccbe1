"""Engine ports: processes that run templates, apart from the gateway."""

from typing import Protocol

from twite.domain.errors import OperatorError
from twite.tags.template.sandbox import Call, EffectAnswer, RunLimits, Turn
from twite.tags.template.template import Template


class EngineLost(OperatorError):
    """The engine process ended, or was ended, during a turn.

    `took` is in CPU seconds. None of the turn's effects were performed.
    """

    def __init__(self, reason: str, *, took: float) -> None:
        super().__init__(reason)
        self.took = took


class EngineProcess(Protocol):
    """One process that runs the turns of templates in the order of the calls.

    A process that ends is replaced. The runs that were waiting in it continue in the next process,
    which repeats their turns without the effects. Run numbers are never reused. An idle process
    ends, unless it `stays`.
    """

    stays: bool

    def prepare(self, template: Template) -> None:
        """Start the process and load a template, so that the first run need not wait for that.

        The process then stays until another one needs its memory. Does nothing if the
        memory of all processes is not enough.
        """

    async def start(self, template: Template, call: Call) -> Turn:
        """Begin a run. Raises EngineLost, TemplateUnusable, TemplatesBusy."""

    async def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        """Continue a run, with responses or after a wait. Raises the errors of `start`."""

    def end(self, run: int) -> None:
        """Forget a run that will not be resumed."""

    def demote(self) -> None:
        """Give the process the lowest priority from now on."""

    def stop(self) -> None:
        """End the process, and cancel the turns queued for it."""


class EngineProcesses(Protocol):
    """Makes engine processes. Each is started when it is first needed, and ends when idle."""

    def start(self) -> None:
        """Prepare for another caller, so that its first run does not wait for a process.

        To be called in the event loop.
        """

    def process(self, limits: RunLimits) -> EngineProcess:
        """Return a process whose runs have these limits."""

    async def stop(self) -> None:
        """End all processes when the last caller has called this."""

"""A fake template engine with scripted results."""

from collections.abc import Iterable

from twite.gtm.template.sandbox import Call, EffectAnswer, RunResult, Turn


class ScriptedEngine:
    """Returns the scripted turns in order, then turns that succeed at once; records its calls.

    See twite.gtm.template.sandbox.Engine.
    """

    def __init__(self, turns: Iterable[Turn] = ()) -> None:
        self._turns = list(turns)
        self.started: list[Call] = []
        self.resumed: list[tuple[int, tuple[EffectAnswer, ...], int]] = []
        self.ended: list[int] = []

    def start(self, call: Call) -> Turn:
        """Record the call and return the next turn."""
        self.started.append(call)
        return self._next(len(self.started))

    def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        """Record the answers and return the next turn."""
        self.resumed.append((run, answers, now))
        return self._next(run)

    def end(self, run: int) -> None:
        """Record which run was ended."""
        self.ended.append(run)

    def _next(self, run: int) -> Turn:
        return self._turns.pop(0) if self._turns else Turn(run=run, outcome=RunResult.SUCCESS)

"""Fakes of tags: an engine and a service account with scripted answers."""

from collections.abc import Iterable

from twite.domain.secret import Secret
from twite.domain.times import HOUR
from twite.tags.ports.google import GoogleToken, NoGoogleToken
from twite.tags.template.sandbox import Call, EffectAnswer, RunResult, Turn


class ScriptedEngine:
    """Returns the scripted turns in order, then turns that succeed at once; records its calls.

    See twite.tags.template.sandbox.Engine.
    """

    def __init__(self, turns: Iterable[Turn] = ()) -> None:
        self._turns = list(turns)
        self.started: list[Call] = []
        self.resumed: list[tuple[int, tuple[EffectAnswer, ...], int]] = []
        self.ended: list[int] = []

    def start(self, call: Call) -> Turn:
        self.started.append(call)
        return self._next(len(self.started))

    def resume(self, run: int, answers: tuple[EffectAnswer, ...], *, now: int) -> Turn:
        self.resumed.append((run, answers, now))
        return self._next(run)

    def end(self, run: int) -> None:
        """Record which run was ended."""
        self.ended.append(run)

    def _next(self, run: int) -> Turn:
        return self._turns.pop(0) if self._turns else Turn(run=run, outcome=RunResult.SUCCESS)


class ScriptedAccount:
    """Returns the scripted answers in turn, then tokens `token-1`, `token-2`, … for an hour.

    It records the requested scopes. See twite.gateway.ports.tags.
    """

    def __init__(
        self, answers: Iterable[GoogleToken | NoGoogleToken] = (), *, project: str | None = "shop-1"
    ) -> None:
        self._answers = list(answers)
        self._project = project
        self.asked: list[tuple[str, ...]] = []
        self.stopped = False

    async def token(self, scopes: tuple[str, ...]) -> GoogleToken | NoGoogleToken:
        """Record the scopes and return the next answer."""
        self.asked.append(scopes)
        if self._answers:
            return self._answers.pop(0)
        return GoogleToken(text=Secret(f"token-{len(self.asked)}"), lifetime=HOUR)

    async def project(self) -> str | None:
        return self._project

    async def stop(self) -> None:
        """Record that it was stopped."""
        self.stopped = True

"""A fake Google service account with scripted tokens."""

from collections.abc import Iterable

from twite.domain.secret import Secret
from twite.domain.times import HOUR
from twite.gateway.ports.google_account import GoogleToken, NoGoogleToken


class ScriptedAccount:
    """Returns the scripted answers in turn, then tokens `token-1`, `token-2`, … for an hour.

    It records the requested scopes. See twite.gateway.ports.google_account.
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
        return GoogleToken(text=Secret(f"token-{len(self.asked)}"), life=HOUR)

    async def project(self) -> str | None:
        """Return the scripted project."""
        return self._project

    async def stop(self) -> None:
        """Record that it was stopped."""
        self.stopped = True

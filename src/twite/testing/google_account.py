"""A fake Google service account with scripted tokens."""

from collections.abc import Iterable

from twite.domain.secret import Secret
from twite.domain.times import HOUR
from twite.gateway.ports.google_account import GoogleToken, NoGoogleToken


class ScriptedAccount:
    """Gives the answers in turn, then tokens `token-1`, `token-2`, … for an hour.

    It keeps what scopes were asked for. See twite.gateway.ports.google_account.Account.
    """

    def __init__(
        self, answers: Iterable[GoogleToken | NoGoogleToken] = (), *, project: str | None = "shop-1"
    ) -> None:
        self._answers = list(answers)
        self._project = project
        self.asked: list[tuple[str, ...]] = []
        self.stopped = False

    async def token(self, scopes: tuple[str, ...]) -> GoogleToken | NoGoogleToken:
        """Keep the scopes and give the next answer."""
        self.asked.append(scopes)
        if self._answers:
            return self._answers.pop(0)
        return GoogleToken(text=Secret(f"token-{len(self.asked)}"), life=HOUR)

    async def project(self) -> str | None:
        """Return the project that was given."""
        return self._project

    async def stop(self) -> None:
        """Remember that it was stopped."""
        self.stopped = True

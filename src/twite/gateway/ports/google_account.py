"""Who this gateway is to Google: the port for tokens."""

from typing import Protocol

import msgspec

from twite.domain.secret import Secret


class GoogleToken(msgspec.Struct, frozen=True, kw_only=True):
    """An access token. `life` is for how many milliseconds it is good from now on."""

    text: Secret
    life: int


class NoGoogleToken(msgspec.Struct, frozen=True, kw_only=True):
    """There is none. `reason` is for a person; `refused` whether Google said no."""

    reason: str
    refused: bool = False


class GoogleTokenSource(Protocol):
    """A service account: of a key, or of the machine that the gateway runs on."""

    async def token(self, scopes: tuple[str, ...]) -> GoogleToken | NoGoogleToken:
        """Ask for a token for these scopes. Raises nothing but CancelledError."""
        ...

    async def project(self) -> str | None:
        """Return the project that is meant where none is named; None where nobody says."""
        ...

    async def stop(self) -> None:
        """Close what is open."""
        ...

"""Google's access tokens."""

from typing import Protocol

import msgspec

from twite.domain.secret import Secret


class GoogleToken(msgspec.Struct, frozen=True, kw_only=True):
    """An access token. It is valid for `lifetime` milliseconds."""

    text: Secret
    lifetime: int


class NoGoogleToken(msgspec.Struct, frozen=True, kw_only=True):
    """The reason why there is no token. `refused` is whether Google refused it."""

    reason: str
    refused: bool = False


class GoogleTokenSource(Protocol):
    """A source of tokens: a service account, with a key or provided by this machine."""

    async def token(self, scopes: tuple[str, ...]) -> GoogleToken | NoGoogleToken:
        """Request a token for scopes. Raises only CancelledError."""

    async def project(self) -> str | None:
        """Return the default project, or None."""

    async def stop(self) -> None: ...

"""Open sign-ins: begun but not yet finished by a user; kept in memory or in the store."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

import msgspec

from twite.domain.secret import Masked, Secret
from twite.domain.times import MINUTE
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.secret_store import SecretStore
from twite.x.sign_in import SignInRequested

# How long a sign-in may take, and how many may be in progress at once.
PATIENCE: Final = 15 * MINUTE
MOST_OPEN: Final = 100
PREFIX: Final = "signin/"


class OpenSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """An open sign-in for a pixel. `by` names the session that must finish it."""

    requested: SignInRequested
    pixel: str
    by: str


class OpenSignIns(Protocol):
    """Stores open sign-ins for PATIENCE, by token."""

    async def add(self, sign_in: OpenSignIn) -> None:
        """Keep a sign-in. Raises LedgerUnavailable, NotOpened."""

    async def get(self, token: str) -> OpenSignIn | None:
        """Return a sign-in. Raises LedgerUnavailable, NotOpened."""

    async def end(self, token: str) -> None:
        """Delete a sign-in. Raises LedgerUnavailable."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SignInsInMemory:
    """Implements OpenSignIns in this process. A restart ends the sign-ins."""

    clock: Clock
    _open: dict[str, OpenSignIn] = field(init=False, default_factory=dict)
    _began: dict[str, int] = field(init=False, default_factory=dict)

    async def add(self, sign_in: OpenSignIn) -> None:
        now = self.clock.elapsed()
        for old in _in_the_way(self._began, now):
            await self.end(old)
        token = sign_in.requested.token
        self._open[token], self._began[token] = sign_in, now

    async def get(self, token: str) -> OpenSignIn | None:
        is_late = self.clock.elapsed() - self._began.get(token, 0) > PATIENCE
        return None if is_late else self._open.get(token)

    async def end(self, token: str) -> None:
        self._open.pop(token, None)
        self._began.pop(token, None)


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SealedSignIns:
    """Implements OpenSignIns in the store: a load balancer may pass the callback to any gateway."""

    secret_store: SecretStore
    clock: Clock

    async def add(self, sign_in: OpenSignIn) -> None:
        now = self.clock.now()
        began = {name: kept.began for name, kept in (await self._all(PREFIX)).items()}
        for old in _in_the_way(began, now):
            await self.secret_store.forget(old)
        kept = _SealedSignIn(
            token=sign_in.requested.token,
            secret=sign_in.requested.secret.reveal(),
            pixel=sign_in.pixel,
            by=sign_in.by,
            began=now,
        )
        await self.secret_store.put(_name(kept.token), msgspec.json.encode(kept))

    async def get(self, token: str) -> OpenSignIn | None:
        kept = (await self._all(_name(token))).get(_name(token))
        if kept is None or self.clock.now() - kept.began > PATIENCE:
            return None
        requested = SignInRequested(token=kept.token, secret=Secret(kept.secret))
        return OpenSignIn(requested=requested, pixel=kept.pixel, by=kept.by)

    async def end(self, token: str) -> None:
        await self.secret_store.forget(_name(token))

    async def _all(self, prefix: str) -> Mapping[str, "_SealedSignIn"]:
        found = await self.secret_store.all(prefix)
        return {name: msgspec.json.decode(plain, type=_SealedSignIn) for name, plain in found}


class _SealedSignIn(Masked, frozen=True, kw_only=True):
    """The sealed sign-in. Its repr shows no secrets."""

    in_repr = ("pixel",)
    token: str
    secret: str
    pixel: str
    by: str
    began: int


def _name(token: str) -> str:
    return PREFIX + sha256(token.encode()).hexdigest()


def _in_the_way(began: Mapping[str, int], now: int) -> list[str]:
    """Return the sign-ins to delete before another may begin: the expired and the oldest ones."""
    late = [key for key, at in began.items() if now - at > PATIENCE]
    rest = sorted(began.keys() - late, key=lambda key: began[key])
    return late + rest[: max(0, len(rest) - MOST_OPEN + 1)]

"""Two-factor authentication: turn it on and off.

The TOTP secret is sealed: the store alone reveals no codes.
"""

import asyncio
from collections.abc import Sequence

from twite.domain.errors import InvalidAccountChange, SignedOut
from twite.domain.people.account_changes import Result, TwoFactorDisabled, TwoFactorEnabled
from twite.domain.people.users import AuditAction, AuditEvent, User
from twite.domain.secret import Secret
from twite.gateway.identity import totp as codes
from twite.gateway.ports.directory import AccountDirectory
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.secret_store import CODES, SecretStore


class TwoFactor:
    """Each method ends the user's sessions but `warrant`, by which it is asked.

    Each raises SignedOut where that is over, Unfit, and LedgerUnavailable.
    """

    def __init__(
        self, *, people: AccountDirectory, secret_store: SecretStore, clock: Clock
    ) -> None:
        self._people = people
        self._secret_store = secret_store
        self._clock = clock
        # The secret and what is kept of it are changed one after the other: nobody comes between.
        self._turn = asyncio.Lock()

    async def begin(
        self, user: User, secret: Secret, code: str, *, warrant: bytes = b""
    ) -> Sequence[str] | None:
        """Ask the user for codes of this secret from now on; return recovery codes.

        None where the code is not of it: then nothing is changed.
        """
        now = self._clock.now()
        step = codes.step_of(secret, code, now=now)
        if step is None:
            return None
        recovery = codes.recovery_codes()
        begun = TwoFactorEnabled(
            name=user.name,
            since=now,
            step=step,
            recovery=tuple(codes.hash_of(code) for code in recovery),
            but=warrant,
        )
        async with self._turn:
            there = await self._people.user(user.name)
            if there is not None and there.code_since is not None:
                raise InvalidAccountChange("codes are set up already")
            await self._secret_store.put(CODES + user.name, secret.reveal().encode())
            await self._change(begun, AuditAction.USER_CODES_ON, warrant)
        return recovery

    async def end(self, user: User, *, warrant: bytes = b"") -> None:
        """Turn it off and delete the secret."""
        async with self._turn:
            await self._change(
                TwoFactorDisabled(name=user.name, but=warrant), AuditAction.USER_CODES_OFF, warrant
            )

    async def _change(
        self, change: TwoFactorEnabled | TwoFactorDisabled, what: str, warrant: bytes
    ) -> None:
        audit_event = AuditEvent(
            at=self._clock.now(), who=change.name, what=what, subject=change.name
        )
        result = await self._people.change(change, audit_event=audit_event, warrant=warrant)
        if result in {Result.OVER, Result.GONE}:
            raise SignedOut
        if result is not Result.DONE:
            raise InvalidAccountChange("codes are set up already")

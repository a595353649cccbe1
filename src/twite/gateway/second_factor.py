"""Setting up codes for signing in, and doing without them again.

The secret is sealed in the vault: who has the store alone has no code of anybody.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from twite.domain.errors import SignedOut, Unfit
from twite.domain.people import AuditAction, Deed, User
from twite.domain.secret import Secret
from twite.domain.staffing import CodesBegun, CodesEnded, Upshot
from twite.gateway import codes
from twite.gateway.people import Roster, Users
from twite.gateway.ports import Clock
from twite.gateway.vault import CODES, Strongroom


class Known(Users, Roster, Protocol):
    """What of twite.gateway.people it stands on."""


class SecondFactor:
    """Each method ends the user's sessions but `warrant`, by which it is asked.

    Each raises SignedOut where that is over, Unfit, and LedgerUnavailable.
    """

    def __init__(self, *, people: Known, strongroom: Strongroom, clock: Clock) -> None:
        self._people = people
        self._strongroom = strongroom
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
        begun = CodesBegun(
            name=user.name,
            since=now,
            step=step,
            recovery=tuple(codes.hash_of(one) for one in recovery),
            but=warrant,
        )
        async with self._turn:
            there = await self._people.user(user.name)
            if there is not None and there.code_since is not None:
                raise Unfit("codes are set up already")
            await self._strongroom.put(CODES + user.name, secret.reveal().encode())
            await self._change(begun, AuditAction.USER_CODES_ON, warrant)
        return recovery

    async def end(self, user: User, *, warrant: bytes = b"") -> None:
        """Ask for none any more; the secret goes with it."""
        async with self._turn:
            await self._change(
                CodesEnded(name=user.name, but=warrant), AuditAction.USER_CODES_OFF, warrant
            )

    async def _change(self, change: CodesBegun | CodesEnded, what: str, warrant: bytes) -> None:
        deed = Deed(at=self._clock.now(), who=change.name, what=what, subject=change.name)
        upshot = await self._people.change(change, deed=deed, warrant=warrant)
        if upshot in {Upshot.OVER, Upshot.GONE}:
            raise SignedOut
        if upshot is not Upshot.DONE:
            raise Unfit("codes are set up already")

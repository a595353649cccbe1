"""Setting up codes for signing in, and doing without them again.

The secret is sealed in the vault: who has the store alone has no code of anybody.
"""

from collections.abc import Sequence

import msgspec

from twite.domain.people import Deed, User
from twite.domain.secret import Secret
from twite.gateway import codes
from twite.gateway.doorkeeper import SECRETS
from twite.gateway.people import People
from twite.gateway.ports import Clock
from twite.gateway.vault import Strongroom


class SecondFactor:
    """Each method raises LedgerUnavailable."""

    def __init__(self, *, people: People, strongroom: Strongroom, clock: Clock) -> None:
        self._people = people
        self._strongroom = strongroom
        self._clock = clock

    async def begin(self, user: User, secret: Secret, code: str) -> Sequence[str] | None:
        """Ask the user for codes of this secret from now on; return recovery codes.

        None where the code is not of it: then nothing is changed.
        """
        now = self._clock.now()
        step = codes.step_of(secret, code, now=now)
        if step is None:
            return None
        recovery = codes.recovery_codes()
        await self._note(user, "user.codes_on")
        await self._strongroom.put(SECRETS + user.name, secret.reveal().encode())
        await self._people.keep_user(
            msgspec.structs.replace(
                user,
                code_since=now,
                code_step=step,
                recovery=tuple(codes.hash_of(one) for one in recovery),
            )
        )
        return recovery

    async def end(self, user: User) -> None:
        """Ask for none any more."""
        await self._note(user, "user.codes_off")
        await self._people.keep_user(
            msgspec.structs.replace(user, code_since=None, code_step=0, recovery=())
        )
        await self._strongroom.forget(SECRETS + user.name)

    async def _note(self, user: User, what: str) -> None:
        await self._people.note(
            Deed(at=self._clock.now(), who=user.name, what=what, subject=user.name)
        )

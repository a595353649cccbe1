"""Audit: the balance, looked at by itself, at the start, at the stop and every minute."""

from typing import Final

from twite.domain.errors import TwiteError
from twite.domain.times import MINUTE
from twite.gateway.notices import Observer, Troubled
from twite.gateway.ports import Clock, Records

EVERY: Final = MINUTE


class Audit:
    """Tells whoever watches when the balance is not zero: a fault of ours, never the sender's."""

    def __init__(self, *, records: Records, clock: Clock, observer: Observer) -> None:
        self._records = records
        self._clock = clock
        self._observer = observer

    async def once(self) -> None:
        """Report each account that does not balance: two residues may cancel out in the total.

        A store that cannot be read is reported too: to look must not stop what it looks at.
        """
        try:
            accounts = await self._records.accounts()
        except TwiteError as error:
            self._observer.see(Troubled(where="audit", reason=str(error)))
            return
        for account in accounts:
            if account.balance:
                whose = f"source {account.source} and pixel {account.pixel or 'none'}"
                reason = f"{account.balance} conversions of {whose} are nowhere"
                self._observer.see(Troubled(where="balance", reason=reason))

    async def run(self) -> None:
        """Look every minute, until cancelled."""
        while True:
            await self._clock.sleep(EVERY)
            await self.once()

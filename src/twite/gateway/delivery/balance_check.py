"""Audit: the balance, looked at at the start, at the stop and with every look in between."""

from collections.abc import Sequence

from twite.domain.errors import TwiteError
from twite.domain.history import ConversionCounts
from twite.gateway.ports.events import Observer, Troubled, TroublePlace
from twite.gateway.ports.store import Records


class BalanceCheck:
    """Tells whoever watches when the balance is not zero: a fault of ours, never the sender's."""

    def __init__(self, *, records: Records, observer: Observer) -> None:
        self._records = records
        self._observer = observer

    async def once(self) -> Sequence[ConversionCounts] | None:
        """Report each account that does not balance: two residues may cancel out in the total.

        Returns the accounts. A store that cannot be read is reported too, and None comes back: to
        look must not stop what it looks at.
        """
        try:
            accounts = await self._records.accounts()
        except TwiteError as error:
            self._observer.see(Troubled(where=TroublePlace.AUDIT, reason=str(error)))
            return None
        for account in accounts:
            if account.balance:
                whose = f"source {account.source} and pixel {account.pixel or 'none'}"
                reason = f"{account.balance} conversions of {whose} are nowhere"
                self._observer.see(Troubled(where=TroublePlace.BALANCE, reason=reason))
        return accounts

"""Balance check: every conversion received must be delivered, queued, held or dead."""

from collections.abc import Sequence

from twite.domain.errors import TwiteError
from twite.domain.history import ConversionCounts
from twite.gateway.ports.events import Observer, Troubled, TroublePlace
from twite.gateway.ports.queries import Queries


class BalanceCheck:
    """Reports a balance that is not zero: a bug of Twite's, never the client's."""

    def __init__(self, *, records: Queries, observer: Observer) -> None:
        self._records = records
        self._observer = observer

    async def once(self) -> Sequence[ConversionCounts] | None:
        """Check each account by itself, since two residues may cancel out in the total.

        Returns the accounts, or None if the store cannot be read: that is reported, not raised.
        """
        try:
            accounts = await self._records.balance()
        except TwiteError as error:
            self._observer.see(Troubled(where=TroublePlace.AUDIT, reason=str(error)))
            return None
        for account in accounts:
            if account.balance:
                whose = f"source {account.source} and pixel {account.pixel or 'none'}"
                reason = f"{account.balance} conversions of {whose} are nowhere"
                self._observer.see(Troubled(where=TroublePlace.BALANCE, reason=reason))
        return accounts

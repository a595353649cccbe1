"""Rate limits: a fixed window for each account, begun by its first use."""

import math

from msgspec import Struct

from twite.emulator.switches import Switches
from twite.x import spec


class Allowance(Struct, frozen=True, kw_only=True):
    """What an account has left after a request. `reset` is epoch seconds."""

    granted: bool
    limit: int
    remaining: int
    reset: int

    def headers(self, auth: str, switches: Switches) -> tuple[tuple[str, str], ...]:
        if switches.rate_headers == "none" or (
            switches.rate_headers == "oauth" and auth != "oauth"
        ):
            return ()
        user = (
            (spec.USER_RATE_LIMIT, str(self.limit)),
            (spec.USER_RATE_REMAINING, str(self.remaining)),
            (spec.USER_RATE_RESET, str(self.reset)),
        )
        account = (
            (spec.ACCOUNT_RATE_LIMIT, str(self.limit)),
            (spec.ACCOUNT_RATE_REMAINING, str(self.remaining)),
            (spec.ACCOUNT_RATE_RESET, str(self.reset)),
        )
        kind = switches.rate_header_kind
        return (user if kind != "account" else ()) + (account if kind != "user" else ())


class Windows:
    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._used: dict[str, int] = {}

    def take(self, account: str, amount: int, *, at: float, switches: Switches) -> Allowance:
        """Use `amount` of the account's allowance, or none of it when it is not enough.

        An amount of 0 only looks.
        """
        began = self._began.get(account)
        if began is None or not began <= at < began + switches.rate_window:
            began = self._began[account] = at
            self._used[account] = 0
        left = switches.rate_limit - self._used[account]
        granted = amount <= max(left, 0)
        if granted:
            self._used[account] += amount
        return Allowance(
            granted=granted,
            limit=switches.rate_limit,
            remaining=max(0, switches.rate_limit - self._used[account]),
            reset=math.ceil(began + switches.rate_window),
        )

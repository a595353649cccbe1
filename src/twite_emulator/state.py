"""The state of the emulated X between requests, and when a request arrives."""

import math
from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Final

from msgspec import Struct

from twite_emulator import spec
from twite_emulator.ads import Ads, CountedConversion
from twite_emulator.counting import ConversionCounter
from twite_emulator.switches import Switches
from twite_emulator.world import World

MAX_HITS: Final = 10_000


class Hit(Struct, kw_only=True):
    """One hit, and how often it was received. `parameters` come from its first copy."""

    at: float
    parameters: Mapping[str, str]
    copies: int = 1


class Hits:
    """The latest hits, oldest first."""

    def __init__(self) -> None:
        self._hits: dict[str | int, Hit] = {}
        self._received = 0

    @property
    def entries(self) -> list[Hit]:
        return list(self._hits.values())

    def is_new(self, parameters: Mapping[str, str], *, at: float) -> bool:
        """Record a hit; return False if it is another copy of an earlier one."""
        self._received += 1
        name = parameters.get("event_id") or self._received
        hit = self._hits.get(name)
        if hit is not None:
            hit.copies += 1
            return False
        self._hits[name] = Hit(at=at, parameters=parameters)
        if len(self._hits) > MAX_HITS:
            del self._hits[next(iter(self._hits))]
        return True


class NonceWindow:
    """Nonces seen within the window, to detect replays, as X does. [doc OA]"""

    def __init__(self) -> None:
        self._seen: set[tuple[str, ...]] = set()
        self._order: deque[tuple[float, tuple[str, ...]]] = deque()

    def remember(self, key: tuple[str, ...], *, at: float, window: float) -> bool:
        """Record a nonce, and remember it for twice the window; return True if `key` is new."""
        while self._order and self._order[0][0] < at - 2 * window:
            self._seen.discard(self._order.popleft()[1])
        if key in self._seen:
            return False
        self._seen.add(key)
        self._order.append((at, key))
        return True


class Allowance(Struct, frozen=True, kw_only=True):
    """What an account or user may still request. `reset` is epoch seconds."""

    granted: bool
    limit: int
    remaining: int
    reset: int

    def headers(self, auth: str, switches: Switches) -> tuple[tuple[str, str], ...]:
        if switches.rate_headers == "none" or (
            switches.rate_headers == "oauth" and auth != "oauth"
        ):
            return ()
        kind = switches.rate_header_kind
        return (self.of_user() if kind != "account" else ()) + (
            self.of_account() if kind != "user" else ()
        )

    def of_user(self) -> tuple[tuple[str, str], ...]:
        return (
            (spec.USER_RATE_LIMIT, str(self.limit)),
            (spec.USER_RATE_REMAINING, str(self.remaining)),
            (spec.USER_RATE_RESET, str(self.reset)),
        )

    def of_account(self) -> tuple[tuple[str, str], ...]:
        return (
            (spec.ACCOUNT_RATE_LIMIT, str(self.limit)),
            (spec.ACCOUNT_RATE_REMAINING, str(self.remaining)),
            (spec.ACCOUNT_RATE_RESET, str(self.reset)),
        )


class Windows:
    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._used: dict[str, int] = {}

    def take(self, holder: str, amount: int, *, at: float, limit: int, seconds: float) -> Allowance:
        """Use `amount` of the holder's allowance, or nothing if it is not enough.

        The holder is an account or a user; `seconds` is the length of a window. An amount of 0 only
        reads the allowance.
        """
        began = self._began.get(holder)
        if began is None or not began <= at < began + seconds:
            began = self._began[holder] = at
            self._used[holder] = 0
        left = limit - self._used[holder]
        granted = amount <= max(left, 0)
        if granted:
            self._used[holder] += amount
        return Allowance(
            granted=granted,
            limit=limit,
            remaining=max(0, limit - self._used[holder]),
            reset=math.ceil(began + seconds),
        )


class EmulatedState(Struct, frozen=True, kw_only=True):
    """X's state when a request arrives. Times are epoch seconds.

    Signatures are checked at `signed_at`: the time of receipt `at`, which a fault can shift.
    """

    world: World
    switches: Switches
    counter: ConversionCounter
    ads: Ads
    hits: Hits
    windows: Windows
    nonces: NonceWindow
    randomness: Random
    started_at: float
    at: float
    signed_at: float

    def attribute(
        self, conversion: CountedConversion, conversion_id: str | None, *, counts: bool
    ) -> None:
        """Attribute a copy to an ad, if it belongs to one. `counts`: it is not a duplicate."""
        self.ads.receive(
            conversion, conversion_id, counts=counts, world=self.world, switches=self.switches
        )

"""What the gateway tells whoever watches: counts and reasons, never persons."""

from typing import Protocol

import msgspec


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A submission is on disk."""

    source: str
    accepted: int
    duplicates: int
    suppressed: int
    rejected: int


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """A request to X came to an end. `took` is in milliseconds, monotonic."""

    pixel: str
    event: str
    outcome: str
    status: int | None
    conversions: int
    took: int
    reason: str = ""
    ambiguous: bool = False


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries changed their state. `trigger` is that of the table of states."""

    pixel: str
    trigger: str
    deliveries: int
    reason: str = ""


class Paused(msgspec.Struct, frozen=True, kw_only=True):
    """A pixel is not sent to until a probe passes or a person acts."""

    pixel: str
    reason: str


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    pixel: str


class Troubled(msgspec.Struct, frozen=True, kw_only=True):
    """Something of ours or of the machine's went wrong, and will be tried again."""

    where: str
    reason: str


Notice = Accepted | Attempted | Moved | Paused | Resumed | Troubled


class Silent:
    """An observer that looks away."""

    def see(self, notice: Notice) -> None:
        """Do nothing."""


class Observer(Protocol):
    """Whoever watches."""

    def see(self, notice: Notice) -> None:
        """Take note. Must neither raise nor wait."""
        ...

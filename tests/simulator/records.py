"""What the judge remembers of conversions, requests and pixels."""

from dataclasses import dataclass, field

from simulator.store import Span
from twite.domain.times import HOUR

Key = tuple[str, str, str]  # pixel, event, conversion id


@dataclass(kw_only=True)
class Truth:
    """The true state of one conversion. Times are true times since the start."""

    poison: bool = False
    suppressed: bool = False
    acknowledged_at: int | None = None
    first_heard: int | None = None
    body: bytes | None = None
    first_doubt: int | None = None
    taken_at: int | None = None
    ever_taken: bool = False
    settled_at: int | None = None
    replayed_at: int | None = None
    # When it was last submitted; and the delivery that has its key, once claimed.
    offered_at: int = 0
    delivery: int | None = None
    in_progress: int = 0
    jumped: bool = False
    # The process in which X refused it alone for its content, and has not accepted it since.
    refused_alone: Span | None = None
    # When it was first in a failed or refused request, if X has not accepted it since.
    suspect_since: int | None = None


@dataclass(kw_only=True, eq=False)
class Request:
    """One request, from when it left.

    `is_suspected`: X had accepted others since each of its conversions failed or was refused.
    """

    span: Span
    pixel: str
    keys: tuple[Key, ...]
    at: int
    is_suspected: bool = False
    over: bool = False

    @property
    def event(self) -> str:
        return self.keys[0][1]


@dataclass(kw_only=True)
class PixelRecord:
    """The judge's record of a pixel."""

    in_progress: list[Request] = field(default_factory=list)
    # The conversions in slow requests.
    slow: set[Key] = field(default_factory=set)
    # When a request was last known to be slow.
    slow_at: int = -(1 << 62)
    # Event → until when its requests may use slots of their own: after a bad response or a slow
    # request, until X accepts one.
    bad_until: dict[str, int] = field(default_factory=dict)
    # The events that X has refused since it last accepted or judged anything.
    refused_events: set[str] = field(default_factory=set)
    refused_at: int | None = None
    # The different conversions that X has refused since it last accepted or judged any; and
    # whether, in this process, X accepted others after one of these failed: then these conversions
    # may be at fault.
    refused: set[Key] = field(default_factory=set)
    refusals: int = 0
    is_unclear: bool = False
    # The number of the last response that reported an accepted conversion.
    answers: int = 0
    taken_at: int = -1
    # When X last refused one of its conversions alone.
    poisoned_at: int = -HOUR
    last_sent: int | None = None
    span: Span | None = None

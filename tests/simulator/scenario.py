"""The scenario of one seed: submissions, and faults with their times."""

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final, Protocol

import msgspec

from builders import a_destination, a_destination_with_oauth
from simulator.records import Key
from simulator.store import CallFault
from simulator.x import POISON, Met, RequestFault
from twite.domain.destination import Destination
from twite.domain.times import DAY, HOUR, MINUTE, SECOND
from twite.gateway.delivery.worker import WorkerConfig

CLICK: Final = "23opevjt88psuo13lu8d020qkn"
# This pixel has its own account and no faults at X: other pixels must not slow it down.
CALM: Final = "ocalm"
_TROUBLED: Final = ("oaaa1", "oaaa2", "oaaa3")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """One submission of a client, which repeats it until it is acknowledged."""

    pixel: str
    body: bytes
    keys: tuple[Key, ...]
    poison: tuple[bool, ...]
    suppressed: tuple[bool, ...]


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """The process crashes after this many more steps, and is down for this long (ms)."""

    steps: int


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """The process is told to stop, and started again."""


class Jump(msgspec.Struct, frozen=True, kw_only=True):
    """The gateway's wall clock jumps by this much (ms)."""

    by: int


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """A user releases the held deliveries."""


Happening = Offer | Crash | Stop | Jump | Replay


class Climate(msgspec.Struct, frozen=True, kw_only=True):
    """A period (elapsed), and the weights of network conditions in it."""

    begin: int
    end: int
    request_fault: Mapping[RequestFault, float]


_BAD: Final[tuple[Mapping[RequestFault, float], ...]] = (
    {RequestFault.TIMEOUT: 1, RequestFault.FAIR: 0.2},
    {RequestFault.ERROR: 1, RequestFault.FAIR: 0.1},
    {RequestFault.NO_CONNECTION: 1},
    {RequestFault.REVOKED: 1},
    {RequestFault.FORBIDDEN: 1, RequestFault.MOVED: 1},
    {RequestFault.LIMITED: 0.3, RequestFault.FAIR: 0.7},
    {RequestFault.LIMITED: 0.2, RequestFault.LIMITED_WITHOUT_RESET: 0.2, RequestFault.ERROR: 0.2},
    {RequestFault.WRONG_EVENT: 0.3, RequestFault.FAIR: 0.7},
    {RequestFault.CUT: 1, RequestFault.RESET: 1, RequestFault.FAIR: 1},
    {
        RequestFault.WRONG_COUNT: 1,
        RequestFault.NOT_JSON: 1,
        RequestFault.LOCKED: 1,
        RequestFault.FAIR: 1,
    },
    dict.fromkeys(list(RequestFault)[:-3], 1.0),
)
_LONG: Final[tuple[Mapping[RequestFault, float], ...]] = (
    {RequestFault.TIMEOUT: 1},
    {RequestFault.ERROR: 1},
    {RequestFault.NO_CONNECTION: 1},
    {RequestFault.ERROR: 1, RequestFault.NO_CONNECTION: 1, RequestFault.CUT: 1},
)


class Scenario(Protocol):
    """What the world needs from a scenario."""

    destinations: tuple[Destination, ...]
    worker_config: WorkerConfig
    shift: int
    calm: str | None

    def timeline(self) -> Iterator[tuple[int, Happening]]:
        """Yield (elapsed time, event) of all that happens, in order."""
        ...

    def on_call(self, name: str) -> tuple[CallFault, int, int]: ...

    def on_request(self, pixel: str) -> Met: ...

    def away(self) -> int:
        """Return how long a crashed process is down (ms)."""
        ...

    def still(self) -> None:
        """End all trouble."""
        ...


class SeededScenario:
    """Everything is derived from the seed. `elapsed` returns the time since the start."""

    def __init__(self, seed: int, *, days: float, elapsed: Callable[[], int]) -> None:
        self._random = Random(f"story {seed}")
        self._meeting = Random(f"meeting {seed}")
        self._elapsed = elapsed
        self._end = int(days * DAY)
        self._over = False
        randomness = self._random
        self.calm: str | None = CALM
        self.worker_config = WorkerConfig(
            batch=randomness.choice([3, 10, 50]),
            in_flight=randomness.choice([1, 2, 4]),
            linger=randomness.choice([0, 200]),
        )
        self.shift = randomness.choice([0, 0, 1, -1]) * randomness.choice(
            [3 * SECOND, 5 * MINUTE, HOUR, DAY]
        )
        self.destinations = _destinations(randomness)
        self._climates = {pixel: self._climate() for pixel in _TROUBLED}
        self._store_trouble = self._store_troubles()
        self._conversions = Conversions(
            randomness, poison=randomness.choice([0.0, 0.02, 0.02, 0.3])
        )

    def timeline(self) -> Iterator[tuple[int, Happening]]:
        """Return (time, event) of all that happens, in order."""
        randomness = self._random
        happenings: list[tuple[int, Happening]] = []
        for at in sorted(self._moments(randomness.randint(15, 60))):
            pixel = randomness.choice([*_TROUBLED, CALM])
            events = next(
                destination.events
                for destination in self.destinations
                if destination.pixel == pixel
            )
            happenings.append((at, self._conversions.offer(pixel, list(events.items()), at)))
        happenings += [
            (at, Crash(steps=randomness.choice([0, 1, 2, 3, 5, 8, 20])))
            for at in self._moments(randomness.choice([0, 1, 3, 10, 20]))
        ]
        happenings += [(at, Stop()) for at in self._moments(randomness.choice([0, 0, 1, 3]))]
        happenings += [(at, Replay()) for at in self._moments(randomness.choice([0, 0, 1]))]
        if randomness.random() < 0.15:
            for at in self._moments(randomness.randint(1, 3)):
                by = randomness.choice([-MINUTE, MINUTE, HOUR, DAY])
                happenings.append((at, Jump(by=by)))
        yield from sorted(happenings, key=lambda happening: happening[0])

    def on_call(self, name: str) -> tuple[CallFault, int, int]:  # noqa: ARG002 all calls fail in the same way
        randomness, now = self._meeting, self._elapsed()
        before, after = randomness.choice([(0, 0), (0, 0), (1, 3), (20, 0), (0, 150)])
        if self._over or not any(begin <= now < end for begin, end in self._store_trouble):
            return CallFault.NONE, before, after
        drawn = randomness.random()
        fault = CallFault.REFUSED if drawn < 0.3 else CallFault.UNKNOWN
        return (fault if drawn < 0.4 else CallFault.NONE), before, after

    def on_request(self, pixel: str) -> Met:
        randomness, now = self._meeting, self._elapsed()
        request_fault = RequestFault.FAIR
        if not self._over:
            for climate in self._climates.get(pixel, ()):
                if climate.begin <= now < climate.end:
                    kinds, weights = zip(*climate.request_fault.items(), strict=True)
                    request_fault = randomness.choices(kinds, weights)[0]
        troubled = pixel != CALM and not self._over
        return Met(
            request_fault=request_fault,
            takes=randomness.random() < 0.5,
            status=randomness.choice([500, 502, 503, 504]),
            there=randomness.choice([5, 20, 60]),
            back=randomness.choice([20, 80, 400, *([3_000, 25_000] if troubled else [])]),
            wait=randomness.choice([2, 30, 90, 600, 880]) * SECOND,
        )

    def away(self) -> int:
        return self._meeting.choice([100, 2 * SECOND, 30 * SECOND, 10 * MINUTE])

    def still(self) -> None:
        self._over = True

    def _moments(self, many: int) -> list[int]:
        """Most come in bursts, like real visitors."""
        randomness = self._random
        heads = [randomness.randrange(self._end) for _ in range(max(1, many // 4))]
        return [
            min(
                self._end,
                randomness.choice(heads) + randomness.choice([0, 300, 5_000, MINUTE, HOUR]),
            )
            for _ in range(many)
        ]

    def _climate(self) -> tuple[Climate, ...]:
        randomness = self._random
        climates = []
        for _ in range(randomness.choice([0, 1, 2, 4])):
            begin = randomness.randrange(self._end)
            length = randomness.choice([MINUTE, 10 * MINUTE, HOUR, 6 * HOUR])
            climates.append(
                Climate(begin=begin, end=begin + length, request_fault=randomness.choice(_BAD))
            )
        if randomness.random() < 0.15:
            begin = randomness.randrange(max(1, self._end // 4))
            length = randomness.choice([30 * HOUR, 45 * HOUR, 8 * DAY])
            climates.append(
                Climate(begin=begin, end=begin + length, request_fault=randomness.choice(_LONG))
            )
        return tuple(climates)

    def _store_troubles(self) -> tuple[tuple[int, int], ...]:
        randomness = self._random
        begins = [randomness.randrange(self._end) for _ in range(randomness.choice([0, 1, 4]))]
        return tuple((begin, begin + randomness.choice([SECOND, MINUTE, HOUR])) for begin in begins)


class Conversions:
    """Makes submissions; a quarter of their conversions are repeated.

    `poison` is the share of bad conversions.
    """

    def __init__(self, randomness: Random, *, poison: float) -> None:
        self._random = randomness
        self._poison = poison
        self._made: list[tuple[int, str, str, Key]] = []

    def offer(
        self, pixel: str, events: list[tuple[str, str]], at: int, many: int | None = None
    ) -> Offer:
        """Return a submission of at most this many conversions; random values unless given."""
        randomness = self._random
        chosen: dict[Key, str] = {}
        for _ in range(many or randomness.choice([1, 1, 3, 8, 30])):
            again = [made for made in self._made if made[1] == pixel and at - made[0] < 6 * DAY]
            if again and randomness.random() < 0.25:
                _, _, event, key = randomness.choice(again)
            else:
                event, event_id = randomness.choice(events)
                key = (pixel, event_id, f"c{len(self._made)}")
                self._made.append((at, pixel, event, key))
            chosen[key] = event
        return Offer(
            pixel=pixel,
            body=msgspec.json.encode(
                {"conversions": [self._written(key, event) for key, event in chosen.items()]}
            ),
            keys=tuple(chosen),
            poison=tuple(self._is_poison(key) for key in chosen),
            suppressed=tuple(self._is_suppressed(key) for key in chosen),
        )

    def _written(self, key: Key, event: str) -> dict[str, object]:
        written: dict[str, object] = {"event": event, "conversion_id": key[2], "twclid": CLICK}
        # A repetition may have other content: the first one counts.
        written["value"], written["currency"] = f"{self._random.randrange(100)}.00", "EUR"
        if self._is_poison(key):
            written["description"] = f"{POISON} {key[2]}{self._random.choice(['', ' echo'])}"
        if self._is_suppressed(key):
            written["consent"] = {"ad_storage": "denied"}
        return written

    def _is_poison(self, key: Key) -> bool:
        return Random("/".join(key)).random() < self._poison

    def _is_suppressed(self, key: Key) -> bool:
        return int(key[2][1:]) % 23 == 7 and not self._is_poison(key)


def _destinations(randomness: Random) -> tuple[Destination, ...]:
    rate = randomness.choice([60_000, 60_000, 20, 100])
    first = a_destination_with_oauth(_TROUBLED[0])
    if randomness.random() < 0.5:
        first = a_destination(_TROUBLED[0])
    account = randomness.choice([None, "shared"])
    troubled = [first, *(a_destination(pixel) for pixel in _TROUBLED[1:])]
    shared = [msgspec.structs.replace(pixel, rate=rate) for pixel in troubled]
    for index in (1, 2):
        shared[index] = msgspec.structs.replace(shared[index], account=account)
    return (*shared, a_destination(CALM))

"""A lane for each tag: see gateway.dispatch."""

from collections.abc import Sequence
from typing import Final

from twite.domain.times import SECOND
from twite.gateway.breaker import Breaker
from twite.gateway.dispatch import Lane, Pace
from twite.gateway.notices import Observer
from twite.gateway.ports import Chance, Depot, Pause
from twite.gateway.quota import Quota
from twite.gateway.steady import SteadyClock
from twite.gateway.tags.rule import Company, Rule
from twite.gateway.tags.tag_flight import TagFlight
from twite.gateway.tags.tools import Tools
from twite.gateway.vault import Seal

# A run is claimed alone or with a few: company is not worth waiting for.
_LINGER: Final = 20
_SHORTEST_LEASE: Final = 60 * SECOND


class TagLanes:
    """`holding` takes in the leases of what runs, for the sweep."""

    def __init__(
        self,
        companies: Sequence[Company],
        *,
        tools: Tools,
        depot: Depot,
        clock: SteadyClock,
        chance: Chance,
        observer: Observer,
        seal: Seal | None,
    ) -> None:
        self._of = {rule.pixel: one for one in companies for rule in one.rules.values()}
        self._tools = tools
        self._depot = depot
        self._clock = clock
        self._chance = chance
        self._observer = observer
        self._seal = seal
        self.holding: set[int] = set()
        self.rules: tuple[Rule, ...] = tuple(
            rule for one in companies for rule in one.rules.values()
        )

    def lane(self, rule: Rule, *, past: Sequence[tuple[int, int]], pause: Pause | None) -> Lane:
        """Return a tag's lane. `past` is what it has run before this start."""
        breaker = Breaker(
            pixel=rule.pixel,
            outbox=self._depot,
            clock=self._clock,
            observer=self._observer,
            pause=pause,
        )
        # A lease outlasts the longest run by far.
        lease = max(_SHORTEST_LEASE, 3 * rule.timeout)
        flight = TagFlight(
            company=self._of[rule.pixel],
            rule=rule,
            tools=self._tools,
            depot=self._depot,
            breaker=breaker,
            clock=self._clock,
            chance=self._chance,
            observer=self._observer,
            lease=lease,
            seal=self._seal,
        )
        return Lane(
            pixel=rule.pixel,
            outbox=self._depot,
            flight=flight,
            quota=Quota(limit=rule.rate, clock=self._clock, past=past, pixels=[rule.pixel]),
            breaker=breaker,
            clock=self._clock,
            observer=self._observer,
            pace=Pace(batch=rule.in_flight, in_flight=2, linger=_LINGER, lease=lease),
            holding=self.holding,
            cautious=rule.is_cautious,
        )

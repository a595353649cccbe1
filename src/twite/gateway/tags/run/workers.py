"""Make a delivery worker for each tag: see gateway.delivery.worker."""

from collections.abc import Sequence
from typing import Final

from twite.domain.times import SECOND
from twite.gateway.delivery.circuit_breaker import CircuitBreaker
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.worker import Worker, WorkerConfig
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Randomness
from twite.gateway.ports.outbox import DeliveryStore
from twite.gateway.ports.secret_store import Seal
from twite.gateway.ports.state import Pause
from twite.gateway.ports.tags import ContainerConfig, TagRule
from twite.gateway.tags.run.batch_sender import TagBatchSender
from twite.gateway.tags.run.context import RunContext

# Runs are claimed alone or a few at a time: no need to wait for a full batch.
_LINGER: Final = 20
_SHORTEST_LEASE: Final = 60 * SECOND


class TagWorkers:
    """Makes the workers. `holding` collects the leases in flight, for the sweeper."""

    def __init__(
        self,
        container_configs: Sequence[ContainerConfig],
        *,
        run_context: RunContext,
        delivery_store: DeliveryStore,
        clock: MonotonicClock,
        randomness: Randomness,
        observer: Observer,
        seal: Seal | None,
    ) -> None:
        self._of = {
            rule.pixel: container_config
            for container_config in container_configs
            for rule in container_config.rules.values()
        }
        self._run_context = run_context
        self._delivery_store = delivery_store
        self._clock = clock
        self._randomness = randomness
        self._observer = observer
        self._seal = seal
        self.holding: set[int] = set()
        self.rules: tuple[TagRule, ...] = tuple(
            rule
            for container_config in container_configs
            for rule in container_config.rules.values()
        )

    def make_worker(
        self, rule: TagRule, *, past: Sequence[tuple[int, int]], pause: Pause | None
    ) -> Worker:
        """Return a tag's worker. `past` are its runs before this start."""
        circuit_breaker = CircuitBreaker(
            pixel=rule.pixel,
            state=self._delivery_store,
            clock=self._clock,
            observer=self._observer,
            pause=pause,
        )
        # A lease outlasts the longest run by far.
        lease = max(_SHORTEST_LEASE, 3 * rule.timeout)
        batch_handler = TagBatchSender(
            container_config=self._of[rule.pixel],
            rule=rule,
            run_context=self._run_context,
            delivery_store=self._delivery_store,
            circuit_breaker=circuit_breaker,
            clock=self._clock,
            randomness=self._randomness,
            observer=self._observer,
            lease=lease,
            seal=self._seal,
        )
        return Worker(
            pixel=rule.pixel,
            outbox=self._delivery_store,
            batch_handler=batch_handler,
            rate_limit=RateLimit(
                limit=rule.rate, clock=self._clock, past=past, pixels=[rule.pixel]
            ),
            circuit_breaker=circuit_breaker,
            clock=self._clock,
            observer=self._observer,
            worker_config=WorkerConfig(
                batch=rule.in_flight, in_flight=2, linger=_LINGER, lease=lease
            ),
            holding=self.holding,
            cautious=rule.is_cautious,
        )

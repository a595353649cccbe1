"""Make the workers of pixels and tags."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from twite.domain.destination import Destination
from twite.domain.pause import Pause
from twite.gateway.delivery.batch_sender import BatchSender
from twite.gateway.delivery.current_evidence import CurrentEvidence
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.rate_limit import RateLimit
from twite.gateway.delivery.worker import Worker, WorkerConfig
from twite.gateway.delivery.x_client import XClient
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Randomness
from twite.gateway.ports.outbox import DeliveryStore


class WorkerRule(Protocol):
    """What the runner knows of a tag: the pixel of its deliveries, and how long a run may take."""

    @property
    def pixel(self) -> str: ...

    @property
    def is_cautious(self) -> bool: ...

    @property
    def timeout(self) -> int: ...


class TagWorkerFactory(Protocol):
    """Makes a worker for each tag."""

    holding: set[int]

    @property
    def rules(self) -> Sequence[WorkerRule]: ...

    def make_worker(
        self, pixel: str, *, past: Sequence[tuple[int, int]], pauses: Sequence[Pause]
    ) -> Worker:
        """Return the worker of a tag. `past` contains its runs before this start."""


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class PixelWorkers:
    """Makes a worker for each pixel. `holding` collects the leases in flight of all workers."""

    outbox: DeliveryStore
    x_client: XClient
    clock: MonotonicClock
    randomness: Randomness
    observer: Observer
    worker_config: WorkerConfig
    holding: set[int]

    def make_worker(
        self, destination: Destination, rate_limit: RateLimit, pauses: Sequence[Pause]
    ) -> Worker:
        """Return a worker that uses the rate limit of the pixel's account."""
        current_evidence = CurrentEvidence(
            pixel=destination.pixel,
            state=self.outbox,
            clock=self.clock,
            randomness=self.randomness,
            observer=self.observer,
            pauses=pauses,
            is_cautious=destination.is_cautious,
        )
        batch_handler = BatchSender(
            destination=destination,
            delivery_store=self.outbox,
            x_client=self.x_client,
            rate_limit=rate_limit,
            current_evidence=current_evidence,
            clock=self.clock,
            observer=self.observer,
            lease=self.worker_config.lease,
            in_flight=self.worker_config.in_flight,
        )
        return Worker(
            pixel=destination.pixel,
            outbox=self.outbox,
            batch_handler=batch_handler,
            rate_limit=rate_limit,
            current_evidence=current_evidence,
            clock=self.clock,
            observer=self.observer,
            worker_config=self.worker_config,
            holding=self.holding,
            cautious=destination.is_cautious,
        )


def auth_of(destination: Destination) -> tuple[object, object]:
    return destination.credentials, destination.fallback


def worker_settings(destination: Destination) -> tuple[object, ...]:
    """Return the settings that a worker reads only when it starts."""
    return destination.meter, destination.rate, destination.is_cautious

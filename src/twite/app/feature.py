"""What a feature adds to a running gateway: see `twite.features`.

    GatewayFeature    begins the feature in a gateway
    RunningFeature    the feature in one gateway, from before the store opens until its end
    FeaturePlan       what the settings ask the feature to run
    FeatureRun        what runs by a plan, until a reload replaces it

These classes add nothing: a gateway without features uses them as they are.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Self

import msgspec

from twite.config.difference import SettingsChange
from twite.config.settings import Settings
from twite.domain.destination import Destination, Source
from twite.features import contributed
from twite.gateway.delivery.monotonic_clock import MonotonicClock
from twite.gateway.delivery.pixel_workers import TagWorkerFactory
from twite.gateway.ingest.accept import Accept
from twite.gateway.ports.events import Observer
from twite.gateway.ports.machine import Randomness
from twite.gateway.ports.secret_store import Seal, SecretStore
from twite.gateway.ports.store import Store
from twite.gateway.ports.tags import DispatchesTags
from twite.http.feature import HttpFeature
from twite.http.limits import AdmissionGate
from twite.http.services import HttpServices
from twite.observers.metrics import Metrics

if TYPE_CHECKING:
    from twite.console.page import AddedPages

MakeHttpFeature = Callable[[HttpServices, AdmissionGate], HttpFeature]


class FeatureBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What a feature gets when it begins. `settings` are those of the start.

    `shares_port` is whether other processes of this machine serve the same port.
    """

    settings: Settings
    clock: MonotonicClock
    randomness: Randomness
    observer: Observer
    shares_port: bool


class RunBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What a run gets, besides its settings. `seal` is None without a secret key."""

    store: Store
    seal: Seal | None
    metrics: Metrics


class FeaturePlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings ask a feature to run. Equal plans need no other run."""

    def changes(self, running: Self, settings: Settings) -> tuple[SettingsChange, ...]:
        """Return changes of files that the settings name, in comparison with the running plan."""
        del running, settings
        return ()

    def run(self, settings: Settings, basis: RunBasis) -> "FeatureRun":
        """Begin to run."""
        del settings, basis
        return FeatureRun(self)


class FeatureRun:
    """What runs by a plan."""

    def __init__(self, plan: FeaturePlan) -> None:
        self.plan = plan

    @property
    def names(self) -> tuple[str, ...]:
        """The feature's own destinations, each named like a pixel."""
        return ()

    @property
    def http(self) -> MakeHttpFeature | None:
        """Makes what sees requests before the routes."""
        return None

    def dispatcher(self) -> DispatchesTags | None:
        """Return what receives accepted events beside the pixels."""
        return None

    def workers(
        self, accept: Accept, destinations: Mapping[str, Destination]
    ) -> TagWorkerFactory | None:
        """Return the workers of the feature's own destinations."""
        del accept, destinations
        return None

    def serve(self, accept: Accept, destinations: Mapping[str, Destination]) -> None:
        """Begin to serve requests."""

    def use(self, accept: Accept, sources: Iterable[Source]) -> None:
        """Accept conversions and events with other settings, after a reload."""

    async def stop_serving(self) -> None:
        """Cancel work for requests, after the last response."""

    async def stop(self) -> None:
        """End the rest, after the last delivery."""


class RunningFeature:
    """A feature in one gateway."""

    def __init__(self) -> None:
        self._runs: list[FeatureRun] = []

    async def plan(self, settings: Settings, secret_store: SecretStore | None) -> FeaturePlan:
        """Return what the settings ask to run. Raises SettingsError, NotOpened."""
        del settings, secret_store
        return FeaturePlan()

    def pages(self, settings: Settings) -> "AddedPages":
        """Return the feature's pages of the console."""
        from twite.console.page import AddedPages  # noqa: PLC0415  # few starts need the console

        del settings
        return AddedPages()

    def run(self, plan: FeaturePlan, settings: Settings, basis: RunBasis) -> FeatureRun:
        """Begin to run a plan."""
        run = plan.run(settings, basis)
        self._runs.append(run)
        # The source of a conversion may be a destination that created it.
        basis.metrics.know(sources=run.names, pixels=run.names)
        return run

    async def retire(self, run: FeatureRun) -> None:
        """End a run that a reload has replaced."""
        self._runs.remove(run)
        await run.stop_serving()
        await run.stop()

    async def stop_serving(self) -> None:
        """Cancel work for requests, after the last response."""
        for run in self._runs:
            await run.stop_serving()

    async def stop(self) -> None:
        """End the feature, after the last delivery."""
        for run in self._runs:
            await run.stop()


class GatewayFeature(msgspec.Struct, frozen=True):
    """Begins a feature in a gateway, before the store opens."""

    begin: Callable[[FeatureBasis], RunningFeature]


def begin_feature(basis: FeatureBasis) -> RunningFeature:
    """Begin the feature of this installation. There is at most one."""
    begins = [feature.begin for feature in contributed("gateway", GatewayFeature)]
    (begin,) = begins or [lambda _basis: RunningFeature()]
    return begin(basis)

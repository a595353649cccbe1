"""The observers of a gateway: log, metrics, traces, and the events that alerts depend on."""

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from twite.config.settings import Settings
from twite.domain.destination import X_SOURCE
from twite.domain.errors import SettingsError
from twite.domain.test_mode import with_test_names
from twite.gateway.alerts.monitor import EventListener
from twite.gateway.ports.machine import Clock
from twite.gateway.ports.queries import Queries, ReceiptsQuery
from twite.observers import Several
from twite.observers.log import LineLogger, Log
from twite.observers.metrics import Metrics

if TYPE_CHECKING:
    from twite.observers.trace_queue import TraceQueue

# The standard variable that turns OpenTelemetry off.
_DISABLED: Final = "OTEL_SDK_DISABLED"


class Observation:
    """Passes events to the observers that the settings name (`observer`)."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._traces = settings.traces
        self.metrics = Metrics(
            sources=[
                *with_test_names(source.name for source in settings.sources()),
                X_SOURCE,
            ],
            pixels=with_test_names(pixel.pixel for pixel in settings.destinations()),
        )
        self.listener = EventListener(clock)
        log = LineLogger(
            level=settings.log.level,
            as_json=settings.log.format == "json",
            lost=self.metrics.lost_log_line,
        )
        self.observer = Several((Log(log), self.metrics, self.listener))
        # None if nothing is traced.
        self.trace_queue: TraceQueue | None = None

    def start_traces(self, queries: Queries) -> None:
        """Start to export traces, unless the settings or the environment turn this off.

        Raises SettingsError if the extra is not installed.
        """
        endpoint = self._traces.endpoint
        if endpoint is None or os.environ.get(_DISABLED, "").strip().lower() == "true":
            return
        if not can_trace():
            raise SettingsError(
                "traces.endpoint",
                "traces need packages that are not installed. Install "
                "requirements/otel.txt (the extra `otel`), or remove the table [traces]",
            )
        # Imported only here: few gateways have traces, and the packages are an extra.
        from twite.observers.otel_spans import Collector, OtelSpans  # noqa: PLC0415
        from twite.observers.trace_queue import TraceQueue  # noqa: PLC0415

        async def receipts(deliveries: Sequence[int]) -> Mapping[int, str]:
            return await queries.answer(ReceiptsQuery(deliveries=deliveries))

        headers = {name: value.reveal() for name, value in self._traces.headers.items()}
        self.trace_queue = TraceQueue(
            one_in=self._traces.one_in,
            spans=OtelSpans(Collector(endpoint=endpoint, headers=headers)),
            receipts=receipts,
            count=self.metrics.traced,
            observer=self.observer,
        )
        self.trace_queue.start()

    async def stop(self) -> None:
        """Export the last traces, while the store is still open."""
        if self.trace_queue is not None:
            await self.trace_queue.stop()


def can_trace() -> bool:
    """Return whether the packages of the extra `otel` are installed."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ModuleNotFoundError:  # of a package above it
        return False

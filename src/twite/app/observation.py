"""The observers of a gateway: log, metrics, and the events that alerts depend on."""

from twite.config.settings import Settings
from twite.gateway.alerts.monitor import EventListener
from twite.gateway.ingest.accept import X_SOURCE
from twite.gateway.ports.machine import Clock
from twite.observers import Several
from twite.observers.log import LineLogger, Log
from twite.observers.metrics import Metrics


class Observation:
    """Passes events to the observers that the settings name (`observer`)."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.metrics = Metrics(
            sources=[*(source.name for source in settings.sources()), X_SOURCE],
            pixels=[pixel.pixel for pixel in settings.destinations()],
        )
        self.listener = EventListener(clock)
        log = LineLogger(
            level=settings.log.level,
            as_json=settings.log.format == "json",
            lost=self.metrics.lost_log_line,
        )
        self.observer = Several((Log(log), self.metrics, self.listener))

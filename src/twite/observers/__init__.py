"""Observers of the gateway's events: the log and the metrics."""

from collections.abc import Sequence

from twite.gateway.ports.events import GatewayEvent, Observer


class Several:
    """Passes each event to several observers."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def see(self, event: GatewayEvent) -> None:
        """Pass the event to each of them."""
        for observer in self._observers:
            observer.see(event)

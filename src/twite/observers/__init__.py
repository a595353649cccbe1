"""Whoever watches the gateway: a log and metrics."""

from collections.abc import Sequence

from twite.gateway.ports.events import Notice, Observer


class Several:
    """Observers that all see the same."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def see(self, notice: Notice) -> None:
        """Let each of them take note."""
        for observer in self._observers:
            observer.see(notice)

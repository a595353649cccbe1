"""Cheap requests: responses that need no store must not slow down submissions.

A connection that sends the next request as soon as it has a response keeps the event loop busy, and
the store's writer waits for the interpreter. While submissions are stored, such responses are
spaced.
"""

from collections.abc import Sequence
from typing import Final

from twite.http.limits import AdmissionGate
from twite.http.route import NO_BODY, Route

# Seconds between two such responses: about a tenth of the event loop's time.
SPACE: Final = 0.001
# The longest wait, so that pages with many visitors get the script only this much later.
LONGEST: Final = 0.05


class CheapRequests:
    """Spaces responses while requests are inside one of the gates."""

    def __init__(self, gates: Sequence[AdmissionGate]) -> None:
        self._gates = gates
        self._next = 0.0

    def wait(self, route: Route[object], method: str, *, now: float) -> float:
        """Return the seconds for which the response must wait. `now` is in seconds, monotonic."""
        if route.endpoint is not None or (route.body != NO_BODY and method == "POST"):
            return 0.0
        if not any(gate.is_occupied for gate in self._gates):
            return 0.0
        turn = min(max(now, self._next), now + LONGEST)
        self._next = turn + SPACE
        return turn - now

"""A journal of the conversions endpoint: exact totals, and the last requests in full."""

from collections import Counter, deque

from msgspec import Struct

MAX_BODY_BYTES = 64 * 1024 * 1024  # of all kept bodies together


class Received(Struct, kw_only=True):
    """One request.

    `judged` is the status the judge gave (None: not judged), `status` the one that was sent (None:
    no answer, or not all of it).
    """

    at: float
    method: str
    path: str
    pixel: str | None
    auth: str | None
    judged: int | None
    status: int | None
    fault: str | None = None
    conversions: int | None = None
    why: str | None = None
    body: bytes | None = None


class Journal:
    def __init__(self, *, requests: int, bodies: int) -> None:
        self.entries: deque[Received] = deque(maxlen=requests)
        self.requests = 0
        self.conversions = 0
        self.answers: Counter[str] = Counter()  # by status; "none" for those without an answer
        self._max_bodies = bodies
        self._with_body: deque[Received] = deque()
        self._body_bytes = 0

    def add(self, entry: Received) -> None:
        self.count(entry.status, entry.conversions)
        self.entries.append(entry)
        if entry.body is None:
            return
        self._with_body.append(entry)
        self._body_bytes += len(entry.body)
        while self._with_body and (
            len(self._with_body) > self._max_bodies or self._body_bytes > MAX_BODY_BYTES
        ):
            oldest = self._with_body.popleft()
            self._body_bytes -= len(oldest.body or b"")
            oldest.body = None

    def count(self, status: int | None, conversions: int | None) -> None:
        self.requests += 1
        self.conversions += conversions or 0
        self.answers["none" if status is None else str(status)] += 1

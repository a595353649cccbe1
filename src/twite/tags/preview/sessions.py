"""Preview sessions: the user of each, its end, and its latest requests.

Sessions are kept only in memory; they are few and short. Without a session, nothing is recorded.
"""

from collections import deque
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Final

from twite.domain.errors import OperatorError
from twite.domain.secret import Secret
from twite.domain.times import HOUR, MINUTE
from twite.gateway.ports.machine import Clock, Randomness
from twite.redaction.mask_text import masked_path, masked_query
from twite.tags.preview.trace import (
    LONGEST,
    PreviewedRequest,
    RequestTrace,
    masked_headers,
)

HEADER: Final = "x-gtm-server-preview"  # the name that Google's preview uses
COOKIE: Final = "gtm_preview"
LASTS: Final = HOUR
HANDLED_WITHIN: Final = (
    2 * MINUTE
)  # longer than the time limits of a request body and of a client template
# For gateways that may share their store with others.
OTHERS: Final = (
    "Other gateways on this database do not know the session: they store and send its events."
)
LATEST: Final = "latest"  # shown in place of an id
MOST_SESSIONS: Final = 5
MOST_REQUESTS: Final = 30  # per session
DryRun = Callable[[str, bytes, RequestTrace], None]


class PreviewUnavailable(OperatorError):
    """No session can be opened: some of its requests would reach other processes, which send."""

    def __init__(self) -> None:
        super().__init__(
            "Tag previews need a gateway with one process, because a session sees only the "
            "requests of its process. Start the gateway with workers = 1 in [server], or start "
            "another gateway with the same settings and one process on another port"
        )


class PreviewSession:
    """A session. `version` increases with each recorded text."""

    def __init__(
        self, id_: str, *, who: str, token: Secret, sends_nothing: bool, until: int, ends_at: int
    ) -> None:
        self.id = id_
        self.who = who
        self.token = token
        self.sends_nothing = sends_nothing
        self.until = until  # monotonic
        self.ends_at = ends_at  # wall clock
        self.version = 0
        self.count = 0
        self.traces: deque[RequestTrace] = deque(maxlen=MOST_REQUESTS)

    @property
    def requests(self) -> list[PreviewedRequest]:
        """The requests, latest first."""
        return [trace.seen for trace in reversed(self.traces)]

    def change(self) -> None:
        self.version += 1


class PreviewSessions:
    """The open sessions. `dry_run` is set once tags can run.

    If this process `shares_port` with others, no session can be opened.
    """

    def __init__(self, *, clock: Clock, randomness: Randomness, shares_port: bool = False) -> None:
        self.shares_port = shares_port
        self._clock = clock
        self._randomness = randomness
        self._by_token: dict[bytes, PreviewSession] = {}
        self.dry_run: DryRun | None = None

    @property
    def is_open(self) -> bool:
        if not self._by_token:
            return False
        self._expire()
        return bool(self._by_token)

    def open(self, who: str, *, sends_nothing: bool) -> PreviewSession:
        """Open a session; at the limit, the oldest session ends. Raises PreviewUnavailable."""
        if self.shares_port:
            raise PreviewUnavailable
        self._expire()
        while len(self._by_token) >= MOST_SESSIONS:
            self._by_token.pop(next(iter(self._by_token)))
        token = Secret(self._randomness.nonce() + self._randomness.nonce())
        session = PreviewSession(
            self._randomness.nonce()[:16],
            who=who,
            token=token,
            sends_nothing=sends_nothing,
            until=self._clock.elapsed() + LASTS,
            ends_at=self._clock.now() + LASTS,
        )
        self._by_token[_digest(token.reveal())] = session
        return session

    def close(self, session: PreviewSession) -> None:
        """End a session, and forget its requests."""
        self._by_token.pop(_digest(session.token.reveal()), None)

    def of(self, who: str) -> list[PreviewSession]:
        """Return a user's sessions, latest first."""
        self._expire()
        return [session for session in self._by_token.values() if session.who == who][::-1]

    def named(self, id_: str, *, who: str) -> PreviewSession | None:
        """Return a user's session by its id, or the latest session if the id is LATEST."""
        found = self.of(who)
        return next((each for each in found if id_ in {each.id, LATEST}), None)

    def begin(
        self,
        token: str,
        *,
        method: str,
        path: str,
        query: str,
        headers: Iterable[tuple[str, str]],
    ) -> RequestTrace | None:
        """Begin the trace of a request with this token; None if no session has the token."""
        self._expire()
        session = self._by_token.get(_digest(token))
        if session is None:
            return None
        session.count += 1
        seen = PreviewedRequest(
            number=session.count,
            at=self._clock.now(),
            method=method,
            path=masked_path(path)[:LONGEST],
            query=masked_query(query)[:LONGEST],
            headers=masked_headers(headers),
            sent_nothing=session.sends_nothing,
        )
        until = self._clock.elapsed() + HANDLED_WITHIN
        trace = RequestTrace(
            seen,
            handling=lambda: self._clock.elapsed() < until,
            id_=self._randomness.nonce()[:16],
            changed=session.change,
            dry_run=self.dry_run,
        )
        session.traces.append(trace)
        session.change()
        return trace

    def trace(self, id_: str) -> RequestTrace | None:
        """Return the trace of a delivery, if its session is open and contains it."""
        if not self._by_token:
            return None
        self._expire()
        return next(
            (
                trace
                for session in self._by_token.values()
                for trace in session.traces
                if trace.id == id_
            ),
            None,
        )

    def _expire(self) -> None:
        now = self._clock.elapsed()
        for digest in [key for key, each in self._by_token.items() if each.until <= now]:
            del self._by_token[digest]


def _digest(token: str) -> bytes:
    """Return the lookup key of a token: it does not let anyone guess other tokens."""
    return blake2b(token.encode("utf-8", "replace"), digest_size=16).digest()

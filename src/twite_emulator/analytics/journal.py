"""The requests for analytics, and whether each waited as long as X had asked for."""

from collections import Counter, deque
from email.utils import parsedate_to_datetime
from typing import Final

from msgspec import Struct

from twite_emulator import spec
from twite_emulator.analytics.jobs import FOLDER
from twite_emulator.exchange import XAnswer

RETRY_AFTER: Final = "retry-after"
_LIMITED: Final = 429
_UNAVAILABLE: Final = 503


class AnalyticsRequest(Struct, frozen=True, kw_only=True):
    """One request. `status` is None without a complete response.

    `early`: it came before the time that an answer to the same route had named: a 429 by a reset,
    or else by Retry-After, a 503 by Retry-After. X may end the access of such clients. [doc]
    """

    at: float
    method: str
    path: str
    query: str
    status: int | None
    fault: str | None
    early: bool


class AnalyticsJournal:
    """The latest requests, oldest first, and exact totals of all."""

    def __init__(self, *, requests: int) -> None:
        self.entries: deque[AnalyticsRequest] = deque(maxlen=requests)
        self.answers: Counter[str] = Counter()  # by status; "none" for requests without a response
        self.early = 0
        self._wait_until: dict[str, float] = {}  # by route

    def add(
        self,
        *,
        at: float,
        method: str,
        path: str,
        query: str,
        answer: XAnswer | None,
        fault: str | None,
    ) -> None:
        route = _route(path)
        early = at < self._wait_until.get(route, 0)
        self.early += early
        self.answers["none" if answer is None else str(answer.status)] += 1
        self.entries.append(
            AnalyticsRequest(
                at=at,
                method=method,
                path=path,
                query=query,
                status=answer.status if answer else None,
                fault=fault,
                early=early,
            )
        )
        if answer is not None:
            self._wait_until[route] = _asked_until(answer, at)

    def document(self) -> dict[str, object]:
        return {
            "requests": sum(self.answers.values()),
            "answers": self.answers,
            "early": self.early,
            "entries": list(self.entries),
        }


def _asked_until(answer: XAnswer, at: float) -> float:
    """Return the time that an answer names for the next request; 0 if it names none."""
    headers = {name.lower(): value for name, value in answer.headers}
    if answer.status == _LIMITED:
        for name in (spec.ACCOUNT_RATE_RESET, spec.USER_RATE_RESET):
            if headers.get(name, "").isdecimal():
                return float(headers[name])
    if answer.status not in (_LIMITED, _UNAVAILABLE):
        return 0
    after = headers.get(RETRY_AFTER, "")
    if after.isdecimal():
        return at + float(after)
    try:
        return parsedate_to_datetime(after).timestamp()
    except (ValueError, TypeError):
        return 0


def _route(path: str) -> str:
    """Return what a wait counts for: a path, and all files of jobs together."""
    return FOLDER if path.startswith(FOLDER) else path

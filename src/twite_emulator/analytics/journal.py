"""The requests for analytics, and whether each waited as long as X had asked for."""

from collections import Counter, deque
from typing import Final

from msgspec import Struct

from twite_emulator import spec
from twite_emulator.exchange import XAnswer

RETRY_AFTER: Final = "retry-after"
_LIMITED: Final = 429
_UNAVAILABLE: Final = 503


class AnalyticsRequest(Struct, frozen=True, kw_only=True):
    """One request. `status` is None without a complete response.

    `early`: it came before the time that an answer to the same route had named. X may end the
    access of such clients. [doc]
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
        self._wait_until: dict[str, float] = {}  # by path

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
        early = at < self._wait_until.get(path, 0)
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
            self._wait_until[path] = _asked_until(answer, at)

    def document(self) -> dict[str, object]:
        return {
            "requests": sum(self.answers.values()),
            "answers": self.answers,
            "early": self.early,
            "entries": list(self.entries),
        }


def _asked_until(answer: XAnswer, at: float) -> float:
    headers = {name.lower(): value for name, value in answer.headers}
    if answer.status == _LIMITED:
        named = headers.get(spec.ACCOUNT_RATE_RESET) or headers.get(spec.USER_RATE_RESET)
        return float(named or 0)
    if answer.status == _UNAVAILABLE and headers.get(RETRY_AFTER, "").isdecimal():
        return at + float(headers[RETRY_AFTER])
    return 0

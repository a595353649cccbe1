"""The routes of analytics: credentials, limits, and which function answers."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from twite_emulator import spec
from twite_emulator.access import ANY_ROLE, Caller, Denied, admit_reader, refuse_account
from twite_emulator.analytics.activity import answer_activity
from twite_emulator.analytics.answer import stats_document
from twite_emulator.analytics.entities import LISTS, answer_entity, answer_list
from twite_emulator.analytics.jobs import FOLDER, EmulatedJobs
from twite_emulator.analytics.metrics import (
    COUNTED_READS,
    ENTITY_READS,
    OTHER_READS,
    WRITE_SECONDS,
    WRITES,
)
from twite_emulator.analytics.query import read_query, unknown_entity
from twite_emulator.exchange import (
    RATE_LIMITED,
    Problem,
    XAnswer,
    XRequestReceived,
    XVerdict,
    json_answer,
    refusal,
    wrong_method,
)
from twite_emulator.state import EmulatedState, Windows

_LISTS: Final = re.compile(rf"/(?:11|12)/accounts/([^/]+)/({'|'.join(LISTS)})(?:/([^/]+))?")
_STATS: Final = re.compile(r"/(?:11|12)/stats/accounts/([^/]+)(/active_entities)?")
_JOBS: Final = re.compile(r"/(?:11|12)/stats/jobs/accounts/([^/]+)")
_READS: Final[Mapping[str, int]] = {"campaigns": ENTITY_READS, "line_items": ENTITY_READS}


def is_analytics(path: str) -> bool:
    return path.startswith(FOLDER) or any(
        pattern.fullmatch(path) for pattern in (_LISTS, _STATS, _JOBS)
    )


class _Call(Struct, frozen=True, kw_only=True):
    """A request for analytics. `parts`: the account and the other variable parts of its path."""

    request: XRequestReceived
    parts: tuple[str, ...]
    state: EmulatedState

    @property
    def account(self) -> str:
        return self.parts[0]

    @property
    def pairs(self) -> dict[str, str]:
        return dict(self.request.query_pairs())


class _Limit(Struct, frozen=True):
    """How many requests of a kind a user or an account may send, in so many seconds."""

    kind: str
    limit: int
    seconds: float = spec.RATE_WINDOW_SECONDS
    by_user: bool = False


class Analytics:
    """X's analytics, and what it must remember: jobs and rate limit windows."""

    def __init__(self) -> None:
        self._jobs = EmulatedJobs()
        self._windows = Windows()
        self._routes: Mapping[
            re.Pattern[str], tuple[Callable[[_Call], _Limit], Callable[[_Call], XAnswer]]
        ] = {
            _LISTS: (_limit_of_lists, _listed),
            _STATS: (_limit_of_stats, _stats),
            _JOBS: (_limit_of_jobs, self._job),
        }

    def answer(self, request: XRequestReceived, state: EmulatedState) -> XVerdict | None:
        """Return None if the request is about something else."""
        if request.path.startswith(FOLDER):
            return self._file(request, state)
        for pattern, (limit_of, act) in self._routes.items():
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            parts = tuple(part or "" for part in match.groups())
            call = _Call(request=request, parts=parts, state=state)
            caller = admit_reader(request, call.account, state)
            if isinstance(caller, Denied):
                return XVerdict(answer=caller.answer, auth=caller.auth, why=caller.why)
            denied = refuse_account(caller.user, call.account, roles=ANY_ROLE)
            if denied is not None:
                return XVerdict(answer=denied, auth=caller.auth, why="no role on the account")
            return self._limited(call, caller, limit_of(call), act)
        return None

    def _limited(
        self, call: _Call, caller: Caller, limit: _Limit, act: Callable[[_Call], XAnswer]
    ) -> XVerdict:
        holder = call.account if caller.user is None or not limit.by_user else caller.user.id
        allowance = self._windows.take(
            f"{limit.kind} {holder}",
            1,
            at=call.state.at,
            limit=limit.limit,
            seconds=limit.seconds,
        )
        if allowance.granted:
            answer, why = act(call), None
        else:
            problem = Problem(spec.TOO_MANY_REQUESTS, RATE_LIMITED)
            answer, why = refusal(429, problem, account_id=call.account), "rate limit"
        headers = allowance.of_user() if limit.by_user else allowance.of_account()
        return XVerdict(answer=answer.with_headers(*headers), auth=caller.auth, why=why)

    def _file(self, request: XRequestReceived, state: EmulatedState) -> XVerdict:
        if state.switches.job_file_access == "oauth":
            caller = admit_reader(request, None, state)
            if isinstance(caller, Denied):
                return XVerdict(answer=caller.answer, auth=caller.auth, why=caller.why)
        return XVerdict(answer=self._jobs.file(request, state))

    def _job(self, call: _Call) -> XAnswer:
        acts = {"GET": self._jobs.listed, "POST": self._jobs.create}
        act = acts.get(call.request.method)
        if act is None:
            return wrong_method(call.request.method)
        host = call.request.url.removesuffix(call.request.path)
        return act(call.pairs, call.account, call.state, host=host)


def _limit_of_lists(call: _Call) -> _Limit:
    if call.pairs.get("with_total_count") == "true":
        return _Limit(f"counted {call.parts[1]}", COUNTED_READS)
    return _Limit(call.parts[1], _READS.get(call.parts[1], OTHER_READS))


def _limit_of_stats(call: _Call) -> _Limit:
    switches = call.state.switches
    kind = "stats" if switches.stats_limit_scope == "category" else f"stats{call.parts[1]}"
    return _Limit(kind, switches.stats_limit, switches.stats_window, by_user=True)


def _limit_of_jobs(call: _Call) -> _Limit:
    if call.request.method == "POST":
        return _Limit("writes", WRITES, WRITE_SECONDS, by_user=True)
    return _Limit("jobs", OTHER_READS)


def _listed(call: _Call) -> XAnswer:
    if call.request.method != "GET":
        return wrong_method(call.request.method)
    account, kind, id_ = call.parts
    if id_:
        return answer_entity(kind, id_, account, call.state)
    return answer_list(kind, call.pairs, account, call.state)


def _stats(call: _Call) -> XAnswer:
    if call.request.method != "GET":
        return wrong_method(call.request.method)
    account, state = call.account, call.state
    if call.parts[1]:
        return answer_activity(call.pairs, account, state)
    query = read_query(call.pairs, account, state, is_job=False)
    if isinstance(query, list):
        return refusal(400, *query, account_id=account)
    unknown = unknown_entity(query, state)
    if unknown is not None:
        return refusal(404, unknown, account_id=account)
    return json_answer(200, stats_document(query, state, at=state.at))

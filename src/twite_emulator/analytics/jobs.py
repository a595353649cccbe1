"""Jobs: statistics of longer periods, which X computes in the background, as a file."""

import gzip
from collections.abc import Mapping
from itertools import count
from typing import Final

import msgspec
from msgspec import Struct

from twite_emulator.analytics.answer import stats_document
from twite_emulator.analytics.metrics import MAX_JOB_IDS
from twite_emulator.analytics.query import StatsQuery, read_query, unknown_entity
from twite_emulator.exchange import (
    Problem,
    XAnswer,
    XRequestReceived,
    json_answer,
    no_route,
    refusal,
    utc,
)
from twite_emulator.fields import invalid
from twite_emulator.listing import ids_of, listing_of
from twite_emulator.spec import WRONG_TYPE
from twite_emulator.state import EmulatedState

FOLDER: Final = "/advertiser-api-async-analytics/"
_FIRST_ID: Final = 1_120_829_647_711_653_888  # ids exceed the exact range of a double, as X's do
TOO_MANY_JOBS: Final = "TOO_MANY_JOBS"  # [seen GH]
_MANY: Final = "A maximum of {limit} jobs can be in processing state"  # [seen GH]


class EmulatedJob(Struct, frozen=True, kw_only=True):
    """A job. Lists need `name` and `deleted`."""

    number: int
    query: StatsQuery
    created_at: float
    ready_at: float
    expires_at: float
    succeeds: bool
    deleted: bool = False

    @property
    def id(self) -> str:
        return str(self.number)

    @property
    def name(self) -> str:
        return self.id

    def status(self, at: float) -> str:
        if at < self.ready_at:
            return "PROCESSING"
        return "SUCCESS" if self.succeeds else "FAILED"


class EmulatedJobs:
    def __init__(self) -> None:
        self._jobs: dict[str, EmulatedJob] = {}
        self._numbers = count(_FIRST_ID)

    def create(
        self, pairs: Mapping[str, str], account: str, state: EmulatedState, *, host: str
    ) -> XAnswer:
        query = read_query(pairs, account, state, is_job=True)
        if isinstance(query, list):
            return refusal(400, *query, account_id=account)
        unknown = unknown_entity(query, state)
        if unknown is not None:
            return refusal(404, unknown, account_id=account)
        limit = state.switches.job_limit
        if len([job for job in self._of(account) if job.ready_at > state.at]) >= limit:
            problem = Problem(TOO_MANY_JOBS, _MANY.format(limit=limit))
            return refusal(400, problem, account_id=account)
        ready_at = state.at + state.switches.job_seconds
        job = EmulatedJob(
            number=next(self._numbers),
            query=query,
            created_at=state.at,
            ready_at=ready_at,
            expires_at=ready_at + state.switches.job_ttl,
            succeeds=state.switches.job_outcome == "success",
        )
        self._jobs[job.id] = job
        document = {"request": {"params": query.echo}, "data": _shown(job, state, host)}
        return json_answer(200, document)

    def listed(
        self, pairs: Mapping[str, str], account: str, state: EmulatedState, *, host: str
    ) -> XAnswer:
        for text in (pairs.get("job_ids") or "0").split(","):
            if not text.isdecimal():
                problem = invalid(WRONG_TYPE, "job_ids", text, type="Long")
                return refusal(400, problem, account_id=account)
        if "job_ids" in pairs:
            ids = ids_of("job_ids", pairs["job_ids"], most=MAX_JOB_IDS)
            if isinstance(ids, Problem):
                return refusal(400, ids, account_id=account)
        listing = listing_of(pairs, ("job_ids",))
        if isinstance(listing, Problem):
            return refusal(400, listing, account_id=account)
        jobs = [
            job
            for job in self._of(account)
            if state.switches.expired_job == "listed" or state.at < job.expires_at
        ]
        return listing.answer(jobs, "job_ids", lambda job: _shown(job, state, host), account)

    def file(self, request: XRequestReceived, state: EmulatedState) -> XAnswer:
        """Return the file of a job: compressed JSON, as the synchronous answer."""
        name = request.path.removeprefix(FOLDER)
        job = self._jobs.get(name.removeprefix("stats_job_").removesuffix(".json.gz"))
        if job is None or name != _file_name(job) or job.status(state.at) != "SUCCESS":
            return no_route()
        if state.at >= job.expires_at:
            return XAnswer(status=404, headers=(("content-type", "text/html"),))
        document = stats_document(job.query, state, at=job.ready_at)
        headers = [("content-type", "application/gzip")]
        if state.switches.job_file_encoding == "gzip":
            headers = [("content-type", "application/json"), ("content-encoding", "gzip")]
        body = gzip.compress(msgspec.json.encode(document), mtime=0)
        return XAnswer(status=200, body=body, headers=tuple(headers))

    def _of(self, account: str) -> list[EmulatedJob]:
        return [job for job in self._jobs.values() if job.query.account == account]


def _file_name(job: EmulatedJob) -> str:
    return f"stats_job_{job.id}.json.gz"


def _shown(job: EmulatedJob, state: EmulatedState, host: str) -> dict[str, object]:
    status = job.status(state.at)
    done = status != "PROCESSING"
    return {
        **job.query.echo,
        "url": f"{host}{FOLDER}{_file_name(job)}" if status == "SUCCESS" else None,
        "id_str": job.id,
        "id": job.number,
        "expires_at": utc(job.expires_at) if done else None,
        "account_id": job.query.account,
        "status": status,
        "created_at": utc(job.created_at),
        "updated_at": utc(job.ready_at if done else job.created_at),
    }

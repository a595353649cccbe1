"""Perform a template's calls to Google's services (BigQuery, Firestore, …).

A refused call returns the result that Google's reference describes. `log_message` gets messages for
the template's author or the operator. Insert ids prevent duplicate rows and documents when a
delivery runs again.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from typing import Final

import msgspec

from twite.domain.times import MINUTE, SECOND
from twite.gateway.ports.transport import NoResponse
from twite.gateway.ports.transport import Response as HttpAnswer
from twite.tags.google.ga4_hit import hit_of
from twite.tags.google.requests import UNSET, GoogleClient, GoogleRequestDenied
from twite.tags.google_requests import bigquery, firestore
from twite.tags.google_requests.firestore import FirestoreWrite
from twite.tags.google_requests.request import (
    ANALYTICS,
    FAILED,
    GoogleRequest,
    GoogleResult,
    RequestNotSent,
    analytics_result,
    script_request,
    script_result,
)
from twite.tags.json_tree import Tree
from twite.tags.template.allowed import OWN_PROJECT
from twite.tags.template.effects import Service
from twite.tags.template.sandbox import EffectAnswer

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ID_LENGTH: Final = 20  # as long as Firestore's own ids
# A run takes at most a minute, and its clock begins at the event's time.
_RUN: Final = 2 * MINUTE
_PER_MILLISECOND: Final = (1_000.0, 1.0, 0.001)  # for seconds, milliseconds, microseconds
_TIME_AS_TEXT: Final = re.compile(r"[0-9]{10}(?:[0-9]{3}){0,2}", re.ASCII)
NOT_CONFIGURED: Final = "not_configured"
_TIMED_OUT: Final = "timed_out"
_INSERT: Final = "BigQuery.insert"
_OPEN: Final = frozenset({"getGoogleScript", "sendEventToGoogleAnalytics"})


class InsertIds:
    """The insert ids of one run.

    `of` identifies the run, and stays the same if the run is repeated. `at` is the start time of
    the run's clock, in milliseconds.
    """

    def __init__(self, of: bytes, *, at: int = 0) -> None:
        self._at = at
        self._of = blake2b(of).digest()
        self._before: Counter[bytes] = Counter()

    def row(self, place: str, tree: Tree) -> str:
        return self._mark(place, tree).hex()

    def document(self, place: str, tree: Tree) -> str:
        number = int.from_bytes(self._mark(place, tree))
        letters = []
        for _ in range(_ID_LENGTH):
            number, at = divmod(number, len(_LETTERS))
            letters.append(_LETTERS[at])
        return "".join(letters)

    def _mark(self, place: str, tree: Tree) -> bytes:
        digest = blake2b(self._of, digest_size=16)
        digest.update(place.encode("utf-8", "replace") + b"\0")
        digest.update(msgspec.json.encode(self._without_times(tree), order="sorted"))
        same = digest.digest()
        digest.update(self._before[same].to_bytes(4))
        self._before[same] += 1
        return digest.digest()

    def _without_times(self, tree: Tree) -> Tree:
        match tree:
            case dict():
                return {name: self._without_times(value) for name, value in tree.items()}
            case list():
                return [self._without_times(item) for item in tree]
            case int() | float() if not isinstance(tree, bool) and self._is_time(tree):
                return None
            case str() if _TIME_AS_TEXT.fullmatch(tree) and self._is_time(int(tree)):
                return None
        return tree

    def _is_time(self, number: float) -> bool:
        since = (number * scale - self._at for scale in _PER_MILLISECOND)
        return any(-SECOND < distance < _RUN for distance in since)


Asks = Callable[[GoogleRequest, Callable[[int, bytes], GoogleResult]], Awaitable[GoogleResult]]


class _Open(msgspec.Struct, kw_only=True):
    project: str
    writes: tuple[FirestoreWrite, ...] = ()


class Transactions:
    """Firestore transactions of one run. `ask` sends a request and reads the response."""

    def __init__(self, ask: Asks) -> None:
        self._ask = ask
        self._open: dict[str, _Open] = {}

    async def begin(self, project: str, *, former: Tree) -> GoogleResult:
        """Begin a transaction.

        `former` is the id of the transaction that this one repeats after a conflict.
        """
        asking = firestore.begin(project, former=former if isinstance(former, str) else None)
        result = await self._ask(asking, firestore.begun)
        if isinstance(result.value, str):
            self._open[result.value] = _Open(project=project)
        return result

    def check(self, transaction: str, project: str) -> None:
        """Raise RequestNotSent unless the transaction is open, and in this project."""
        found = self._open.get(transaction)
        if found is None:
            raise RequestNotSent("the transaction is not open")
        if found.project != project:
            raise RequestNotSent("the transaction belongs to a different project")

    def keep(self, transaction: str, project: str, write: FirestoreWrite) -> None:
        """Remember a write for the commit. Raises RequestNotSent."""
        self.check(transaction, project)
        self._open[transaction].writes += (write,)

    async def commit(self, transaction: str) -> GoogleResult:
        """Send the remembered writes; the value is the list of their ids. Raises RequestNotSent."""
        found = self._taken(transaction)
        asking = firestore.commit(found.project, found.writes, transaction=transaction)
        result = await self._ask(asking, firestore.done)
        return (
            result
            if result.reason is not None
            else GoogleResult(value=[write.id for write in found.writes])
        )

    async def rollback(self, transaction: str) -> GoogleResult:
        """End the transaction without its writes. Raises RequestNotSent."""
        found = self._taken(transaction)
        return await self._ask(firestore.rollback(found.project, transaction), firestore.done)

    def _taken(self, transaction: str) -> _Open:
        found = self._open.pop(transaction, None)
        if found is None:
            raise RequestNotSent("the transaction is not open")
        return found


GoogleResponse = HttpAnswer | NoResponse | GoogleRequestDenied
Sends = Callable[[GoogleRequest], Awaitable[GoogleResponse]]
LogMessage = Callable[[str], None]


class GoogleCalls:
    """Performs the Google calls of one run. `sends` sends a request."""

    def __init__(
        self, google: GoogleClient, *, sends: Sends, log_message: LogMessage, ids: InsertIds
    ) -> None:
        self._google = google
        self._sends = sends
        self._log_message = log_message
        self._marks = ids
        self._transactions = Transactions(self._ask)

    async def perform(self, service: Service) -> EffectAnswer:
        """Perform a call. Raises only CancelledError."""
        try:
            result = await self._act(service)(self, _Given(service.arguments))
        except RequestNotSent as wrong:
            self._log_message(f"{service.name}: {wrong.words}")
            result = GoogleResult(reason=wrong.reason)
        except RecursionError:
            self._log_message(f"{service.name}: the arguments are nested too deeply")
            result = GoogleResult(reason=FAILED)
        if result.reason is not None and service.name == _INSERT and result.value is None:
            result = bigquery.refused(result.reason)
        return EffectAnswer(id=service.id, value=result.value, reason=result.reason)

    def _act(self, service: Service) -> "_Act":
        """Return the method of a service. Raises RequestNotSent if it is unknown, or not set up."""
        act = _ACTS.get(service.name)
        if act is None:
            raise RequestNotSent("is not a Google service", reason=FAILED)
        if service.name not in _OPEN and not self._google.is_set:
            raise RequestNotSent(UNSET, reason=NOT_CONFIGURED)
        return act

    async def insert(self, given: "_Given") -> GoogleResult:
        """Add rows to a BigQuery table."""
        connection, rows = given.mapping(0), given.at(1)
        names = [connection.get(key) for key in ("projectId", "datasetId", "tableId")]
        project, dataset, table = (str(name or "") for name in names)
        place = (await self._project(project), dataset, table)
        where = ".".join(place)
        asking = bigquery.insert(
            place, rows, given.at(2), id_of=lambda row: self._marks.row(where, row)
        )
        return await self._ask(
            asking, lambda status, body: bigquery.insert_result(status, body, rows)
        )

    async def read(self, given: "_Given") -> GoogleResult:
        options = given.mapping(1)
        project, transaction = await self._project(options.get("projectId")), _transaction(options)
        if transaction is not None:
            self._transactions.check(transaction, project)
        asking = firestore.read(project, given.text(0), transaction=transaction)
        return await self._ask(asking, firestore.read_result)

    async def query(self, given: "_Given") -> GoogleResult:
        options = given.mapping(2)
        project, transaction = await self._project(options.get("projectId")), _transaction(options)
        if transaction is not None:
            self._transactions.check(transaction, project)
        asking = firestore.query(
            project,
            given.text(0),
            given.at(1),
            limit=options.get("limit"),
            transaction=transaction,
        )
        return await self._ask(asking, firestore.query_result)

    async def write(self, given: "_Given") -> GoogleResult:
        """Write a Firestore document; in a transaction, only the commit sends the write."""
        path, fields, options = given.text(0), given.at(1), given.mapping(2)
        project = await self._project(options.get("projectId"))
        write = firestore.write(
            project,
            path,
            fields,
            merge=options.get("merge") is True,
            new_id=self._marks.document(f"{project}/{path}", fields),
        )
        transaction = _transaction(options)
        if transaction is not None:
            self._transactions.keep(transaction, project, write)
            return GoogleResult()
        result = await self._ask(firestore.commit(project, (write,)), firestore.done)
        return result if result.reason is not None else GoogleResult(value=write.id)

    async def begin(self, given: "_Given") -> GoogleResult:
        options = given.mapping(0)
        project = await self._project(options.get("projectId"))
        return await self._transactions.begin(project, former=options.get("retry"))

    async def commit(self, given: "_Given") -> GoogleResult:
        """Commit the writes of a transaction, all or nothing."""
        return await self._transactions.commit(given.text(0))

    async def rollback(self, given: "_Given") -> GoogleResult:
        return await self._transactions.rollback(given.text(0))

    async def script(self, given: "_Given") -> GoogleResult:
        asking = script_request(given.at(0), given.at(1))
        came = await self._sends(asking)
        if not isinstance(came, HttpAnswer) or not came.whole:
            return _without(came)
        return script_result(came.status, came.headers, came.body)

    async def event(self, given: "_Given") -> GoogleResult:
        """Send an event to Google Analytics."""
        event = given.mapping(0)
        try:
            query, body = hit_of(event)
        except ValueError as wrong:
            raise RequestNotSent(str(wrong), reason=FAILED) from None
        headers = {"Content-Type": "text/plain;charset=UTF-8"}
        agent = event.get("user_agent")
        if isinstance(agent, str) and agent.isprintable() and agent.isascii():
            headers["User-Agent"] = agent
        url = f"{ANALYTICS}?{query}"
        came = await self._sends(GoogleRequest(url=url, headers=headers, body=body.encode()))
        if not isinstance(came, HttpAnswer):
            return _without(came)
        return analytics_result(came.status, came.headers)

    async def _ask(
        self, google_request: GoogleRequest, read: Callable[[int, bytes], GoogleResult]
    ) -> GoogleResult:
        came = await self._sends(google_request)
        if not isinstance(came, HttpAnswer) or not came.whole:
            return _without(came)
        return read(came.status, came.body)

    async def _project(self, named: Tree) -> str:
        """Return the named project or the default. Raises RequestNotSent if there is neither."""
        if isinstance(named, str) and named not in {"", OWN_PROJECT}:
            return named
        own = await self._google.project()
        if own is None:
            raise RequestNotSent("the call names no project, and google.project is not set")
        return own


class _Given:
    """The arguments of a call, read as the expected types."""

    def __init__(self, arguments: list[Tree]) -> None:
        self._arguments = arguments

    def at(self, place: int) -> Tree:
        return self._arguments[place] if place < len(self._arguments) else None

    def text(self, place: int) -> str:
        found = self.at(place)
        if not isinstance(found, str):
            raise RequestNotSent("an argument that must be a string is not a string")
        return found

    def mapping(self, place: int) -> Mapping[str, Tree]:
        found = self.at(place)
        return found if isinstance(found, dict) else {}


def _transaction(options: Mapping[str, Tree]) -> str | None:
    found = options.get("transaction")
    return found if isinstance(found, str) and found else None


def _without(came: GoogleResponse) -> GoogleResult:
    """Return the result of a call that got no response, or an incomplete one."""
    if isinstance(came, GoogleRequestDenied):
        return GoogleResult(reason=NOT_CONFIGURED)
    late = isinstance(came, NoResponse) and came.is_late
    return GoogleResult(reason=_TIMED_OUT if late else FAILED)


_Act = Callable[[GoogleCalls, _Given], Awaitable[GoogleResult]]
_ACTS: Final[Mapping[str, _Act]] = {
    _INSERT: GoogleCalls.insert,
    "Firestore.read": GoogleCalls.read,
    "Firestore.query": GoogleCalls.query,
    "Firestore.write": GoogleCalls.write,
    "Firestore.begin": GoogleCalls.begin,
    "Firestore.commit": GoogleCalls.commit,
    "Firestore.rollback": GoogleCalls.rollback,
    "getGoogleScript": GoogleCalls.script,
    "sendEventToGoogleAnalytics": GoogleCalls.event,
}

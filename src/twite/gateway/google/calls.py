"""The calls of Google's services that a template makes: each performed, and answered.

A refusal is told to the template as Google's reference says; `says` is told what whoever wrote the
template, or the settings, should know.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from twite.gateway.google.google import UNSET, Barred, Google
from twite.gateway.google.marks import Marks
from twite.gateway.google.transactions import Transactions
from twite.gateway.ports import Answer as HttpAnswer
from twite.gateway.ports import NoAnswer
from twite.intake.ga4_hit import hit_of
from twite.sgtm.allowed import OWN_PROJECT
from twite.sgtm.effects import Service
from twite.sgtm.google import bigquery, firestore, scripts
from twite.sgtm.google.asking import FAILED, Asking, NotAsked, Told
from twite.sgtm.sandbox import Answer
from twite.sgtm.tree import Tree

NOT_CONFIGURED: Final = "not_configured"
_TIMED_OUT: Final = "timed_out"

Came = HttpAnswer | NoAnswer | Barred
Sends = Callable[[Asking], Awaitable[Came]]
Says = Callable[[str], None]


class Calls:
    """Those of one run. `sends` is how a request leaves."""

    def __init__(self, google: Google, *, sends: Sends, says: Says, marks: Marks) -> None:
        self._google = google
        self._sends = sends
        self._says = says
        self._marks = marks
        self._transactions = Transactions(self._ask)

    async def perform(self, service: Service) -> Answer:
        """Do what was asked for. Raises nothing but CancelledError."""
        try:
            told = await self._act(service)(self, _Given(service.arguments))
        except NotAsked as wrong:
            self._says(f"{service.name}: {wrong.words}")
            told = Told(reason=wrong.reason)
        except RecursionError:
            self._says(f"{service.name}: what it is called with is nested too deeply")
            told = Told(reason=FAILED)
        if told.reason is not None and service.name == _INSERT and told.value is None:
            told = bigquery.refused(told.reason)
        return Answer(id=service.id, value=told.value, reason=told.reason)

    def _act(self, service: Service) -> "_Act":
        """Return what performs a call. Raises NotAsked where nothing does."""
        act = _ACTS.get(service.name)
        if act is None:
            raise NotAsked("is no service of Google's", reason=FAILED)
        if service.name not in _OPEN and not self._google.is_set:
            raise NotAsked(UNSET, reason=NOT_CONFIGURED)
        return act

    async def insert(self, given: "_Given") -> Told:
        """Add rows to a table of BigQuery's."""
        connection, rows = given.mapping(0), given.at(1)
        names = [connection.get(key) for key in ("projectId", "datasetId", "tableId")]
        project, dataset, table = (str(name or "") for name in names)
        place = (await self._project(project), dataset, table)
        where = ".".join(place)
        asking = bigquery.insert(
            place, rows, given.at(2), id_of=lambda row: self._marks.row(where, row)
        )
        return await self._ask(asking, lambda status, body: bigquery.told(status, body, rows))

    async def read(self, given: "_Given") -> Told:
        """Read a document of Firestore's."""
        options = given.mapping(1)
        project, transaction = await self._project(options.get("projectId")), _transaction(options)
        if transaction is not None:
            self._transactions.check(transaction, project)
        asking = firestore.read(project, given.text(0), transaction=transaction)
        return await self._ask(asking, firestore.read_told)

    async def query(self, given: "_Given") -> Told:
        """Look for documents in a collection of Firestore's."""
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
        return await self._ask(asking, firestore.query_told)

    async def write(self, given: "_Given") -> Told:
        """Write a document of Firestore's; in a transaction it is kept until the commit."""
        path, said, options = given.text(0), given.at(1), given.mapping(2)
        project = await self._project(options.get("projectId"))
        write = firestore.write(
            project,
            path,
            said,
            merge=options.get("merge") is True,
            new_id=self._marks.document(f"{project}/{path}", said),
        )
        transaction = _transaction(options)
        if transaction is not None:
            self._transactions.keep(transaction, project, write)
            return Told()
        told = await self._ask(firestore.commit(project, (write,)), firestore.done)
        return told if told.reason is not None else Told(value=write.id)

    async def begin(self, given: "_Given") -> Told:
        """Begin a transaction."""
        options = given.mapping(0)
        project = await self._project(options.get("projectId"))
        return await self._transactions.begin(project, former=options.get("retry"))

    async def commit(self, given: "_Given") -> Told:
        """Write what a transaction kept, all or nothing."""
        return await self._transactions.commit(given.text(0))

    async def rollback(self, given: "_Given") -> Told:
        """End a transaction with nothing written."""
        return await self._transactions.rollback(given.text(0))

    async def script(self, given: "_Given") -> Told:
        """Fetch a script of Google's."""
        asking = scripts.script(given.at(0), given.at(1))
        came = await self._sends(asking)
        if not isinstance(came, HttpAnswer) or not came.whole:
            return _without(came)
        return scripts.script_told(came.status, came.headers, came.body)

    async def event(self, given: "_Given") -> Told:
        """Send an event to Google Analytics."""
        event = given.mapping(0)
        try:
            query, body = hit_of(event)
        except ValueError as wrong:
            raise NotAsked(str(wrong), reason=FAILED) from None
        headers = {"Content-Type": "text/plain;charset=UTF-8"}
        agent = event.get("user_agent")
        if isinstance(agent, str) and agent.isprintable() and agent.isascii():
            headers["User-Agent"] = agent
        url = f"{scripts.ANALYTICS}?{query}"
        came = await self._sends(Asking(url=url, headers=headers, body=body.encode()))
        if not isinstance(came, HttpAnswer):
            return _without(came)
        return scripts.analytics_told(came.status, came.headers)

    async def _ask(self, asking: Asking, read: Callable[[int, bytes], Told]) -> Told:
        came = await self._sends(asking)
        if not isinstance(came, HttpAnswer) or not came.whole:
            return _without(came)
        return read(came.status, came.body)

    async def _project(self, named: Tree) -> str:
        """Return the project that is meant. Raises NotAsked where nobody says."""
        if isinstance(named, str) and named not in {"", OWN_PROJECT}:
            return named
        own = await self._google.project()
        if own is None:
            raise NotAsked("no project is named, neither here nor by google.project")
        return own


class _Given:
    """The arguments of a call, read as what they should be."""

    def __init__(self, arguments: list[Tree]) -> None:
        self._arguments = arguments

    def at(self, place: int) -> Tree:
        return self._arguments[place] if place < len(self._arguments) else None

    def text(self, place: int) -> str:
        found = self.at(place)
        if not isinstance(found, str):
            raise NotAsked("was called with something else in place of a text")
        return found

    def mapping(self, place: int) -> Mapping[str, Tree]:
        found = self.at(place)
        return found if isinstance(found, dict) else {}


def _transaction(options: Mapping[str, Tree]) -> str | None:
    found = options.get("transaction")
    return found if isinstance(found, str) and found else None


def _without(came: Came) -> Told:
    """Return what a template is told that has no answer, or not all of it."""
    if isinstance(came, Barred):
        return Told(reason=NOT_CONFIGURED)
    late = isinstance(came, NoAnswer) and came.reason == "no answer in time"
    return Told(reason=_TIMED_OUT if late else FAILED)


_INSERT: Final = "BigQuery.insert"
_OPEN: Final = frozenset({"getGoogleScript", "sendEventToGoogleAnalytics"})
_Act = Callable[[Calls, _Given], Awaitable[Told]]
_ACTS: Final[Mapping[str, _Act]] = {
    _INSERT: Calls.insert,
    "Firestore.read": Calls.read,
    "Firestore.query": Calls.query,
    "Firestore.write": Calls.write,
    "Firestore.begin": Calls.begin,
    "Firestore.commit": Calls.commit,
    "Firestore.rollback": Calls.rollback,
    "getGoogleScript": Calls.script,
    "sendEventToGoogleAnalytics": Calls.event,
}

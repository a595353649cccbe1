"""Search the whole store for a person to erase, a page of rows at a time.

Each page is a separate statement, because a long read transaction would keep the write-ahead log
from being reset.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from twite.domain.conversion import Identifiers
from twite.domain.delivery import State
from twite.domain.joins import KeyKind, join_key, person_join_keys
from twite.domain.test_mode import real_name
from twite.gateway.ingest.rejections import marks
from twite.gateway.operations.erase import GONE, PREFIX, named_places
from twite.gateway.ports.privacy import ErasedText, EraseSearch, EraseTraces, Place, SearchText
from twite.gateway.ports.state import ALL_PAUSED
from twite.gateway.ports.tags import PREFIX as TAG
from twite.stores.sql.joins import read_linked
from twite.stores.sql.privacy import digest_of
from twite.stores.sql.rejections import kept_rejections
from twite.stores.sql.statements import SqlConnection, as_json, query
from twite.stores.sql.stored_bodies import body_of

_PAGE: Final = 1_000
_BODIES: Final = 250
_IDS: Final = re.compile(rb'"conversion_id":\s*"?((?:[^",}\\]|\\.)*)')
# Where other texts are stored that must be searched: (place, statement).
_TEXTS: Final[tuple[tuple[Place, str], ...]] = (
    ("answer", "answers_after"),
    ("reason", "reasons_after"),
    ("note", "notes_after"),
    ("amended", "amended_after"),
)
_FEW: Final[tuple[tuple[Place, str], ...]] = (
    ("pause", "pause_texts"),
    ("closure", "closure_texts"),
)


class _Hit(msgspec.Struct, frozen=True):
    """A conversion to erase."""

    id: int
    submission: int
    pixel: str
    conversion_id: str
    state: str
    source: str
    called: str | None = None


class _SyncRow(msgspec.Struct):
    conversion_id: str


class _SyncRun(msgspec.Struct):
    refused: tuple[_SyncRow, ...] = ()


class _SyncState(msgspec.Struct):
    """What a search reads of the state of a sync: twite.app.sync.state and write_back."""

    last_run: _SyncRun | None = None
    waiting: tuple[_SyncRow, ...] = ()


_SYNC: Final = msgspec.json.Decoder(_SyncState)


class Search:
    """One search for a person. Used by one thread."""

    def __init__(
        self,
        connection: SqlConnection,
        search: EraseSearch,
    ) -> None:
        self._connection = connection
        self._whom = search.subject
        self._pixel = search.pixel
        self._opened = search.opened
        self._pursued = search.pursued
        self._hits: dict[int, _Hit] = {}
        self._in_progress: set[int] = set()
        # The conversion ids to erase, by source and by pixel.
        self._of_source: dict[str, set[str]] = defaultdict(set)
        self._of_pixel: dict[str, set[str]] = defaultdict(set)
        self._cuts: dict[int, ErasedText] = {}
        # The last submission of the first pass. Later submissions are left to the next search;
        # otherwise, this search would not end while more data about the person is received.
        self._last: int | None = None

    def run(self) -> EraseTraces:
        """Search all tables, and repeat the search for identifiers found on the way."""
        for source, at in self._connection.execute(query("account_sources")):
            if self._pixel in {None, real_name(at)}:
                self._of_source[source] |= self._whom.conversion_ids
        for hit, body in self._conversions():
            if self._is_meant(hit, body):
                self._take(hit)
        known = -1
        while known != len(self._hits):
            known = len(self._hits)
            self._submissions()
            self._companions()
        traces = EraseTraces(
            conversions=sorted(self._hits.keys() - self._in_progress),
            cuts=list(self._cuts.values()),
            dedup_rows=list(self._dedup_rows()),
            known=self._known(),
            texts=[*self._texts(), *self._rejections(), *self._syncs()],
            in_progress=sorted(self._in_progress),
            audit_events=sum(1 for _ in self._audit_events()),
            payloads=sum(hit.pixel.startswith(TAG) for hit in self._hits.values()),
        )
        for hit in self._hits.values():
            states = traces.states.setdefault(hit.pixel, {})
            states[hit.state] = states.get(hit.state, 0) + 1
        return traces

    def _conversions(self) -> Iterator[tuple[_Hit, bytes]]:
        for row in self._pages("conversions_after", size=_PAGE):
            *named, body = row
            yield _Hit(*named), body

    def _is_meant(self, hit: _Hit, body: bytes) -> bool:
        if hit.conversion_id.startswith(PREFIX) and not self._whom.named_in(body):
            return False
        if hit.id in self._pursued:
            return True
        named = self._whom.conversion_ids
        is_named = hit.conversion_id in named or hit.called in named
        if is_named and self._pixel in {None, real_name(hit.pixel)}:
            return True
        if hit.pixel.startswith(TAG):
            return self._whom.named_in_any(self._opened(hit.pixel, body))
        return self._whom.named_in(body)

    def _take(self, hit: _Hit) -> None:
        self._hits[hit.id] = hit
        if hit.state == State.SENDING:
            self._in_progress.add(hit.id)
        if hit.conversion_id.startswith(PREFIX) or hit.pixel.startswith(TAG):
            # Do not search for these ids: an erased conversion has none any more, and that of a tag
            # delivery is derived.
            return
        self._of_source[hit.source].add(hit.conversion_id)
        self._of_pixel[hit.pixel].add(hit.conversion_id)

    def _submissions(self) -> None:
        """Find what to erase in submissions and their conversions."""
        spelled = {
            source: frozenset(_spelled(id_) for id_ in ids)
            for source, ids in self._of_source.items()
        }
        ids = {source: frozenset(found) for source, found in self._of_source.items()}
        taken = {hit.submission for hit in self._hits.values()}
        nobody: frozenset[bytes] = frozenset()
        last = 0
        for row in self._pages("submissions_after", size=_BODIES):
            id_, first, entries, source, stored, refusals, unfired = row
            body = body_of(stored)
            if self._last is not None and id_ > self._last:
                break
            last = id_
            beside = (refusals or b"") + (unfired or b"")
            names = (
                self._whom.named_in(body)
                or not spelled.get(source, nobody).isdisjoint(_IDS.findall(body))
                or (bool(beside) and self._whom.named_in_any(beside))
            )
            if not names and id_ not in taken:
                continue
            if not body and not beside:
                continue
            found = named_places(body, self._whom, ids.get(source, frozenset()))
            if found is None and (id_ not in taken or b'"' + GONE.encode() + b'":true' in body):
                if names and beside:
                    self._cuts[id_] = ErasedText(submission=id_, places=())
                continue
            places, named = found or (None, [])
            self._cuts[id_] = ErasedText(submission=id_, places=places)
            self._became(first, entries, named, alone=places is None)
        if self._last is None:
            self._last = last

    def _became(self, first: int, entries: int, named: Sequence[str], *, alone: bool) -> None:
        """Add the conversions that a submission's erased positions became."""
        for row in self._connection.execute(
            query("conversions_between"), {"first": first, "end": first + entries}
        ):
            hit = _Hit(*row)
            is_own = hit.conversion_id in named or alone
            if is_own and hit.id not in self._hits and not hit.conversion_id.startswith(PREFIX):
                self._take(hit)

    def _companions(self) -> None:
        """Add the tag deliveries of conversions to erase: their ids contain the conversion ids."""
        named: dict[int, set[str]] = defaultdict(set)
        for hit in self._hits.values():
            named[hit.submission].add(hit.conversion_id)
        for number, ids in named.items():
            for row in self._connection.execute(query("tags_of"), {"number": number, "tag": TAG}):
                hit = _Hit(*row)
                parts = {hit.conversion_id, hit.called, *hit.conversion_id.split("/")}
                if hit.id not in self._hits and not ids.isdisjoint(parts):
                    self._take(hit)

    def _dedup_rows(self) -> Iterator[int]:
        for id_, pixel, name in self._pages("dedup_report_after", size=_PAGE):
            is_named = name in self._whom.conversion_ids and self._pixel in {None, pixel}
            if is_named or name in self._of_pixel.get(pixel, ()):
                yield id_

    def _known(self) -> list[int]:
        """Find what is known of the visitors: by their identifiers, and by their conversions.

        Emails and phones are kept for a shorter time than clicks, but their keys are not.
        """
        run = self._connection.execute
        salt = bytes(run(query("read_deployment")).fetchone()[0])
        words = {word.decode() for word in self._whom.words}
        pixels = {pixel for _, pixel in run(query("account_sources"))}
        words |= {
            key
            for pixel in pixels
            for word in words
            for key in person_join_keys(Identifiers(email=word, phone=word), pixel=pixel, salt=salt)
        }
        keys = {key for _, key, value in self._pages("known_after", size=_PAGE) if value in words}
        for start in range(0, len(self._hits), _BODIES):
            some = as_json(list(self._hits)[start : start + _BODIES])
            for (joined,) in run(query("joined_keys"), {"deliveries": some}):
                keys.update(joined.split())
        for pixel in pixels:
            ids = self._of_pixel[pixel] | self._whom.conversion_ids
            ids |= {hit.called for hit in self._hits.values() if hit.called and hit.pixel == pixel}
            for (event,) in run(query("events_of"), {"pixel": pixel}):
                orders = (f"{event}\0{name}" for name in ids)
                keys |= {join_key(salt, pixel, KeyKind.ORDER, order) for order in orders}
        if not keys:
            return []
        found = read_linked(
            lambda name, /, **values: run(query(name), values), [keys], most=sys.maxsize
        )
        values = {"keys": as_json(sorted(found))}
        return [id_ for (id_,) in run(query("ids_known_of_keys"), values)]

    def _texts(self) -> Iterator[SearchText]:
        seen: set[tuple[Place, int | str]] = set()
        for place, of, text in self._all_texts():
            if (place, of) not in seen and self._whom.named_in_any(text):
                seen.add((place, of))
                yield SearchText(place=place, of=of)
        for start in range(0, len(self._hits), _BODIES):
            some = list(self._hits)[start : start + _BODIES]
            rows = self._connection.execute(query("answers_of"), {"deliveries": as_json(some)})
            for delivery, attempt, answer in rows:
                name = self._hits[delivery].conversion_id.encode()
                if name in answer and ("answer", attempt) not in seen:
                    seen.add(("answer", attempt))
                    yield SearchText(place="answer", of=attempt)

    def _rejections(self) -> Iterator[SearchText]:
        """Find rejections whose data or text contains the identifiers or an erased id."""
        salt = bytes(self._connection.execute(query("read_deployment")).fetchone()[0])
        own = frozenset(marks((word.decode() for word in self._whom.words), salt=salt))
        for key, source, conversion_id, found, text in kept_rejections(self._connection):
            if (
                not own.isdisjoint(found)
                or conversion_id in self._of_source.get(source, ())
                or self._whom.named_in_any(text)
            ):
                yield SearchText(place="rejection", of=key)

    def _syncs(self) -> Iterator[SearchText]:
        """Find syncs whose last run, or whose waiting results, have rows with the erased ids."""
        ids = self._whom.conversion_ids.union(*self._of_source.values())
        every = {"first": "", "beyond": "\U0010ffff"}
        for name, state in self._connection.execute(query("sync_states"), every):
            if name != ALL_PAUSED:
                sync = _SYNC.decode(state)
                rows = sync.waiting + (sync.last_run.refused if sync.last_run else ())
                if any(row.conversion_id in ids for row in rows):
                    yield SearchText(place="sync", of=name)

    def _all_texts(self) -> Iterator[tuple[Place, int | str, bytes]]:
        for place, statement in _TEXTS:
            for of, text in self._pages(statement, size=_PAGE):
                yield place, of, text
        for place, statement in _FEW:
            for of, text in self._connection.execute(query(statement)):
                yield place, of, text
        salt = bytes(self._connection.execute(query("read_deployment")).fetchone()[0])
        for (name,) in self._connection.execute(query("ignored_names")):
            yield "ignored", digest_of(name, salt=salt), name.encode()

    def _audit_events(self) -> Iterator[int]:
        for number, text in self._pages("audit_texts_after", size=_PAGE):
            if self._whom.named_in_any(text):
                yield number

    def _pages(self, statement: str, *, size: int) -> Iterator[tuple]:  # type: ignore[type-arg]  # rows of any shape
        """Yield a table's rows in the order of their first column."""
        after = 0
        while True:
            rows = self._connection.execute(
                query(statement), {"after": after, "limit": size}
            ).fetchall()
            yield from rows
            if len(rows) < size:
                return
            after = rows[-1][0]


def search(connection: SqlConnection, search: EraseSearch) -> EraseTraces:
    """Return the rows and texts that identify the person."""
    return Search(connection, search).run()


def _spelled(id_: str) -> bytes:
    """Return a conversion id as JSON writes it."""
    return msgspec.json.encode(id_)[1:-1]

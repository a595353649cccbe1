"""Pruning: delete old rows in slices, with a stored position for each kind."""

from collections.abc import Sequence
from itertools import takewhile
from typing import ClassVar, Final, Generic, TypeVar

import msgspec

from twite.domain.conversion import dedup_key
from twite.domain.submission import KEPT_FOR
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.ports.store import Retention
from twite.stores.sql import joins
from twite.stores.sql.database import WriterSession
from twite.stores.sql.moves import discard
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import record_of

B = TypeVar("B", bound=WriterSession)

_SUBMISSIONS: Final = 256
# The wait after a search that found nothing.
_REST: Final = MINUTE
# A time further ahead than this was written by a wrong clock. It must neither delay the pruning of
# later rows, nor be pruned too early.
_AHEAD: Final = DAY

_Ids: Final = msgspec.json.Decoder(list[int])


class NextSubmissionsRow(QueryRow):
    statement: ClassVar[str] = "next_submissions"

    id: int
    first: int
    entries: int
    received_at: int


class PruningPlace(msgspec.Struct, frozen=True, kw_only=True):
    """How far pruning has come: the row of the table `pruning`."""

    bodies: int
    histories: int
    key: bytes
    rested_at: int


class SqlPruner(Generic[B]):
    """Prunes old rows in small slices between commits. Engines add the pruning of dedup keys.

    Submissions are ordered by time of receipt, so for each kind of data, pruning is a scan with a
    stored position. A conversion that is not settled when the scan passes it is a straggler, and is
    checked again until it is settled. Accounts are never changed. The last submission and the last
    attempt stay, because new ids continue from them. `Retention` has the retention of each kind.
    """

    def __init__(self, retention: Retention) -> None:
        self._keeping = retention
        self._resting: dict[str, int] = {}
        self._straggler = 0

    def slice(self, session: B, *, now: int, most: int) -> int:
        """Prune data of one kind, for about `most` conversions; return how many were pruned."""
        steps = (
            self._bodies,
            self._histories,
            self._dead,
            self._stragglers,
            self._attempts,
            self._ignored,
            self._rejections,
            self._known,
            self._keys,
        )
        for step in steps:
            if self._resting.get(step.__name__, 0) > now:
                continue
            done = step(session, now, most)
            if done:
                return done
            self._resting[step.__name__] = now + _REST
        return 0

    def _bodies(self, session: B, now: int, most: int) -> int:
        place = place_of(session)
        found = _old(session, after=place.bodies, now=now, keep=self._keeping.bodies, most=most)
        if found is None:
            return 0
        last, first, end = found
        session.run("keep_stragglers", first=first, end=end)
        session.run("empty_conversions", first=first, end=end)
        session.run("empty_amended", first=first, end=end)
        session.run("empty_submissions", after=place.bodies, last=last)
        note_place(session, msgspec.structs.replace(place, bodies=last))
        return max(1, end - first)

    def _histories(self, session: B, now: int, most: int) -> int:
        place = place_of(session)
        found = _old(session, after=place.histories, now=now, keep=self._keeping.history, most=most)
        if found is None:
            return 0
        last, first, end = found
        _forget(session, first=first, end=end)
        session.run("forget_submissions", after=place.histories, last=last)
        note_place(session, msgspec.structs.replace(place, histories=last))
        return max(1, end - first)

    def _dead(self, session: B, now: int, most: int) -> int:
        before = now - self._keeping.dead
        ids, count = session.run("rested_long", before=before, limit=most).fetchone()
        if count:
            note = f"nobody decided about it within {self._keeping.dead // HOUR} hours"
            discard(session, _Ids.decode(ids), now=now, note=note)
        return int(count)

    def _stragglers(self, session: B, now: int, most: int) -> int:
        rows = session.run("stragglers", after=self._straggler, limit=most).fetchall()
        histories = place_of(session).histories
        for delivery, settled, at, submission in rows:
            if not settled or (at or 0) >= now - self._keeping.bodies:
                continue
            span = {"first": delivery, "end": delivery + 1}
            if submission is not None and submission <= histories:
                _forget(session, **span)
                session.run("forget_submissions", after=submission - 1, last=submission)
            else:
                session.run("empty_conversions", **span)
                session.run("empty_amended", **span)
            session.run("forget_straggler", delivery=delivery)
        # After the last page, start from the first straggler again.
        self._straggler = rows[-1][0] if len(rows) == most else 0
        return len(rows) if len(rows) == most else 0

    def _attempts(self, session: B, now: int, most: int) -> int:
        before = now - self._keeping.history - self._keeping.dead
        return session.run("forget_attempts", before=before, limit=most).rowcount

    def _ignored(self, session: B, now: int, most: int) -> int:
        del most  # there are only a few names per day
        return session.run("forget_ignored", before=(now - self._keeping.history) // DAY).rowcount

    def _rejections(self, session: B, now: int, most: int) -> int:
        return session.run("forget_rejections", before=now - KEPT_FOR, limit=most).rowcount

    def _known(self, session: B, now: int, most: int) -> int:
        return joins.forget_old(session, now=now, most=most)

    def _keys(self, session: B, now: int, most: int) -> int:
        """Delete the dedup keys of pruned conversions; return the amount, 0 for none."""
        raise NotImplementedError


def _old(
    session: WriterSession, *, after: int, now: int, keep: int, most: int
) -> tuple[int, int, int] | None:
    """Return (last submission, first conversion, end of conversions) of a slice, or None."""
    found = session.run("next_submissions", after=after, limit=_SUBMISSIONS)
    rows = NextSubmissionsRow.of(found)
    taken = 0
    last = None
    for row in _past(session, rows, now=now, keep=keep):
        if last is not None and taken + row.entries > most:
            break
        taken += row.entries
        last = row
    return None if last is None else (last.id, rows[0].first, last.first + last.entries)


def _past(
    session: WriterSession, rows: Sequence[NextSubmissionsRow], *, now: int, keep: int
) -> Sequence[NextSubmissionsRow]:
    """Return the old rows, up to the first row that is not old.

    A row whose time comes from a wrong clock is treated like the next row with a plausible time.
    """
    latest = now + _AHEAD
    old = list(takewhile(lambda row: not now - keep <= row.received_at <= latest, rows))
    if old and old[-1].received_at > latest:
        after = {"after": old[-1].id, "latest": latest}
        following = session.run("next_credible", **after).fetchone()
        if following is None or following[0] >= now - keep:
            while old and old[-1].received_at > latest:
                old.pop()
    return old


def _forget(session: WriterSession, *, first: int, end: int) -> None:
    """Delete the records of settled conversions."""
    between = {"first": first, "end": end}
    for delivery, pixel, event, conversion_id in session.run(
        "old_suppressed", **between
    ).fetchall():
        key = dedup_key(pixel, event, conversion_id)
        session.run("forget_suppression", key=key, delivery=delivery)
    for name in (
        "forget_attempted",
        "forget_repeated",
        "forget_discarded",
        "forget_consents",
        "forget_replaced",
        "forget_denied",
        "forget_flagged",
        "forget_flawed",
        "forget_called",
        "forget_value_change",
        "forget_joined",
        "forget_amended",
        "forget_conversions",
    ):
        session.run(name, **between)


def place_of(session: WriterSession) -> PruningPlace:
    return record_of(PruningPlace, session.run("pruning").fetchone())


def note_place(session: WriterSession, place: PruningPlace) -> None:
    session.run("note_pruning", **msgspec.structs.asdict(place))

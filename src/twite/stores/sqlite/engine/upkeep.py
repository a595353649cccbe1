"""Upkeep: prune old rows and restore the disk reserve, periodically."""

import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import count, takewhile
from typing import Final

import msgspec

from twite.domain.conversion import dedup_key
from twite.domain.errors import LedgerUnavailable
from twite.domain.submission import KEPT_FOR
from twite.domain.times import DAY, HOUR, MINUTE
from twite.gateway.ports.events import Observer, Troubled, TroublePlace
from twite.gateway.ports.store import Retention
from twite.stores.sql.moves import discard
from twite.stores.sqlite.engine.owner_session import OwnerSession
from twite.stores.sqlite.engine.reserve import Reserve
from twite.stores.sqlite.engine.writer import Writer

_SUBMISSIONS: Final = 256
_KEYS: Final = 1_000
# How long nothing is looked for where nothing was found, and between two walks through the keys.
_REST: Final = MINUTE
_REST_OF_KEYS: Final = DAY
_PARTS: Final = 256
# A moment so far ahead was written by a wrong clock: it must not keep all that follows it, nor go
# before its time.
_AHEAD: Final = DAY

_Ids: Final = msgspec.json.Decoder(list[int])
# (submission, its first conversion, how many, when it was received)
Row = tuple[int, int, int, int]


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """How far pruning has come; see the table."""

    bodies: int
    lives: int
    key: bytes
    rested_at: int


class Pruner:
    """Prunes old rows in small slices between commits, on the writer's thread alone.

    Submissions are in the order of receipt, so pruning of each kind is a scan with a stored
    position. A conversion that is not settled by then is a straggler, and is checked again until it
    is settled. Accounts are never changed. The last submission and the last attempt stay, because
    new ids continue from them. `Retention` has the retention of each kind.
    """

    def __init__(self, keeping: Retention) -> None:
        self._keeping = keeping
        self._resting: dict[str, int] = {}
        self._straggler = 0
        self._part = 0

    def slice(self, book: OwnerSession, *, now: int, most: int) -> int:
        """Prune up to about `most` conversions of one kind; return the amount, 0 for none."""
        steps = (
            self._bodies,
            self._histories,
            self._dead,
            self._stragglers,
            self._attempts,
            self._ignored,
            self._rejections,
            self._keys,
        )
        for step in steps:
            if self._resting.get(step.__name__, 0) > now:
                continue
            done = step(book, now, most)
            if done:
                return done
            self._resting[step.__name__] = now + _REST
        return 0

    def _bodies(self, book: OwnerSession, now: int, most: int) -> int:
        place = _place(book)
        found = _old(book, after=place.bodies, now=now, keep=self._keeping.bodies, most=most)
        if found is None:
            return 0
        last, first, end = found
        book.run("keep_stragglers", first=first, end=end)
        book.run("empty_conversions", first=first, end=end)
        book.run("empty_amended", first=first, end=end)
        book.run("empty_submissions", after=place.bodies, last=last)
        _note(book, msgspec.structs.replace(place, bodies=last))
        return max(1, end - first)

    def _histories(self, book: OwnerSession, now: int, most: int) -> int:
        place = _place(book)
        found = _old(book, after=place.lives, now=now, keep=self._keeping.lives, most=most)
        if found is None:
            return 0
        last, first, end = found
        _forget(book, first=first, end=end)
        book.run("forget_submissions", after=place.lives, last=last)
        _note(book, msgspec.structs.replace(place, lives=last))
        return max(1, end - first)

    def _dead(self, book: OwnerSession, now: int, most: int) -> int:
        before = now - self._keeping.dead
        ids, count = book.run("rested_long", before=before, limit=most).fetchone()
        if count:
            note = f"nobody decided about it within {self._keeping.dead // HOUR} hours"
            discard(book, _Ids.decode(ids), now=now, note=note)
        return int(count)

    def _stragglers(self, book: OwnerSession, now: int, most: int) -> int:
        rows = book.run("stragglers", after=self._straggler, limit=most).fetchall()
        lives = _place(book).lives
        for delivery, settled, at, submission in rows:
            if not settled or (at or 0) >= now - self._keeping.bodies:
                continue
            span = {"first": delivery, "end": delivery + 1}
            if submission is not None and submission <= lives:
                _forget(book, **span)
                book.run("forget_submissions", after=submission - 1, last=submission)
            else:
                book.run("empty_conversions", **span)
                book.run("empty_amended", **span)
            book.run("forget_straggler", delivery=delivery)
        # Then from the first again.
        self._straggler = rows[-1][0] if len(rows) == most else 0
        return len(rows) if len(rows) == most else 0

    def _attempts(self, book: OwnerSession, now: int, most: int) -> int:
        before = now - self._keeping.lives - self._keeping.dead
        return book.run("forget_attempts", before=before, limit=most).rowcount

    def _ignored(self, book: OwnerSession, now: int, most: int) -> int:
        del most  # a day has few names
        return book.run("forget_ignored", before=(now - self._keeping.lives) // DAY).rowcount

    def _rejections(self, book: OwnerSession, now: int, most: int) -> int:
        return book.run("forget_rejections", before=now - KEPT_FOR, limit=most).rowcount

    def _keys(self, book: OwnerSession, now: int, most: int) -> int:
        place = _place(book)
        if place.rested_at > now - _REST_OF_KEYS and not place.key:
            return 0
        row = book.run("first_kept", lives=place.lives).fetchone()
        before = 0 if row is None else row[0]
        if self._part < _PARTS:
            book.keys.forget(self._part, before)
            self._part += 1
            return 1
        if book.run("forget_logged_keys", before=before, limit=most).rowcount:
            return most
        rows = book.run("next_keys", after=place.key, limit=_KEYS).fetchall()
        old = [key for key, delivery in rows if delivery < before]
        if old:
            places = msgspec.json.encode(list(range(len(old)))).decode()
            book.run("forget_keys", keys=b"".join(old), places=places)
        if len(rows) == _KEYS:
            _note(book, msgspec.structs.replace(place, key=rows[-1][0]))
            return _KEYS
        self._part = 0
        _note(book, msgspec.structs.replace(place, key=b"", rested_at=now))
        return 0


def _old(
    book: OwnerSession, *, after: int, now: int, keep: int, most: int
) -> tuple[int, int, int] | None:
    """Return (last submission, first conversion, end of conversions) of a slice, or None."""
    rows = book.run("next_submissions", after=after, limit=_SUBMISSIONS).fetchall()
    taken = 0
    last = None
    for id_, first, entries, _ in _past(book, rows, now=now, keep=keep):
        if last is not None and taken + entries > most:
            break
        taken += entries
        last = id_, first + entries
    return None if last is None else (last[0], rows[0][1], last[1])


def _past(book: OwnerSession, rows: Sequence[Row], *, now: int, keep: int) -> Sequence[Row]:
    """Return the rows that are old, up to the first that is not.

    One that was written by a wrong clock is as old as the next that was not.
    """
    old = list(takewhile(lambda row: row[3] < now - keep or row[3] > now + _AHEAD, rows))
    if old and old[-1][3] > now + _AHEAD:
        after = {"after": old[-1][0], "latest": now + _AHEAD}
        following = book.run("next_credible", **after).fetchone()
        if following is None or following[0] >= now - keep:
            while old and old[-1][3] > now + _AHEAD:
                old.pop()
    return old


def _forget(book: OwnerSession, *, first: int, end: int) -> None:
    """Delete what is known of settled conversions."""
    between = {"first": first, "end": end}
    for delivery, pixel, event, conversion_id in book.run("old_suppressed", **between).fetchall():
        key = dedup_key(pixel, event, conversion_id)
        book.run("forget_suppression", key=key, delivery=delivery)
    for name in (
        "forget_attempted",
        "forget_repeated",
        "forget_discarded",
        "forget_consents",
        "forget_replaced",
        "forget_denied",
        "forget_flagged",
        "forget_called",
        "forget_amended",
        "forget_conversions",
    ):
        book.run(name, **between)


def _place(book: OwnerSession) -> _Place:
    row = book.run("pruning").fetchone()
    return _Place(**dict(zip(_Place.__struct_fields__, row, strict=True)))


def _note(book: OwnerSession, place: _Place) -> None:
    book.run("note_pruning", **msgspec.structs.asdict(place))


# How soon after there is room again submissions are taken again, in seconds.
_LOOK_FOR_ROOM: Final = 0.5
# One that could not be made at the start is tried again each so many looks.
_LOOK_FOR_MORE: Final = 40
_LOOK_FOR_OLD: Final = 5.0
# A slice of pruning is to take so long, and the writer is free four times as long after it.
_SLICE: Final = 0.004
_SHARE: Final = 4
_LEAST: Final = 16
_MOST: Final = 1_000


class Upkeep:
    """The periodic maintenance, on the event loop, from `start` to `close`."""

    def __init__(
        self,
        *,
        writer: Writer,
        reserve: Reserve,
        keeping: Retention | None,
        now: Callable[[], int | None],
        pruned: Callable[[], None],
        observer: Observer,
    ) -> None:
        """Without `keeping`, nothing is pruned; `pruned` is called when there is no more to.

        `now` says by what moment things are old (ms), and None while nobody vouches for the clock:
        a machine that starts in 1970 or in 2100 must not make its past old.
        """
        self._writer = writer
        self._reserve = reserve
        self._pruner = None if keeping is None else Pruner(keeping)
        self._now = now
        self._pruned = pruned
        self._observer = observer
        self._tasks: list[asyncio.Task[None]] = []
        self._size = 128

    def start(self) -> None:
        """Start."""
        self._tasks = [
            asyncio.create_task(self._mind_the_room()),
            asyncio.create_task(self._prune()),
        ]

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _mind_the_room(self) -> None:
        """Keep the reserve, and let submissions in again once it is there again."""
        for turn in count():
            looks = self._writer.refusing is not None or not turn % _LOOK_FOR_MORE
            # Without one there is nothing to wait for but that the next try goes well.
            if looks and (await asyncio.to_thread(self._made) or not self._reserve.given_up):
                self._writer.refusing = None
            await asyncio.sleep(_LOOK_FOR_ROOM)

    def _made(self) -> bool:
        try:
            return self._reserve.make()
        except OSError:
            # A folder that takes no change now may take one later: whoever ends here refuses for
            # ever.
            return False

    async def _prune(self) -> None:
        pruner = self._pruner
        if pruner is None:
            return
        something = False
        while True:
            done, took = await self._slice(pruner)
            if not done:
                if something:
                    self._pruned()
                something = False
                await asyncio.sleep(_LOOK_FOR_OLD)
                continue
            something = True
            if took > _SLICE:
                self._size = max(_LEAST, self._size * 3 // 4)
            elif took < _SLICE / 2:
                self._size = min(_MOST, self._size * 5 // 4)
            await asyncio.sleep(max(_SLICE, took) * _SHARE)

    async def _slice(self, pruner: Pruner) -> tuple[int, float]:
        """Prune a slice; return how much it was, and how many seconds it took."""
        now = self._now()
        if now is None:
            return 0, 0.0
        try:
            return await self._writer.submit_act(
                lambda book: _timed(lambda: pruner.slice(book, now=now, most=self._size))
            )
        except LedgerUnavailable:
            # The next request or delivery reports this error.
            return 0, 0.0
        except Exception as fault:  # noqa: BLE001  what ends here is a store that grows for ever
            self._observer.see(Troubled(where=TroublePlace.PRUNING, reason=type(fault).__name__))
            return 0, 0.0


def counted_on() -> Callable[[], int]:
    """Return the wall time at the start plus monotonic time, unaffected by later clock changes."""
    wall, monotonic = time.time_ns() // 1_000_000, time.monotonic()
    return lambda: wall + int((time.monotonic() - monotonic) * 1_000)


def _timed(act: Callable[[], int]) -> tuple[int, float]:
    began = time.perf_counter()
    return act(), time.perf_counter() - began

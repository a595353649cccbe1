"""Dedup keys: which delivery holds each dedup key.

Inserting random keys into a large table rewrites a page for each key, which used a fifth of the CPU
time of intake with ten million keys. So new keys are appended to a log (`fresh_key`) and kept in
memory. Later they move in key order, a 256th of the key space at a time, so that many keys share a
page: first to the table `recent_key`, and from there, every eighth time, to the large table
`dedup`. A key is in memory and the log, in `recent_key`, or in `dedup`. If it is in several of
them, the first has its current holder. The log contains every key that the tables lack, so memory
can be rebuilt from it. A rollback also undoes the changes in memory. Filters avoid searches for
keys that are in no table.
"""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.delivery import State
from twite.stores.sql.database import AT_ONCE, Holding, WantedKey, holding_of
from twite.stores.sql.statements import RunsStatements, as_json
from twite.stores.sqlite.engine.key_filters import KeyFilters, range_of

_BUCKETS: Final = 256
# A key needs about 150 bytes of memory. The more keys are in memory, the more of them share a page
# when they move to the table.
FRESH_KEYS: Final = 192 * 1024
# Keys that moved in the last round are removed from memory during the first eighth of the next
# round.
_FORGET_SPEED: Final = 8
# Each walk moves an eighth of the buckets to the large table, so that eight times as many keys
# share its pages.
_WALKS: Final = 8

_READ_AT_ONCE: Final = 16_384

_KEYS: Final = struct.Struct("16s").iter_unpack
_Ids: Final = msgspec.json.Decoder(list[int])
_Pairs: Final = msgspec.json.Decoder(list[tuple[int, int]])
_GONE: Final = Holding(is_live=False)


class _Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    delivery: int
    taken_at: int
    state: State | None


_Rows: Final = msgspec.json.Decoder(list[_Row])


class _Round(msgspec.Struct, frozen=True):
    """The progress of a walk through the key space.

    Once the walk has passed a bucket, its keys of deliveries before `began` are in a table. All
    keys of deliveries before `high` are in a table. After an eighth of the walk, the log contains
    no delivery before `low`.
    """

    bucket: int = 0
    began: int = 0
    low: int = 0
    high: int = 0
    # How many walks have begun.
    walk: int = 0


class DedupKeys:
    """The dedup keys. Used only by the writer's thread; delivery ids increase with each call."""

    def __init__(self, run: RunsStatements, *, window: int, fresh: int) -> None:
        """`window` is the dedup window in milliseconds; `fresh` is the number of keys in memory."""
        self._run = run
        self.window = window
        self._fresh = fresh
        self._buckets: list[dict[bytes, int]] = [{} for _ in range(_BUCKETS)]
        self._round = self._round_before = _Round(*run("merge_round").fetchone())
        self._read()
        self._count = sum(map(len, self._buckets))
        self.filters = KeyFilters(run)
        # How many keys may move: two for each new key.
        self._owed = 0
        # The changes of the running transaction to memory.
        self._before: dict[bytes, int | None] = {}
        self._merged: list[tuple[int, dict[bytes, int]]] = []
        self._taken_over: list[bytes] = []

    def take(
        self, wanted: Sequence[WantedKey], contest: Callable[[WantedKey, int, Holding], bool]
    ) -> dict[int, int]:
        """Assign keys: see `DedupKeyStore`.

        Call it once in a transaction, before `take_over`: after a rollback, keys that were taken
        after a move would be missing from memory.
        """
        candidates = self._candidates(wanted)
        new = dict.fromkeys([wish.key for wish in wanted])
        if not candidates and len(new) == len(wanted):
            # The usual case: all are new.
            self._before = new | self._before
            buckets = self._buckets
            for wish in wanted:
                buckets[wish.key[0]][wish.key] = wish.delivery
            self._count += len(new)
            self._log(new, wanted)
            return {}
        holdings = self._holdings(candidates)
        first = wanted[0].delivery
        late: dict[int, int] = {}
        logged: list[WantedKey] = []
        for wish in wanted:
            bucket = self._buckets[wish.key[0]]
            present = bucket.get(wish.key)
            holder = candidates.get(wish.delivery)
            if present is not None and present >= first:
                holder, holding = present, AT_ONCE
            else:
                holding = AT_ONCE if holder is None else holdings(holder, wish.at)
            if holder is not None and not contest(wish, holder, holding):
                late[wish.delivery] = holder
                continue
            self._put(wish.key, wish.delivery, present)
            logged.append(wish)
        self._log([wish.key for wish in logged], logged)
        return late

    def _log(self, keys: Iterable[bytes], logged: Sequence[WantedKey]) -> None:
        """Append keys to the log."""
        deliveries = as_json([wish.delivery for wish in logged])
        self._run("log_keys", keys=b"".join(keys), deliveries=deliveries)
        self._merge(taken=len(logged))

    def holders(self, keys: Sequence[bytes]) -> dict[bytes, int]:
        wanted = [WantedKey(key, place, 0) for place, key in enumerate(keys)]
        return {keys[place]: holder for place, holder in self._candidates(wanted).items()}

    def take_over(self, wanted: WantedKey) -> int | None:
        """Assign a key to a stored delivery; return the current holder, if there is one.

        The key is written to the table at once, because the log is only for new deliveries.
        `finish` removes former holders from the log.
        """
        candidates = self._candidates([wanted])
        holder = candidates.get(wanted.delivery, wanted.delivery)
        if holder != wanted.delivery and self._holdings(candidates)(holder, wanted.at).is_live:
            return holder
        self._taken_over.append(wanted.key)
        self._run("merge_keys", keys=wanted.key, deliveries=as_json([wanted.delivery]))
        self.filters.add(wanted.key[0], wanted.key)
        present = self._buckets[wanted.key[0]].get(wanted.key)
        if present is not None:
            self._put(wanted.key, wanted.delivery, present)
        return None

    def finish(self) -> None:
        """Remove keys that were taken over from the log, and write changed filters.

        Call it before the commit. The log has no index, so all are removed in one scan.
        """
        self.filters.write()
        if self._taken_over:
            places = as_json(range(len(self._taken_over)))
            self._run("forget_taken_over", keys=b"".join(self._taken_over), places=places)

    def committed(self) -> None:
        """Apply the changes of the committed transaction to memory."""
        self._taken_over.clear()
        self._before.clear()
        self._merged.clear()
        self.filters.committed()
        self._round_before = self._round

    def rolled_back(self) -> None:
        """Drop the changes of the rolled-back transaction."""
        self.filters.rolled_back()
        for place, bucket in self._merged:
            self._buckets[place] = bucket
            self._count += len(bucket)
        for key, holder in self._before.items():
            if holder is not None:
                self._buckets[key[0]][key] = holder
            else:
                del self._buckets[key[0]][key]
                self._count -= 1
        self._round = self._round_before
        self.committed()

    def forget(self, part: int, before: int) -> None:
        """Delete expired keys in a 256th of the key space.

        Expired keys have no effect, so a rollback need not restore them in memory.
        """
        self._run("forget_recent_keys", before=before, **range_of(part))
        bucket = self._buckets[part]
        old = {delivery: key for key, delivery in bucket.items() if delivery < before}
        if not old:
            return
        found = self._run("unsettled", deliveries=as_json(list(old))).fetchone()[0]
        for delivery in old.keys() - set(_Ids.decode(found)):
            del bucket[old[delivery]]
            self._count -= 1

    def _read(self) -> None:
        """Read the keys of the log that are not in a table yet; a large store has half a million.

        They are read in chunks: row by row, this took 1.5 times as long.
        """
        buckets, high, began = self._buckets, self._round.high, self._round.began
        passed = self._round.bucket or _BUCKETS
        delivery = 0
        while True:
            part = self._run("fresh_keys", after=delivery, limit=_READ_AT_ONCE)
            keys, deliveries = part.fetchone()
            if not keys:
                return
            for (key,), delivery in zip(_KEYS(keys), _Ids.decode(deliveries), strict=True):
                bucket = key[0]
                if delivery >= began or (delivery >= high and bucket >= passed):
                    buckets[bucket][key] = delivery

    def _put(self, key: bytes, delivery: int, present: int | None) -> None:
        self._before.setdefault(key, present)
        if present is None:
            self._count += 1
        self._buckets[key[0]][key] = delivery

    def _candidates(self, wanted: Sequence[WantedKey]) -> Mapping[int, int]:
        """Return the former holder of each key, by the delivery that requests it."""
        candidates: dict[int, int] = {}
        unknown: list[WantedKey] = []
        buckets = self._buckets
        for wish in wanted:
            holder = buckets[wish.key[0]].get(wish.key)
            if holder is None:
                unknown.append(wish)
            else:
                candidates[wish.delivery] = holder
        unknown = self.filters.possible(unknown)
        if unknown:
            found = self._run(
                "holders",
                keys=b"".join([wish.key for wish in unknown]),
                deliveries=as_json([wish.delivery for wish in unknown]),
            ).fetchone()[0]
            candidates.update(_Pairs.decode(found))
        return candidates

    def _holdings(self, candidates: Mapping[int, int]) -> Callable[[int, int], Holding]:
        """Return a function that tells whether and how a delivery holds its key at a given time."""
        found = self._run("holdings", deliveries=as_json(list(set(candidates.values()))))
        holdings = {holding.delivery: holding for holding in _Rows.decode(found.fetchone()[0])}

        def holding(holder: int, at: int) -> Holding:
            row = holdings.get(holder)
            if row is None:
                return _GONE
            return holding_of(row.state, taken_at=row.taken_at, since=at - self.window)

        return holding

    def _merge(self, *, taken: int) -> None:
        """Move keys to the tables until memory holds no more than `fresh` keys.

        If the store was opened with a larger limit before, this takes a while: two keys may move
        for each new one.
        """
        self._owed += 2 * taken
        while self._owed > 0 and self._count > self._fresh:
            self._owed -= self._merge_bucket()

    def _merge_bucket(self) -> int:
        """Move the next 256th of the key space out of memory; return the number of keys."""
        now = self._round
        if now.bucket == 0:
            began = 1 + max(max(bucket.values()) for bucket in self._buckets if bucket)
            now = _Round(began=began, low=now.high, high=now.began, walk=now.walk + 1)
        bucket = self._buckets[now.bucket]
        if bucket:
            keys = sorted(bucket)
            merged = as_json([bucket[key] for key in keys])
            joined = b"".join(keys)
            self._run("merge_keys", keys=joined, deliveries=merged)
            self.filters.add(now.bucket, joined)
        if (now.bucket + now.walk) % _WALKS == 0:
            self._run("settle_keys", **range_of(now.bucket))
            self._run("forget_settled_keys", **range_of(now.bucket))
        part = (now.bucket + 1) * _FORGET_SPEED
        if part <= _BUCKETS:
            self._run("forget_log", before=now.low + (now.high - now.low) * part // _BUCKETS)
        self._merged.append((now.bucket, bucket))
        self._buckets[now.bucket] = {}
        self._count -= len(bucket)
        self._round = msgspec.structs.replace(now, bucket=(now.bucket + 1) % _BUCKETS)
        self._run("note_merge_round", **msgspec.structs.asdict(self._round))
        return len(bucket)

"""Dedup keys and opt-outs in the database: every node sees the same data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from twite.domain.delivery import Delivery, State
from twite.stores.sql.database import AT_ONCE, Holding, WantedKey, holding_of
from twite.stores.sql.opt_outs import OptOutList
from twite.stores.sql.statements import RunsStatements

OLD: Final = -1  # marks a copy that must be read again


class PostgresKeys:
    """Implements DedupKeyStore. Keys that a transaction requests stay locked until its commit."""

    def __init__(self, run: RunsStatements, *, window: int) -> None:
        self._run = run
        self.window = window

    def take(
        self, wanted: Sequence[WantedKey], contest: Callable[[WantedKey, int, Holding], bool]
    ) -> Mapping[int, int]:
        """See DedupKeyStore.take."""
        first: dict[bytes, WantedKey] = {}
        for wish in wanted:
            first.setdefault(wish.key, wish)
        keys = sorted(first)
        wishes = [first[key] for key in keys]
        new = {
            key
            for (key,) in self._run(
                "take_keys",
                keys=keys,
                deliveries=[wish.delivery for wish in wishes],
                ats=[wish.at for wish in wishes],
            )
        }
        if len(new) == len(wanted):
            return {}
        holders = self._holdings([key for key in keys if key not in new])
        # Current holders of these keys, including those of this transaction.
        taken: dict[bytes, WantedKey] = {}
        late: dict[int, int] = {}
        for wish in wanted:
            before = taken.get(wish.key)
            if before is not None:
                holder, holding = before.delivery, AT_ONCE
            elif wish.key in holders:
                holder, holding = self._held(holders[wish.key], wish.at)
            else:
                taken[wish.key] = wish
                continue
            if contest(wish, holder, holding):
                taken[wish.key] = wish
            else:
                late[wish.delivery] = holder
        self._hand_over(
            [wish for key, wish in taken.items() if key not in new or wish is not first[key]]
        )
        return late

    def take_over(self, wanted: WantedKey) -> int | None:
        """See DedupKeyStore.take_over."""
        values = {"keys": [wanted.key], "deliveries": [wanted.delivery], "ats": [wanted.at]}
        if self._run("take_keys", **values).fetchone() is not None:
            return None
        holder, holding = self._held(self._holdings([wanted.key])[wanted.key], wanted.at)
        if holder != wanted.delivery and holding.is_live:
            return holder
        self._hand_over([wanted])
        return None

    def holders(self, keys: Sequence[bytes]) -> Mapping[bytes, int]:
        """Return the holder of each key, including expired holders.

        The keys stay locked meanwhile.
        """
        if not keys:
            return {}
        return dict(self._run("lock_keys", keys=sorted(set(keys))))

    def _holdings(self, keys: Sequence[bytes]) -> Mapping[bytes, tuple[int, int, str | None]]:
        if not keys:
            return {}
        return {key: tuple(row) for key, *row in self._run("holdings", keys=keys)}

    def _held(self, row: tuple[int, int, str | None], at: int) -> tuple[int, Holding]:
        delivery, taken_at, word = row
        state = None if word is None else State(word)
        return delivery, holding_of(state, taken_at=taken_at, since=at - self.window)

    def _hand_over(self, wishes: Sequence[WantedKey]) -> None:
        if wishes:
            self._run(
                "hand_over_keys",
                keys=[wish.key for wish in wishes],
                deliveries=[wish.delivery for wish in wishes],
                ats=[wish.at for wish in wishes],
            )


class OptOutCopy:
    """The opt-out list in memory, with its version. All connections of a process share it."""

    def __init__(self) -> None:
        self.version = OLD
        self.keys: set[bytes] = set()


class PostgresOptOuts(OptOutList):
    """The opt-out list in the database. If its version has changed, the copy is read again."""

    def __init__(self, run: RunsStatements, copy: OptOutCopy) -> None:
        self._copy = copy
        super().__init__(run, copy.keys)

    def current(self) -> set[bytes]:
        self.refresh()
        return self.keys

    def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        self._run("note_change", what="opt_out")
        for key in keys:
            self._run("add_opt_out", key=key, now=now)

    def restore(self, keys: Sequence[bytes]) -> None:
        self._run("note_change", what="opt_out")
        for key in keys:
            self._run("remove_opt_out", key=key)

    def among(
        self, deliveries: Iterable[Delivery], *, pixel: str, version: int | None = None
    ) -> list[int]:
        """See OptOutList.among. `version` is the list's current version, if known."""
        if version is None or version != self._copy.version:
            self.refresh()
        return super().among(deliveries, pixel=pixel)

    def refresh(self) -> int:
        """Read the list if it has changed; return its version."""
        version: int = self._run("change_version", what="opt_out").fetchone()[0]
        if version != self._copy.version:
            found = {key for (key,) in self._run("opt_outs")}
            self._copy.keys.clear()
            self._copy.keys.update(found)
            self._copy.version = version
        return version

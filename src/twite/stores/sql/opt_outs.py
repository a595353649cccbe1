"""Opt-out list: a table, with a copy in memory that every claim checks."""

from collections.abc import Iterable, Sequence

import msgspec

from twite.domain.consent import REVOKED, person_keys
from twite.domain.delivery import Delivery
from twite.stores.sql.dedup_keys import RunsStatements
from twite.x.encode import persons_of, pixel_of


class OptOutList:
    """Used by the writer's thread alone; about 100 bytes of memory for each key."""

    def __init__(self, run: RunsStatements) -> None:
        self._run = run
        self._salt = bytes(run("opening").fetchone()[0])
        self.keys: set[bytes] = set()
        self.read()

    def read(self) -> None:
        """Load the table into memory."""
        self.keys = {key for (key,) in self._run("opt_outs")}

    def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        """List keys; one that is listed keeps its moment."""
        for key in keys:
            self._run("add_opt_out", key=key, now=now)
        self.keys.update(keys)

    def restore(self, keys: Sequence[bytes]) -> None:
        """Take keys off the list."""
        for key in keys:
            self._run("remove_opt_out", key=key)
        self.keys.difference_update(keys)

    def among(self, deliveries: Iterable[Delivery], *, pixel: str) -> list[int]:
        """Return the ids of deliveries whose person is listed."""
        if not self.keys:
            return []
        return [delivery.id for delivery in deliveries if self._lists(delivery.body, pixel)]

    def _lists(self, body: bytes, pixel: str) -> bool:
        """Whose body cannot be read may be anybody."""
        try:
            persons = persons_of(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return True
        asked_of = pixel_of(body, otherwise=pixel)
        return any(
            not self.keys.isdisjoint(person_keys(person, pixel=asked_of, salt=self._salt))
            for person in persons
        )


def withdraw(
    run: RunsStatements, deliveries: Sequence[int], *, now: int, reason: str = REVOKED
) -> int:
    """Suppress deliveries that are not in flight; return their number."""
    ids = msgspec.json.encode(deliveries).decode()
    run("count_withdrawn", deliveries=ids)
    run("note_withdrawn", deliveries=ids, now=now, note=reason)
    return run("remove_withdrawn", deliveries=ids).rowcount

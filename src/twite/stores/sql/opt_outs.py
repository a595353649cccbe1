"""Opt-out list: a copy in memory of the keys of people who opted out."""

from collections.abc import Iterable, Sequence

import msgspec

from twite.domain.consent import person_keys
from twite.domain.delivery import Delivery
from twite.stores.sql.statements import RunsStatements
from twite.x.encode import persons_of, pixel_of


class OptOutList:
    """The opt-out list. One transaction uses it at a time; about 100 bytes of memory per key."""

    def __init__(self, run: RunsStatements, keys: set[bytes]) -> None:
        self._run = run
        self._salt = bytes(run("read_deployment").fetchone()[0])
        self.keys = keys

    def read(self) -> None:
        """Load the table into memory."""
        self.keys = {key for (key,) in self._run("opt_outs")}

    def current(self) -> set[bytes]:
        """Return the list as it is now."""
        return self.keys

    def revoke(self, keys: Sequence[bytes], *, now: int) -> None:
        """Add keys to the list. The time of a key that is already listed does not change."""
        for key in keys:
            self._run("add_opt_out", key=key, now=now)
        self.keys.update(keys)

    def restore(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            self._run("remove_opt_out", key=key)
        self.keys.difference_update(keys)

    def among(self, deliveries: Iterable[Delivery], *, pixel: str) -> list[int]:
        """Return the ids of the deliveries whose person is on the list."""
        if not self.keys:
            return []
        return [delivery.id for delivery in deliveries if self._lists(delivery.body, pixel)]

    def _lists(self, body: bytes, pixel: str) -> bool:
        """Return whether a body names a listed person. An unreadable body may name anyone."""
        try:
            persons = persons_of(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return True
        asked_of = pixel_of(body, otherwise=pixel)
        return any(
            not self.keys.isdisjoint(person_keys(person, pixel=asked_of, salt=self._salt))
            for person in persons
        )

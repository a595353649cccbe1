"""Doubles: hashes of hashes, told by the digests that came before.

A digest does not say what it is of. But who buys twice, or is told of by a page and by a server, is
seen under the one digest here and under the hash of it there. So of each digest of a pixel it is
remembered what hashing it once more would make of it: eight bytes in a table of a fixed size, in
which the new takes the place of the old. It lives in memory alone and goes with the process.
"""

import zlib
from array import array
from collections.abc import Iterable
from typing import Final

from twite.domain.conversion import Conversion
from twite.domain.stats.match_keys import DOUBLE, Flaw, doubles_of
from twite.domain.submission import FlawedIdentifier

# 4 MiB: three doubles each of the latest 170,000 digests or so.
SLOTS: Final = 1 << 19
_BYTES: Final = 8
_DIGITS: Final = 2 * _BYTES


class DoubleHashFilter:
    """Remembers by pixel: of another pixel's people, nobody learns whether they are known here.

    Only pixels to which somebody submits digests are remembered, since for the others there is
    nothing to tell.
    """

    def __init__(self, *, slots: int = SLOTS) -> None:
        self._slots = slots
        self._seeds: dict[str, int] = {}
        self._table: array[int] | None = None

    def among(
        self, conversions: Iterable[tuple[int, Conversion, bool, bool]]
    ) -> tuple[FlawedIdentifier, ...]:
        """Return the double hashes among what will be sent, and remember the rest.

        Each is (its place, itself, whether its email, whether its phone was submitted as a digest).
        """
        found: list[FlawedIdentifier] = []
        for index, one, email, phone in conversions:
            seed = self._seeds.get(one.pixel)
            if seed is None:
                if not (email or phone):
                    continue
                seed = self._seeds[one.pixel] = zlib.crc32(one.pixel.encode()) << 32
            identifiers = one.identifiers
            for path, digest, submitted in (
                ("email_sha256", identifiers.email, email),
                ("phone_sha256", identifiers.phone, phone),
            ):
                if digest is None:
                    continue
                if submitted and self._knows(digest, seed):
                    flaw = Flaw(code=DOUBLE, path=path)
                    found.append(
                        FlawedIdentifier(index=index, pixel=one.pixel, event=one.event, flaw=flaw)
                    )
                else:
                    self._remember(digest, seed)
        return tuple(found)

    def _knows(self, digest: str, seed: int) -> bool:
        key = int(digest[:_DIGITS], 16) ^ seed
        return self._table is not None and self._table[key % self._slots] == key

    def _remember(self, digest: str, seed: int) -> None:
        if self._table is None:
            self._table = array("Q", bytes(_BYTES * self._slots))
        for double in doubles_of(digest):
            key = int.from_bytes(double[:_BYTES], "big") ^ seed
            self._table[key % self._slots] = key

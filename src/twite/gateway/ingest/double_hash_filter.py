"""Double hash filter: find identifiers that were hashed twice, by the digests seen before.

A digest does not show what was hashed. But a person who buys twice, or is reported by a page and by
a server, appears once under a digest and once under the hash of that digest. So for each digest of
a pixel the filter remembers its next hash: eight bytes in a table of fixed size, in which new
entries overwrite old ones. The table is in memory only.
"""

import zlib
from array import array
from collections.abc import Iterable
from typing import Final

from twite.domain.conversion import Conversion
from twite.domain.stats.match_keys import DOUBLE, Flaw, doubles_of
from twite.domain.submission import FlawedIdentifier

# 4 MiB: three double hashes each of about the latest 170,000 digests.
SLOTS: Final = 1 << 19
_BYTES: Final = 8
_DIGITS: Final = 2 * _BYTES


class DoubleHashFilter:
    """Keeps pixels apart, so that no source learns which persons another pixel knows.

    Only pixels whose sources submit digests are remembered: the others cannot have double hashes.
    """

    def __init__(self, *, slots: int = SLOTS) -> None:
        self._slots = slots
        self._seeds: dict[str, int] = {}
        self._table: array[int] | None = None

    def among(
        self, conversions: Iterable[tuple[int, Conversion, bool, bool]]
    ) -> tuple[FlawedIdentifier, ...]:
        """Return the double hashes among conversions to be sent, and remember the other digests.

        Each item is (index, conversion, email submitted as a digest, phone submitted as one).
        """
        found: list[FlawedIdentifier] = []
        for index, conversion, email, phone in conversions:
            seed = self._seeds.get(conversion.pixel)
            if seed is None:
                if not (email or phone):
                    continue
                seed = self._seeds[conversion.pixel] = zlib.crc32(conversion.pixel.encode()) << 32
            identifiers = conversion.identifiers
            for path, digest, submitted in (
                ("email_sha256", identifiers.email, email),
                ("phone_sha256", identifiers.phone, phone),
            ):
                if digest is None:
                    continue
                if submitted and self._knows(digest, seed):
                    flaw = Flaw(code=DOUBLE, path=path)
                    found.append(
                        FlawedIdentifier(
                            index=index, pixel=conversion.pixel, event=conversion.event, flaw=flaw
                        )
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

"""Identifier flaws: find identifiers that X cannot match, and estimate the lost matches.

A digest does not show whether it was hashed twice. But a person who buys twice, or is reported by a
page and by a server, may appear once with a digest and once with the hash of that digest.
DoubleHashFilter therefore remembers the hashes of a pixel's digests: eight bytes each, in a table
of fixed size in which new entries overwrite old ones. The table is kept only in memory.
"""

import zlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.conversion import Conversion
from twite.domain.stats.match_keys import DOUBLE, Flaw, doubles_of, winning, without_nobody
from twite.domain.submission import AcceptedConversion, FlawedIdentifier
from twite.formats.native.conversion import ReadConversion
from twite.formats.native.read import ParsedNative
from twite.formats.native.values import digests_of

# 4 MiB: space for about the latest 170,000 digests, each with three double hashes.
SLOTS: Final = 1 << 19
_BYTES: Final = 8
_DIGITS: Final = 2 * _BYTES


def flawed(results: Sequence[ReadConversion]) -> tuple[FlawedIdentifier, ...]:
    """Return the flawed identifiers of accepted and rejected conversions."""
    return tuple(
        FlawedIdentifier(index=read.index, pixel=read.pixel, event=read.event, flaw=flaw)
        for read in results
        for flaw in read.flaws
    )


def matchable(parsed: ParsedNative) -> list[tuple[int, Conversion, bool, bool]]:
    """Return the conversions that X may match, and whether their email and phone were digests."""
    return [
        (read.index, read.conversion, *digests_of(given))
        for given, read in zip(parsed.given, parsed.results, strict=True)
        if read.conversion is not None
        and read.suppressed is None
        and not (read.flaws and any(flaw.code == DOUBLE for flaw in read.flaws))
    ]


def matchable_x(
    conversions: Sequence[Conversion], flaws: Sequence[tuple[int, Flaw]], revoked: Sequence[bool]
) -> list[tuple[int, Conversion, bool, bool]]:
    """Return the same for X's format, in which all emails and phone numbers are digests."""
    doubles = {index for index, flaw in flaws if flaw.code == DOUBLE}
    return [
        (index, conversion, True, True)
        for index, (conversion, is_revoked) in enumerate(zip(conversions, revoked, strict=True))
        if not is_revoked and index not in doubles
    ]


def flawed_x(
    conversions: Sequence[Conversion], flaws: Sequence[tuple[int, Flaw]], revoked: Sequence[bool]
) -> tuple[FlawedIdentifier, ...]:
    """Return the flawed identifiers of the conversions to be sent."""
    return tuple(
        FlawedIdentifier(
            index=index, pixel=conversions[index].pixel, event=conversions[index].event, flaw=flaw
        )
        for index, flaw in flaws
        if not revoked[index]
    )


def weigh_match_keys(
    entries: tuple[AcceptedConversion, ...],
    flaws: tuple[FlawedIdentifier, ...],
    *,
    of_nobody: Sequence[FlawedIdentifier],
) -> tuple[tuple[AcceptedConversion, ...], tuple[FlawedIdentifier, ...]]:
    """Return the entries without useless match keys, and the flaws with what they cost.

    `of_nobody` contains flaws that the identifiers themselves do not reveal.
    """
    if not flaws:
        return entries, flaws
    unmatched, all_of = _by_index(of_nobody), _by_index(flaws)
    match_keys = {
        entry.index: without_nobody(entry.key_set, unmatched.get(entry.index, ()))
        for entry in entries
        if entry.index in all_of and entry.key_set is not None
    }
    wins = {
        (index, code) for index, keys in match_keys.items() for code in winning(keys, all_of[index])
    }
    weighted = []
    for flaw in flaws:
        # A code counts once per conversion, even if several fields have the flaw.
        key = flaw.index, flaw.flaw.code
        weighted.append(msgspec.structs.replace(flaw, wins=True) if key in wins else flaw)
        wins.discard(key)
    return (
        tuple(
            msgspec.structs.replace(entry, key_set=match_keys[entry.index])
            if entry.index in match_keys
            else entry
            for entry in entries
        ),
        tuple(weighted),
    )


def _by_index(flaws: Sequence[FlawedIdentifier]) -> Mapping[int, list[Flaw]]:
    found: dict[int, list[Flaw]] = {}
    for flaw in flaws:
        found.setdefault(flaw.index, []).append(flaw.flaw)
    return found


class DoubleHashFilter:
    """Finds double hashes per pixel, so that no source learns which people another pixel knows.

    Identifiers are remembered only for pixels to which digests were submitted.
    """

    def __init__(self, *, slots: int = SLOTS) -> None:
        self._slots = slots
        self._seeds: dict[str, int] = {}
        self._table: array[int] | None = None

    def among(
        self, conversions: Iterable[tuple[int, Conversion, bool, bool]]
    ) -> tuple[FlawedIdentifier, ...]:
        """Return the double hashes among conversions to be sent, and remember the other digests.

        Each item is (index, conversion, email was a digest, phone was a digest).
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

"""Validate rows as the gateway would, for dry runs."""

from collections.abc import Iterator, Mapping, Sequence

from twite.config.settings import Settings
from twite.consent.verdict import judging
from twite.domain.conversion import Conversion, dedup_key
from twite.domain.destination import Destination, Source
from twite.domain.errors import MalformedRequest
from twite.formats.files.findings import FileRow
from twite.formats.files.requests import request_body
from twite.formats.files.results import RowResult, judge
from twite.formats.native import read as native
from twite.formats.native.answers import IdentifierWarning, NativeReceipt, RejectedItem, Suppressed
from twite.formats.native.conversion import ReadConversion
from twite.gateway.ports.queries import HeldKeysQuery, Queries


class RowCheck:
    """Validates rows like the gateway, and sends nothing.

    It finds duplicates only among the rows.
    """

    def __init__(
        self, *, source: Source, destinations: Mapping[str, Destination], now: int
    ) -> None:
        self.source = source
        self._destinations = destinations
        self._now = now
        self._seen: set[bytes] = set()

    async def submit(self, rows: Sequence[FileRow], *, lost: bool = False) -> list[RowResult]:
        """Validate rows that have a body."""
        del lost
        results = self._read(rows)
        read = [result for result in results if result.conversion is not None]
        suppressed = [result for result in read if result.suppressed]
        answer = NativeReceipt(
            receipt="",
            accepted=0,
            duplicates=0,
            suppressed=0,
            rejected=tuple(
                RejectedItem(index=result.index, errors=result.faults)
                for result in results
                if result.conversion is None
            ),
            warnings=tuple(
                IdentifierWarning(index=result.index, warnings=result.faults) for result in read
            ),
            duplicate_indexes=tuple(result.index for result in results if self._again(result)),
            suppressed_indexes=tuple(result.index for result in suppressed),
            held_indexes=tuple(result.index for result in results if result.held),
            suppressed_reasons=tuple(
                Suppressed(index=result.index, reason=result.suppressed or "")
                for result in suppressed
            ),
        )
        return judge(rows, answer, dry=True)

    def keys(self, rows: Sequence[FileRow]) -> dict[int, bytes]:
        """Return the dedup key of each row that is a conversion, by the row's number."""
        return {
            row.number: _key(read.conversion)
            for row, read in self.each(rows)
            if read.conversion is not None
        }

    def each(self, rows: Sequence[FileRow]) -> Iterator[tuple[FileRow, ReadConversion]]:
        """Yield each row that has a body and can be read, with its result."""
        sent = [row for row in rows if row.body is not None]
        if not sent:
            return
        try:
            results = self._read(sent)
        except MalformedRequest:
            if len(sent) > 1:
                middle = len(sent) // 2
                yield from self.each(sent[:middle])
                yield from self.each(sent[middle:])
            return
        for result in results:
            yield sent[result.index], result

    def _read(self, rows: Sequence[FileRow]) -> Sequence[ReadConversion]:
        return native.read(
            request_body(rows),
            source=self.source,
            destinations=self._destinations,
            now=self._now,
            salt=b"",
            idempotency_key=None,
            judge=judging(policy=self.source.consent, now=self._now),
        ).results

    def _again(self, read: ReadConversion) -> bool:
        """Whether an earlier row has the same dedup key. Suppressed rows reserve no key."""
        conversion = read.conversion
        if conversion is None or read.suppressed:
            return False
        key = _key(conversion)
        known = key in self._seen
        self._seen.add(key)
        return known


def row_check(settings: Settings, source: str, *, now: int) -> RowCheck:
    """Return a check of rows of a source."""
    return RowCheck(
        source=next(each for each in settings.sources() if each.name == source),
        destinations={each.pixel: each for each in settings.destinations()},
        now=now,
    )


async def find_received(
    rows: Sequence[FileRow], check: RowCheck, queries: Queries
) -> frozenset[int]:
    """Return the numbers of the rows that are in the gateway's history.

    Raises LedgerUnavailable.
    """
    keys = check.keys(rows)
    held = await queries.answer(HeldKeysQuery(keys=list(keys.values())))
    return frozenset(number for number, key in keys.items() if key in held)


def _key(conversion: Conversion) -> bytes:
    return dedup_key(conversion.pixel, conversion.event, conversion.conversion_id)

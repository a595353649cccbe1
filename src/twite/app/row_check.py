"""Validate rows as the gateway would, for dry runs."""

from collections.abc import Mapping, Sequence

from twite.consent.verdict import judging
from twite.domain.conversion import dedup_key
from twite.domain.destination import Destination, Source
from twite.formats.files.findings import FileRow
from twite.formats.files.requests import request_body
from twite.formats.files.results import RowResult, judge
from twite.formats.native import read as native
from twite.formats.native.answers import IdentifierWarning, NativeReceipt, RejectedItem, Suppressed
from twite.formats.native.conversion import ReadConversion


class RowCheck:
    """Validates rows like the gateway, and sends nothing.

    It finds duplicates only among the rows.
    """

    def __init__(
        self, *, source: Source, destinations: Mapping[str, Destination], now: int
    ) -> None:
        self._source = source
        self._destinations = destinations
        self._now = now
        self._seen: set[bytes] = set()

    async def submit(self, rows: Sequence[FileRow], *, lost: bool = False) -> list[RowResult]:
        """Validate rows that have a body."""
        del lost
        reading = native.read(
            request_body(rows),
            source=self._source,
            destinations=self._destinations,
            now=self._now,
            salt=b"",
            idempotency_key=None,
            judge=judging(policy=self._source.consent, now=self._now),
        )
        results = reading.results
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

    def _again(self, read: ReadConversion) -> bool:
        """Whether an earlier row has the same dedup key. Suppressed rows reserve no key."""
        conversion = read.conversion
        if conversion is None or read.suppressed:
            return False
        key = dedup_key(conversion.pixel, conversion.event, conversion.conversion_id)
        known = key in self._seen
        self._seen.add(key)
        return known

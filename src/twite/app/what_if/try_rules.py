"""Try the value rules of the settings on files, or on what a store received in the past.

The store is read by the functions of `twite what-if`, beside a running gateway.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from twite.app.row_check import RowCheck
from twite.app.store_access import open_records
from twite.app.value_rules.table_files import TableFiles, read_tables, rules_of
from twite.app.value_rules.trial import (
    MissingPart,
    TrialBuilder,
    TriedPlace,
    ValueTrial,
    place_of,
)
from twite.app.what_if.past_values import StoredReader, past_requests
from twite.config.settings import Settings
from twite.domain.conversion import dedup_key
from twite.domain.test_mode import is_test, real_name
from twite.domain.times import spelled
from twite.formats.files.findings import ERRORS, FileRow, RowFinding
from twite.gateway.ports.listing import QueryScope
from twite.gateway.ports.past_requests import PastRequest
from twite.gateway.ports.queries import CountedSinceQuery
from twite.gateway.what_if.reread import Reread
from twite.gateway.what_if.verdict import MEANINGS, IntakeOutcome, NotStored
from twite.machine.system import SystemClock

_DUPLICATE: Final = "duplicate"
_SUPPRESSED: Final = "suppressed"
_TEST: Final = "test"
_NOT_RECEIVED: Final = "not_received"
_NO_HISTORY: Final = "history_not_stored"
_MEANINGS: Final[Mapping[str, str]] = {
    **{reason.value: meaning for reason, meaning in MEANINGS.items()},
    _DUPLICATE: "an earlier row has this id and event, so that it is not sent again",
    _SUPPRESSED: "it is not sent, so that rules leave it alone",
    _TEST: "its source was in test mode",
    _NOT_RECEIVED: "the gateway had received nothing yet",
    _NO_HISTORY: "conversions are deleted after store.keep_history",
    "event_unknown": "these settings have no such event",
    "pixel_unknown": "these settings have no such pixel for its source",
    "source_unknown": "these settings have no such source",
    "value_limit": "the amount is above browser_value_limit",
}
_UNREADABLE: Final = RowFinding("", "not_sent", ERRORS["not_sent"])
_REFUSED: Final = "these settings would refuse it"


class FileTrial:
    """Tries rules on rows of files, as the gateway would read them. It sends nothing."""

    def __init__(self, settings: Settings, check: RowCheck) -> None:
        self._files = read_tables(settings)
        self._check = check
        self._builder = TrialBuilder(rules_of(settings, self._files))
        self._names: list[str] = []
        self._seen: set[bytes] = set()

    def add(self, file: str, batches: Iterable[Sequence[FileRow]]) -> None:
        """Try the rows of a file, in batches that fit into a request."""
        self._names.append(file)
        for batch in batches:
            results = {row.number: read for row, read in self._check.each(batch)}
            for row in batch:
                place = place_of(row.order, file=file, row=row.number)
                if row.number not in results:
                    finding = row.errors[0] if row.errors else _UNREADABLE
                    self._builder.leave_out(finding.code, finding.message, place)
                    continue
                read = results[row.number]
                if read.suppressed is not None:
                    self._leave_out(_SUPPRESSED, place)
                elif read.conversion is None:
                    self._builder.leave_out(read.faults[0].code, read.faults[0].message, place)
                elif self._is_known(read.conversion.pixel, read.event, row.order):
                    self._leave_out(_DUPLICATE, place)
                else:
                    source = self._check.source.name
                    fields = read.rule_fields
                    self._builder.add(read.conversion, fields, source=source, place=place)

    def trial(self) -> ValueTrial:
        return self._builder.trial(files=self._names, unreadable_tables=_problems(self._files))

    def _is_known(self, pixel: str, event: str, conversion_id: str) -> bool:
        key = dedup_key(pixel, event, conversion_id)
        is_known = key in self._seen
        self._seen.add(key)
        return is_known

    def _leave_out(self, reason: str, place: TriedPlace) -> None:
        self._builder.leave_out(reason, _MEANINGS[reason], place)


async def try_on_store(
    settings: Settings, *, since: int, until: int, source: str | None = None
) -> ValueTrial:
    """Try the rules on conversions that were received in a range of times (ms).

    The store is read a little at a time, with pauses. Amounts are the original ones, before the
    rules of that time. Raises StoreUnusable, LedgerUnavailable.
    """
    files = read_tables(settings)
    builder = TrialBuilder(rules_of(settings, files))
    async with open_records(settings) as records:
        past_values = _PastValues(StoredReader(settings, salt=records.salt), builder)
        async for request in past_requests(records, since=since, until=until):
            if source is None or real_name(request.source) == source:
                past_values.add(request)
        first = await records.answer(CountedSinceQuery(scope=QueryScope(source=source)))
    kept_since = SystemClock().now() - settings.store.keeping.history
    missing = [
        *_missing_history(since=since, until=until, first=first, kept_since=kept_since),
        *past_values.missing(),
    ]
    return builder.trial(
        since=spelled(since),
        until=spelled(until),
        missing=missing,
        unreadable_tables=_problems(files),
    )


def _missing_history(
    *, since: int, until: int, first: int | None, kept_since: int
) -> Iterator[MissingPart]:
    """Yield the parts of a range before the first conversion, and before what is kept (ms)."""
    began = until if first is None else min(first, until)
    for start, end, reason in (
        (since, began, _NOT_RECEIVED),
        (max(since, began), min(kept_since, until), _NO_HISTORY),
    ):
        if start < end:
            meaning = _MEANINGS[reason]
            yield MissingPart(
                since=spelled(start), until=spelled(end), reason=reason, meaning=meaning
            )


class _PastValues:
    """Reads the amounts of stored requests, which are the original ones."""

    def __init__(self, reader: StoredReader, builder: TrialBuilder) -> None:
        self._reader, self._builder = reader, builder
        # When conversions without a stored request were received.
        self._bodiless: list[int] = []

    def missing(self) -> Iterator[MissingPart]:
        """Yield the part of the range in which requests are no longer stored."""
        if self._bodiless:
            yield MissingPart(
                since=spelled(min(self._bodiless)),
                until=spelled(max(self._bodiless) + 1),
                reason=NotStored.BODY.value,
                meaning=_MEANINGS[NotStored.BODY.value],
                conversions=len(self._bodiless),
            )

    def add(self, request: PastRequest) -> None:
        for reread in self._reader.reread(request):
            # Without one, it was rejected or a duplicate.
            if reread.past is not None:
                self._add(request, reread, place_of(reread.past.conversion_id))

    def _add(self, request: PastRequest, reread: Reread, place: TriedPlace) -> None:
        past, read, verdict = reread.past, reread.read, reread.verdict
        if past is not None and past.suppressed is not None:
            self._leave_out(_SUPPRESSED, place)
        elif is_test(request.source):
            self._leave_out(_TEST, place)
        elif verdict is not None and verdict.outcome is not IntakeOutcome.UNKNOWN:
            self._leave_out(verdict.reason, place)
        elif read is None or read.conversion is None:
            # The amount is known even if identifiers or consent are not, but not without a body.
            reason = NotStored.BODY.value if verdict is None else verdict.reason
            self._leave_out(reason, place)
            if reason == NotStored.BODY.value:
                self._bodiless.append(request.received_at)
        else:
            source = real_name(request.source)
            self._builder.add(read.conversion, read.rule_fields, source=source, place=place)

    def _leave_out(self, reason: str, place: TriedPlace) -> None:
        self._builder.leave_out(reason, _MEANINGS.get(reason, _REFUSED), place)


def _problems(files: TableFiles) -> list[str]:
    return [file.problem for file in files.values() if file.problem]

"""Try the value rules of the settings on files, or on what a store received in the past.

The store is read by the functions of `twite what-if`, beside a running gateway.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from twite.app.row_check import RowCheck
from twite.app.store_access import open_records
from twite.app.value_rules.table_files import TableFiles, read_tables, rules_of
from twite.app.value_rules.trial import TrialBuilder, TriedPlace, ValueTrial, place_of
from twite.app.what_if.compare import intake_settings
from twite.config.settings import Settings
from twite.domain.conversion import dedup_key
from twite.domain.test_mode import is_test, real_name
from twite.domain.times import spelled
from twite.formats.files.findings import ERRORS, FileRow, RowFinding
from twite.gateway.ports.past_requests import OUT_OF_ORDER, PastRequest, PastRequestsQuery
from twite.gateway.what_if.reread import Reread, Rereader
from twite.gateway.what_if.reread_x import IN_X_FORMAT, XRereader
from twite.gateway.what_if.verdict import MEANINGS, IntakeOutcome, NotStored
from twite.machine.system import YieldingPause

_AT_ONCE: Final = 200  # requests
_DUPLICATE: Final = "duplicate"
_SUPPRESSED: Final = "suppressed"
_TEST: Final = "test"
_MEANINGS: Final[Mapping[str, str]] = {
    **{reason.value: meaning for reason, meaning in MEANINGS.items()},
    _DUPLICATE: "an earlier row has this id and event, so that it is not sent again",
    _SUPPRESSED: "it is not sent, so that rules leave it alone",
    _TEST: "its source was in test mode",
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
    pause = YieldingPause()
    async with open_records(settings) as records:
        past_values = _PastValues(settings, salt=records.salt, builder=builder)
        number: int | None = None
        while True:
            query = PastRequestsQuery(since=since, number=number, limit=_AT_ONCE)
            requests = await records.answer(query)
            if not requests or requests[0].received_at >= until + OUT_OF_ORDER:
                break
            for request in requests:
                is_wanted = source is None or real_name(request.source) == source
                if is_wanted and since <= request.received_at < until:
                    past_values.add(request)
            number = requests[-1].number + 1
            await pause()
    return builder.trial(
        since=spelled(since), until=spelled(until), unreadable_tables=_problems(files)
    )


class _PastValues:
    """Reads the amounts of stored requests, which are the original ones."""

    def __init__(self, settings: Settings, *, salt: bytes, builder: TrialBuilder) -> None:
        self._settings, self._builder = intake_settings(settings), builder
        self._rereader = Rereader(
            new_settings=self._settings, current_settings=self._settings, salt=salt, rejected={}
        )
        self._x_rereader = XRereader(
            new_settings=self._settings, current_settings=self._settings, salt=salt
        )

    def add(self, request: PastRequest) -> None:
        for reread in self._reread(request):
            # Without one, it was rejected or a duplicate.
            if reread.past is not None:
                self._add(request, reread, place_of(reread.past.conversion_id))

    def _reread(self, request: PastRequest) -> list[Reread]:
        if request.endpoint not in IN_X_FORMAT:
            return self._rereader.reread(request)
        return self._x_rereader.reread(request)

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
        else:
            source = real_name(request.source)
            self._builder.add(read.conversion, read.rule_fields, source=source, place=place)

    def _leave_out(self, reason: str, place: TriedPlace) -> None:
        self._builder.leave_out(reason, _MEANINGS.get(reason, _REFUSED), place)


def _problems(files: TableFiles) -> list[str]:
    return [file.problem for file in files.values() if file.problem]

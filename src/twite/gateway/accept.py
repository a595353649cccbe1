"""Accept: what came in is read, hashed, judged and on disk before it is acknowledged."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import msgspec

from twite.consent.signals import objection
from twite.domain.conversion import Conversion
from twite.domain.dedup import dedup_key
from twite.domain.destination import Destination, Source
from twite.domain.errors import LedgerUnavailable
from twite.domain.fault import Fault
from twite.domain.outcome import Complaint
from twite.domain.submission import Door, Entry, Ignored, Refusal, Submission
from twite.domain.times import SECOND
from twite.gateway.notices import Accepted, Observer, Silent
from twite.gateway.ports import Chance, Clock, Ledger
from twite.intake import native, x_api
from twite.intake.found import Found
from twite.intake.native import Reading
from twite.intake.native_conversion import Read
from twite.x.encode import conversion_body

TROUBLED_FOR: Final = 5 * SECOND
# Those who post to the X-shaped route show the pixel's own credentials; they are no source of ours.
X_SOURCE = "x-api"


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """Identifiers that were left out of an accepted conversion, and why."""

    index: int
    warnings: tuple[Fault, ...]


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a submission, once it is on disk.

    The indexes are the places of the duplicates and of the suppressed within it.
    """

    receipt: str
    accepted: int
    duplicates: int
    suppressed: int
    rejected: tuple[Refusal, ...] = ()
    warnings: tuple[Remark, ...] = ()
    duplicate_indexes: tuple[int, ...] = ()
    suppressed_indexes: tuple[int, ...] = ()


class XReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """What X would answer: how many it took, and the id to ask support about."""

    receipt: str
    processed: int


class XRefused(Exception):
    """What X would refuse, in X's own words: all of the request, by X's rule."""

    def __init__(self, *, status: int, complaints: tuple[Complaint, ...]) -> None:
        super().__init__(f"{status}: {', '.join(complaint.code for complaint in complaints)}")
        self.status = status
        self.complaints = complaints


class Accept:
    """Takes submissions in. `wake` is called with a pixel that has new deliveries."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        clock: Clock,
        chance: Chance,
        destinations: Mapping[str, Destination],
        salt: bytes,
        wake: Callable[[str], None],
        observer: Observer | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._chance = chance
        self._destinations = destinations
        self._salt = salt
        self._wake = wake
        self._observer = observer or Silent()
        # When a commit last failed (monotonic), and why.
        self._failed: tuple[int, str] | None = None

    @property
    def trouble(self) -> str | None:
        """Why a submission could not be committed a moment ago, or None.

        It is forgotten after a few seconds: whoever keeps traffic away because of it would else
        never learn that it has passed.
        """
        if self._failed is None:
            return None
        at, reason = self._failed
        return reason if self._clock.elapsed() - at < TROUBLED_FOR else None

    async def native(
        self, *, source: Source, body: bytes, idempotency_key: str | None = None
    ) -> Receipt:
        """Accept a submission in our own format.

        Raises Malformed, LedgerFull, LedgerUnavailable; nothing of it was kept then.
        """
        now = self._clock.now()
        reading = native.read(
            body,
            source=source,
            destinations=self._destinations,
            now=now,
            salt=self._salt,
            idempotency_key=idempotency_key,
            objection=partial(objection, required=source.consent_required),
        )
        return await self._keep(reading, source=source, door=Door.NATIVE, now=now)

    async def found(self, found: Found, *, source: Source, door: Door) -> Receipt:
        """Accept what another door found in a request.

        What it ignored is counted with the same commit. Raises LedgerFull, LedgerUnavailable;
        nothing of it was kept then.
        """
        now = self._clock.now()
        reading = native.judge(
            found,
            source=source,
            destinations=self._destinations,
            now=now,
            salt=self._salt,
            objection=partial(objection, required=source.consent_required),
        )
        return await self._keep(reading, source=source, door=door, now=now, ignored=found.ignored)

    async def _keep(
        self,
        reading: Reading,
        *,
        source: Source,
        door: Door,
        now: int,
        ignored: tuple[Ignored, ...] = (),
    ) -> Receipt:
        entries, refusals, remarks = _sorted_out(reading.results)
        submission = Submission(
            receipt=self._chance.receipt(),
            source=source.name,
            door=door,
            received_at=now,
            body=reading.body,
            entries=entries,
            refusals=refusals,
            ignored=ignored,
        )
        suppressed = tuple(entry.index for entry in entries if entry.suppressed is not None)
        duplicates = await self._record(submission, len(suppressed))
        return Receipt(
            receipt=submission.receipt,
            accepted=len(entries) - len(suppressed) - len(duplicates),
            duplicates=len(duplicates),
            suppressed=len(suppressed),
            rejected=refusals,
            warnings=remarks,
            duplicate_indexes=duplicates,
            suppressed_indexes=suppressed,
        )

    async def from_x(self, *, destination: Destination, body: bytes) -> XReceipt:
        """Accept a request in X's own format, for the pixel whose credentials it showed.

        Raises XRefused where X would refuse it, LedgerFull, LedgerUnavailable.
        """
        now = self._clock.now()
        reading = x_api.read(body, destination=destination, salt=self._salt)
        if isinstance(reading, x_api.Refused):
            raise XRefused(status=reading.status, complaints=reading.complaints)
        entries = tuple(
            _entry(conversion, index) for index, conversion in enumerate(reading.conversions)
        )
        submission = Submission(
            receipt=self._chance.receipt(),
            source=X_SOURCE,
            door=Door.X_API,
            received_at=now,
            body=reading.body,
            entries=entries,
        )
        await self._record(submission, suppressed=0)
        return XReceipt(receipt=submission.receipt, processed=len(entries))

    async def _record(self, submission: Submission, suppressed: int) -> tuple[int, ...]:
        """Commit, wake who sends, and return the indexes of the duplicates."""
        try:
            recorded = await self._ledger.record(submission)
        except LedgerUnavailable as error:
            self._failed = self._clock.elapsed(), error.reason
            raise
        self._failed = None
        for pixel in {entry.pixel for entry in submission.entries}:
            self._wake(pixel)
        duplicates = recorded.duplicates
        self._observer.see(
            Accepted(
                source=submission.source,
                accepted=len(submission.entries) - suppressed - len(duplicates),
                duplicates=len(duplicates),
                suppressed=suppressed,
                rejected=len(submission.refusals),
            )
        )
        return duplicates


def _sorted_out(
    results: Sequence[Read],
) -> tuple[tuple[Entry, ...], tuple[Refusal, ...], tuple[Remark, ...]]:
    entries: list[Entry] = []
    refusals: list[Refusal] = []
    remarks: list[Remark] = []
    for result in results:
        conversion = result.conversion
        if conversion is None:
            refusals.append(Refusal(index=result.index, pixel=result.pixel, errors=result.faults))
            continue
        entries.append(_entry(conversion, result.index, result.suppressed))
        if result.faults:
            remarks.append(Remark(index=result.index, warnings=result.faults))
    return tuple(entries), tuple(refusals), tuple(remarks)


def _entry(conversion: Conversion, index: int, suppressed: str | None = None) -> Entry:
    return Entry(
        index=index,
        key=dedup_key(conversion.pixel, conversion.event, conversion.conversion_id),
        pixel=conversion.pixel,
        event=conversion.event,
        conversion_id=conversion.conversion_id,
        body=conversion_body(conversion),
        suppressed=suppressed,
    )

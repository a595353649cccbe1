"""Build submissions from parsed requests, and receipts from the results of their commits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from twite.domain.destination import Source
from twite.domain.joins import KnownIdentifier
from twite.domain.submission import (
    AcceptedConversion,
    Endpoint,
    FlawedIdentifier,
    Idempotency,
    Ignored,
    Recorded,
    Submission,
)
from twite.domain.test_mode import is_test
from twite.formats.beacon.shape import PixelCall
from twite.formats.native.conversion import ReadContext
from twite.formats.native.read import ParsedNative
from twite.formats.native.values import digests_of
from twite.formats.x_api.read import XReading
from twite.gateway.ingest.dedup_rows import DedupRowBuilder
from twite.gateway.ingest.entries import (
    Look,
    SplitResults,
    entry_of,
    of_x,
    split_results,
)
from twite.gateway.ingest.flaws import (
    DoubleHashFilter,
    flawed,
    flawed_x,
    matchable,
    matchable_x,
    weigh_match_keys,
)
from twite.gateway.ingest.receipts import AcceptReceipt, UncommittedRequest, receipt_of
from twite.gateway.ingest.tested import tested
from twite.gateway.ingest.value_guard import ValueGuards
from twite.gateway.ports.machine import Clock, Randomness
from twite.gateway.ports.request_watch import sends_nothing
from twite.gateway.ports.tags import FiringResult

NOTHING_FIRED: Final = FiringResult()


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class TypicalContext:
    """The data that all requests of one source in a group share."""

    reading: ReadContext
    look: Look
    received_at: int


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class SubmissionBuilder:
    """Builds submissions. `clock` is the time of receipt."""

    clock: Clock
    randomness: Randomness
    salt: bytes
    guards: ValueGuards
    dedup_rows: DedupRowBuilder
    _double_hashes: DoubleHashFilter = field(init=False, default_factory=DoubleHashFilter)

    def split(self, parsed: ParsedNative, source: Source) -> SplitResults:
        """Return (entries, rejected conversions, warnings on accepted ones)."""
        return split_results(parsed, look=self.guards.look(source.name), salt=self.salt)

    def of_native(
        self,
        parsed: ParsedNative,
        *,
        source: Source,
        endpoint: Endpoint,
        split: SplitResults | None = None,
        ignored: tuple[Ignored, ...] = (),
        pixel_calls: Sequence[PixelCall] = (),
        idempotency: Idempotency | None = None,
        firing: FiringResult = NOTHING_FIRED,
        known: tuple[KnownIdentifier, ...] = (),
    ) -> UncommittedRequest:
        """Return the request as it will be recorded; `split` is the output of `split`, if known."""
        entries, refusals, remarks = split or self.split(parsed, source)
        now = self.clock.now()
        flaws: tuple[FlawedIdentifier, ...] = ()
        if parsed.results:
            flaws = flawed(parsed.results)
            if not is_test(source.name):
                flaws += self._double_hashes.among(matchable(parsed))
            entries, flaws = weigh_match_keys(entries, flaws, of_nobody=flaws)
        submission = Submission(
            receipt=self.randomness.receipt(),
            source=source.name,
            endpoint=endpoint,
            received_at=now,
            body=parsed.body,
            entries=(*entries, *firing.fired),
            refusals=refusals,
            ignored=ignored,
            dedup_rows=self.dedup_rows.of(
                parsed.results, endpoint=endpoint, now=now, pixel_calls=pixel_calls
            ),
            flaws=flaws,
            unfired=firing.unfired,
            idempotency=idempotency,
            known=known,
        )
        return UncommittedRequest(
            parsed=parsed, submission=tested(submission), warnings=remarks, firing=firing
        )

    def of_typical(
        self,
        parsed: ParsedNative,
        context: TypicalContext,
        *,
        idempotency: Idempotency | None,
    ) -> UncommittedRequest:
        """Do the same as `of_native` for a reading from `read_typical`."""
        (result,) = parsed.results
        conversion = result.conversion
        if conversion is None:
            raise ValueError("the conversion of a typical request was refused")
        entries: tuple[AcceptedConversion, ...] = (
            entry_of(
                conversion,
                0,
                context.look,
                consent=result.evidence,
                value_change=result.value_change,
            ),
        )
        if result.flaws:
            flaws = flawed(parsed.results) + self._double_hashes.among(matchable(parsed))
        else:
            (given,) = parsed.given
            flaws = self._double_hashes.among(((0, conversion, *digests_of(given)),))
        if flaws:
            entries, flaws = weigh_match_keys(entries, flaws, of_nobody=flaws)
        submission = Submission(
            receipt=self.randomness.receipt(),
            source=context.reading.source.name,
            endpoint=Endpoint.NATIVE,
            received_at=context.received_at,
            body=parsed.body,
            entries=entries,
            dedup_rows=self.dedup_rows.of_server(conversion, now=context.received_at),
            flaws=flaws,
            idempotency=idempotency,
        )
        return UncommittedRequest(
            parsed=parsed, submission=submission, warnings=(), firing=NOTHING_FIRED
        )

    def of_x(
        self,
        reading: XReading,
        *,
        revoked: Sequence[bool],
        source: str,
        endpoint: Endpoint,
        now: int,
    ) -> Submission:
        """Return a request in X's format as it will be recorded."""
        entries, kept = of_x(
            reading.conversions,
            reading.value_changes,
            revoked=revoked,
            body=reading.body,
            look=self.guards.look(source),
        )
        doubles: tuple[FlawedIdentifier, ...] = ()
        if not is_test(source):
            doubles = self._double_hashes.among(
                matchable_x(reading.conversions, reading.flaws, revoked)
            )
        entries, flaws = weigh_match_keys(
            entries,
            flawed_x(reading.conversions, reading.flaws, revoked) + doubles,
            # Other flaws are visible in the digest itself. If several identifiers contain a hash, X
            # gets the last hash, which may be valid.
            of_nobody=doubles,
        )
        submission = Submission(
            receipt=self.randomness.receipt(),
            source=source,
            endpoint=endpoint,
            received_at=now,
            body=kept,
            entries=entries,
            dedup_rows=self.dedup_rows.of_x(
                [
                    conversion
                    for conversion, entry in zip(reading.conversions, entries, strict=True)
                    if entry.suppressed is None
                ],
                now=now,
            ),
            flaws=flaws,
        )
        return tested(submission)

    def receipt(self, request: UncommittedRequest, recorded: Recorded) -> AcceptReceipt:
        """Return the receipt of a committed request, and learn its amounts."""
        return receipt_of(request, recorded, self._learn(request, recorded))

    def _learn(self, request: UncommittedRequest, recorded: Recorded) -> tuple[int, ...]:
        """Learn a committed request's amounts; return its duplicates, except those of tags."""
        results = request.parsed.results
        if not results:
            return ()
        duplicates = tuple([index for index in recorded.duplicates if index < len(results)])
        if not sends_nothing():
            self.guards.learn(request.submission.source, request.sent(duplicates))
        return duplicates

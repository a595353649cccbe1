"""Results of accepted requests, and refusals in X's error format."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar

import msgspec

from twite.domain.conversion import Conversion
from twite.domain.destination import Source
from twite.domain.outcome import XComplaint
from twite.domain.submission import Ignored, Recorded, RejectedConversion, Submission
from twite.domain.test_mode import is_test
from twite.formats.native.answers import IdentifierWarning, NativeReceipt, RejectedItem, Suppressed
from twite.formats.native.read import ParsedNative
from twite.gateway.ingest.entries import (
    held_indexes,
    responses_of,
    suppressions,
    tag_outcomes,
)
from twite.gateway.ports.tags import FiringResult, ResponseAddition, TagOutcome


class AcceptReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a committed request.

    Indexes are positions in the request; `tags` are the tags that fired, `responses` their
    additions to the response. `ignored` lists the ignored events. A `test` is not sent to X.
    """

    receipt: str
    accepted: int
    duplicates: int
    suppressed: int
    held: int = 0
    rejected: tuple[RejectedConversion, ...] = ()
    warnings: tuple[IdentifierWarning, ...] = ()
    duplicate_indexes: tuple[int, ...] = ()
    suppressed_indexes: tuple[int, ...] = ()
    held_indexes: tuple[int, ...] = ()
    suppressed_reasons: tuple[Suppressed, ...] = ()
    tags: tuple[TagOutcome, ...] = ()
    responses: tuple[ResponseAddition, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    test: bool = False

    def as_native(self, *, ignored: int = 0) -> NativeReceipt:
        """Return the receipt in the native format."""
        return NativeReceipt(
            receipt=self.receipt,
            accepted=self.accepted,
            duplicates=self.duplicates,
            suppressed=self.suppressed,
            rejected=tuple(
                RejectedItem(index=refusal.index, errors=refusal.errors)
                for refusal in self.rejected
            ),
            warnings=self.warnings,
            duplicate_indexes=self.duplicate_indexes,
            suppressed_indexes=self.suppressed_indexes,
            held=self.held,
            held_indexes=self.held_indexes,
            suppressed_reasons=self.suppressed_reasons,
            ignored=ignored,
            test=self.test,
        )


class XAcceptReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The result for X's format."""

    receipt: str
    processed: int


class XAcceptRefusal(Exception):
    """A request that X would refuse, with X's errors. X refuses whole requests."""

    def __init__(self, *, status: int, complaints: tuple[XComplaint, ...]) -> None:
        super().__init__(f"{status}: {', '.join(complaint.code for complaint in complaints)}")
        self.status = status
        self.complaints = complaints


class PendingRequest(Protocol):
    """A request in the native format that was received, but not accepted yet."""

    @property
    def source(self) -> Source: ...

    @property
    def body(self) -> bytes: ...

    @property
    def idempotency_key(self) -> str | None: ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]: ...


PendingRequestT = TypeVar("PendingRequestT", bound=PendingRequest)
# Called with requests and their receipts or errors. For a single conversion that was accepted
# without remarks, the receipt is only its id.
Answers = Callable[[Sequence[tuple[PendingRequestT, AcceptReceipt | str | Exception]]], None]


class UncommittedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed request as it will be recorded, and the tags that fired for it."""

    parsed: ParsedNative
    submission: Submission
    warnings: tuple[IdentifierWarning, ...]
    firing: FiringResult

    def sent(self, duplicates: Collection[int]) -> list[Conversion]:
        """Return the conversions that are neither suppressed nor duplicates."""
        return [
            result.conversion
            for result in self.parsed.results
            if result.conversion is not None
            and result.suppressed is None
            and not (duplicates and result.index in duplicates)
        ]


def receipt_of(
    request: UncommittedRequest, recorded: Recorded, duplicates: tuple[int, ...]
) -> AcceptReceipt:
    """Return the receipt after the commit; `duplicates` are indexes of its own conversions."""
    submission, firing = request.submission, request.firing
    fired = len(firing.fired)
    entries = submission.entries[:-fired] if fired else submission.entries
    suppressed = suppressions(entries) if entries else ()
    held = held_indexes(entries, recorded) if entries else ()
    return AcceptReceipt(
        receipt=submission.receipt,
        accepted=len(entries) - len(suppressed) - len(duplicates) - len(held),
        duplicates=len(duplicates),
        suppressed=len(suppressed),
        held=len(held),
        rejected=submission.refusals,
        warnings=request.warnings,
        duplicate_indexes=duplicates,
        suppressed_indexes=tuple([entry.index for entry in suppressed]),
        held_indexes=held,
        suppressed_reasons=suppressed,
        tags=tag_outcomes(firing.fired, recorded.duplicates) if fired else (),
        responses=responses_of(firing, recorded.duplicates) if firing.responses else (),
        ignored=submission.ignored,
        test=is_test(submission.source),
    )

"""What was read → what the ledger keeps of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.consent import REVOKED
from twite.domain.conversion import Conversion
from twite.domain.dedup import dedup_key
from twite.domain.fault import Fault
from twite.domain.identifiers import Identifiers
from twite.domain.submission import Entry, Refusal
from twite.intake.native_conversion import Read
from twite.x.encode import batch_body, conversion_body


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """Identifiers that were left out of an accepted conversion, and why."""

    index: int
    warnings: tuple[Fault, ...]


def sorted_out(
    results: Sequence[Read],
) -> tuple[tuple[Entry, ...], tuple[Refusal, ...], tuple[Remark, ...]]:
    """Return the entries, what is refused, and the remarks on what is not."""
    entries: list[Entry] = []
    refusals: list[Refusal] = []
    remarks: list[Remark] = []
    for result in results:
        conversion = result.conversion
        if conversion is None:
            refusals.append(Refusal(index=result.index, pixel=result.pixel, errors=result.faults))
            continue
        entries.append(_entry(conversion, result))
        if result.faults:
            remarks.append(Remark(index=result.index, warnings=result.faults))
    return tuple(entries), tuple(refusals), tuple(remarks)


def of_x(
    conversions: Sequence[Conversion], *, revoked: Sequence[bool], body: bytes
) -> tuple[tuple[Entry, ...], bytes]:
    """Return the entries of a request in X's format, and what is kept of the request.

    X has no signals of consent; whoever revoked at the pixel is not sent, whatever the door.
    """
    entries = tuple(
        _x_entry(conversion, index, revoked=no)
        for index, (conversion, no) in enumerate(zip(conversions, revoked, strict=True))
    )
    return entries, batch_body([entry.body for entry in entries]) if any(revoked) else body


def judged(entries: Sequence[Entry]) -> Mapping[tuple[str, str], int]:
    """Return how often consent came to which action by which rule, where it was looked at."""
    kept = [entry.consent for entry in entries if entry.consent is not None]
    if not kept:
        return {}
    decided = [_DECIDED.decode(evidence) for evidence in kept]
    return Counter((one.action, one.rule) for one in decided)


def _entry(conversion: Conversion, read: Read) -> Entry:
    return Entry(
        index=read.index,
        key=dedup_key(conversion.pixel, conversion.event, conversion.conversion_id),
        pixel=conversion.pixel,
        event=conversion.event,
        conversion_id=conversion.conversion_id,
        body=conversion_body(conversion),
        suppressed=read.suppressed,
        held=read.held,
        consent=read.evidence,
    )


def _x_entry(conversion: Conversion, index: int, *, revoked: bool) -> Entry:
    if revoked:
        conversion = msgspec.structs.replace(conversion, identifiers=Identifiers())
    return Entry(
        index=index,
        key=dedup_key(conversion.pixel, conversion.event, conversion.conversion_id),
        pixel=conversion.pixel,
        event=conversion.event,
        conversion_id=conversion.conversion_id,
        body=conversion_body(conversion),
        suppressed=REVOKED if revoked else None,
    )


class _Decided(msgspec.Struct, frozen=True):
    action: str
    rule: str


_DECIDED: Final = msgspec.json.Decoder(_Decided)

"""Build the records of a parsed request: entries (dedup key, body for X, consent) and notices."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Final

import msgspec

from twite.domain.cause import DeliveryCause
from twite.domain.consent import REVOKED
from twite.domain.conversion import Conversion, Identifiers, dedup_key
from twite.domain.stats.match_keys import key_set_of
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.submission import (
    AcceptedConversion,
    Endpoint,
    Recorded,
    RejectedConversion,
    Submission,
)
from twite.domain.value_change import ValueChange
from twite.formats.event_data.conversions import as_seen, in_our_words
from twite.formats.event_data.of_native import event_of
from twite.formats.native.answers import IdentifierWarning, Suppressed
from twite.formats.native.read import ParsedNative
from twite.formats.parsed_request import ParsedRequest
from twite.gateway.ingest.rejections import refusal_of
from twite.gateway.ingest.value_rules import rule_notices
from twite.gateway.ports.events import (
    Accepted,
    GatewayEvent,
    IgnoredSome,
    Judged,
    TagFired,
    TagPassed,
)
from twite.gateway.ports.tags import (
    PREFIX,
    FiringResult,
    ResponseAddition,
    TagOutcome,
    TagRemark,
    TagStatus,
)
from twite.x.encode import batch_body, conversion_body

_NO_CODES: Final[Mapping[str, int]] = {}
_PASSED: Final = (None, None)
# Conversion → (why its amount is unusual or None, reason to hold it or None).
Look = Callable[[Conversion], tuple[ValueFlag | None, str | None]]


# (entries, rejected conversions, warnings on accepted ones)
SplitResults = tuple[
    tuple[AcceptedConversion, ...], tuple[RejectedConversion, ...], tuple[IdentifierWarning, ...]
]


def split_results(parsed: ParsedNative, *, look: Look, salt: bytes) -> SplitResults:
    """Return (entries, rejected conversions, warnings on accepted ones)."""
    entries: list[AcceptedConversion] = []
    refusals: list[RejectedConversion] = []
    remarks: list[IdentifierWarning] = []
    for given, result in zip(parsed.given, parsed.results, strict=True):
        if result.conversion is None:
            refusals.append(refusal_of(given, result, salt=salt))
            continue
        entries.append(
            entry_of(
                result.conversion,
                result.index,
                look,
                suppressed=result.suppressed,
                held=result.held,
                cause=result.cause,
                consent=result.evidence,
                value_change=result.value_change,
            )
        )
        if result.faults:
            remarks.append(IdentifierWarning(index=result.index, warnings=result.faults))
    return tuple(entries), tuple(refusals), tuple(remarks)


def of_x(
    conversions: Sequence[Conversion],
    changes: Sequence[ValueChange | None],
    *,
    revoked: Sequence[bool],
    body: bytes,
    look: Look,
) -> tuple[tuple[AcceptedConversion, ...], bytes]:
    """Return the entries of a request in X's format, and the body to store.

    Conversions of people on the pixel's opt-out list are suppressed.
    """
    entries = tuple(
        entry_of(
            msgspec.structs.replace(conversion, identifiers=Identifiers())
            if is_revoked
            else conversion,
            index,
            look,
            suppressed=REVOKED if is_revoked else None,
            cause=DeliveryCause.CONSENT_REVOKED if is_revoked else None,
            value_change=None if is_revoked else change,
        )
        for index, (conversion, change, is_revoked) in enumerate(
            zip(conversions, changes or repeat(None), revoked, strict=False)
        )
    )
    return entries, batch_body([entry.body for entry in entries]) if any(revoked) else body


def with_denials(
    parsed: ParsedRequest, read: Callable[[ParsedRequest], ParsedNative]
) -> ParsedRequest:
    """Append ignored conversions that deny consent, so that the denials are recorded."""
    alone = msgspec.structs.replace(
        parsed,
        conversions=tuple(native for _, native in parsed.unwanted),
        repeated=(),
        faults=(),
        hit=None,
    )
    denied = tuple(
        pair
        for pair, result in zip(parsed.unwanted, read(alone).results, strict=True)
        if result.conversion is not None and result.suppressed is not None
    )
    places = {place for place, _ in denied}
    return msgspec.structs.replace(
        parsed,
        conversions=(*parsed.conversions, *(native for _, native in denied)),
        ignored=tuple(item for place, item in enumerate(parsed.ignored) if place not in places),
        repeated=parsed.repeated and (*parsed.repeated, *(None for _ in denied)),
        faults=parsed.faults and (*parsed.faults, *(() for _ in denied)),
        unwanted=denied,
    )


def tag_events(native: ParsedNative, parsed: ParsedRequest | None) -> tuple[TagRemark, ...]:
    """Return the events for which tags may fire: the parsed events, or the accepted conversions.

    No tag fires for a conversion that was added only because it denies consent.
    """
    if parsed is not None and parsed.tag_events:
        return tuple(
            TagRemark(
                event=as_seen(tag_event),
                native=in_our_words(tag_event),
                conversion_id=_id_at(native, tag_event.conversion),
                repeated=tag_event.repeated,
                index=None
                if tag_event.conversion is None
                else native.results[tag_event.conversion].index,
            )
            for tag_event in parsed.tag_events
        )
    wanted = len(native.results) - (0 if parsed is None else len(parsed.unwanted))
    return tuple(
        TagRemark(
            event=event_of(given),
            native=given,
            conversion_id=result.conversion.conversion_id,
            index=result.index,
        )
        for given, result in zip(native.given[:wanted], native.results[:wanted], strict=True)
        if result.conversion is not None
    )


def held_indexes(entries: Sequence[AcceptedConversion], recorded: Recorded) -> tuple[int, ...]:
    """Return the indexes of the entries that are held and not duplicates."""
    return tuple(
        [
            entry.index
            for entry in entries
            if (entry.held or entry.index in recorded.held)
            and entry.index not in recorded.duplicates
        ]
    )


def suppressions(entries: Sequence[AcceptedConversion]) -> tuple[Suppressed, ...]:
    """Return the suppressed entries, with their reasons."""
    return tuple(
        [
            Suppressed(index=entry.index, reason=entry.suppressed)
            for entry in entries
            if entry.suppressed is not None
        ]
    )


def responses_of(firing: FiringResult, duplicates: Sequence[int]) -> tuple[ResponseAddition, ...]:
    """Return what the tags add to the response. For a duplicate, no tag runs."""
    return tuple(
        response
        for index, response in firing.responses.items()
        if index not in duplicates and not response.is_empty
    )


def tag_outcomes(
    fired: Sequence[AcceptedConversion], duplicates: Sequence[int]
) -> tuple[TagOutcome, ...]:
    """Return the status of each fired tag after the commit."""
    return tuple(
        TagOutcome(tag=entry.pixel.removeprefix(PREFIX), status=_tag_status(entry, duplicates))
        for entry in fired
    )


def _tag_status(conversion: AcceptedConversion, duplicates: Sequence[int]) -> TagStatus:
    if conversion.index in duplicates:
        return "duplicate"
    if conversion.suppressed is not None:
        return "suppressed"
    return "queued" if conversion.held is None else "held"


def is_typical(submission: Submission, recorded: Recorded) -> bool:
    """Return whether a submission is a single conversion that was accepted without remarks."""
    entries = submission.entries
    return (
        len(entries) == 1
        and entries[0].suppressed is None
        and entries[0].held is None
        and entries[0].consent is None
        and not (submission.refusals or submission.ignored or submission.unfired)
        and not (recorded.duplicates or recorded.held or recorded.conflict)
    )


def accepted_notice(source: str, endpoint: Endpoint, *, accepted: int) -> Accepted:
    """Return the notice about typical submissions of a source."""
    return Accepted(
        source=source,
        accepted=accepted,
        duplicates=0,
        suppressed=0,
        rejected=0,
        endpoint=endpoint.value,
        codes=_NO_CODES,
    )


def notices_of(
    submission: Submission, fired: Sequence[AcceptedConversion], duplicates: Sequence[int]
) -> Iterator[GatewayEvent]:
    """Yield the notices about a committed submission; `fired` contains the tags' entries."""
    own: Sequence[AcceptedConversion] = submission.entries
    again = len(duplicates)
    if fired:
        tags = {entry.index for entry in fired}
        own = [entry for entry in own if entry.index not in tags]
        again = sum(index not in tags for index in duplicates)
    suppressed = len(suppressions(own)) if own else 0
    yield Accepted(
        source=submission.source,
        accepted=len(own) - suppressed - again,
        duplicates=again,
        suppressed=suppressed,
        rejected=len(submission.refusals),
        endpoint=submission.endpoint.value,
        codes=Counter(refusal.errors[0].code for refusal in submission.refusals)
        if submission.refusals
        else _NO_CODES,
    )
    if own:
        yield from rule_notices(submission.source, own, duplicates)
    for entry in fired:
        verdict = "suppressed" if entry.suppressed is not None else "accepted"
        verdict = "duplicates" if entry.index in duplicates else verdict
        yield TagFired(tag=entry.pixel, source=submission.source, verdict=verdict)
    if submission.unfired:
        unfired = Counter((tag.tag, tag.reason) for tag in submission.unfired)
        for (tag, reason), times in unfired.items():
            yield TagPassed(tag=tag, source=submission.source, reason=reason, times=times)
    if own and (verdicts := judged(own)):
        yield Judged(source=submission.source, verdicts=verdicts)
    if submission.ignored:
        yield IgnoredSome(
            source=submission.source,
            endpoint=submission.endpoint.value,
            reasons=Counter(ignored.reason for ignored in submission.ignored),
        )


def _id_at(parsed: ParsedNative, place: int | None) -> str | None:
    conversion = None if place is None else parsed.results[place].conversion
    return None if conversion is None else conversion.conversion_id


def judged(entries: Sequence[AcceptedConversion]) -> Mapping[tuple[str, str], int]:
    """Count the consent decisions by (action, rule)."""
    kept = [entry.consent for entry in entries if entry.consent is not None]
    if not kept:
        return {}
    decided = [_DECIDED.decode(evidence) for evidence in kept]
    return Counter((decision.action, decision.rule) for decision in decided)


def entry_of(
    conversion: Conversion,
    index: int,
    look: Look,
    *,
    suppressed: str | None = None,
    held: str | None = None,
    cause: DeliveryCause | None = None,
    consent: bytes | None = None,
    value_change: ValueChange | None = None,
) -> AcceptedConversion:
    """Return the entry of a conversion; `look` checks its amount."""
    # A suppressed conversion needs no second reason, so its amount is not checked.
    flag, unusual = look(conversion) if suppressed is None else _PASSED
    if unusual is not None and held is None and flag is not None:
        held, cause = unusual, DeliveryCause(f"amount_{flag.kind}")
    pixel, event, identity = conversion.pixel, conversion.event, conversion.conversion_id
    return AcceptedConversion(
        index=index,
        key=dedup_key(pixel, event, identity),
        pixel=pixel,
        event=event,
        conversion_id=identity,
        body=conversion_body(conversion),
        suppressed=suppressed,
        held=None if suppressed is not None else held,
        cause=cause,
        consent=consent,
        key_set=key_set_of(conversion.identifiers),
        flag=flag,
        value_change=value_change,
    )


class _Decided(msgspec.Struct, frozen=True):
    action: str
    rule: str


_DECIDED: Final = msgspec.json.Decoder(_Decided)

"""Build ledger entries (dedup key, X body, consent) from the conversions of a parsed request."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from twite.domain.consent import REVOKED
from twite.domain.conversion import Conversion
from twite.domain.dedup import dedup_key
from twite.domain.identifiers import Identifiers
from twite.domain.stats.match_keys import DOUBLE, Flaw, key_set_of, winning, without_nobody
from twite.domain.stats.value_guard import ValueFlag
from twite.domain.submission import (
    AcceptedConversion,
    FlawedIdentifier,
    RejectedConversion,
    Submission,
)
from twite.formats.event_data.conversions import as_seen, in_our_words
from twite.formats.event_data.of_native import event_of
from twite.formats.native.answers import IdentifierWarning
from twite.formats.native.conversion import ReadConversion
from twite.formats.native.read import ParsedNative
from twite.formats.native.values import digests_of
from twite.formats.parsed_request import ParsedRequest
from twite.gateway.ingest.rejections import refusal_of
from twite.gateway.ports.events import Accepted, IgnoredSome, Judged, Notice, TagFired, TagPassed
from twite.gateway.ports.tags import PREFIX, TagOutcome, TagRemark, TagStatus
from twite.x.encode import batch_body, conversion_body

# Conversion → (flag of an unusual amount or None, reason to hold it or None).
Look = Callable[[Conversion], tuple[ValueFlag | None, str | None]]


def split_results(
    reading: ParsedNative, *, look: Look, salt: bytes
) -> tuple[
    tuple[AcceptedConversion, ...], tuple[RejectedConversion, ...], tuple[IdentifierWarning, ...]
]:
    """Return (entries, rejected conversions, warnings on accepted ones).

    `salt` keys the erasure marks of rejected conversions.
    """
    entries: list[AcceptedConversion] = []
    refusals: list[RejectedConversion] = []
    remarks: list[IdentifierWarning] = []
    for given, result in zip(reading.given, reading.results, strict=True):
        conversion = result.conversion
        if conversion is None:
            refusals.append(refusal_of(given, result, salt=salt))
            continue
        entries.append(_entry(conversion, result, *look(conversion)))
        if result.faults:
            remarks.append(IdentifierWarning(index=result.index, warnings=result.faults))
    return tuple(entries), tuple(refusals), tuple(remarks)


def of_x(
    conversions: Sequence[Conversion], *, revoked: Sequence[bool], body: bytes, look: Look
) -> tuple[tuple[AcceptedConversion, ...], bytes]:
    """Return the entries of a request in X's format, and the body to keep.

    X's format has no consent signals, but persons on the pixel's opt-out list are never sent.
    """
    entries = tuple(
        _x_entry(conversion, index, *look(conversion), revoked=is_revoked)
        for index, (conversion, is_revoked) in enumerate(zip(conversions, revoked, strict=True))
    )
    return entries, batch_body([entry.body for entry in entries]) if any(revoked) else body


def tag_events(reading: ParsedNative, found: ParsedRequest | None) -> tuple[TagRemark, ...]:
    """Return the events of a request for which tags may fire.

    Tag endpoints parse events; for other formats, each accepted conversion is an event.
    """
    if found is not None and found.heard:
        return tuple(
            TagRemark(
                event=as_seen(tag_event),
                native=in_our_words(tag_event),
                conversion_id=_id_at(reading, tag_event.conversion),
                repeated=tag_event.repeated,
                index=None
                if tag_event.conversion is None
                else reading.results[tag_event.conversion].index,
            )
            for tag_event in found.heard
        )
    return tuple(
        TagRemark(
            event=event_of(given),
            native=given,
            conversion_id=result.conversion.conversion_id,
            index=result.index,
        )
        for given, result in zip(reading.given, reading.results, strict=True)
        if result.conversion is not None
    )


def tag_outcomes(
    fired: Sequence[AcceptedConversion], duplicates: Sequence[int]
) -> tuple[TagOutcome, ...]:
    """Return the results of the tags' entries after the commit."""
    return tuple(
        TagOutcome(tag=entry.pixel.removeprefix(PREFIX), status=_tag_status(entry, duplicates))
        for entry in fired
    )


def _tag_status(entry: AcceptedConversion, duplicates: Sequence[int]) -> TagStatus:
    if entry.index in duplicates:
        return "duplicate"
    if entry.suppressed is not None:
        return "suppressed"
    return "queued" if entry.held is None else "held"


def notices_of(
    submission: Submission, fired: Sequence[AcceptedConversion], duplicates: Sequence[int]
) -> Iterator[Notice]:
    """Yield the notices of a committed submission; `fired` are the tags' entries."""
    tags = {entry.index for entry in fired}
    own = [entry for entry in submission.entries if entry.index not in tags]
    suppressed = sum(entry.suppressed is not None for entry in own)
    again = sum(index not in tags for index in duplicates)
    yield Accepted(
        source=submission.source,
        accepted=len(own) - suppressed - again,
        duplicates=again,
        suppressed=suppressed,
        rejected=len(submission.refusals),
        endpoint=submission.endpoint.value,
        codes=Counter(refusal.errors[0].code for refusal in submission.refusals),
    )
    for entry in fired:
        verdict = "suppressed" if entry.suppressed is not None else "accepted"
        verdict = "duplicates" if entry.index in duplicates else verdict
        yield TagFired(tag=entry.pixel, source=submission.source, verdict=verdict)
    unfired = Counter((tag.tag, tag.bar) for tag in submission.unfired)
    for (tag, bar), times in unfired.items():
        yield TagPassed(tag=tag, source=submission.source, bar=bar, times=times)
    if verdicts := judged(own):
        yield Judged(source=submission.source, verdicts=verdicts)
    if submission.ignored:
        yield IgnoredSome(
            source=submission.source,
            endpoint=submission.endpoint.value,
            reasons=Counter(ignored.reason for ignored in submission.ignored),
        )


def _id_at(reading: ParsedNative, place: int | None) -> str | None:
    conversion = None if place is None else reading.results[place].conversion
    return None if conversion is None else conversion.conversion_id


def flawed(results: Sequence[ReadConversion]) -> tuple[FlawedIdentifier, ...]:
    """Return the flawed identifiers of all conversions read, accepted or rejected."""
    return tuple(
        FlawedIdentifier(index=read.index, pixel=read.pixel, event=read.event, flaw=flaw)
        for read in results
        for flaw in read.flaws
    )


def matchable(reading: ParsedNative) -> list[tuple[int, Conversion, bool, bool]]:
    """Return conversions X may match, with whether email and phone were submitted as digests."""
    return [
        (read.index, read.conversion, *digests_of(given))
        for given, read in zip(reading.given, reading.results, strict=True)
        if read.conversion is not None
        and read.suppressed is None
        and not (read.flaws and any(flaw.code == DOUBLE for flaw in read.flaws))
    ]


def matchable_x(
    conversions: Sequence[Conversion], flaws: Sequence[tuple[int, Flaw]], revoked: Sequence[bool]
) -> list[tuple[int, Conversion, bool, bool]]:
    """Return the same for a request in X's format, where all identifiers are digests."""
    doubles = {index for index, flaw in flaws if flaw.code == DOUBLE}
    return [
        (index, conversion, True, True)
        for index, (conversion, is_revoked) in enumerate(zip(conversions, revoked, strict=True))
        if not is_revoked and index not in doubles
    ]


def flawed_x(
    conversions: Sequence[Conversion], flaws: Sequence[tuple[int, Flaw]], revoked: Sequence[bool]
) -> tuple[FlawedIdentifier, ...]:
    """Return the same for a request in X's format, for conversions to be sent."""
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
    """Return entries without match keys that match nobody, and flaws with their cost.

    `of_nobody` are flaws that the identifiers themselves do not show.
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
        # A code counts once for a conversion, however many of its fields it spoils.
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


def judged(entries: Sequence[AcceptedConversion]) -> Mapping[tuple[str, str], int]:
    """Count the consent decisions by (action, rule)."""
    kept = [entry.consent for entry in entries if entry.consent is not None]
    if not kept:
        return {}
    decided = [_DECIDED.decode(evidence) for evidence in kept]
    return Counter((decision.action, decision.rule) for decision in decided)


def _entry(
    conversion: Conversion, read: ReadConversion, flag: ValueFlag | None, held: str | None
) -> AcceptedConversion:
    return AcceptedConversion(
        index=read.index,
        key=dedup_key(conversion.pixel, conversion.event, conversion.conversion_id),
        pixel=conversion.pixel,
        event=conversion.event,
        conversion_id=conversion.conversion_id,
        body=conversion_body(conversion),
        suppressed=read.suppressed,
        # A suppressed conversion needs no second reason, and its amount does not matter.
        held=None if read.suppressed is not None else read.held or held,
        consent=read.evidence,
        key_set=key_set_of(conversion.identifiers),
        flag=None if read.suppressed is not None else flag,
    )


def _x_entry(
    conversion: Conversion,
    index: int,
    flag: ValueFlag | None,
    held: str | None,
    *,
    revoked: bool,
) -> AcceptedConversion:
    if revoked:
        conversion = msgspec.structs.replace(conversion, identifiers=Identifiers())
    return AcceptedConversion(
        index=index,
        key=dedup_key(conversion.pixel, conversion.event, conversion.conversion_id),
        pixel=conversion.pixel,
        event=conversion.event,
        conversion_id=conversion.conversion_id,
        body=conversion_body(conversion),
        suppressed=REVOKED if revoked else None,
        held=None if revoked else held,
        key_set=key_set_of(conversion.identifiers),
        flag=None if revoked else flag,
    )


class _Decided(msgspec.Struct, frozen=True):
    action: str
    rule: str


_DECIDED: Final = msgspec.json.Decoder(_Decided)

"""Accept native conversions whose event no pixel defines if a tag receives the event."""

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Literal, Protocol, get_args

import msgspec

from twite.domain.submission import AcceptedConversion, NotFiredReason, Recorded, UnfiredTags
from twite.formats.event_data.of_native import event_of
from twite.formats.native.answers import IdentifierWarning, Suppressed
from twite.formats.native.read import ParsedNative
from twite.gateway.ingest.receipts import AcceptReceipt
from twite.gateway.ports.tags import FiringResult, TagRemark

Status = Literal["accepted", "duplicate", "held", "suppressed"]


class Dispatch(Protocol):
    def __call__(
        self, remarks: Sequence[TagRemark], *, first: int, held: Mapping[int, AcceptedConversion]
    ) -> Awaitable[FiringResult]: ...


class TagOnlyEvents(msgspec.Struct, frozen=True, kw_only=True):
    """The events that only tags received: the tags' entries by the event's index in the request.

    An event with no entries lacks the consent that its tags require.
    """

    entries: Mapping[int, tuple[AcceptedConversion, ...]] = {}
    unfired: tuple[UnfiredTags, ...] = ()

    @property
    def fired(self) -> tuple[AcceptedConversion, ...]:
        return tuple(entry for entries in self.entries.values() for entry in entries)

    def counted_in(self, receipt: AcceptReceipt, recorded: Recorded) -> AcceptReceipt:
        """Add these events to the receipt of the request's other conversions."""
        if not self.entries:
            return receipt
        places: dict[Status, list[int]] = {status: [] for status in get_args(Status)}
        for index, entries in self.entries.items():
            places[_status(entries, recorded)].append(index)
        reasons = [
            Suppressed(index=index, reason=self._reason(index)) for index in places["suppressed"]
        ]
        return msgspec.structs.replace(
            receipt,
            accepted=receipt.accepted + len(places["accepted"]),
            duplicates=receipt.duplicates + len(places["duplicate"]),
            suppressed=receipt.suppressed + len(places["suppressed"]),
            held=receipt.held + len(places["held"]),
            duplicate_indexes=_joined(receipt.duplicate_indexes, places["duplicate"]),
            suppressed_indexes=_joined(receipt.suppressed_indexes, places["suppressed"]),
            held_indexes=_joined(receipt.held_indexes, places["held"]),
            suppressed_reasons=tuple(
                sorted((*receipt.suppressed_reasons, *reasons), key=lambda found: found.index)
            ),
        )

    def _reason(self, index: int) -> str:
        reasons = [entry.suppressed for entry in self.entries[index] if entry.suppressed]
        return reasons[0] if reasons else "tag_consent"

    def warnings(self, parsed: ParsedNative) -> Iterator[IdentifierWarning]:
        """Yield each unknown-event error as a warning: the event may be misspelled."""
        for index in self.entries:
            yield IdentifierWarning(index=index, warnings=parsed.results[index].faults)


async def tag_only_events(parsed: ParsedNative, dispatch: Dispatch, *, first: int) -> TagOnlyEvents:
    """Fire tags for conversions whose only fault is an unknown event; indexes start at `first`."""
    entries: dict[int, tuple[AcceptedConversion, ...]] = {}
    unfired: list[UnfiredTags] = []
    for given, result in zip(parsed.given, parsed.results, strict=True):
        if not result.is_unknown_event:
            continue
        remark = TagRemark(event=event_of(given), native=given, index=result.index)
        firing = await dispatch([remark], first=first + sum(map(len, entries.values())), held={})
        needs_consent = any(tag.reason == NotFiredReason.CONSENT for tag in firing.unfired)
        if firing.fired or needs_consent:
            entries[result.index] = firing.fired
            unfired += firing.unfired
    return TagOnlyEvents(entries=entries, unfired=tuple(unfired))


def _joined(before: tuple[int, ...], more: list[int]) -> tuple[int, ...]:
    return tuple(sorted((*before, *more)))


def _status(entries: Sequence[AcceptedConversion], recorded: Recorded) -> Status:
    sent = [entry for entry in entries if entry.suppressed is None]
    fresh = [entry for entry in sent if entry.index not in recorded.duplicates]
    if any(not entry.held and entry.index not in recorded.held for entry in fresh):
        return "accepted"
    if fresh:
        return "held"
    return "duplicate" if sent else "suppressed"

"""The report of a what-if: what would have been different, by number and by example."""

from collections.abc import Mapping, Sequence

import msgspec

from twite.domain.times import spelled
from twite.gateway.operations.explain import FieldChange, changes
from twite.gateway.what_if.candidate import RequestCandidate
from twite.gateway.what_if.verdict import MEANINGS, IntakeVerdict, NotStored
from twite.redaction.mask_tree import masked_tree

MOST_EXAMPLES = 3


class WhatIfExample(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion whose outcome differs, masked. `received_at` is in ISO 8601.

    `index` is its place in the request that has this receipt. `event` is X's id of it. `changes`
    are the fields sent to X that differ.
    """

    receipt: str
    index: int
    received_at: str
    pixel: str
    event: str
    conversion_id: str
    changes: tuple[FieldChange, ...] = ()


class WhatIfDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Conversions of a source that differ in the same way.

    `verdict_before` was decided at intake, and `verdict_after` would have been. If they are equal,
    the fields in `fields` of what X gets differ.
    """

    source: str
    verdict_before: IntakeVerdict
    verdict_after: IntakeVerdict
    fields: tuple[str, ...] = ()
    conversions: int
    examples: tuple[WhatIfExample, ...]


class IgnoredEvents(msgspec.Struct, frozen=True, kw_only=True):
    """Events that were ignored, counted by UTC day, and would be conversions. `event` is X's id."""

    source: str
    name: str
    reason: str
    event: str
    times: int


class UnusedSetting(msgspec.Struct, frozen=True, kw_only=True):
    """A changed setting that a what-if cannot apply, and why."""

    setting: str
    reason: str


class WhatIfReport(msgspec.Struct, frozen=True, kw_only=True):
    """What would have been different in a range of times, from `since` until before `until`.

    `before` and `after` count conversions by outcome. `unchanged` counts those that would have been
    treated alike. `incomplete` counts those that would be sent, with identifiers that are no longer
    stored, too. `tag_runs` counts deliveries of tags, which are not run again. `is_cut` is whether
    a limit ended the run: the later ones were not read. If half of the time was over before the
    range, what was received from `skipped_from` until `since` was not read: whether a conversion of
    the range is a copy of such a one is unknown.
    """

    since: str
    until: str
    conversions: int
    unchanged: int
    before: Mapping[str, int]
    after: Mapping[str, int]
    differences: tuple[WhatIfDifference, ...] = ()
    unknown: Mapping[str, str] = {}
    ignored: tuple[IgnoredEvents, ...] = ()
    not_applied: tuple[UnusedSetting, ...] = ()
    incomplete: int = 0
    tag_runs: int = 0
    is_cut: bool = False
    skipped_from: str | None = None


class PastComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion before and after.

    The bodies for X are empty if they do not differ, or it is not accepted both times;
    `pixel_before` is None then, too. `fields` are those in which the bodies differ.
    """

    source: str
    receipt: str
    index: int
    received_at: int
    pixel: str
    event: str
    conversion_id: str
    verdict_before: IntakeVerdict
    verdict_after: IntakeVerdict
    pixel_before: str | None = None
    body_before: bytes = b""
    body_after: bytes = b""
    fields: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether X would get the same."""
        is_same_pixel = self.pixel_before is None
        return is_same_pixel and self.body_before == self.body_after and not self.lacks


class ReportBuilder:
    """Sums comparisons up."""

    def __init__(self) -> None:
        self.conversions = self.unchanged = self.incomplete = self.tag_runs = 0
        self._before: dict[str, int] = {}
        self._after: dict[str, int] = {}
        self._groups: dict[tuple[object, ...], list[WhatIfExample]] = {}
        self._counts: dict[tuple[object, ...], int] = {}

    def add_request(self, request: RequestCandidate, comparisons: Sequence[PastComparison]) -> None:
        """Add all conversions of a request, and count its runs of tags."""
        own = sum(comparison.index not in request.refused for comparison in comparisons)
        self.tag_runs += request.entries - own
        for comparison in comparisons:
            self.add(comparison)

    def add(self, comparison: PastComparison) -> None:
        before, after = comparison.verdict_before, comparison.verdict_after
        self.conversions += 1
        self._before[before.outcome] = self._before.get(before.outcome, 0) + 1
        self._after[after.outcome] = self._after.get(after.outcome, 0) + 1
        self.incomplete += bool(comparison.lacks)
        if before == after and comparison.is_same:
            self.unchanged += 1
            return
        fields: tuple[str, ...] = ()
        if before == after:
            fields = comparison.fields + comparison.lacks
        if comparison.pixel_before is not None:
            fields = ("pixel", *fields)
        group = comparison.source, before, after, fields
        self._counts[group] = self._counts.get(group, 0) + 1
        examples = self._groups.setdefault(group, [])
        if len(examples) < MOST_EXAMPLES:
            found = changes(comparison.body_before, comparison.body_after)
            if comparison.pixel_before is not None:
                other_pixel = FieldChange(
                    field="pixel", before=comparison.pixel_before, after=comparison.pixel
                )
                found = (other_pixel, *found)
            examples.append(_example(comparison, found))

    def report(
        self,
        *,
        since: int,
        until: int,
        ignored: Sequence[IgnoredEvents] = (),
        not_applied: Sequence[UnusedSetting] = (),
        is_cut: bool = False,
        skipped_from: int | None = None,
    ) -> WhatIfReport:
        differences = [
            WhatIfDifference(
                source=str(source),
                verdict_before=before,  # type: ignore[arg-type]  # as `add` makes them
                verdict_after=after,  # type: ignore[arg-type]
                fields=fields,  # type: ignore[arg-type]
                conversions=self._counts[group],
                examples=tuple(examples),
            )
            for group, examples in self._groups.items()
            for source, before, after, fields in [group]
        ]
        differences.sort(key=lambda each: -each.conversions)
        reasons = {each.verdict_after.reason for each in differences}
        return WhatIfReport(
            since=spelled(since),
            until=spelled(until),
            conversions=self.conversions,
            unchanged=self.unchanged,
            before=dict(sorted(self._before.items())),
            after=dict(sorted(self._after.items())),
            differences=tuple(differences),
            unknown={
                reason.value: MEANINGS[reason] for reason in NotStored if reason.value in reasons
            },
            ignored=tuple(ignored),
            not_applied=tuple(not_applied),
            incomplete=self.incomplete,
            tag_runs=self.tag_runs,
            is_cut=is_cut,
            skipped_from=None if skipped_from is None else spelled(skipped_from),
        )


def _example(comparison: PastComparison, found: tuple[FieldChange, ...]) -> WhatIfExample:
    identity = masked_tree(comparison.conversion_id, "conversion_id")
    return WhatIfExample(
        receipt=comparison.receipt,
        index=comparison.index,
        received_at=spelled(comparison.received_at),
        pixel=comparison.pixel,
        event=comparison.event,
        conversion_id=identity if isinstance(identity, str) else "",
        changes=found,
    )

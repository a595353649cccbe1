"""Sum up the comparisons of many cases: counts, and an example for each place that differs."""

from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from twite.domain.json_tree import Tree
from twite.gtm.compare.comparison import ABSENT, ComparedPair, ComparisonResult
from twite.redaction.mask_text import shown_path

Mask = Callable[[str, Tree], str]


class ShownDifference(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one case: the comparison, and the tags here that failed, with the reason.

    `unread` is the error of an unreadable case; `kept_back` the reason why the gateway passed an
    event to no tag, one for each event.
    """

    line: int
    compared: ComparisonResult = ComparisonResult()
    failed: tuple[tuple[str, str], ...] = ()
    unread: str = ""
    kept_back: tuple[str, ...] = ()


class DifferenceGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The same place in the same tag's requests, `times` over; the values are of `line`, masked."""

    tag: str
    url: str
    path: str
    times: int
    line: int
    there: str
    here: str


class ComparisonSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The summary. `matched` and `different` count requests, the others count by name.

    `kept_back` counts events, by the reason.
    """

    cases: int
    matched: int
    different: int
    missing: dict[str, int]
    extra: dict[str, int]
    failed: dict[str, int]
    unread: dict[str, int]
    kept_back: dict[str, int]
    ignored: dict[str, int]
    differences: tuple[DifferenceGroup, ...]

    @property
    def is_alike(self) -> bool:
        """Whether nothing differs."""
        odd = (self.different, self.missing, self.extra, self.failed, self.unread, self.kept_back)
        return not any(odd)


def summed(shown: Iterable[ShownDifference], mask: Mask) -> ComparisonSummary:
    """Sum up the cases. `mask` makes a place and its value safe to show."""
    groups: dict[tuple[str, str, str], DifferenceGroup] = {}
    missing, extra, failed = Counter[str](), Counter[str](), Counter[str]()
    unread, ignored, alike = Counter[str](), Counter[str](), Counter[bool]()
    kept_back, cases = Counter[str](), 0
    for case in shown:
        cases += 1
        unread.update([case.unread] if case.unread else [])
        kept_back.update(case.kept_back)
        missing.update(case.compared.missing)
        extra.update(f"{tag}: {url}" for tag, url in case.compared.extra)
        failed.update(f"{tag}: {why}" for tag, why in case.failed)
        for pair in case.compared.pairs:
            alike[not pair.differences] += 1
            ignored.update(shown_path(path) for path in pair.ignored)
            _group(groups, pair, case.line, mask)
    return ComparisonSummary(
        cases=cases,
        matched=alike[True],
        different=alike[False],
        missing=dict(missing.most_common()),
        extra=dict(extra.most_common()),
        failed=dict(failed.most_common()),
        unread=dict(unread.most_common()),
        kept_back=dict(kept_back.most_common()),
        ignored=dict(ignored.most_common()),
        differences=tuple(sorted(groups.values(), key=lambda group: -group.times)),
    )


def _group(
    groups: dict[tuple[str, str, str], DifferenceGroup], pair: ComparedPair, line: int, mask: Mask
) -> None:
    for difference in pair.differences:
        path = shown_path(difference.path)
        key = (pair.tag, pair.url, path)
        found = groups.get(key)
        groups[key] = DifferenceGroup(
            tag=pair.tag,
            url=pair.url,
            path=path,
            times=1 if found is None else found.times + 1,
            line=line if found is None else found.line,
            there=_told(mask, difference.path, difference.there) if found is None else found.there,
            here=_told(mask, difference.path, difference.here) if found is None else found.here,
        )


def _told(mask: Mask, path: str, value: Tree) -> str:
    return ABSENT if value == ABSENT else mask(path, value)

"""Value rules at intake: replace amounts after reading, and before a conversion is stored.

This is the one place for all formats. Value guards judge the new amounts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from twite.domain.submission import AcceptedConversion
from twite.formats.native.read import ParsedNative
from twite.formats.value_rules import ValueRules
from twite.formats.x_api.read import XReading
from twite.gateway.ports.events import ValueRulesApplied

CHANGED: Final = "changed"


class CurrentValueRules:
    """The rules of the settings in use. `use` replaces them between two requests."""

    def __init__(self, rules: ValueRules | None = None) -> None:
        self.rules = rules or ValueRules(pixels={})

    def use(self, rules: ValueRules) -> None:
        self.rules = rules

    def applied(self, parsed: ParsedNative, source: str) -> ParsedNative:
        """Return a request with new amounts. The body to store has the original ones."""
        rules = self.rules
        if not rules:
            return parsed
        results = list(parsed.results)
        is_same = True
        for place, result in enumerate(results):
            if result.conversion is None or result.suppressed is not None:
                continue
            found = rules.applied(result.conversion, source=source, rule_fields=result.rule_fields)
            if found.change is not None:
                is_same = False
                results[place] = msgspec.structs.replace(
                    result, conversion=found.conversion, value_change=found.change
                )
        return parsed if is_same else msgspec.structs.replace(parsed, results=tuple(results))

    def applied_x(self, reading: XReading, source: str) -> XReading:
        """Do the same for a request in X's format."""
        rules = self.rules
        if not rules:
            return reading
        found = [rules.applied(conversion, source=source) for conversion in reading.conversions]
        return msgspec.structs.replace(
            reading,
            conversions=tuple(each.conversion for each in found),
            value_changes=tuple(each.change for each in found),
        )


def rule_notices(
    source: str, entries: Iterable[AcceptedConversion], duplicates: Sequence[int] = ()
) -> Iterator[ValueRulesApplied]:
    """Yield what rules did with the entries of committed submissions, if anything."""
    results = Counter(
        (change.rule, CHANGED if change.problem is None else change.problem.value)
        for entry in entries
        if (change := entry.value_change) is not None and entry.index not in duplicates
    )
    if results:
        yield ValueRulesApplied(source=source, results=results)

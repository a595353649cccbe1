"""`twite value try`: what rules make of the amounts of conversions, by rule and by example."""

from collections.abc import Sequence
from decimal import Context, Decimal, Inexact
from typing import Final

import msgspec

from twite.domain.conversion import Conversion, shown_amount
from twite.domain.value_change import RuleFields, RuleProblem, ValueChange
from twite.formats.value_rules import RuleResult, ValueRules
from twite.redaction.mask_tree import masked_tree

MOST_EXAMPLES: Final = 3
MOST_FAILURES: Final = 20
# Amounts have at most 18 digits before the point, and 18 after it.
_EXACT: Final = Context(prec=100, traps=[Inexact])
_NOTHING: Final = Decimal(0)


class TriedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a conversion is: the row of a file, or None in the store, and its id, masked."""

    file: str | None = None
    row: int | None = None
    conversion_id: str | None = None

    def __str__(self) -> str:
        row = "" if self.row is None else f"{self.file} row {self.row}"
        name = self.conversion_id or ""
        return f"{row} ({name})" if row and name else row or name


class TriedExample(msgspec.Struct, frozen=True, kw_only=True):
    """An amount before and after the rules; None for a conversion without an amount."""

    place: TriedPlace
    before: str | None
    currency_before: str | None
    after: str | None
    currency: str | None


class TriedFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Conversions for which a rule fails alike. `detail` names the expression, and why."""

    problem: RuleProblem
    detail: str
    conversions: int
    place: TriedPlace


class CurrencySum(msgspec.Struct, frozen=True, kw_only=True):
    """Exact sums of amounts in a currency, as decimal strings. Failures keep their amount."""

    currency: str
    before: str
    after: str


class TriedRule(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule does: `matched` counts the conversions that it applies to.

    They are those in `changed` and `failed`, and those whose amount is already the result. `sums`
    are those of all of them. `failures` has the first kinds of failures, at most 20.
    """

    rule: str
    matched: int
    changed: int
    failed: int
    sums: tuple[CurrencySum, ...]
    examples: tuple[TriedExample, ...]
    failures: tuple[TriedFailure, ...]


class NotTried(msgspec.Struct, frozen=True, kw_only=True):
    """Conversions that rules do not get, or whose amount is not known. `reason` is a code."""

    reason: str
    meaning: str
    conversions: int
    place: TriedPlace


class MissingPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the asked range of which the store lacks conversions, or their amounts.

    `reason` is a code, and `conversions` how many are known to lack; None if nobody knows.
    """

    since: str
    until: str
    reason: str
    meaning: str
    conversions: int | None = None


class ValueTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules of the settings make of conversions.

    `conversions` counts those that were tried, `unmatched` those to which no rule applies. `sums`
    are those of all that were tried. `since` and `until` are the range of a store, `files` the
    names of files. `missing` has the parts of the range that are not tried, or not wholly.
    `unreadable_tables` says what is wrong with tables: rules that need them fail.
    """

    since: str | None = None
    until: str | None = None
    files: tuple[str, ...] = ()
    conversions: int
    sums: tuple[CurrencySum, ...]
    rules: tuple[TriedRule, ...]
    unmatched: int
    unmatched_examples: tuple[TriedExample, ...]
    not_tried: tuple[NotTried, ...]
    missing: tuple[MissingPart, ...] = ()
    unreadable_tables: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        return sum(rule.failed for rule in self.rules)


def place_of(conversion_id: str, *, file: str | None = None, row: int | None = None) -> TriedPlace:
    """Return a place, with the id masked."""
    masked = masked_tree(conversion_id, "conversion_id")
    return TriedPlace(
        file=file, row=row, conversion_id=masked if isinstance(masked, str) and masked else None
    )


class TrialBuilder:
    """Applies rules to conversions, and sums up the results."""

    def __init__(self, rules: ValueRules) -> None:
        self._rules = rules
        self._tried = {rule.name: _RuleTally() for rule in rules.rules}
        self._all, self._unmatched = _RuleTally(), _RuleTally()
        self._not_tried: dict[str, NotTried] = {}

    def add(
        self, conversion: Conversion, rule_fields: RuleFields, *, source: str, place: TriedPlace
    ) -> None:
        """Apply the rules to a conversion with its original amount."""
        result = self._rules.applied(conversion, source=source, rule_fields=rule_fields)
        self._all.add(conversion, result, place)
        tally = self._unmatched if result.rule is None else self._tried[result.rule]
        tally.add(conversion, result, place)

    def leave_out(self, reason: str, meaning: str, place: TriedPlace) -> None:
        """Count a conversion that is not tried."""
        known = self._not_tried.get(reason)
        self._not_tried[reason] = NotTried(
            reason=reason,
            meaning=meaning if known is None else known.meaning,
            conversions=1 if known is None else known.conversions + 1,
            place=place if known is None else known.place,
        )

    def trial(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        files: Sequence[str] = (),
        missing: Sequence[MissingPart] = (),
        unreadable_tables: Sequence[str] = (),
    ) -> ValueTrial:
        return ValueTrial(
            since=since,
            until=until,
            files=tuple(files),
            conversions=self._all.matched,
            sums=self._all.sums(),
            rules=tuple(tally.tried_rule(name) for name, tally in self._tried.items()),
            unmatched=self._unmatched.matched,
            unmatched_examples=tuple(self._unmatched.examples),
            not_tried=tuple(
                sorted(self._not_tried.values(), key=lambda each: (-each.conversions, each.reason))
            ),
            missing=tuple(missing),
            unreadable_tables=tuple(unreadable_tables),
        )


class _RuleTally:
    """The conversions of a rule. Its examples are changed ones, unless none is."""

    def __init__(self) -> None:
        self.matched = self.changed = self.failed = 0
        self.examples: list[TriedExample] = []
        self._failures: dict[tuple[RuleProblem, str], TriedFailure] = {}
        self._before: dict[str, Decimal] = {}
        self._after: dict[str, Decimal] = {}

    def add(self, conversion: Conversion, result: RuleResult, place: TriedPlace) -> None:
        self.matched += 1
        change, after = result.change, result.conversion
        _count(self._before, conversion)
        _count(self._after, after)
        if change is not None and change.problem is not None:
            self.failed += 1
            self._fail(change, change.problem, place)
            return
        self.changed += change is not None
        is_wanted = change is not None or result.rule is None
        if is_wanted and len(self.examples) < MOST_EXAMPLES:
            self.examples.append(
                TriedExample(
                    place=place,
                    before=_shown(conversion),
                    currency_before=conversion.currency,
                    after=_shown(after),
                    currency=after.currency,
                )
            )

    def sums(self) -> tuple[CurrencySum, ...]:
        return tuple(
            CurrencySum(
                currency=currency,
                before=_text(self._before.get(currency, _NOTHING), currency),
                after=_text(self._after.get(currency, _NOTHING), currency),
            )
            for currency in sorted({*self._before, *self._after})
        )

    def tried_rule(self, name: str) -> TriedRule:
        return TriedRule(
            rule=name,
            matched=self.matched,
            changed=self.changed,
            failed=self.failed,
            sums=self.sums(),
            examples=tuple(self.examples),
            failures=tuple(self._failures.values()),
        )

    def _fail(self, change: ValueChange, problem: RuleProblem, place: TriedPlace) -> None:
        known = self._failures.get((problem, change.detail))
        if known is None and len(self._failures) == MOST_FAILURES:
            return
        self._failures[problem, change.detail] = TriedFailure(
            problem=problem,
            detail=change.detail,
            conversions=1 if known is None else known.conversions + 1,
            place=place if known is None else known.place,
        )


def _count(sums: dict[str, Decimal], conversion: Conversion) -> None:
    if conversion.value is not None and conversion.currency is not None:
        known = sums.get(conversion.currency, _NOTHING)
        sums[conversion.currency] = _EXACT.add(known, Decimal(conversion.value))


def _shown(conversion: Conversion) -> str | None:
    if conversion.value is None:
        return None
    return shown_amount(conversion.value, conversion.currency or "")


def _text(number: Decimal, currency: str) -> str:
    return shown_amount(format(number, "f"), currency)

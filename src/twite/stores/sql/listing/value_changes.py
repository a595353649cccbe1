"""What value rules made of amounts: failures of rules, and conversions with both amounts."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from twite.domain.test_mode import TEST
from twite.domain.value_change import RuleFailures, RuleProblem, ValuedConversion
from twite.stores.sql.listing.conversions import number_at
from twite.stores.sql.records import view
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import SqlConnection, query


class FailedRuleRow(QueryRow):
    statement: ClassVar[str] = "failed_rules"

    rule: str
    problem: str
    times: int
    detail: str


class ValuedConversionRow(QueryRow):
    statement: ClassVar[str] = "valued_conversions"

    delivery: int
    pixel: str
    event: str
    source: str
    conversion_id: str
    body: bytes
    rule: str | None
    value_before: str | None
    currency_before: str | None


def failed_rules(connection: SqlConnection, *, since: int) -> list[RuleFailures]:
    """Return the failures of rules for real conversions since a time (ms)."""
    with view(connection):
        rows = FailedRuleRow.read(connection, {"floor": _floor(connection, since), "test": TEST})
    return [
        RuleFailures(
            rule=row.rule, problem=RuleProblem(row.problem), times=row.times, detail=row.detail
        )
        for row in rows
    ]


def valued_conversions(
    connection: SqlConnection, *, since: int, after: int, limit: int
) -> Sequence[ValuedConversion]:
    """Return conversions that are not suppressed, received since a time (ms), after an id."""
    with view(connection):
        after = max(after, _floor(connection, since) - 1)
        rows = ValuedConversionRow.read(connection, {"after": after, "limit": limit})
    return [
        ValuedConversion(**(msgspec.structs.asdict(row) | {"body": bytes(row.body)}))
        for row in rows
    ]


def _floor(connection: SqlConnection, since: int) -> int:
    last, _first = connection.execute(query("latest")).fetchone()
    return number_at(connection, since, last) if since > 0 else 0

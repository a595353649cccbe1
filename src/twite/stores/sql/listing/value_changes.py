"""Failures of value rules."""

from typing import ClassVar

from twite.domain.test_mode import TEST
from twite.domain.value_change import RuleFailures, RuleProblem
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


def _floor(connection: SqlConnection, since: int) -> int:
    last, _first = connection.execute(query("latest")).fetchone()
    return number_at(connection, since, last) if since > 0 else 0

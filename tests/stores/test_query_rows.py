"""The structs of statements' rows, compared with the columns in both engines."""

import re
from contextlib import closing

import asyncpg
import pytest

from twite.domain.history import ConversionCounts
from twite.domain.stats.traffic import HourlyTraffic
from twite.domain.submission import IgnoredTally
from twite.gateway.ports.queries import FlaggedAmount
from twite.gateway.ports.state import DecisionPolicy, RateLimitWindow, SealedSecret
from twite.stores.postgres.statements import STATEMENTS
from twite.stores.sql.console_queries import OriginRow
from twite.stores.sql.copies import HolderRow
from twite.stores.sql.listing.conversions import SummaryRow
from twite.stores.sql.listing.exports import StoredConversionRow
from twite.stores.sql.listing.past_requests import PastConversionRow, PastRequestRow
from twite.stores.sql.listing.problems import DetailsRow, ErrorGroupRow
from twite.stores.sql.listing.value_changes import FailedRuleRow
from twite.stores.sql.privacy import ToEraseRow
from twite.stores.sql.pruning import NextSubmissionsRow, PruningPlace
from twite.stores.sql.records import HistoryRow
from twite.stores.sql.rows.figure_tables import NormRow
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.rows.tables import AlertRow, RejectionRow
from twite.stores.sql.rows.user_tables import ApiKeyRow, AuditEventRow, SessionRow, UserRow
from twite.stores.sql.statements import query
from twite.stores.sqlite.engine.schema import new_database

QUERY_ROWS = [
    DetailsRow,
    ErrorGroupRow,
    FailedRuleRow,
    HistoryRow,
    HolderRow,
    NextSubmissionsRow,
    OriginRow,
    PastConversionRow,
    PastRequestRow,
    StoredConversionRow,
    SummaryRow,
    ToEraseRow,
]
# Statements whose rows are read as rows of a table, or as records of the domain.
STRUCTS = {
    "accounts": ConversionCounts,
    "alerts": AlertRow,
    "all_rejections": RejectionRow,
    "api_key": ApiKeyRow,
    "api_keys": ApiKeyRow,
    "audit_events_after": AuditEventRow,
    "audit_events_before": AuditEventRow,
    "closures": RateLimitWindow,
    "flagged_amounts": FlaggedAmount,
    "ignored": IgnoredTally,
    "norms": NormRow,
    "policies": DecisionPolicy,
    "pruning": PruningPlace,
    "sealed": SealedSecret,
    "session": SessionRow,
    "sessions": SessionRow,
    "traffic": HourlyTraffic,
    "user": UserRow,
    "users": UserRow,
} | {kind.statement: kind for kind in QUERY_ROWS}


def test_every_result_struct_is_compared_with_its_statement():
    assert set(QueryRow.__subclasses__()) == set(QUERY_ROWS)


@pytest.mark.parametrize("statement", STRUCTS)
def test_result_struct_has_the_columns_of_its_statement_in_sqlite(statement):
    text = query(statement)
    values = dict.fromkeys(re.findall(r":(\w+)", text), 1)

    with closing(new_database()) as connection:
        columns = connection.execute(text, values).description

    assert tuple(name for name, *_ in columns) == STRUCTS[statement].__struct_fields__


@pytest.mark.parametrize("statement", STRUCTS)
async def test_result_struct_has_the_columns_of_its_statement_in_postgresql(
    statement, postgres_url
):
    driver = await asyncpg.connect(postgres_url)
    prepared = await driver.prepare(STATEMENTS[statement].text)
    columns = prepared.get_attributes()
    await driver.close()

    assert tuple(column.name for column in columns) == STRUCTS[statement].__struct_fields__

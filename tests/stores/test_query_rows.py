"""The structs of statements' rows, compared with the columns in both engines."""

import re
from contextlib import closing

import asyncpg
import pytest

from twite.stores.postgres.statements import STATEMENTS
from twite.stores.sql.console_queries import SummaryRow
from twite.stores.sql.records import HistoryRow
from twite.stores.sql.rows.query_row import QueryRow
from twite.stores.sql.statements import query
from twite.stores.sqlite.engine.schema import new_database

KINDS = [HistoryRow, SummaryRow]


def test_every_result_struct_is_compared_with_its_statement():
    assert QueryRow.__subclasses__() == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_result_struct_has_the_columns_of_its_statement_in_sqlite(kind):
    text = query(kind.statement)
    values = dict.fromkeys(re.findall(r":(\w+)", text), "[]")

    with closing(new_database()) as connection:
        columns = connection.execute(text, values).description

    assert tuple(name for name, *_ in columns) == kind.__struct_fields__


@pytest.mark.parametrize("kind", KINDS)
async def test_result_struct_has_the_columns_of_its_statement_in_postgresql(kind, postgres_url):
    driver = await asyncpg.connect(postgres_url)
    prepared = await driver.prepare(STATEMENTS[kind.statement].text)
    columns = prepared.get_attributes()
    await driver.close()

    assert tuple(column.name for column in columns) == kind.__struct_fields__

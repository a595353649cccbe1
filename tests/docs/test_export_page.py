"""The page of the export has the columns of the code, and their version."""

import re
from pathlib import Path

from twite.app.export.object_target import ROWS_OF_AN_OBJECT
from twite.app.export.run import PAGE
from twite.gateway.operations.export_rows import COLUMNS, FINAL_STATES, OF_BODY, SCHEMA_VERSION

TEXT = (Path(__file__).parents[2] / "docs/reference/export.md").read_text()


def test_page_lists_the_columns_in_order():
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| (.+) \|$", TEXT.partition("## Columns")[2], re.MULTILINE
    )

    assert rows == [(column.name, column.kind.value, column.meaning) for column in COLUMNS]


def test_page_names_the_schema_version_and_the_final_states():
    assert f"Schema version {SCHEMA_VERSION}." in TEXT
    final = re.search(r"(`\w+`, `\w+` and `\w+`) are final", TEXT)[1]
    assert set(re.findall(r"`(\w+)`", final)) == {state.value for state in FINAL_STATES}


def test_page_names_the_size_of_an_object():
    assert f"at most {ROWS_OF_AN_OBJECT + PAGE:,} rows" in TEXT


def test_page_says_what_a_deleted_body_takes_with_it():
    assert {"value", "currency", "occurred_at", "identifiers"} == OF_BODY
    assert "The amount, `occurred_at` and\n`identifiers` are unknown" in TEXT

"""Tables of pages: their order, columns and filters come from the URL."""

from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest

from twite.console.page import FormData
from twite.console.render import FOLDER, PageTemplates
from twite.console.table_view import Column, table_view
from twite.console.time_range import time_range_of

TEMPLATE = """
{% import "table.html" as tables with context %}
{% macro name_cell(row) %}<b>{{ row.name }}</b>{% endmacro %}
{% macro sent_cell(row) %}{{ row.sent }}{% endmacro %}
{% macro note_cell(row) %}{{ row.note }}{% endmacro %}
{% macro row_id(row) %}c{{ row.sent }}{% endmacro %}
{{ tables.table("Orders", rows, [
  column("Name", name_cell, main=true),
  column("Sent by X", sent_cell, number=true),
  column("Note", note_cell, shown=false),
], view=view, empty=("No orders.", "Send one."), totals={"sent-by-x": "7"}, row_id=row_id) }}
"""
ROWS = [
    SimpleNamespace(name="a<b", sent=3, note="late"),
    SimpleNamespace(name="c", sent=4, note=""),
]


def request_of(query=""):
    url = SimpleNamespace(path="/console/orders")
    return SimpleNamespace(query=FormData(query), request=SimpleNamespace(url=url))


def view_of(query="", **options):
    filters = [("state", "State", FormData(query).first("state"))]
    return table_view(request_of(query), filters=filters, sorts=("name", "sent-by-x"), **options)


@pytest.fixture
def draw(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/orders.html").write_text(TEMPLATE)
    templates = PageTemplates((FOLDER, tmp_path), {})
    context = {"now": 0, "zone": None, "form_token": "", "viewer": None}
    return lambda **values: templates.draw("orders.html", context | values)


def test_each_cell_has_its_columns_title_as_label_and_escaped_content(draw):
    page = draw(rows=ROWS, view=view_of())

    assert '<td role="cell" data-label="Name" class="main"><div><b>a&lt;b</b></div></td>' in page
    assert '<td role="cell" data-label="Sent by X" class="right"><div>3</div></td>' in page
    assert '<tr role="row" id="c3">' in page
    assert "late" not in page


def test_totals_are_the_last_row(draw):
    page = draw(rows=ROWS, view=view_of())

    foot = page.split("<tfoot")[1]
    assert "<div>Total</div>" in foot
    assert 'data-label="Sent by X" class="right"><div>7</div>' in foot


def test_chosen_columns_are_shown_in_the_pages_order(draw):
    page = draw(rows=ROWS, view=view_of("column=note&column=name"))

    head = page.split("<thead")[1].split("</thead>")[0]
    assert [title in head for title in ("Name", "Sent by X", "Note")] == [True, False, True]
    assert "late" in page


def test_unknown_columns_leave_the_usual_ones():
    columns = [Column("Name", str), Column("Note", str, shown=False)]

    assert [column.key for column in view_of("column=nothing").columns(columns)] == ["name"]


def test_header_of_a_sorted_column_reverses_its_order():
    view = view_of("state=dead&sort=name&before=17")

    assert (view.sort, view.direction("name"), view.direction("sent-by-x")) == (
        "name",
        "ascending",
        "none",
    )
    assert view.sort_url("name") == "/console/orders?state=dead&sort=-name"
    assert view.sort_url("sent-by-x", number=True) == "/console/orders?state=dead&sort=-sent-by-x"


def test_rows_are_sorted_as_the_url_says():
    keys = {"name": lambda row: row.name, "sent-by-x": lambda row: row.sent}

    rows = view_of("sort=-sent-by-x").sorted(ROWS, keys)

    assert [row.sent for row in rows] == [4, 3]


@pytest.mark.parametrize("sort", ["nothing", "-", "--name", ""])
def test_unknown_order_is_the_usual_one(sort):
    view = view_of(f"sort={sort}", sort="-name")

    assert (view.sort, view.is_descending, view.query) == ("name", True, "")


def test_each_active_filter_is_a_link_that_removes_it(draw):
    asked = "state=dead&when=today&sort=name"
    time_range = time_range_of(FormData(asked), zone=ZoneInfo("UTC"), now=0)
    view = view_of(asked, time_range=time_range)

    page = draw(rows=ROWS, view=view)

    assert [(chip.title, chip.text, chip.url) for chip in view.chips] == [
        ("State", "dead", "/console/orders?when=today&sort=name"),
        ("Received", "Today", "/console/orders?state=dead&sort=name"),
    ]
    assert 'href="/console/orders?when=today&amp;sort=name"><span class="faint">State<' in page
    assert view.clear_url == "/console/orders?sort=name"


def test_empty_table_says_what_to_do(draw):
    unfiltered = draw(rows=[], view=view_of())
    filtered = draw(rows=[], view=view_of("state=dead"))

    assert "No orders." in unfiltered
    assert "Send one." in unfiltered
    assert 'No match.</p><p>Remove a filter above, or <a href="/console/orders">' in filtered

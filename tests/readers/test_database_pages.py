import sqlite3
from contextlib import closing

import pytest

from twite.domain.secret import Secret
from twite.readers.database.connection import PageQuery
from twite.readers.database.open import open_database


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+pysqlite"])
@pytest.mark.parametrize(
    "text", ["C:\\shop", "\\", "\\\\", "\\:id", "a:id::text", "100 %", "%s %(id)s", "\\n"]
)
def test_text_in_a_query_stays_as_it_is_in_its_pages(tmp_path, scheme, text):
    with closing(sqlite3.connect(tmp_path / "shop.db")) as made:
        made.execute("CREATE TABLE orders(id INTEGER)")
        made.execute("INSERT INTO orders VALUES (1), (2)")
        made.commit()
    query = PageQuery(
        sql=f"SELECT id, '{text}' AS note FROM orders;",  # noqa: S608
        cursor="id",
        key="id",
        after=(1, 1),
        limit=5,
    )
    with closing(open_database(Secret(f"{scheme}:///{tmp_path}/shop.db"))) as database:
        page = database.page(query)
        streamed = [tuple(row) for row in database.stream(query.sql)[1]]

    assert [tuple(row) for row in page.rows] == [(2, text)]
    assert streamed == [(1, text), (2, text)]

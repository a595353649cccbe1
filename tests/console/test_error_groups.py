"""Dead and held deliveries: the largest error groups first, and the number of those not shown."""

import re

from console_stage import ConsoleStage

from builders import a_submission, an_entry
from twite.stores.sqlite import SQLiteStore


async def test_largest_error_groups_are_shown_and_the_others_counted(tmp_path):
    stage = ConsoleStage(tmp_path)
    store = await SQLiteStore.open(str(stage.settings.store.path))
    # The result of a client that sends X's format with made-up event ids.
    strays = [
        an_entry("order-1", index=number, event=f"a{number:04}", held="no such event")
        for number in range(215)
    ]
    many = [
        an_entry(f"order-{number}", index=215 + number, event="o8z6k", held="the great one")
        for number in range(5)
    ]
    await store.record(a_submission(*strays, *many))
    await store.close()
    await stage.start()
    try:
        page = (await (await stage.signed_in("ada")).get("/console/dead")).text
    finally:
        await stage.stop()

    row = r'<td class="right strong">(\d+)</td><td class="reason"><a[^>]*>([^<]*)'
    rows = re.findall(row, page)
    assert rows[0] == ("5", "the great one")
    assert len(rows) == 200
    assert "16 smaller groups appear here" in page

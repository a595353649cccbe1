"""The page of the system: syncs, versions and the store, for those who may see them."""

import pytest
from console_stage import SETTINGS, ConsoleStage

pytestmark = pytest.mark.asyncio

SYNC = """
[[sync]]
name = "orders"
source = "shop"
url = "sqlite:///{place}/nothing-here.db"
query = "SELECT id, at FROM orders"
cursor = "at"
key = "id"
interval = "1h"
map = {{ conversion_id = "id" }}
"""


async def test_sync_that_fails_is_shown_to_those_who_see_its_source(tmp_path):
    stage = ConsoleStage(tmp_path, SETTINGS + SYNC, place=str(tmp_path))
    await stage.start()
    try:
        ada = await stage.signed_in("ada")
        pages = {name: await stage.signed_in(name) for name in ("vic", "client")}
        for _ in range(200):
            shown = (await ada.get("/console/system")).text
            if "has not run yet" not in shown:
                break
        texts = {
            name: (await browser.get("/console/system")).text for name, browser in pages.items()
        }
        refused = await pages["vic"].post("/console/system/checks")
    finally:
        await stage.stop()

    assert "orders" in shown
    assert "failed" in shown
    assert "Run checks" in shown
    assert "orders" in texts["vic"]
    assert "Run checks" not in texts["vic"]
    assert "SQLite" in texts["vic"]
    assert "orders" not in texts["client"]
    assert "SQLite" not in texts["client"]
    assert refused.status == 403

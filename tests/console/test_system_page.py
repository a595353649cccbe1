"""The page of the system: syncs, versions and the store, for those who may see them."""

import pytest
from console_stage import PEOPLE, SETTINGS, ConsoleStage

from twite.domain.people.users import Role

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
    await stage.start(people=PEOPLE | {"acme": (Role.VIEWER, ["o8z6j"])})
    try:
        ada = await stage.signed_in("ada")
        pages = {name: await stage.signed_in(name) for name in ("vic", "client", "acme")}
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
    assert "nothing-here.db" in texts["vic"]
    # A client learns that it fails, and not where the agency's database is.
    assert "failed" in texts["acme"]
    assert "nothing-here" not in texts["acme"]
    assert "A user who sees all pixels sees why." in texts["acme"]
    assert "Run checks" not in texts["vic"]
    assert "SQLite" in texts["vic"]
    assert "orders" not in texts["client"]
    assert "SQLite" not in texts["client"]
    assert refused.status == 403

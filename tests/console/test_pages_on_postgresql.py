"""The first page, alerts and match keys on PostgreSQL: the same answers as on SQLite."""

import re

import msgspec
import pytest
from console_stage import SETTINGS, ConsoleStage
from test_alerts_page import ALERTS, ids_of, text_of

from builders import a_submission, an_entry
from twite.domain.stats.match_keys import MatchKeys


@pytest.fixture
async def stage(tmp_path, postgres_url):
    settings = SETTINGS.replace('url = "sqlite:twite.db"', f'url = "{postgres_url}"')
    stage = ConsoleStage(tmp_path, settings)
    await stage.start()
    yield stage
    await stage.stop()


async def test_cause_is_acknowledged_and_muted_on_postgresql(stage):
    await stage.store.put(ALERTS)
    olga = await stage.signed_in("olga")
    ids = ids_of((await olga.get("/console/alerts")).text, "17 pixels: X refuses")

    await olga.post("/console/alerts/acknowledge", {"alerts": ids})
    await olga.post("/console/alerts/mute", {"alerts": ids, "for": "1d"})

    text = text_of((await olga.get("/console/alerts")).text)
    assert re.search(r"17 pixels: X refuses .*acknowledged by olga, .* muted until", text)


async def test_first_page_and_match_keys_count_on_postgresql(stage):
    both = int(MatchKeys.CLICK | MatchKeys.EMAIL)
    entries = [
        msgspec.structs.replace(an_entry(f"order-{number}", index=number), key_set=both)
        for number in range(3)
    ]
    now = stage.gateway._parts.clock.now()  # noqa: SLF001 - the page counts today
    await stage.store.record(a_submission(*entries, received_at=now))
    ada = await stage.signed_in("ada")

    home = (await ada.get("/console")).text
    keys = text_of((await ada.get("/console/match-keys")).text)

    row = text_of(home.partition('id="account-18ce54d4x5t"')[2].partition("</tr>")[0])
    assert re.search(r" 3 ", row)
    assert "All conversions since 20" in text_of(home)
    assert "18ce54d4x5t 3 100.0 % 100.0 %" in keys.replace("\N{NARROW NO-BREAK SPACE}", " ")

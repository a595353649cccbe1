import msgspec
from written import GOOD, read

from twite.assembly.doctor.alerts import alerts
from twite.domain.alert import Alert, Kind, Phase
from twite.gateway.findings import Finding, Light
from twite.stores.sqlite import SQLiteStore
from twite.testing.builders import NOW

PAUSED = Alert(
    id="a", kind=Kind.PIXEL_PAUSED, subject="o8z6j", reason="404", opened_at=NOW, said_at=NOW
)
HELD = msgspec.structs.replace(PAUSED, id="b", kind=Kind.CONVERSIONS_HELD, reason="3 are held")
OVER = msgspec.structs.replace(PAUSED, id="c", news=Phase.RESOLVED, resolved_at=NOW)


async def test_without_a_webhook_nobody_hears_of_anything(tmp_path):
    [finding] = [one async for one in alerts(read(tmp_path))]

    assert (finding.light, finding.found) == (Light.AMBER, "there is no webhook")


async def test_open_alerts_are_red_or_amber_with_their_pages(tmp_path):
    settings = read(tmp_path, f'{GOOD}\n[alerts]\nwebhook = "env:HOOK"\n', {"HOOK": "https://a.b"})
    store = await SQLiteStore.open(str(settings.store.path))
    await store.keep([PAUSED, HELD, OVER])
    await store.close()

    findings = [one async for one in alerts(settings)]

    assert findings == [
        Finding(
            topic="alerts",
            light=Light.GREEN,
            found="they go to a webhook; twite alerts test tries it",
        ),
        Finding(
            topic="alerts",
            light=Light.RED,
            found="pixel_paused of o8z6j is open: 404",
            meaning="The pixel is paused.",
            cure="See docs/how-to/alerts/pixel_paused.md.",
        ),
        Finding(
            topic="alerts",
            light=Light.AMBER,
            found="conversions_held of o8z6j is open: 3 are held",
            meaning="Conversions are held.",
            cure="See docs/how-to/alerts/conversions_held.md.",
        ),
    ]


async def test_a_store_that_cannot_be_read_is_told_elsewhere(tmp_path):
    settings = read(tmp_path)
    settings.store.path.write_bytes(b"no database " * 500)

    assert [one.found async for one in alerts(settings)] == ["there is no webhook"]

import msgspec

from builders import NOW
from twite.diagnostics.store import alerts
from twite.domain.alert import Alert, AlertKind, AlertPhase
from twite.gateway.ports.findings import CheckFinding, CheckStatus
from twite.stores.sqlite import SQLiteStore
from written import GOOD, read

PAUSED = Alert(
    id="a",
    kind=AlertKind.PIXEL_PAUSED,
    subject="o8z6j",
    reason="404",
    opened_at=NOW,
    reported_at=NOW,
)
HELD = msgspec.structs.replace(PAUSED, id="b", kind=AlertKind.CONVERSIONS_HELD, reason="3 are held")
OVER = msgspec.structs.replace(PAUSED, id="c", unsent_phase=AlertPhase.RESOLVED, resolved_at=NOW)


async def test_settings_without_a_webhook_are_a_warning(tmp_path):
    [finding] = [alert async for alert in alerts(read(tmp_path))]

    assert (finding.status, finding.found) == (CheckStatus.WARNING, "no webhook is configured")


async def test_open_alerts_are_failures_or_warnings_with_their_pages(tmp_path):
    settings = read(tmp_path, f'{GOOD}\n[alerts]\nwebhook = "env:HOOK"\n', {"HOOK": "https://a.b"})
    store = await SQLiteStore.open(str(settings.store.path))
    await store.put([PAUSED, HELD, OVER])
    await store.close()

    findings = [alert async for alert in alerts(settings)]

    assert findings == [
        CheckFinding(
            topic="alerts",
            status=CheckStatus.PASSED,
            found="alerts are sent to a webhook; test it with twite alerts test",
        ),
        CheckFinding(
            topic="alerts",
            status=CheckStatus.FAILED,
            found="pixel_paused is open for o8z6j: 404",
            meaning="The pixel is paused.",
            fix="Compare the reason, the pixel's id and the user's role with Events Manager. "
            "The documentation has more, in Alerts: pixel_paused.",
        ),
        CheckFinding(
            topic="alerts",
            status=CheckStatus.WARNING,
            found="conversions_held is open for o8z6j: 3 are held",
            meaning="Conversions are held.",
            fix="Run twite dead list, then twite dead replay ID or twite dead discard ID. "
            "The documentation has more, in Alerts: conversions_held.",
        ),
    ]


async def test_alerts_of_an_unreadable_store_have_no_finding(tmp_path):
    settings = read(tmp_path)
    settings.store.path.write_bytes(b"no database " * 500)

    assert [alert.found async for alert in alerts(settings)] == ["no webhook is configured"]

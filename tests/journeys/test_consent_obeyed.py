"""Consent in a real gateway, with a restart in between."""

import pytest
from gateway_processes import PIXEL, Gateway

pytestmark = pytest.mark.journey
NOWHERE = "http://127.0.0.1:9"


def an_order(conversion_id, person, **fields):
    return {
        "event": "purchase", "conversion_id": conversion_id, "email": f"{person}@example.com",
    } | fields  # fmt: skip


def test_opt_out_and_stricter_policy_apply_to_queued_conversions(tmp_path, x_emulator):
    granted = {"ad_storage": "granted", "ad_user_data": "granted"}
    with Gateway(tmp_path, NOWHERE) as gateway:
        gateway.post(an_order("order-1", "revokes", consent=granted))
        gateway.post(an_order("order-2", "silent"))
        gateway.post(an_order("order-3", "agrees", consent=granted))
        gateway.post(an_order("order-4", "limits", consent=granted | {"npa": "1"}))
        status, noted = gateway.post(
            {"email": "Revokes@example.com", "consent": {"ad_user_data": "denied"}}, "/v1/consent"
        )
        gateway.stop()
    written = gateway.config.read_text()

    # [[source]] is the last table of the file, so the appended line belongs to it.
    strict = Gateway(tmp_path, x_emulator.url)
    strict.config.write_text(written.replace(NOWHERE, x_emulator.url) + 'consent = "required"\n')
    with strict:
        balance = strict.drained()
        histories = {
            name: strict.get(f"/v1/conversions/{PIXEL}/{name}")[1]
            for name in ("order-1", "order-2", "order-3", "order-4")
        }

    assert (status, noted) == (200, {"consent": "revoked", "identifiers": 1})
    assert {
        name: (history["state"], history.get("reason")) for name, history in histories.items()
    } == {
        "order-1": ("suppressed", "consent_revoked"),
        "order-2": ("suppressed", "consent_missing"),
        "order-3": ("delivered", None),
        "order-4": ("delivered", None),
    }
    assert histories["order-4"]["sent"]["restricted_data_use"] == "restrict_optimization"
    assert histories["order-4"]["consent"]["signals"] == granted | {"npa": "1"}
    assert (balance["suppressed"], balance["delivered"], balance["balance"]) == (2, 2, 0)
    assert "example.com" not in strict.log()

"""A container with a variable that requests its value from a server, in a real gateway."""

from pathlib import Path

import pytest
from gateway_processes import Gateway, command
from vendor import Vendor

GRANTS = """___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "send_http", "versionId": "1"},
  "param": [{"key": "allowedUrls", "value": {"type": 1, "string": "any"}}]}}]
"""
LOOKUP = """___INFO___
{"type": "MACRO", "id": "cvt_temp_public_id", "displayName": "Lookup"}
___SANDBOXED_JS_FOR_SERVER___
const JSON = require('JSON');
const send = require('sendHttpRequest');
return send(data.url, {method: 'POST'}, JSON.stringify({wanted: data.key}))
  .then((answer) => JSON.parse(answer.body).said);
"""
TAG = """___INFO___
{"type": "TAG", "id": "cvt_temp_public_id", "displayName": "Main"}
___SANDBOXED_JS_FOR_SERVER___
const JSON = require('JSON');
const send = require('sendHttpRequest');
send(data.url, {method: 'POST'}, JSON.stringify({segment: data.segment}))
  .then((answer) => answer.statusCode === 200 ? data.gtmOnSuccess() : data.gtmOnFailure());
"""
CONTAINER = """
name = "Test"
[[template]]
name = "Lookup"
file = "lookup.tpl"
[[template]]
name = "Main"
file = "main.tpl"
[[variable]]
name = "client"
type = "event_data"
key = "transaction_id"
[[variable]]
name = "segment"
type = "template"
template = "Lookup"
fields = {{ url = "{lookup}", key = "{{{{client}}}}" }}
[[trigger]]
name = "Thanked"
when = [{{ left = "{{{{segment}}}}", operator = "equals", right = "thanks" }}]
[[tag]]
name = "main"
template = "Main"
triggers = ["{trigger}"]
fields = {{ url = "{vendor}", segment = "{segment}" }}
"""

pytestmark = pytest.mark.journey


def with_container(
    folder: Path,
    x: str,
    lookup: Vendor,
    vendor: Vendor,
    *,
    trigger: str = "All Events",
    segment: str = "{{segment}}",
) -> Gateway:
    (folder / "lookup.tpl").write_text(LOOKUP + GRANTS)
    (folder / "main.tpl").write_text(TAG + GRANTS)
    made = CONTAINER.format(lookup=lookup.url, vendor=vendor.url, trigger=trigger, segment=segment)
    (folder / "container.toml").write_text(made)
    gateway = Gateway(folder, x)
    settings = gateway.config.read_text()
    more = '[container]\nfile = "container.toml"\nallow_hosts = ["127.0.0.1"]\n'
    gateway.config.write_text(f"{settings}\n{more}")
    return gateway


def test_value_that_a_variable_requests_is_requested_again_at_a_retry(tmp_path, x_emulator):
    with (
        Vendor() as lookup,
        Vendor(lambda before: 500 if before == 0 else 200) as vendor,
        with_container(tmp_path, x_emulator.url, lookup, vendor) as gateway,
    ):
        event = {"event": "purchase", "conversion_id": "order-1", "email": "s@mail.example"}
        assert gateway.post(event)[0] == 202
        balance = gateway.drained()

    assert [hit["segment"] for hit in vendor.came] == ["thanks", "thanks"]
    assert lookup.came == [{"wanted": "order-1"}] * 2
    assert (balance["delivered"], balance["balance"]) == (2, 0)


def test_trigger_with_a_requested_value_is_decided_once(tmp_path, x_emulator):
    # One lookup for the first order, a refusal for the second, a retry for the third.
    statuses = [200, 404, 503, 200]
    with (
        Vendor(statuses.__getitem__) as lookup,
        Vendor(lambda before: 500 if before == 0 else 200) as vendor,
        with_container(
            tmp_path, x_emulator.url, lookup, vendor, trigger="Thanked", segment="{{client}}"
        ) as gateway,
    ):
        for number in (1, 2, 3):
            event = {
                "event": "purchase",
                "conversion_id": f"order-{number}",
                "email": "s@mail.example",
            }
            assert gateway.post(event)[0] == 202
            balance = gateway.drained()
        shown = [
            command(gateway, "show", f"order-{number}", "--pixel", "tag:main").stdout
            for number in (1, 2, 3)
        ]

    wanted = ["order-1", "order-2", "order-3", "order-3"]
    assert [hit["wanted"] for hit in lookup.came] == wanted
    assert [hit["segment"] for hit in vendor.came] == ["order-1", "order-1", "order-3"]
    counts = balance["received"], balance["delivered"], balance["suppressed"], balance["balance"]
    assert counts == (6, 5, 1, 0)
    assert "because      the tag did not fire: none of its triggers matches" in shown[1]
    assert "a lookup that decides whether the tag fires failed (503)" in shown[2]
    assert "lookup" not in shown[0]

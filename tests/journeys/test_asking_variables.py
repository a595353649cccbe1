"""A container whose variable asks another server for its value, in a real gateway."""

from pathlib import Path

import pytest
from house import Gateway
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
[[tag]]
name = "main"
template = "Main"
triggers = ["All Events"]
fields = {{ url = "{vendor}", segment = "{{{{segment}}}}" }}
"""

pytestmark = pytest.mark.journey


def with_container(folder: Path, x: str, lookup: Vendor, vendor: Vendor) -> Gateway:
    (folder / "lookup.tpl").write_text(LOOKUP + GRANTS)
    (folder / "main.tpl").write_text(TAG + GRANTS)
    made = CONTAINER.format(lookup=lookup.url, vendor=vendor.url)
    (folder / "container.toml").write_text(made)
    gateway = Gateway(folder, x)
    settings = gateway.config.read_text()
    more = '[container]\nfile = "container.toml"\nallow_hosts = ["127.0.0.1"]\n'
    gateway.config.write_text(f"{settings}\n{more}")
    return gateway


def test_its_tag_is_sent_with_the_value_and_asks_again_when_it_is_tried_again(tmp_path, x_emulator):
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

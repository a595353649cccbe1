"""A client template in a gateway: a shop's webhook becomes conversions, through real processes."""

import http.client
import json
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gateway_processes import Gateway
from vendor import Vendor

pytestmark = pytest.mark.journey

TEMPLATE = Path(__file__).parents[2] / "tags/templates" / "client_orders.tpl"
HANGS = """___INFO___
{"type": "CLIENT", "displayName": "Hangs"}
___SANDBOXED_JS_FOR_SERVER___
if (require('getRequestPath')() === '/hang') for (;;) {}
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "read_request", "versionId": "1"},
  "param": [{"key": "requestAccess", "value": {"type": 1, "string": "any"}}]}}]
"""
ECHOES = """___INFO___
{"type": "CLIENT", "displayName": "Runs what it is sent"}
___SANDBOXED_JS_FOR_SERVER___
if (require('getRequestPath')() === '/runs') {
  require('claimRequest')();
  require('runContainer')(require('JSON').parse(require('getRequestBody')()), () => {
    require('setResponseStatus')(201);
    require('returnResponse')();
  });
}
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "read_request", "versionId": "1"},
  "param": [{"key": "requestAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "access_response", "versionId": "1"},
  "param": [{"key": "writeResponseAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "run_container", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "return_response", "versionId": "1"}, "param": []}}]
"""
CLIENTS = f"""
[[client]]
template = "{TEMPLATE}"
fields = {{ secret = "env:HOME" }}
priority = 5

[[client]]
template = "hangs.tpl"
priority = 10
"""
ATTRIBUTES = "Secure; HttpOnly; SameSite=Lax"
ORDERS = json.dumps(
    [
        {"id": 1001, "total": 49.9, "currency": "EUR", "email": "Shopper@Example.com "},
        {"id": 1002, "total": 5, "currency": "EUR", "email": "other@example.com"},
    ]
)


def with_clients(gateway: Gateway, secret: str) -> Gateway:
    (gateway.folder / "hangs.tpl").write_text(HANGS)
    written = CLIENTS.replace("env:HOME", secret)
    gateway.config.write_text(gateway.config.read_text() + written)
    return gateway


def ask(gateway: Gateway, path: str, body: str | bytes | None = None, **headers: str):
    there = urlsplit(gateway.url)
    line = http.client.HTTPConnection(there.hostname or "", there.port, timeout=30)
    said = {"Host": "t.shop.example", **{name.replace("_", "-"): v for name, v in headers.items()}}
    line.request("POST", path, body=body, headers=said)
    answer = line.getresponse()
    reported = answer.status, answer.headers.get("set-cookie"), answer.read()
    line.close()
    return reported


def test_claimed_request_becomes_conversions_and_gets_the_templates_response(tmp_path, x_emulator):
    (tmp_path / "secret").write_text("the-shops-secret")
    with with_clients(Gateway(tmp_path, x_emulator.url), "file:secret") as gateway:
        refused = ask(gateway, "/hooks/orders", ORDERS, x_shop_key="guessed")
        taken = ask(
            gateway,
            "/hooks/orders",
            ORDERS,
            x_shop_key="the-shops-secret",
            cookie="_twite=23opevjt88psuo13lu8d020qkn",
        )
        nobodys = ask(gateway, "/hooks/other", ORDERS)
        balance = gateway.drained()
        stopped = gateway.stop()

    held = (
        b"".join(path.read_bytes() for path in tmp_path.rglob("twite.db*")) + gateway.log().encode()
    )
    assert b"shopper@example.com" not in held.lower()
    assert refused == (403, None, b"")
    assert taken == (
        202,
        f"last_order=1002; Domain=shop.example; Path=/; Max-Age=3600; {ATTRIBUTES}",
        b'{"orders":2}',
    )
    assert nobodys[0] == 404
    assert (balance["received"], balance["delivered"], balance["balance"]) == (2, 2, 0)
    assert stopped == 0
    ids = x_emulator.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]
    assert sorted(ids) == ["1001", "1002"]


def test_client_template_that_hangs_does_not_block_others(tmp_path, x_emulator):
    with with_clients(Gateway(tmp_path, x_emulator.url), "a secret") as gateway:
        hung = ask(gateway, "/hang")
        taken = ask(gateway, "/hooks/orders", ORDERS, x_shop_key="a secret")
        posted = gateway.post({"event": "purchase", "twclid": "23opevjt88psuo13lu8d020qkn"})
        log = gateway.log()

    assert hung[0] == 502
    assert (taken[0], posted[0]) == (202, 202)
    assert "client Hangs" in log
    assert "the run took too much time" in log


FORWARDS = """___INFO___
{"type": "CLIENT", "displayName": "Forwards"}
___SANDBOXED_JS_FOR_SERVER___
const sendHttpRequest = require('sendHttpRequest');
const returnResponse = require('returnResponse');
const setResponseBody = require('setResponseBody');
const setResponseStatus = require('setResponseStatus');
const X = 'https://ads-api.x.com/12/measurement/conversions/o8z6j';
if (require('getRequestPath')() === '/hooks/x') {
  require('claimRequest')();
  const options = {method: 'POST', headers: {'content-type': 'application/json'}};
  sendHttpRequest(X, options, require('getRequestBody')()).then((answer) => {
    setResponseStatus(answer.statusCode);
    setResponseBody(answer.body);
    returnResponse();
  });
}
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "read_request", "versionId": "1"},
  "param": [{"key": "requestAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "return_response", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "access_response", "versionId": "1"},
  "param": [{"key": "writeResponseAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "send_http", "versionId": "1"},
  "param": [{"key": "allowedUrls", "value": {"type": 1, "string": "any"}}]}}]
"""


def test_client_request_to_x_is_delivered_by_the_gateway(tmp_path, x_emulator):
    gateway = Gateway(tmp_path, x_emulator.url)
    (tmp_path / "forwards.tpl").write_text(FORWARDS)
    with gateway.config.open("a") as config:
        config.write('[[client]]\ntemplate = "forwards.tpl"\n')
    said = {
        "conversion_time": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "event_id": "o8z6k",
        "conversion_id": "order-client",
        "identifiers": [{"hashed_email": "a" * 64}],
    }

    with gateway:
        x_emulator.fault(kind="status", status=503, count=2)
        status, _, body = ask(gateway, "/hooks/x", json.dumps({"conversions": [said]}))
        again = ask(gateway, "/hooks/x", json.dumps({"conversions": [said]}))
        balance = gateway.drained()

    processed = [json.loads(body)["data"]["conversions_processed"] for body in (body, again[2])]
    ids = x_emulator.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]
    assert (status, again[0], processed) == (200, 200, [1, 1])
    # X failed and got the request twice, but counted the conversion once.
    assert (ids["order-client"]["api"], balance["delivered"], balance["duplicate"]) == (1, 1, 1)
    assert balance["balance"] == 0


@pytest.mark.parametrize("piece", ["x", '"', "ü", "\U0001f600"])
def test_largest_accepted_request_does_not_put_the_client_on_probation(tmp_path, x_emulator, piece):
    """One unauthenticated request per second must not block the client for all others."""
    (tmp_path / "echoes.tpl").write_text(ECHOES)
    gateway = Gateway(tmp_path, x_emulator.url)
    gateway.config.write_text(gateway.config.read_text() + '[[client]]\ntemplate = "echoes.tpl"\n')
    large = json.dumps({"event_name": "scroll", "note": ""}, ensure_ascii=False)
    each = len(json.dumps(piece, ensure_ascii=False).encode()) - 2
    note = piece * ((1_048_576 - len(large) - 64) // each)
    large = json.dumps({"event_name": "scroll", "note": note}, ensure_ascii=False)
    with gateway:
        first = ask(gateway, "/runs", large.encode())
        after = ask(gateway, "/runs", '{"event_name": "scroll"}')
        log = gateway.log()

    assert first[0] in {201, 502}
    assert after[0] == 201
    assert "trial" not in log


STOCK = """___INFO___
{"type": "CLIENT", "displayName": "Asks the stock"}
___TEMPLATE_PARAMETERS___
[{"type": "TEXT", "name": "stock", "simpleValueType": true}]
___SANDBOXED_JS_FOR_SERVER___
const addEventCallback = require('addEventCallback');
const JSON = require('JSON');
const logToConsole = require('logToConsole');
const returnResponse = require('returnResponse');
const runContainer = require('runContainer');
const sendHttpRequest = require('sendHttpRequest');
const setResponseBody = require('setResponseBody');
if (require('getRequestPath')() === '/order') {
  require('claimRequest')();
  const order = JSON.parse(require('getRequestBody')());
  sendHttpRequest(data.stock, {method: 'POST'}, '{}').then((stock) => {
    logToConsole('the stock of ' + order.user_data.email_address + ' says', stock.statusCode);
    runContainer(order, undefined, (bind) => bind(() => addEventCallback((_, event) => {
      setResponseBody(JSON.stringify(event.tags));
      returnResponse();
    }))());
  });
}
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "read_request", "versionId": "1"},
  "param": [{"key": "requestAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "return_response", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "run_container", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "read_event_metadata", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "logging", "versionId": "1"},
  "param": [{"key": "environments", "value": {"type": 1, "string": "all"}}]}},
 {"instance": {"key": {"publicId": "access_response", "versionId": "1"},
  "param": [{"key": "writeResponseAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "send_http", "versionId": "1"},
  "param": [{"key": "allowedUrls", "value": {"type": 1, "string": "any"}}]}}]
"""


def test_client_template_can_request_its_own_host_log_and_read_pending_tags(tmp_path, x_emulator):
    (tmp_path / "stock.tpl").write_text(STOCK)
    shutil.copy(TEMPLATE.with_name("crm_post.tpl"), tmp_path / "crm.tpl")
    gateway = Gateway(tmp_path, x_emulator.url)
    order = {
        "event_name": "purchase",
        "transaction_id": "order-1",
        "user_data": {"email_address": "shopper@mail.example"},
    }
    with Vendor() as vendor:
        quiet = gateway.config.read_text()
        gateway.config.write_text(quiet.replace('level = "warning"', 'level = "info"'))
        with gateway.config.open("a") as config:
            config.write(
                f'[[client]]\ntemplate = "stock.tpl"\nfields = {{ stock = "{vendor.url}" }}\n'
                'allow_hosts = ["127.0.0.1"]\n[[tag]]\nname = "crm"\ntemplate = "crm.tpl"\n'
                'allow_hosts = ["127.0.0.1"]\n'
                f'fields = {{ endpoint = "{vendor.url}", key = "k" }}\n'
            )
        with gateway:
            first = ask(gateway, "/order", json.dumps(order))
            again = ask(gateway, "/order", json.dumps(order))
            gateway.drained()
            log = gateway.log()

    tags = [
        [(load["id"], load["status"]) for load in json.loads(reported[2])]
        for reported in (first, again)
    ]
    assert tags == [[("crm", "queued")], [("crm", "duplicate")]]
    assert "the stock of *** says 200" in log
    assert "shopper@mail.example" not in log

"""A container's tag creates events: tags and X get them once, and the history shows it."""

import json
from pathlib import Path

import pytest
from gateway_processes import Gateway, command, wait_for
from test_container import conversions_at, hit
from test_tag_cookies import Browser
from test_tag_preview import Preview, Previewing
from vendor import Vendor

pytestmark = pytest.mark.journey

TWCLID = "23opevjt88psuo13lu8d020qkn"
CALLER = """___INFO___
{"type": "TAG", "displayName": "Caller", "containerContexts": ["SERVER"]}
___SANDBOXED_JS_FOR_SERVER___
const runContainer = require('runContainer'), get = require('getEventData');
const log = require('logToConsole'), after = require('addEventCallback');
const send = require('sendHttpRequest'), JSON = require('JSON');
const id = get('transaction_id');
runContainer({event_name: 'loop', event_id: 'L-' + id, n: get('n') + 1});
if (get('event_name') === 'loop') return data.gtmOnSuccess();
const signUp = {event_name: 'sign_up', event_id: 'S-' + id, page_location: get('page_location')};
runContainer(signUp, (bind) => {
  bind(after)((container, all) => {
    log(bind(get)('event_id') + ': ' + all.tags.map((tag) => tag.id + ' ' + tag.status).join());
    const body = JSON.stringify({caller: id});
    send('https://caller.example/', {method: 'POST'}, body).then((answer) => {
      return answer.statusCode < 300 ? data.gtmOnSuccess() : data.gtmOnFailure();
    });
  });
}, (bind) => log('start of ' + bind(get)('event_id')));
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "run_container", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "read_event_metadata", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "logging", "versionId": "1"}, "param": [
  {"key": "environments", "value": {"type": 1, "string": "all"}}]}},
 {"instance": {"key": {"publicId": "read_event_data", "versionId": "1"}, "param": [
  {"key": "eventDataAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "send_http", "versionId": "1"}, "param": [
  {"key": "allowedUrls", "value": {"type": 1, "string": "any"}}]}}]
"""
MAIL = (
    CALLER.partition("___SANDBOXED")[0].replace("Caller", "Mail")
    + """
___SANDBOXED_JS_FOR_SERVER___
const body = require('JSON').stringify({mail: require('getEventData')('event_id')});
require('sendHttpRequest')('https://mail.example/v1', {method: 'POST'}, body).then((answer) => {
  return answer.statusCode < 300 ? data.gtmOnSuccess() : data.gtmOnFailure();
});
___SERVER_PERMISSIONS___
"""
    + CALLER.partition("___SERVER_PERMISSIONS___\n")[2]
)
CONTAINER = """
[[template]]
name = "Caller"
file = "caller.tpl"
[[template]]
name = "Mail"
file = "mail.tpl"
[[trigger]]
name = "orders"
when = [{ left = "{{_event}}", operator = "matches", right = "^(purchase|loop)$" }]
[[trigger]]
name = "people"
when = [{ left = "{{_event}}", operator = "equals", right = "sign_up" }]
[[tag]]
name = "caller"
template = "Caller"
triggers = ["orders"]
[[tag]]
name = "mail"
template = "Mail"
triggers = ["people"]
"""


def with_container(folder: Path, x: str, vendor: str) -> Gateway:
    gateway = Gateway(folder, x)
    (folder / "caller.tpl").write_text(CALLER)
    (folder / "mail.tpl").write_text(MAIL)
    (folder / "container.toml").write_text(CONTAINER)
    settings = gateway.config.read_text().replace('level = "warning"', 'level = "info"')
    settings = settings.replace("region =", 'origins = ["https://shop.example"]\nregion =')
    gateway.config.write_text(
        f'{settings}\n[container]\nfile = "container.toml"\n'
        f'redirect = {{ "*" = "{vendor.removesuffix("/in")}" }}\n'
    )
    return gateway


def test_created_events_reach_tags_and_x_once_although_the_run_is_repeated(tmp_path, x_emulator):
    # The caller's first request is answered with an error, so its run is repeated.
    vendor = Vendor()
    vendor.behaviour = lambda count: 500 if "mail" in str(vendor.came) and count == 1 else 200
    with vendor, with_container(tmp_path, x_emulator.url, vendor.url) as gateway:
        hit(gateway, "purchase", ep__transaction_id="order-1", gcs="G111", ep__twclid=TWCLID)
        wait_for(lambda: vendor.count() == 3, gateway.ended)
        balance = gateway.drained()
        shown = command(gateway, "show", "S-order-1").stdout
        caller = command(gateway, "show", "order-1", "--pixel", "tag:caller").stdout
        metrics = gateway.get("/metrics")[1]["text"]
        log = gateway.log()

    assert vendor.came == [{"mail": "S-order-1"}, {"caller": "order-1"}, {"caller": "order-1"}]
    assert sorted(conversions_at(x_emulator)) == ["S-order-1", "order-1"]
    assert TWCLID in json.dumps(conversions_at(x_emulator)["S-order-1"]["identifiers"])
    assert balance["balance"] == 0
    assert "event o8z6m of pixel o8z6j: delivered" in shown
    assert "of pixel tag:mail: delivered" in shown
    assert "runContainer created sign_up, receipt" in caller
    assert "S-order-1: mail success" in log
    assert "S-order-1: mail duplicate" in log
    assert "created by 5 nested calls, which is the limit" in log
    assert 'twite_tag_container_calls_total{pixel="tag:caller",result="limit"} 1' in metrics


@pytest.mark.parametrize("sends_nothing", [False, True])
def test_preview_shows_the_created_event_and_its_tags(tmp_path, x_emulator, sends_nothing):
    more = ("--send-nothing",) if sends_nothing else ()
    with Vendor() as vendor, with_container(tmp_path, x_emulator.url, vendor.url) as gateway:
        preview = Preview(gateway, *more)
        Previewing(gateway, preview.token).ask(
            "POST", "/g/collect?v=2&tid=G-1&cid=1.2&en=purchase&ep.transaction_id=T-1&gcs=G111"
        )
        seen = preview.until(
            lambda seen: (
                {run["name"] for run in seen["runs"]} >= {"caller", "mail"}
                and all(run["outcome"] == "success" for run in seen["runs"])
            )
        )
        preview.stop()
        balance = gateway.drained()

    names = {event["name"] for event in seen["events"]}
    assert {"purchase", "sign_up", "loop"} <= names
    [event] = [event for event in seen["events"] if event["name"] == "sign_up"]
    assert ("mail", True) in [(tag["name"], tag["good"]) for tag in event["tags"]]
    assert bool(vendor.count()) is not sends_nothing
    assert bool(balance["received"]) is not sends_nothing
    assert balance["balance"] == 0


def test_created_event_is_delivered_after_a_kill(tmp_path, x_emulator):
    reported = "(bind) => log('start of ' + bind(get)('event_id'))"
    sends = "() => send('https://caller.example/', {method: 'POST'}, JSON.stringify({started: id}))"
    vendor = Vendor(lambda count: None if count == 0 else 200)
    with vendor, with_container(tmp_path, x_emulator.url, vendor.url) as gateway:
        gateway.stop()
        (tmp_path / "caller.tpl").write_text(CALLER.replace(reported, sends))
        # No tag fires for the created event; otherwise, its tag would send first.
        (tmp_path / "container.toml").write_text(CONTAINER.replace('"sign_up"', '"nothing"'))
        gateway.start()
        hit(gateway, "purchase", ep__transaction_id="order-1", gcs="G111", ep__twclid=TWCLID)
        wait_for(lambda: {"started": "order-1"} in vendor.came, gateway.ended)
        gateway.kill()
        gateway.start()
        balance = gateway.drained()
        received = gateway.get("/v1/accounting")[1]["by"]

    assert {"caller": "order-1"} in vendor.came
    assert sorted(conversions_at(x_emulator)) == ["S-order-1", "order-1"]
    [pixel] = [row for row in received if row["pixel"] == "o8z6j"]
    assert pixel["delivered"] == 2
    assert balance["balance"] == 0


CLIENT = (
    CALLER.partition("___SANDBOXED")[0].replace('"TAG"', '"CLIENT"')
    + """
___SANDBOXED_JS_FOR_SERVER___
if (require('getRequestPath')() !== '/in') return;
const read = require('getRequestHeader');
require('claimRequest')();
require('setResponseBody')([read('x-gtm-identifier'), read('x-gtm-default-domain')].join());
require('runContainer')({event_name: 'sign_up', event_id: 'S-1'}, () => {
  require('returnResponse')();
});
___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "run_container", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "return_response", "versionId": "1"}, "param": []}},
 {"instance": {"key": {"publicId": "access_response", "versionId": "1"}, "param": [
  {"key": "writeResponseAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "read_request", "versionId": "1"}, "param": [
  {"key": "requestAccess", "value": {"type": 1, "string": "any"}}]}}]
"""
)
BY_HEADER = """
[[template]]
name = "Client"
file = "client.tpl"
[[client]]
name = "In"
template = "Client"
[[variable]]
name = "Identifier"
type = "request_header"
key = "x-gtm-identifier"
"""


def test_client_template_and_trigger_can_read_the_configured_headers(tmp_path, x_emulator):
    person = '{ left = "{{_event}}", operator = "equals", right = "sign_up" }'
    own = '{ left = "{{Identifier}}", operator = "equals", right = "own" }'
    stape = '[templates.stape]\nidentifier = "own"\ndefault_domain = "stape.io"\n[store]'
    with Vendor() as vendor, with_container(tmp_path, x_emulator.url, vendor.url) as gateway:
        gateway.stop()
        (tmp_path / "client.tpl").write_text(CLIENT)
        parts = CONTAINER.replace(person, f"{person}, {own}") + BY_HEADER
        (tmp_path / "container.toml").write_text(parts)
        gateway.config.write_text(gateway.config.read_text().replace("[store]", stape))
        gateway.start()
        answer = Browser(gateway).ask("POST", "/in", b"")
        wait_for(lambda: vendor.count() == 1, gateway.ended)
        gateway.drained()

    assert (answer.status, answer.text) == (200, "own,stape.io")
    assert vendor.came == [{"mail": "S-1"}]

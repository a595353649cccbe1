"""Templates that call Google, in real gateways with a local fake of Google."""

import json
import sqlite3
import threading
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest
from gateway_processes import Gateway, command, wait_for

from google_double import PROJECT, GoogleDouble, key_file, named

pytestmark = pytest.mark.journey

GRANTS = """___SERVER_PERMISSIONS___
[{"instance": {"key": {"publicId": "access_bigquery", "versionId": "1"}, "param": [
   {"key": "allowedTables", "value": {"type": 2, "listItem": [{"type": 3,
     "mapKey": [{"type": 1, "string": "projectId"}, {"type": 1, "string": "datasetId"},
       {"type": 1, "string": "tableId"}, {"type": 1, "string": "operation"}],
     "mapValue": [{"type": 1, "string": "GOOGLE_CLOUD_PROJECT"}, {"type": 1, "string": "shop"},
       {"type": 1, "string": "orders"}, {"type": 1, "string": "write"}]}]}}]}},
 {"instance": {"key": {"publicId": "access_firestore", "versionId": "1"}, "param": [
   {"key": "allowedOptions", "value": {"type": 2, "listItem": [{"type": 3,
     "mapKey": [{"type": 1, "string": "projectId"}, {"type": 1, "string": "path"},
       {"type": 1, "string": "operation"}],
     "mapValue": [{"type": 1, "string": "*"}, {"type": 1, "string": "*"},
       {"type": 1, "string": "read_write"}]}]}}]}},
 {"instance": {"key": {"publicId": "use_google_credentials", "versionId": "1"}, "param": [
   {"key": "allowedScopes", "value": {"type": 2, "listItem": [
     {"type": 1, "string": "https://www.googleapis.com/auth/pubsub"}]}}]}},
 {"instance": {"key": {"publicId": "send_http", "versionId": "1"}, "param": [
   {"key": "allowedUrls", "value": {"type": 1, "string": "specific"}},
   {"key": "allowGoogleDomains", "value": {"type": 8, "boolean": true}}]}},
 {"instance": {"key": {"publicId": "logging", "versionId": "1"}, "param": [
   {"key": "environments", "value": {"type": 1, "string": "all"}}]}},
 {"instance": {"key": {"publicId": "read_event_data", "versionId": "1"}, "param": [
   {"key": "eventDataAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "read_request", "versionId": "1"}, "param": [
   {"key": "requestAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "access_response", "versionId": "1"}, "param": [
   {"key": "writeResponseAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "return_response", "versionId": "1"}, "param": []}}]
"""
TAG = (
    """___INFO___
{"type": "TAG", "displayName": "Orders at Google"}
___SANDBOXED_JS_FOR_SERVER___
const BigQuery = require('BigQuery');
const Firestore = require('Firestore');
const getEventData = require('getEventData');
const authorization = require('getGoogleAuth')({scopes: ['https://www.googleapis.com/auth/pubsub']});
const log = require('logToConsole');
const row = {
  order: getEventData('transaction_id'), value: getEventData('value'),
  at: require('getTimestampMillis')()
};
BigQuery.insert({datasetId: 'shop', tableId: 'orders'}, [row]).then(() =>
  Firestore.runTransaction((t) => Firestore.read('totals/all', {transaction: t})
    .then((one) => one.data, () => ({orders: 0}))
    .then((total) => Firestore.write('totals/all', {orders: total.orders + 1}, {transaction: t})))
).then(() => Firestore.write('orders', row)).then(() =>
  require('sendHttpRequest')('https://pubsub.googleapis.com/v1/topics/orders:publish',
    {method: 'POST', authorization: authorization}, row.order)
).then((answer) => {
  log(answer.body);
  if (answer.statusCode === 200) data.gtmOnSuccess();
  else data.gtmOnFailure();
}, data.gtmOnFailure);
"""
    + GRANTS
)
CLIENT = (
    """___INFO___
{"type": "CLIENT", "displayName": "Totals"}
___SANDBOXED_JS_FOR_SERVER___
if (require('getRequestPath')() === '/totals') {
  require('claimRequest')();
  require('Firestore').read('totals/all').then((one) => one.data.orders, (why) => why.reason)
    .then((said) => {
      require('setResponseBody')('' + said);
      require('returnResponse')();
    });
}
"""
    + GRANTS
)
TABLES = """
[google]
credentials = "file:key.json"
api_url = "{url}"
[[tag]]
name = "rows"
template = "rows.tpl"
events = ["purchase"]
repeat = "{repeat}"
[[client]]
template = "totals.tpl"
"""


def with_google(
    folder: Path, x: str, google: GoogleDouble, *, repeat: str = "at_least_once"
) -> Gateway:
    (folder / "rows.tpl").write_text(TAG)
    (folder / "totals.tpl").write_text(CLIENT)
    (folder / "key.json").write_text(key_file())
    gateway = Gateway(folder, x)
    written = TABLES.format(url=google.url, repeat=repeat)
    text = gateway.config.read_text().replace('level = "warning"', 'level = "info"')
    gateway.config.write_text(text + written)
    return gateway


def bought(number: int = 1) -> dict[str, object]:
    return {
        "event": "purchase",
        "conversion_id": f"order-{number}",
        "value": "49.90",
        "currency": "EUR",
        "email": "shopper@mail.example",
    }


def totals(gateway: Gateway) -> str:
    with urllib.request.urlopen(f"{gateway.url}/totals", timeout=30) as answer:
        return answer.read().decode()


def expire_leases(path: Path) -> None:
    """Let time pass, so that the leases of the killed sender expire."""
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("UPDATE lease SET until = 0")


def attempts(gateway: Gateway) -> list[int | None]:
    shown = command(gateway, "show", "order-1", "--pixel", "tag:rows", "--json").stdout
    return [load["status"] for load in json.loads(shown)["conversions"][0]["attempts"]]


def test_tags_write_to_bigquery_firestore_and_pubsub_and_a_client_reads_it(tmp_path, x_emulator):
    with GoogleDouble() as google, with_google(tmp_path, x_emulator.url, google) as gateway:
        before = totals(gateway)
        gateway.post({"conversions": [bought(number) for number in range(1, 6)]})
        balance = gateway.drained()
        after = totals(gateway)
        gateway.stop()
        log = gateway.log()

    assert (before, after) == ("not_found", "5")
    assert (balance["delivered"], balance["balance"]) == (10, 0)
    assert sorted(row["order"] for row in google.rows) == [f"order-{n}" for n in range(1, 6)]
    assert google.rows[0]["value"] == 49.9
    assert google.documents[named("totals/all")] == {"orders": {"integerValue": "5"}}
    orders = [name for name in google.documents if name.startswith(named("orders/"))]
    assert len(orders) == 5
    published = [body for _, path, body in google.asked if path.endswith(":publish")]
    assert sorted(published) == [f"order-{n}" for n in range(1, 6)]
    # One token per set of scopes, however many runs there are at once.
    assert sorted(scopes.rpartition("/")[2] for scopes in google.granted.values()) == [
        "bigquery.insertdata",
        "datastore",
        "pubsub",
    ]
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("twite.db*")) + log.encode()
    assert '"echo":"***"' in log
    for secret in (*google.granted, "PRIVATE KEY", json.loads(key_file())["private_key"][40:80]):
        assert secret.encode() not in kept


def test_kill_during_a_bigquery_response_inserts_no_row_twice(tmp_path, x_emulator):
    with GoogleDouble() as google:
        gateway = with_google(tmp_path, x_emulator.url, google)
        killed = threading.Event()
        google.before_answer = lambda path: killed.wait(30) if "insertAll" in path else None
        with gateway:
            gateway.post(bought())
            wait_for(lambda: len(google.rows) == 1)
            gateway.kill()
            google.before_answer = lambda _path: None
            killed.set()
            expire_leases(tmp_path / "twite.db")
            gateway.start()
            balance = gateway.drained()

    assert google.count("insertAll") == 2
    assert len(google.rows) == 1
    assert (balance["delivered"], balance["balance"]) == (2, 0)


def test_tag_that_runs_at_most_once_is_held_after_a_kill(tmp_path, x_emulator):
    with GoogleDouble() as google:
        gateway = with_google(tmp_path, x_emulator.url, google, repeat="at_most_once")
        killed = threading.Event()
        google.before_answer = lambda path: killed.wait(30) if "insertAll" in path else None
        with gateway:
            gateway.post(bought())
            wait_for(lambda: len(google.rows) == 1)
            gateway.kill()
            killed.set()
            expire_leases(tmp_path / "twite.db")
            gateway.start()
            balance = gateway.drained()

    assert google.count("insertAll") == 1
    assert balance["held"] == 1


def test_temporary_error_of_google_is_retried_and_shown(tmp_path, x_emulator):
    def busy(path: str, before: int) -> int | None:
        return 503 if "insertAll" in path and before == 0 else None

    with GoogleDouble(busy) as google, with_google(tmp_path, x_emulator.url, google) as gateway:
        gateway.post(bought())
        balance = gateway.drained()
        shown = attempts(gateway)

    assert shown == [503, 200]
    assert len(google.rows) == 1
    assert (balance["delivered"], balance["balance"]) == (2, 0)


def test_tag_sends_nothing_until_it_has_a_google_token(tmp_path, x_emulator):
    allowed = []

    def until_allowed(path: str, _before: int) -> int | None:
        return None if allowed or path != "/token" else 403

    with GoogleDouble(until_allowed) as google:
        gateway = with_google(tmp_path, x_emulator.url, google, repeat="at_most_once")
        with gateway:
            gateway.post(bought())
            wait_for(lambda: attempts(gateway) != [])
            waiting = gateway.get("/v1/conversions/tag:rows/order-1")[1]

    # If a request had been sent, the delivery would be held.
    assert waiting["state"] in {"queued", "sending"}
    assert "no token from Google: denied: as played" in waiting["attempts"][0]["answer"]
    assert google.asked == []


def test_missing_google_account_is_reported_to_the_template_and_the_log(tmp_path, x_emulator):
    with GoogleDouble() as google:
        gateway = with_google(tmp_path, x_emulator.url, google)
        text = gateway.config.read_text().replace('credentials = "file:key.json"', "")
        gateway.config.write_text(text)
        with gateway:
            said = totals(gateway)
            gateway.post(bought())
            wait_for(lambda: attempts(gateway) != [])
            checked = command(gateway, "check").stdout
            log = gateway.log()

    assert said == "not_configured"
    assert "BigQuery.insert: [google] is not set in the settings" in log
    assert "rows calls getGoogleAuth, BigQuery, Firestore, but [google] is not set" in checked
    assert google.asked == []


def test_twite_check_names_the_google_account(tmp_path, x_emulator):
    with GoogleDouble() as google:
        gateway = with_google(tmp_path, x_emulator.url, google)
        checked = command(gateway, "check").stdout

    assert f"; the project is {PROJECT}" in checked

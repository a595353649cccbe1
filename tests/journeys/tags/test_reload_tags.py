"""A running gateway reloads new, changed and removed tags and client templates."""

import http.client
import json
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from gateway_processes import Gateway, command, wait_for
from test_tag_destination import bought, row_of, with_tag
from vendor import Vendor

pytestmark = pytest.mark.journey

CLIENT = """___TERMS_OF_SERVICE___

___INFO___

{"type": "CLIENT", "id": "own", "version": 1, "displayName": "own", "description": "",
 "containerContexts": ["SERVER"]}

___TEMPLATE_PARAMETERS___

[{"type": "TEXT", "name": "answer", "displayName": "answer", "simpleValueType": true}]

___SANDBOXED_JS_FOR_SERVER___

const claimRequest = require('claimRequest');
const getRequestPath = require('getRequestPath');
const returnResponse = require('returnResponse');
const setResponseBody = require('setResponseBody');
const setResponseStatus = require('setResponseStatus');
if (getRequestPath() === '/own') {
  claimRequest();
  setResponseStatus(200);
  setResponseBody(data.answer);
  returnResponse();
}

___SERVER_PERMISSIONS___

[{"instance": {"key": {"publicId": "read_request", "versionId": "1"},
  "param": [{"key": "requestAccess", "value": {"type": 1, "string": "any"}}]}, "isRequired": true},
 {"instance": {"key": {"publicId": "return_response", "versionId": "1"}, "param": []},
  "isRequired": true},
 {"instance": {"key": {"publicId": "access_response", "versionId": "1"},
  "param": [{"key": "writeResponseAccess", "value": {"type": 1, "string": "any"}}]},
  "isRequired": true}]

___TESTS___

scenarios: []


___NOTES___

"""

CONTAINER = """
[[template]]
name = "Poster"
file = "crm.tpl"

[[tag]]
name = "Post"
template = "Poster"
triggers = ["All Events"]
paused = true
[tag.fields]
endpoint = "{url}"
"""


def reloaded(gateway, text):
    """Write the settings, and return the report of `twite reload`."""
    gateway.config.write_text(text)
    done = command(gateway, "reload", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def connected(gateway):
    connection = http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def test_tag_is_added_changed_and_removed_by_reloads(tmp_path, x_emulator):
    with Vendor() as first, Vendor() as second:
        gateway = with_tag(tmp_path, x_emulator.url, first)
        with_tags = gateway.config.read_text()
        without = with_tags.partition("[[tag]]")[0]
        gateway.config.write_text(without)
        with gateway:
            gateway.post(bought(1))
            added = reloaded(gateway, with_tags)
            gateway.post(bought(2))
            wait_for(lambda: first.count() == 1, gateway.ended)
            changed = reloaded(gateway, with_tags.replace(first.url, second.url))
            gateway.post(bought(3))
            wait_for(lambda: second.count() == 1, gateway.ended)
            again = reloaded(gateway, gateway.config.read_text())
            removed = reloaded(gateway, without)
            gateway.post(bought(4))
            balance = gateway.drained()
            tag = row_of(gateway, "tag:crm")
            page = gateway.get("/metrics")[1]["text"]

    assert added["changes"] == ["tag crm added"]
    assert changed["changes"] == ["tag crm changed"]
    assert (again["result"], again["changes"]) == ("unchanged", [])
    assert removed["changes"] == ["tag crm removed"]
    assert (first.count(), second.count()) == (1, 1)
    assert (tag["received"], tag["delivered"], tag["balance"]) == (2, 2, 0)
    assert balance["balance"] == 0
    assert 'twite_tag_firings_total{pixel="tag:crm",source="shop",verdict="accepted"} 2' in page


def test_reload_lets_a_run_end_with_the_old_template_and_continues_the_queue(tmp_path, x_emulator):
    with Vendor() as first, Vendor() as second:
        first.behaviour = lambda number: 200 if number else None  # the first run hangs
        gateway = with_tag(tmp_path, x_emulator.url, first, timeout='"5s"')
        text = gateway.config.read_text()
        with gateway:
            gateway.post(bought(1))
            wait_for(lambda: first.count() == 1, gateway.ended)
            reloaded(gateway, text.replace(first.url, second.url))
            for number in range(2, 6):
                gateway.post(bought(number))
            wait_for(lambda: second.count() >= 4, gateway.ended)
            gateway.drained()
            wait_for(lambda: row_of(gateway, "tag:crm")["delivered"] == 5, gateway.ended)
            stopped = gateway.stop()

    assert stopped == 0


def test_reload_notices_a_changed_template_file_alone(tmp_path, x_emulator):
    with Vendor() as vendor, with_tag(tmp_path, x_emulator.url, vendor) as gateway:
        template = tmp_path / "crm.tpl"
        template.write_text(template.read_text().replace("'X-Key'", "'X-Other'"))
        report = reloaded(gateway, gateway.config.read_text())
        gateway.post(bought(1))
        wait_for(lambda: vendor.count() == 1, gateway.ended)

    assert report["changes"] == ["tag crm changed"]
    assert vendor.keys == [""]


def test_client_template_is_added_changed_and_removed_by_reloads(tmp_path, x_emulator):
    gateway = Gateway(tmp_path, x_emulator.url)
    (tmp_path / "own.tpl").write_text(CLIENT)
    without = gateway.config.read_text()
    client = (
        '[[client]]\ntemplate = "own.tpl"\nname = "own"\nsource = "shop"\nfields.answer = "a"\n'
    )
    with gateway, connected(gateway) as connection:

        def answered():
            connection.request("GET", "/own")
            answer = connection.getresponse()
            return answer.status, answer.read()

        answers = [answered()[0]]
        reports = []
        for text in (without + client, without + client.replace('"a"', '"b"'), without):
            reports += reloaded(gateway, text)["changes"]
            answers.append(answered())

    assert reports == ["client own added", "client own changed", "client own removed"]
    assert answers[:3] == [404, (200, b"a"), (200, b"b")]
    assert answers[3][0] == 404


def test_reloaded_consent_policy_applies_to_the_client_template(tmp_path, x_emulator):
    with Vendor() as vendor, with_tag(tmp_path, x_emulator.url, vendor) as gateway:
        text = gateway.config.read_text()
        policy = 'region = "GB"\nconsent = "required"'
        report = reloaded(gateway, text.replace('region = "GB"', policy))
        receipt = gateway.post(bought(1))[1]

    assert report["changes"] == ["source shop changed: consent"]
    assert (receipt["accepted"], receipt["suppressed"]) == (0, 1)
    assert vendor.count() == 0


def test_reload_notices_a_changed_container_file_alone(tmp_path, x_emulator):
    with Vendor() as vendor:
        gateway = with_tag(tmp_path, x_emulator.url, vendor)
        text = gateway.config.read_text().partition("[[tag]]")[0]
        file = tmp_path / "container.toml"
        paused = CONTAINER.format(url=vendor.url)
        file.write_text(paused)
        hosts = 'allow_hosts = ["127.0.0.1"]'
        gateway.config.write_text(f'{text}[container]\nfile = "container.toml"\n{hosts}\n')
        with gateway:
            gateway.post(bought(1))
            file.write_text(paused.replace("paused = true", "paused = false"))
            report = reloaded(gateway, gateway.config.read_text())
            gateway.post(bought(2))
            wait_for(lambda: vendor.count() == 1, gateway.ended)

    assert report["changes"] == [f"container {file} changed"]

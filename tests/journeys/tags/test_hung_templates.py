"""Templates that hang, in real gateways: only their own runs fail, and no shutdown waits.

These templates run engine steps so long that the engine does not check its clock for many seconds.
The kernel ends the process instead.
"""

import http.client
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gateway_processes import Gateway, wait_for
from vendor import Vendor

pytestmark = pytest.mark.journey

HANGS = """{
  const none = {};
  const long = 'x'.repeat(4000000);
  // The engine looks at the clock only once in many rounds.
  for (let at = 0; ; at += 20) {
    none[long + at]; none[long + at + 1]; none[long + at + 2]; none[long + at + 3];
    none[long + at + 4]; none[long + at + 5]; none[long + at + 6]; none[long + at + 7];
    none[long + at + 8]; none[long + at + 9]; none[long + at + 10]; none[long + at + 11];
  }
}
"""
TAG = (Path(__file__).parents[2] / "tags/templates/crm_post.tpl").read_text()
VARIABLE = (Path(__file__).parents[2] / "tags/templates/variable_text.tpl").read_text()
CLIENT = f"""___INFO___
{{"type": "CLIENT", "displayName": "Hangs"}}
___SANDBOXED_JS_FOR_SERVER___
if (require('getRequestPath')() === '/hang') {HANGS}
___SERVER_PERMISSIONS___
[{{"instance": {{"key": {{"publicId": "read_request", "versionId": "1"}},
  "param": [{{"key": "requestAccess", "value": {{"type": 1, "string": "any"}}}}]}}}}]
"""
TWO_TAGS = """
[[tag]]
name = "calm"
template = "calm.tpl"
allow_hosts = ["127.0.0.1"]
fields = {{ endpoint = "{vendor}", note = "calm" }}
[[tag]]
name = "bad"
template = "bad.tpl"
allow_hosts = ["127.0.0.1"]
fields = {{ endpoint = "{vendor}" }}
"""

CONTAINER = """
[[template]]
name = "Crm"
file = "calm.tpl"
[[template]]
name = "Basket"
file = "basket.tpl"
[[variable]]
name = "Order"
type = "event_data"
key = "transaction_id"
[[variable]]
name = "Basket"
type = "template"
template = "Basket"
fields = {{ order = "{{{{Order}}}}" }}
[[trigger]]
name = "Full"
when = [ {{ left = "{{{{Basket}}}}", operator = "equals", right = "full" }} ]
[[tag]]
name = "picky"
template = "Crm"
triggers = ["Full"]
fields = {{ endpoint = "{vendor}" }}
"""


def with_variable(folder: Path, x: str, vendor: Vendor) -> Gateway:
    """Return a gateway whose only tag has a trigger with a variable."""
    start = VARIABLE.index("const createRegex")
    end = VARIABLE.index("___SERVER_PERMISSIONS___")
    code = f"if (data.order === 'order-1') {HANGS} return 'full';\n\n"
    (folder / "basket.tpl").write_text(VARIABLE[:start] + code + VARIABLE[end:])
    (folder / "calm.tpl").write_text(TAG)
    (folder / "container.toml").write_text(CONTAINER.format(vendor=vendor.url))
    gateway = Gateway(folder, x)
    written = '[container]\nfile = "container.toml"\nallow_hosts = ["127.0.0.1"]\n'
    gateway.config.write_text(gateway.config.read_text() + written)
    return gateway


def bought(number: int, **said: object) -> dict[str, object]:
    order = {"event": "purchase", "conversion_id": f"order-{number}", "email": "s@mail.example"}
    return {**order, "value": "49.90", "currency": "EUR", **said}


def states(gateway: Gateway, pixel: str) -> dict[str, int]:
    found = (row for row in gateway.get("/v1/accounting")[1]["by"] if row["pixel"] == pixel)
    return next(found, {"delivered": 0, "held": 0, "pending": 0})


def history(gateway: Gateway, pixel: str) -> str:
    return json.dumps(gateway.get(f"/v1/conversions/{pixel}/order-30")[1])


def ask(gateway: Gateway, path: str) -> int:
    there = urlsplit(gateway.url)
    line = http.client.HTTPConnection(there.hostname or "", there.port, timeout=60)
    line.request("POST", path, headers={"Host": "t.shop.example"})
    answer = line.getresponse()
    answer.read()
    line.close()
    return answer.status


def test_tag_template_that_hangs_fails_only_its_own_run(tmp_path, x_emulator):
    (tmp_path / "calm.tpl").write_text(TAG)
    body = "const body ="
    hangs = f"if (require('getEventData')('transaction_id') === 'order-30') {HANGS}{body}"
    (tmp_path / "bad.tpl").write_text(TAG.replace(body, hangs))
    with Vendor() as vendor:
        gateway = Gateway(tmp_path, x_emulator.url)
        written = gateway.config.read_text() + TWO_TAGS.format(vendor=vendor.url)
        gateway.config.write_text(written)
        with gateway:
            gateway.post({"conversions": [bought(number) for number in range(30)]})
            wait_for(lambda: states(gateway, "tag:bad")["delivered"] == 30)
            gateway.post({"conversions": [bought(number) for number in range(30, 50)]})
            wait_for(lambda: "took too much time" in history(gateway, "tag:bad"), seconds=60)
            wait_for(lambda: states(gateway, "tag:calm")["delivered"] == 50, seconds=60)
            calm = gateway.get("/v1/conversions/tag:calm/order-30")[1]
            stopped = gateway.stop()

    assert stopped == 0
    assert len(calm["attempts"]) == 1
    assert "the template exceeded a limit" in gateway.log()
    calms = [hit["event"]["transaction_id"] for hit in vendor.came if hit.get("note") == "calm"]
    assert sorted(calms) == sorted(f"order-{number}" for number in range(50))


def test_client_template_that_hangs_fails_only_its_requests(tmp_path, x_emulator):
    (tmp_path / "hangs.tpl").write_text(CLIENT)
    gateway = Gateway(tmp_path, x_emulator.url)
    gateway.config.write_text(gateway.config.read_text() + '[[client]]\ntemplate = "hangs.tpl"\n')
    with gateway:
        first = ask(gateway, "/hang")
        other = ask(gateway, "/unknown")
        posted = gateway.post(bought(1))[0]
        log = gateway.log()
        stopped = gateway.stop()

    # While on probation, the template gets no requests; callers that it might have served get 503.
    assert (first, other, posted) == (502, 503, 202)
    assert "client Hangs" in log
    assert stopped == 0


def test_variable_that_hangs_fails_only_the_tags_that_need_it(tmp_path, x_emulator):
    with Vendor() as vendor:
        gateway = with_variable(tmp_path, x_emulator.url, vendor)
        with gateway:
            posted = [gateway.post(bought(number))[0] for number in range(4)]
            wait_for(lambda: states(gateway, "o8z6j")["delivered"] == 4)
            history = gateway.get("/v1/conversions/o8z6j/order-2")[1]
            stopped = gateway.stop()
            log = gateway.log()

    assert posted == [202] * 4
    assert "is paused: it exceeded a limit" in json.dumps(history)
    assert "variable Text and numbers" in log
    assert "the template exceeded a limit" in log
    assert stopped == 0

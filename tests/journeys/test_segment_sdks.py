"""SDKs of Segment and RudderStack, unmodified, send to a gateway on loopback.

`make .venv/.dev` and `make .node/.done` install them.
"""

import http.client
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gateway_processes import ENVIRONMENT, KEY, Gateway

from twite_emulator.process import running_emulator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OLDER = Path(sys.prefix) / "sdk"
PACKAGES = ROOT / ".node"
NODE = shutil.which("node")
# The first two answers of the server in front: those of a gateway that stored nothing.
REFUSALS = [
    (503, b'{"code":"ledger_unavailable","message":"the commit failed"}'),
    (429, b'{"code":"queue_full","message":"the write queue is full"}'),
]


def python(library, *path):
    environment = ENVIRONMENT | {"PYTHONPATH": ":".join(map(str, path))}
    return [sys.executable, HERE / "sdk_calls.py", library], environment


SDKS = {
    "segment-analytics-python 2.3.4": python("segment", OLDER),
    "segment-analytics-python 2.4.0": python("segment"),
    "rudder-sdk-python 2.1.9": python("rudderstack"),
    "@segment/analytics-node 3.1.0": ([NODE, HERE / "sdk_calls.mjs", PACKAGES], ENVIRONMENT),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    with running_emulator() as emulator, Gateway(folder, emulator.url) as gateway:
        gateway.emulator = emulator
        yield gateway


@pytest.fixture(params=SDKS)
def sdk(request):
    """Return a function that makes the SDK's calls, and returns its errors."""
    name = request.param
    command, environment = SDKS[name]
    if name.startswith("@") and (NODE is None or not (PACKAGES / "node_modules").is_dir()):
        pytest.skip("Segment's SDK for Node is not there: run `make .node/.done`")
    if not name.startswith("@") and not (
        OLDER.is_dir() and importlib.util.find_spec("rudderstack")
    ):
        pytest.skip("the SDKs for Python are not there: run `make .venv/.dev`")

    def call(url, key=KEY, *, number):
        done = subprocess.run(
            [*command, url, key, str(number)],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
            timeout=60,
        )
        said = json.loads(done.stdout)
        assert said["version"] == name.rpartition(" ")[2]
        return said["errors"]

    call.number = list(SDKS).index(name)
    return call


@pytest.fixture
def front(gateway):
    """Return a server that answers as in REFUSALS first, and then passes requests on.

    `asked` counts requests.
    """

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            self.server.asked += 1
            if self.server.asked <= len(REFUSALS):
                self.respond(*REFUSALS[self.server.asked - 1], {"Retry-After": "1"})
                return
            line = http.client.HTTPConnection(urlsplit(gateway.url).netloc)
            line.request("POST", self.path, body, dict(self.headers))
            answer = line.getresponse()
            self.respond(answer.status, answer.read(), {})
            line.close()

        def respond(self, status, body, headers):
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        server.asked = 0
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def sent(gateway, number):
    """Return what X got about an order."""
    gateway.drained()
    entries = gateway.emulator.received(bodies=True)["entries"]
    conversions = [each for entry in entries for each in json.loads(entry["body"])["conversions"]]
    return [each for each in conversions if each["conversion_id"] == f"order-{number}"]


def test_order_of_an_unmodified_sdk_reaches_x_with_the_identified_person(gateway, sdk):
    errors = sdk(gateway.url, number=sdk.number)

    (order,) = sent(gateway, sdk.number)
    assert errors == []
    assert (order["event_id"], order["value"], order["price_currency"]) == ("o8z6k", "49.90", "EUR")
    assert order["contents"] == [
        {"content_id": "P-1", "content_name": "Mug", "content_price": "24.95", "num_items": 2}
    ]
    kinds = {kind for identifier in order["identifiers"] for kind in identifier}
    assert kinds == {"hashed_email", "hashed_phone_number", "ip_address", "user_agent"}


def test_sdk_repeats_a_request_that_was_not_stored(gateway, sdk, front):
    number = 100 + sdk.number

    errors = sdk(front.url, number=number)

    assert (errors, front.asked) == ([], len(REFUSALS) + 1)
    assert len(sent(gateway, number)) == 1


def test_sdk_reports_a_wrong_key_and_does_not_repeat_the_request(gateway, sdk, front):
    number, front.asked = 200 + sdk.number, len(REFUSALS)

    errors = sdk(front.url, "wrong-key", number=number)

    assert front.asked == len(REFUSALS) + 1
    assert errors != []
    assert not any("KeyError" in error or error == "'code'" for error in errors)
    assert sent(gateway, number) == []

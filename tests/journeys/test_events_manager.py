"""An event from its creation to its first conversion, and the snippets for it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_processes import ENVIRONMENT, KEY, command
from signing_in import Unsigned, log_in

pytestmark = pytest.mark.journey

CLIENTS = Path(__file__).parents[2] / "clients"
PACKAGE = "javascript/node"
TSC = CLIENTS.parent / ".node/node_modules/.bin/tsc"
TOOLS = {
    "curl": ["sh"],
    "python": [sys.executable],
    "node": ["node"],
    "php": ["php"],
}


def tool_is_there(kind: str) -> bool:
    if kind == "node" and not TSC.exists():
        return False
    return shutil.which("curl" if kind == "curl" else TOOLS[kind][0]) is not None


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    """A folder with the clients, where a file finds them if it is in the same folder."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "Twite.php").write_bytes((CLIENTS / "php/Twite.php").read_bytes())
    package = folder / "node_modules/@twite/node"
    package.mkdir(parents=True)
    (package / "package.json").write_bytes((CLIENTS / PACKAGE / "package.json").read_bytes())
    if TSC.exists():
        build = [TSC, "-p", CLIENTS / PACKAGE, "--outDir", package / "dist"]
        subprocess.run(build, check=True)
    return folder


def test_created_and_mapped_event_receives_a_conversion(x_emulator, tmp_path):
    gateway = Unsigned(tmp_path, x_emulator.url)
    log_in(gateway)

    made = command(
        gateway, "events", "create", "Newsletter", "--type", "SIGN_UP", "--as", "news", "--yes"
    )

    assert (made.returncode, made.stderr) == (0, "")
    with gateway:
        status, _ = gateway.post(
            {"event": "news", "conversion_id": "reader-1", "email": "reader@shop.example"}
        )
        drained = gateway.drained()
        x_emulator.switch(tracking_delay=0)
        listed = json.loads(command(gateway, "events", "list", "--json").stdout)
    event = next(event for event in listed if event["name"] == "Newsletter")
    assert (status, drained["delivered"]) == (202, 1)
    counted = x_emulator.counted()["pixels"]["o8z6j"]["events"]
    assert counted[event["id"]]["counted"] == 1
    assert (event["ours"], event["status"]) == (["news"], "TRACKING")


def run_snippet(gateway, clients, kind, *, key=KEY):
    """Run the snippet for an event as if copied into a file, with the clients installed."""
    call = json.loads(
        command(gateway, "events", "snippet", "purchase", "--for", kind, "--json").stdout
    )[0]
    file = clients / f"call.{call['suffix']}"
    file.write_text(call["text"])
    paths = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CLIENTS / "python/src")}
    return subprocess.run(
        [*TOOLS[kind], str(file)],
        env=ENVIRONMENT | paths | {"TWITE_KEY": key},
        cwd=clients,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def with_public_url(gateway):
    """Set the gateway's public URL, which the snippets use."""
    address = f'[server]\npublic_url = "{gateway.url}"'
    gateway.config.write_text(gateway.config.read_text().replace("[server]", address))


@pytest.mark.parametrize("kind", TOOLS)
def test_printed_snippet_sends_a_conversion(x_emulator, clients, tmp_path, kind):
    if not tool_is_there(kind):
        pytest.skip(f"there is no {kind} on this machine, so its call cannot be run")
    gateway = Unsigned(tmp_path, x_emulator.url)
    log_in(gateway)
    with gateway:
        with_public_url(gateway)

        done = run_snippet(gateway, clients, kind)

        assert (done.returncode, done.stderr) == (0, "")
        assert re.search(r'accepted"?: ?1\b', done.stdout)
        assert gateway.drained()["delivered"] == 1
        assert gateway.get("/v1/conversions/o8z6j/order-1001")[1]["state"] == "delivered"


def test_snippet_whose_conversion_is_refused_fails_with_the_gateways_message(
    x_emulator, clients, tmp_path
):
    kinds = [kind for kind in TOOLS if tool_is_there(kind)]
    with Unsigned(tmp_path, x_emulator.url) as gateway:
        with_public_url(gateway)

        refused = {
            kind: run_snippet(gateway, clients, kind, key="not-the-key-of-the-shop")
            for kind in kinds
        }

    reported = {kind: run.stdout + run.stderr for kind, run in refused.items()}
    assert [kind for kind, run in refused.items() if run.returncode == 0] == []
    assert [kind for kind, words in reported.items() if "401" not in words] == []


def test_canary_conversion_of_twite_check_reaches_x_and_its_response_is_shown(x_emulator, tmp_path):
    gateway = Unsigned(tmp_path, x_emulator.url)
    log_in(gateway)
    with gateway:
        result = command(gateway, "check", "--canary", "purchase", "--json")

    findings = [load for load in json.loads(result.stdout)["findings"] if load["topic"] == "canary"]
    assert [finding["status"] for finding in findings] == ["passed"]
    assert "X accepted twite-canary-" in findings[0]["found"]
    assert x_emulator.received()["conversions"] == 1


def test_canary_conversion_that_x_refuses_fails_with_xs_message(x_emulator, tmp_path):
    gateway = Unsigned(tmp_path, x_emulator.url)
    log_in(gateway)
    x_emulator.add(users=[{"id": "370773112", "roles": {"18ce552mlaq": ["ACCOUNT_ADMIN"]}}])
    with gateway:
        result = command(gateway, "check", "--canary", "purchase", "--json")

    findings = [load for load in json.loads(result.stdout)["findings"] if load["topic"] == "canary"]
    assert (result.returncode, [finding["status"] for finding in findings]) == (1, ["failed"])
    assert "does not have access to account" in findings[0]["found"]


def test_canary_conversion_is_not_sent_without_a_gateway(x_emulator, tmp_path):
    gateway = Unsigned(tmp_path, x_emulator.url)
    log_in(gateway)

    result = command(gateway, "check", "--canary", "purchase", "--json")

    findings = [load for load in json.loads(result.stdout)["findings"] if load["topic"] == "canary"]
    assert [(finding["status"], finding["meaning"]) for finding in findings] == [
        ("failed", "Twite did not send the test conversion.")
    ]
    assert x_emulator.received()["conversions"] == 0

"""A server container's export, written for this test: imported, run, and delivered to X."""

import json
import re
import urllib.request
from pathlib import Path

import pytest
from gateway_processes import ENVIRONMENT, KEY, PIXEL, Gateway, command, wait_for

from twite_emulator.process import Emulator

EXPORT = Path(__file__).parents[2] / "tags/containers/shop.json"
SECRETS = ("px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5", "px_8Yw2Rt6Kq1Nf4Jd9Gs3Bx7Mc", "wh_5Tq8Zn2Xc7Vb1Lm4Kp9Rd")
TWCLID = "23opevjt88psuo13lu8d020qkn"
CLICK = {"ep__twclid": TWCLID}
CALLBACKS = 'template = "Callbacks"'

pytestmark = pytest.mark.journey


def with_key(folder: Path, x: str) -> Gateway:
    """Return a gateway with a secret key that sends to X only what its tags send."""
    gateway = Gateway(folder, x)
    text = gateway.config.read_text()
    key = 'listen = "127.0.0.1:0"\nsecret_key = "a-key-that-seals-for-a-journey"'
    text = text.replace('listen = "127.0.0.1:0"', key)
    gateway.config.write_text(
        re.sub(r"^events = .*$", 'events = { lead = "o8z6n" }', text, flags=re.MULTILINE)
    )
    return gateway


def hit(gateway: Gateway, name: str, **said: str) -> int:
    """Send a GA4 hit as a server with its key."""
    query = "&".join(f"{key.replace('__', '.')}={value}" for key, value in said.items())
    request = urllib.request.Request(
        f"{gateway.url}/g/collect?v=2&tid=G-TEST&cid=1.1&en={name}&{query}",
        headers={"Authorization": f"Bearer {KEY}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status


def row_of(gateway: Gateway, pixel: str) -> dict:
    rows = gateway.get("/v1/accounting")[1]["by"]
    return next((row for row in rows if row["pixel"] == pixel), {})


def conversions_at(x: Emulator) -> dict[str, dict]:
    """Return what X has, by the ids of the conversions."""
    entries = x.received(bodies=True)["entries"]
    found = [load for entry in entries for load in json.loads(entry["body"])["conversions"]]
    return {conversion["conversion_id"]: conversion for conversion in found}


def test_exported_container_is_imported_runs_and_delivers(tmp_path, x_emulator):
    gateway = with_key(tmp_path, x_emulator.url)
    folder = tmp_path / "container"
    with gateway:
        # The gateway owns the store, so the command passes the secrets to it.
        done = command(gateway, "import", str(EXPORT), "--out", str(folder), "--allow-left-out")
        gateway.stop()
    file = folder / "container.toml"
    # Payloads for the warehouse stay pending: there is none on this machine.
    tags = [
        part if "paused = true" in part else part.replace(CALLBACKS, f"{CALLBACKS}\npaused = true")
        for part in file.read_text().split("[[tag]]")
    ]
    file.write_text("[[tag]]".join(tags))
    settings = gateway.config.read_text()
    gateway.config.write_text(f'{settings}\n[container]\nfile = "container/container.toml"\n')

    with gateway:
        hit(gateway, "purchase", ep__transaction_id="order-1", epn__value="49.9", cu="GBP", **CLICK)
        hit(gateway, "sign_up", ep__transaction_id="new-1", gcs="G111", **CLICK)
        hit(gateway, "sign_up", ep__transaction_id="new-2", gcs="G101", **CLICK)
        # The container's own client claims this path, and runs the container.
        order = {
            "event_name": "purchase",
            "transaction_id": "order-2",
            "value": 5,
            "twclid": TWCLID,
        }
        claimed = gateway.post(order, "/orders")[0]
        balance = gateway.drained()
        tags = {name: row_of(gateway, f"tag:{name}") for name in ("X purchase", "X sign-up")}
        # These are counted under the names of the tags, which the source's key cannot read.
        wait_for(lambda: len(conversions_at(x_emulator)) == 3)
        reported = json.loads(command(gateway, "accounting", "--json").stdout)

    conversions = conversions_at(x_emulator)
    assert done.returncode == 0, done.stderr
    assert claimed == 202
    assert set(conversions) == {"order-1", "order-2", "new-1"}
    assert conversions["order-1"]["event_id"] == "o8z6k"
    assert conversions["new-1"]["event_id"] == "o8z6m"
    assert balance["balance"] == 0
    assert (tags["X purchase"]["delivered"], tags["X sign-up"]["delivered"]) == (2, 1)
    assert sum(row["delivered"] for row in reported["by"] if row["pixel"] == PIXEL) == 3
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert [secret for secret in SECRETS if secret.encode() in everything] == []
    assert not any(secret in str(ENVIRONMENT) for secret in SECRETS)

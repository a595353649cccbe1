"""A store of a release moves to PostgreSQL, a gateway uses it, and it moves back."""

import asyncio
import http.cookiejar
import json
import re
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from shifted_gateway import ShiftedGateway
from test_upgrades import at_the_time, opened_once
from write_store import Vendor, bought, twite

from gateway_process import wait_for
from twite.cli import run

RELEASE = Path(__file__).parent / "stores" / "schema-1"
BACK_TO = "sqlite:twite.db"

pytestmark = [pytest.mark.timeout(120), pytest.mark.journey]


@pytest.fixture
def written():
    return json.loads((RELEASE / "expected.json").read_text("utf-8"))


@pytest.fixture
def folder(tmp_path, written, monkeypatch):
    """Provide a store with the newest schema, as a stopped gateway leaves it."""
    with tarfile.open(RELEASE / "store.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    with monkeypatch.context() as past:
        at_the_time(past, written)
        asyncio.run(opened_once(tmp_path / "twite.db"))
    return tmp_path


def gateway_in(folder, written, x, vendor, *, url):
    """Return a gateway on a store, soon after the store was written."""
    note = "twite.db.gateway" if url == BACK_TO else "twite.postgresql.gateway"
    gateway = ShiftedGateway(folder, written["written_at"], x=x, vendor=vendor.url, note=note)
    gateway.config.write_text(gateway.config.read_text().replace(BACK_TO, url))
    return gateway


def signed_in(gateway, name, password):
    """Sign in to the console as a browser does; return the path of the next page."""
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(jar)
    page = browser.open(f"{gateway.url}/console/sign-in").read().decode()
    token = re.search(r'name="form_token" value="([^"]+)"', page)[1]
    form = {"form_token": token, "name": name, "password": password, "code": ""}
    request = urllib.request.Request(
        f"{gateway.url}/console/sign-in",
        urllib.parse.urlencode(form).encode(),
        {"Origin": gateway.url},
    )
    return urllib.parse.urlsplit(browser.open(request).url).path


def test_gateway_continues_with_a_store_copied_to_postgresql_and_back(
    folder, written, x_emulator, postgres_url
):
    vendor = Vendor()
    assert run(["store", "copy", f"sqlite:{folder}/twite.db", postgres_url]) == 0
    gateway = gateway_in(folder, written, x_emulator, vendor, url=postgres_url)
    try:
        with gateway:
            _, again = gateway.post(bought("usual-1", value="41.90"))
            gateway.drained()
            replayed = twite(gateway.config, "dead", "replay", "dead-1")
            wait_for(lambda: "dead-1" in sent(x_emulator), gateway.ended)
            after = gateway.drained()
            page = signed_in(gateway, "ada", "many words here 7")
            audit = twite(gateway.config, "audit", "verify")
            gateway.stop()
        # Move the store back, with the same settings and another file.
        (folder / "twite.db").rename(folder / "former.db")
        assert run(["store", "copy", postgres_url, f"sqlite:{folder}/twite.db"]) == 0
        gateway = gateway_in(folder, written, x_emulator, vendor, url=BACK_TO)
        with gateway:
            _, known = gateway.post(bought("waits-1"))
            _, new = gateway.post(bought("new-1"))
            at_last = gateway.drained()
            page_again = signed_in(gateway, "ada", "many words here 7")
            gateway.stop()
    finally:
        vendor.close()

    assert again["duplicates"] == 1
    assert (replayed.returncode, audit.returncode) == (0, 0), (replayed.stderr, audit.stdout)
    assert (after["pending"], after["balance"]) == (0, 0)
    assert page == page_again == "/console"
    assert (known["duplicates"], new["accepted"]) == (1, 1)
    assert at_last["delivered"] == after["delivered"] + 1
    assert at_last["balance"] == 0
    assert vendor.came == 1
    pending = {"doubt-1", "waits-1", "waits-2", "tagged-2"}
    assert sent(x_emulator) == dict.fromkeys({*pending, "dead-1", "new-1"}, 1)


def sent(x):
    """Return how often X received each conversion of the pixel."""
    events = x.counted()["pixels"]["o8z6j"]["events"]
    return {
        id_: reported["api"] for event in events.values() for id_, reported in event["ids"].items()
    }

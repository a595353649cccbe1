"""`twite check` as a separate process, with a gateway and an X that it reaches only over TLS."""

import json
import re
import subprocess
import sys

import pytest
from gateway_processes import ENVIRONMENT, KEY, Gateway, command
from signing_in import OAUTH
from tls_front import TlsFront

from free_port import free_port

pytestmark = pytest.mark.journey


@pytest.fixture
def x_front(x_emulator, tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    with TlsFront(folder, int(x_emulator.url.rpartition(":")[2])) as front:
        yield front


def check(gateway, *authorities):
    """Run `twite check` with only these certificate authorities; return the finished process."""
    file = gateway.folder / "authorities.pem"
    file.write_text("".join(authority.read_text() for authority in authorities))
    trusted = {"SSL_CERT_FILE": str(file), "SSL_CERT_DIR": str(gateway.folder / "none")}
    return subprocess.run(
        [sys.executable, "-m", "twite", "check", "--json", "--config", str(gateway.config)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT | trusted,
        check=False,
        timeout=120,
    )


def statuses(done, topic):
    found = json.loads(done.stdout)["findings"]
    return [(finding["status"], finding["found"]) for finding in found if finding["topic"] == topic]


def test_valid_certificate_of_x_passes_with_its_expiry(x_front, tmp_path):
    done = check(Gateway(tmp_path, x_front.url), x_front.authority)

    ((status, found),) = statuses(done, "TLS")
    assert status == "passed"
    assert re.fullmatch(
        f"{x_front.url}: TLSv1\\.[23], certificate valid until \\d{{4}}-\\d\\d-\\d\\d", found
    )
    assert statuses(done, "X") == [("passed", f"{x_front.url} answers")]
    assert done.returncode == 0


def test_untrusted_certificate_fails_and_x_gets_no_request(x_front, x_emulator, tmp_path):
    done = check(Gateway(tmp_path, x_front.url))

    assert (done.returncode, statuses(done, "TLS")) == (
        1,
        [("failed", f"{x_front.url}: self-signed certificate")],
    )
    assert statuses(done, "credentials") == []


def test_public_url_and_script_are_checked_from_outside(x_emulator, tmp_path):
    gateway = Gateway(tmp_path, x_emulator.url)
    port = free_port()
    with TlsFront(tmp_path, port) as front:
        address = f'listen = "127.0.0.1:{port}"\npublic_url = "{front.url}"'
        text = gateway.config.read_text().replace('listen = "127.0.0.1:0"', address)
        gateway.config.write_text(text.replace("key =", f'origins = ["{front.url}"]\nkey ='))
        with gateway:
            done = check(gateway, front.authority)

    assert statuses(done, "public address") == [("passed", f"{front.url} answers")]
    ((status, found),) = statuses(done, "script")
    assert (status, found.startswith(f"{front.url}/twite.js?s=shop is available, ")) == (
        "passed",
        True,
    )
    assert [status for status, _ in statuses(done, "address")] == ["passed"]
    assert [status for status, _ in statuses(done, "pages")][-1] == "passed"


def test_public_url_of_a_gateway_for_servers_requires_a_key(x_emulator, tmp_path):
    with Gateway(tmp_path, x_emulator.url) as gateway:
        address = f'[server]\npublic_url = "{gateway.url}"'
        gateway.config.write_text(gateway.config.read_text().replace("[server]", address))

        done = command(gateway, "check", "--json")

    assert statuses(done, "public address") == [
        ("passed", f"{gateway.url} answers"),
        ("passed", f"{gateway.url}/v1/accounting requires a key from servers"),
    ]
    assert KEY not in done.stdout


def test_active_event_shows_the_time_of_its_last_conversion(x_emulator, tmp_path):
    auth = OAUTH.removeprefix("auth = ")
    with Gateway(tmp_path, x_emulator.url, auth=auth) as gateway:
        gateway.post(
            {"event": "purchase", "conversion_id": "order-1", "email": "buyer@shop.example"}
        )
        gateway.drained()
        x_emulator.switch(tracking_delay=0)

        done = command(gateway, "check", "--json")

    reported = [found for status, found in statuses(done, "events") if status == "passed"]
    assert re.search(r"purchase → o8z6k .*; tracking, last conversion at \d{4}-", reported[0])
    assert reported[1].endswith("X has tracked no conversion of it yet")

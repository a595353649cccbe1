"""Tags that send to X: Twite's tag through a second gateway, and templates directly."""

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gateway_processes import KEY, Gateway, command, wait_for
from tls_front import TlsFront

ROOT = Path(__file__).parents[3]
X = "https://ads-api.x.com/12/measurement/conversions/o8z6j"
STAPE = "https://own.euw.stape.io/stape-api/some-key/v1/twitter/auth-proxy"

pytestmark = pytest.mark.journey


def with_tag(gateway: Gateway, template: Path, fields: dict[str, str]) -> Gateway:
    shutil.copy(template, gateway.folder / "tag.tpl")
    said = ", ".join(f'{name} = "{text}"' for name, text in fields.items())
    with gateway.config.open("a") as config:
        config.write(
            '[[tag]]\nname = "own"\ntemplate = "tag.tpl"\nallow_hosts = ["127.0.0.1"]\n'
            f"fields = {{ {said} }}\n"
        )
    return gateway


def bought(number: int) -> dict[str, object]:
    return {
        "event": "purchase",
        "conversion_id": f"order-{number}",
        "time": "2026-11-25T09:00:00Z",
        "value": "49.90",
        "currency": "EUR",
        "email": "shopper@mail.example",
    }


def rows(gateway: Gateway) -> dict[tuple[str, str], dict]:
    """Return the balances of all sources; each key shows only its own source."""
    found = json.loads(command(gateway, "accounting", "--json").stdout)["by"]
    return {(row["source"], row["pixel"]): row for row in found}


def all_done(gateway: Gateway, expected: int) -> bool:
    return sum(row["delivered"] for row in rows(gateway).values()) == expected


def test_twites_tag_delivers_through_a_second_gateway_to_x(tmp_path, x_emulator):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    x_emulator.switch(dedup_scope="all")
    with Gateway(tmp_path / "second", x_emulator.url) as second:
        port = urlsplit(second.url).port
        with TlsFront(tmp_path, port) as front:
            first = with_tag(
                Gateway(tmp_path / "first", x_emulator.url),
                ROOT / "sgtm/twite-tag.tpl",
                {"gatewayUrl": front.url, "sourceKey": KEY, "eventMode": "own"},
            )
            first.environment = {**first.environment, "SSL_CERT_FILE": str(front.authority)}
            with first:
                first.post(bought(1))
                balance = first.drained()
                there = second.drained()

    assert (balance["delivered"], balance["balance"]) == (2, 0)
    assert (there["delivered"], there["balance"]) == (1, 0)
    ids = x_emulator.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]
    # From both gateways, under one id: X counts it once.
    assert {name: (many["api"], many["counted"]) for name, many in ids.items()} == {
        "order-1": (2, 1)
    }


@pytest.mark.parametrize("domain", ["stape.io", "shop.example"])
def test_stapes_tag_in_oauth_mode_uses_the_configured_headers(tmp_path, x_emulator, domain):
    gateway = with_tag(
        Gateway(tmp_path, x_emulator.url),
        ROOT / "tests/tags/templates/proxy_post.tpl",
        {"pixelId": "o8z6j"},
    )
    text = gateway.config.read_text()
    stape = f'{{ identifier = "twite", default_domain = "{domain}", api_key = "local" }}'
    gateway.config.write_text(f"{text}\n[templates]\nstape = {stape}\n")
    with gateway:
        gateway.post(bought(1))
        wait_for(lambda: all_done(gateway, 3), seconds=30)
        found = rows(gateway)

    assert found["shop", "tag:own"]["delivered"] == 1
    assert found["tag:own", "o8z6j"]["delivered"] == 1
    ids = x_emulator.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]
    assert set(ids) == {"order-1", "proxy-order-1"}


@pytest.mark.parametrize("endpoint", [X, STAPE])
def test_template_requests_to_x_are_sent_in_batches(tmp_path, x_emulator, endpoint):
    gateway = with_tag(
        Gateway(tmp_path, x_emulator.url),
        ROOT / "tests/tags/templates/x_post.tpl",
        {"endpoint": endpoint, "pixel": "o8z6j" if endpoint == STAPE else ""},
    )
    with gateway:
        x_emulator.fault(kind="status", status=503, count=3)
        gateway.post({"conversions": [bought(number) for number in range(40)]})
        wait_for(lambda: all_done(gateway, 120), seconds=60)
        found = rows(gateway)

    assert found["shop", "tag:own"]["delivered"] == 40
    assert found["tag:own", "o8z6j"]["delivered"] == 40
    ids = x_emulator.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]
    assert {name for name in ids if name.startswith("x-")} == {f"x-order-{n}" for n in range(40)}
    # There are far fewer requests than conversions, and they use the pixel's own token.
    taken = [entry for entry in x_emulator.received()["entries"] if entry["status"] == 200]
    assert len(taken) < 40


def with_redirect(folder: Path, x: str, redirect: str) -> Gateway:
    """Return a gateway whose tag sends the gateway's own conversion to X, with the same id."""
    text = (ROOT / "tests/tags/templates/x_post.tpl").read_text()
    (folder / "same.tpl").write_text(text.replace("'x-' + makeString", "makeString"))
    gateway = with_tag(Gateway(folder, x), folder / "same.tpl", {"endpoint": X, "pixel": ""})
    with gateway.config.open("a") as config:
        config.write(f'redirect = {{ {redirect} = "{x}" }}\n')
    return gateway


def copies_at_x(x_emulator) -> int:
    ids = x_emulator.counted()["pixels"]["o8z6j"]["events"]["o8z6k"]["ids"]
    return ids["order-1"]["api"]


def test_conversion_redirected_with_all_hosts_is_sent_to_x_once(tmp_path, x_emulator):
    with with_redirect(tmp_path, x_emulator.url, '"*"') as gateway:
        gateway.post(bought(1))
        wait_for(lambda: row_exists(gateway, "tag:own", "o8z6j"), seconds=30)
        gateway.drained()
        found = rows(gateway)

    assert copies_at_x(x_emulator) == 1
    assert found["shop", "tag:own"]["delivered"] == 1
    assert found["tag:own", "o8z6j"]["duplicate"] == 1


def test_redirect_that_names_x_is_used(tmp_path, x_emulator):
    with with_redirect(tmp_path, x_emulator.url, '"ads-api.x.com"') as gateway:
        gateway.post(bought(1))
        gateway.drained()
        entries = x_emulator.received()["entries"]

    # The tag's own token is unknown to the emulator: the request came from the tag.
    assert 401 in [entry["status"] for entry in entries]


def row_exists(gateway: Gateway, source: str, pixel: str) -> bool:
    return (source, pixel) in rows(gateway)

"""Third-party tags: from their requests to X, through real processes."""

import json
import urllib.request

import pytest
from gateway_processes import KEY, Gateway

pytestmark = pytest.mark.journey

PAGE = "https://shop.example"
AUTH = {
    "consumer_key": "xvz1evFS4wEEPTGEFPHBog",
    "consumer_secret": "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
    "oauth_token": "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
    "oauth_token_secret": "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
}
# o6dkt is configured; the tag brings the credentials of o8z6j.
CHANGES = {
    "[server]": '[server]\nsecret_key = "a-key-to-seal-with-it"',
    '"o8z6j"': '"o6dkt"',
    "18ce54d4x5t": "18ce552mlaq",
    'purchase = "o8z6k", sign_up = "o8z6m"': 'purchase = "o6dkv"',
    "emulator-pixel-token-o8z6j": "emulator-pixel-token-o6dkt",
    "region =": f'origins = ["{PAGE}"]\nstape_credentials = "stored"\nregion =',
}


def open_for_tags(gateway: Gateway) -> Gateway:
    text = gateway.config.read_text()
    for before, after in CHANGES.items():
        assert before in text
        text = text.replace(before, after)
    gateway.config.write_text(text)
    return gateway


def post(gateway, path, body, **headers):
    request = urllib.request.Request(gateway.url + path, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.read()


def proxied(conversion_id, **more):
    conversion = {
        "event_id": "tw-o8z6j-o8z6k",
        "conversion_id": conversion_id,
        "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
    }
    return json.dumps({"pixel_id": "o8z6j", "conversions": [conversion], **more}).encode()


def ids_of(x, pixel, event):
    return x.counted()["pixels"][pixel]["events"][event]["ids"]


def test_ga4_hit_reaches_x_and_unmapped_events_are_counted(tmp_path, x_emulator):
    with open_for_tags(Gateway(tmp_path, x_emulator.url)) as gateway:
        status, _ = post(
            gateway,
            "/g/collect?v=2&tid=G-1&cid=1.2&_p=3&_s=4&dl=https%3A%2F%2Fshop.example%2F%3Ftwclid%3Dabc",
            b"en=purchase&ep.transaction_id=T-1&epn.value=49.9&ep.currency=EUR\nen=scroll",
            Origin=PAGE,
            **{"User-Agent": "Mozilla/5.0 (X11; Linux x86_64)"},
        )
        balance = gateway.drained()

    assert (status, balance["delivered"]) == (200, 1)
    assert [(tally["name"], tally["times"]) for tally in balance["ignored"]] == [("scroll", 1)]
    assert list(ids_of(x_emulator, "o6dkt", "o6dkv")) == ["T-1"]


def test_credentials_from_stapes_tag_sign_requests_also_after_a_restart(tmp_path, x_emulator):
    path = f"/stape-api/{KEY}/v1/twitter/auth-proxy"
    gateway = open_for_tags(Gateway(tmp_path, x_emulator.url))
    with gateway:
        first, answer = post(gateway, path, proxied("T-1", auth=AUTH))
        gateway.drained()
        gateway.stop()
        gateway.start()
        second, _ = post(gateway, path, proxied("T-2"))
        gateway.drained()
        assert gateway.stop() == 0

    assert (first, second) == (200, 200)
    assert json.loads(answer)["data"]["conversions_processed"] == 1
    assert set(ids_of(x_emulator, "o8z6j", "o8z6k")) == {"T-1", "T-2"}
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    for secret in AUTH.values():
        assert secret.encode() not in written

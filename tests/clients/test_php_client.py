"""The PHP client against the shared vectors and a running gateway, by streams and by PSR-18."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from scripted_gateway import KEY, VECTORS, ScriptedGateway

ROOT = Path(__file__).parents[2]
PHP = shutil.which("php") or ""
PSR = [
    Path("/usr/share/php") / name
    for name in (
        "Psr/Http/Client/autoload.php",
        "GuzzleHttp/Psr7/autoload.php",
    )
]
pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(not PHP, reason="no PHP: on Debian, apt-get install php-cli"),
]
TRANSPORTS = pytest.mark.parametrize(
    "psr",
    [
        pytest.param(False, id="streams"),
        pytest.param(
            True,
            id="psr",
            marks=pytest.mark.skipif(
                not all(file.exists() for file in PSR),
                reason="no PSR-18: apt-get install php-psr-http-client php-guzzlehttp-psr7",
            ),
        ),
    ],
)

ORDER = {"event": "purchase", "conversion_id": "order-1", "email": "shopper@shop.example"}
OUTCOMES = {
    "unavailable": "GatewayUnavailableException",
    "wrong key": "WrongKeyException",
    "refused": "RequestRefusedException",
    "rejected": "ConversionRejectedException",
}


def run(url, argument=ORDER, *, psr=False, **more):
    """Run a call of the client in a process of its own; return its outcome."""
    call = {
        "client": str(ROOT / "clients/php/Twite.php"),
        "load": [str(file) for file in PSR] if psr else [],
        "psr": psr,
        "url": url,
        "key": KEY,
        "method": "send",
        "argument": argument,
        "attempts": 3,
        "timeout": 5,
    }
    process = subprocess.run(
        [
            PHP,
            "-d",
            "display_errors=stderr",
            "-d",
            "error_reporting=-1",
            str(Path(__file__).with_name("php_client.php")),
        ],
        input=json.dumps(call | more),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert process.stderr == ""
    return json.loads(process.stdout)


@TRANSPORTS
def test_bodies_and_headers_are_those_of_the_vectors(psr):
    with ScriptedGateway([]) as gateway:
        for vector in VECTORS["requests"]:
            outcome = run(gateway.url, vector["conversion"], psr=psr)
            assert outcome["receipt"]["accepted"] == 1
            assert KEY not in outcome["dump"]

    assert [body.decode() for _headers, body in gateway.requests] == [
        vector["body"] for vector in VECTORS["requests"]
    ]
    for headers, _body in gateway.requests:
        assert headers["Authorization"] == f"Bearer {KEY}"
        assert headers["User-Agent"].startswith("twite-client-php/")


@pytest.mark.parametrize("vector", VECTORS["attempts"], ids=lambda vector: vector["name"])
@TRANSPORTS
def test_attempts_are_those_of_the_vectors(psr, vector):
    with ScriptedGateway(list(vector["answers"])) as gateway:
        timeout = 0.3 if {"silent": True} in vector["answers"] else 5
        outcome = run(gateway.url, psr=psr, timeout=timeout)

    if vector["outcome"] == "receipt":
        assert outcome["receipt"]["accepted"] == 1
    else:
        assert outcome["error"] == OUTCOMES[vector["outcome"]]
        # With its stack trace, which has the arguments of the calls.
        assert KEY not in outcome["text"]
        assert "shopper" not in outcome["text"]
    assert len(gateway.requests) == vector["requests"]
    assert len({(heads["Idempotency-Key"], body) for heads, body in gateway.requests}) == 1
    for wait, before, after in zip(
        vector.get("waits", ()), gateway.times, gateway.times[1:], strict=False
    ):
        assert after - before >= wait


def test_many_conversions_are_sent_a_thousand_a_request_with_indexes_of_the_whole():
    conversions = [ORDER | {"conversion_id": f"order-{index}"} for index in range(1_500)]
    script = [{"status": 202}, {"status": 202, "rejected": True}]
    with ScriptedGateway(script) as gateway:
        outcome = run(gateway.url, conversions, method="sendMany", idempotency_key="nightly-1")

    assert outcome["receipt"]["accepted"] == 1_499
    assert list(outcome["receipt"]["rejected"]) == ["1000"]
    assert [heads["Idempotency-Key"] for heads, _body in gateway.requests] == [
        "nightly-1-0",
        "nightly-1-1000",
    ]


def test_error_of_a_later_request_carries_the_receipt_of_the_earlier_ones():
    with ScriptedGateway([{"status": 202}, {"status": 413}]) as gateway:
        outcome = run(gateway.url, [ORDER] * 1_001, method="sendMany")

    assert (outcome["error"], outcome["accepted"]) == ("RequestRefusedException", 1_000)


def test_dates_are_written_with_their_zone():
    with ScriptedGateway([]) as gateway:
        run(gateway.url, time="2026-11-24T10:00:00+02:00")

    [(_headers, body)] = gateway.requests
    assert json.loads(body)["time"] == "2026-11-24T10:00:00.000+02:00"


def test_conversion_reaches_x(twite_gateway):
    sent = run(twite_gateway.url, key=twite_gateway.key)
    rejected = run(twite_gateway.url, ORDER | {"event": "purchse"}, key=twite_gateway.key)

    assert sent["receipt"]["accepted"] == 1
    assert rejected["faults"][0]["path"] == "event"
    assert [sent["conversion_id"] for sent in twite_gateway.captured()] == ["order-1"]

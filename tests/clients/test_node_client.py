"""The Node.js client, built with TypeScript, against the shared vectors and a running gateway."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from scripted_gateway import KEY, VECTORS, ScriptedGateway

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node") or "node"
TSC = ROOT / ".node/node_modules/.bin/tsc"
pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(not TSC.exists(), reason="no TypeScript: make .node/.done installs it"),
]

ORDER = {"event": "purchase", "conversion_id": "order-1", "email": "shopper@shop.example"}
OUTCOMES = {
    "unavailable": "GatewayUnavailableError",
    "wrong key": "WrongKeyError",
    "refused": "RequestRefusedError",
    "rejected": "ConversionRejectedError",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The path of the built client."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text('{"type": "module"}')
    build = [TSC, "-p", ROOT / "clients/javascript/node", "--outDir", folder / "dist"]
    subprocess.run(build, check=True)
    return str(folder / "dist/index.js")


def run(client, *calls):
    """Run calls at once in one process; return an outcome for each."""
    process = subprocess.run(
        [NODE, str(Path(__file__).with_name("node_client.mjs"))],
        input=json.dumps({"client": client, "calls": calls}),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert process.stderr == ""
    return json.loads(process.stdout)


def call(url, argument=ORDER, *, method="send", sending=None, **options):
    options = {"firstWait": 1} | options
    return {
        "url": url,
        "key": KEY,
        "method": method,
        "argument": argument,
        "options": options,
        "sending": sending or {},
    }


def test_bodies_and_headers_are_those_of_the_vectors(client):
    vectors = VECTORS["requests"]
    with ScriptedGateway([]) as gateway:
        for vector in vectors:
            [outcome] = run(client, call(gateway.url, vector["conversion"]))
            assert outcome["receipt"]["accepted"] == 1

    assert [body.decode() for _headers, body in gateway.requests] == [
        vector["body"] for vector in vectors
    ]
    for headers, _body in gateway.requests:
        lower = {name.lower(): value for name, value in headers.items()}
        assert lower["authorization"] == f"Bearer {KEY}"
        assert lower["user-agent"].startswith("twite-client-node/")


def test_attempts_are_those_of_the_vectors(client):
    vectors = VECTORS["attempts"]
    gateways = [ScriptedGateway(list(vector["answers"])).__enter__() for vector in vectors]
    calls = [
        call(gateway.url, attempts=3, timeout=1_000)
        for vector, gateway in zip(vectors, gateways, strict=True)
    ]

    outcomes = run(client, *calls)

    for vector, gateway, outcome in zip(vectors, gateways, outcomes, strict=True):
        gateway.__exit__()
        if vector["outcome"] == "receipt":
            assert outcome["receipt"]["accepted"] == 1, vector["name"]
        else:
            assert outcome["error"] == OUTCOMES[vector["outcome"]], vector["name"]
            assert KEY not in outcome["message"]
            assert "shopper" not in outcome["message"]
        assert len(gateway.requests) == vector["requests"], vector["name"]
        sent = {
            (next(v for k, v in heads.items() if k.lower() == "idempotency-key"), body)
            for heads, body in gateway.requests
        }
        assert len(sent) == 1
        for wait, before, after in zip(
            vector.get("waits", ()), gateway.times, gateway.times[1:], strict=False
        ):
            assert after - before >= wait


def test_many_conversions_are_sent_a_thousand_a_request_with_indexes_of_the_whole(client):
    conversions = [ORDER | {"conversion_id": f"order-{index}"} for index in range(1_500)]
    script = [{"status": 202}, {"status": 202, "rejected": True}]
    with ScriptedGateway(script) as gateway:
        sending = {"idempotencyKey": "nightly-1"}
        [outcome] = run(client, call(gateway.url, conversions, method="sendMany", sending=sending))

    assert outcome["receipt"]["accepted"] == 1_499
    assert outcome["receipt"]["rejected"] == [1_000]
    counts = [len(json.loads(body)["conversions"]) for _headers, body in gateway.requests]
    assert counts == [1_000, 500]


def test_error_of_a_later_request_carries_the_receipt_of_the_earlier_ones(client):
    with ScriptedGateway([{"status": 202}, {"status": 413}]) as gateway:
        [outcome] = run(client, call(gateway.url, [ORDER] * 1_001, method="sendMany"))

    assert (outcome["error"], outcome["accepted"]) == ("RequestRefusedError", 1_000)


def test_numbers_that_json_changes_are_refused(client):
    with ScriptedGateway([]) as gateway:
        [outcome] = run(client, call(gateway.url, ORDER | {"conversion_id": 820982911946154508}))

    assert outcome["error"] == "TypeError"
    assert "2^53" in outcome["message"]
    assert gateway.requests == []


def test_conversion_reaches_x(client, twite_gateway):
    parts = call(twite_gateway.url) | {"key": twite_gateway.key}
    wrong = parts | {"argument": ORDER | {"event": "purchse"}}
    [outcome, rejected] = run(client, parts, wrong)

    assert outcome["receipt"]["accepted"] == 1
    assert rejected["faults"][0]["path"] == "event"
    assert [sent["conversion_id"] for sent in twite_gateway.captured()] == ["order-1"]


def test_types_refuse_what_the_gateway_would_refuse(tmp_path):
    """A purchase without an order's number, and a misspelt field, do not compile."""
    source = tmp_path / "page.ts"
    node = (ROOT / "clients/javascript/node/src/index.ts").as_posix().removesuffix(".ts")
    browser = (ROOT / "clients/javascript/browser/src/index.ts").as_posix().removesuffix(".ts")
    source.write_text(
        f"""
        import {{Twite}} from '{node}.js';
        import {{load}} from '{browser}.js';
        const twite = load({{src: 'https://t.shop.example/twite.js', source: 'shop'}});
        twite('purchase', {{order_id: '1', value: 49.9, currency: 'EUR'}});
        twite('consent', {{ad_storage: 'granted'}});
        window.twite?.('sign_up');
        new Twite('https://t.shop.example', 'key').send({{event: 'purchase', time: new Date()}});
        // @ts-expect-error - no order's number
        twite('purchase', {{value: 49.9}});
        // @ts-expect-error - a misspelt field
        new Twite('https://t.shop.example', 'key').send({{event: 'purchase', curency: 'EUR'}});
        // @ts-expect-error - no setting of the script
        twite('config', {{pixels: 'off'}});
        """
    )
    options = ["--noEmit", "--strict", "--target", "ES2022", "--module", "NodeNext"]
    options += ["--lib", "ES2022,DOM"]

    ended = subprocess.run([TSC, *options, source], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout

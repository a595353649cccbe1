"""Webhooks with a mapping: from a request over a socket to X, once, and no secret anywhere."""

import base64
import hmac
import json
import time

import pytest
from gateway_processes import Gateway, command, wait_for
from signed_senders import say, with_webhooks

from canaries import EMAIL, NAME, PHONE, found_in
from otlp_receiver import otlp_receiver

pytestmark = pytest.mark.journey

KEY = b"canary standard secret"
STANDARD_SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
HMAC_SECRET = "canary-hmac-secret-of-the-crm"
PASSWORD = "canary-password-of-pipedrive"
PATH_SECRET = "canary-secret-in-the-path-0123456789"
MAP = """
[webhook.map]
conversion_id = "data.order.id"
time = "data.order.paid_at"
value = "data.total"
currency = "data.currency"
email = "data.customer.email"
phone = "data.customer.phone"
contents = "data.lines[].{id: sku, price: unit, quantity: count}"
consent = "data.consent"
[webhook.ignore]
test = "livemode == `false`"
"""
SETTINGS = f"""
[[webhook]]
name = "standard"
kind = "standard"
secret = "{STANDARD_SECRET}"
source = "shop"
when = "type == 'order.paid'"
{MAP}
[[webhook]]
name = "hmac"
kind = "generic"
secret = ["another-secret", "{HMAC_SECRET}"]
source = "shop"
signature = {{ header = "X-Crm-Signature", prefix = "sha256=", signed = "{{timestamp}}.{{body}}", timestamp_header = "X-Crm-Time" }}
{MAP}
[[webhook]]
name = "basic"
kind = "generic"
secret = "{PASSWORD}"
source = "shop"
authentication = "basic"
user = "pipedrive"
{MAP}
[[webhook]]
name = "path"
kind = "generic"
secret = "{PATH_SECRET}"
source = "shop"
authentication = "path"
{MAP}
"""  # noqa: E501 - TOML has no line breaks in these tables
SECRETS = (STANDARD_SECRET, KEY.decode(), HMAC_SECRET, PASSWORD, PATH_SECRET)


def order(number=820982911946154508, **more):
    data = {
        "order": {"id": number, "paid_at": int(time.time()) - 60},
        "total": 49.90,
        "currency": "EUR",
        "customer": {"email": EMAIL, "phone": PHONE, "name": NAME},
        "lines": [{"sku": "MUG-1", "unit": 24.95, "count": 2}],
    }
    return {"type": "order.paid", "livemode": True, "data": data | more}


def body_of(message):
    return message if isinstance(message, bytes) else json.dumps(message).encode()


def standard(gateway, message, *, key=KEY, at=None):
    body, moment = body_of(message), str(int(time.time() if at is None else at))
    signed = hmac.digest(key, f"msg_1.{moment}.".encode() + body, "sha256")
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": moment,
        "webhook-signature": f"v1a,AAAA v1,{base64.b64encode(signed).decode()}",
    }
    return say(gateway, "/webhooks/standard", body, headers)


def by_hmac(gateway, message, *, secret=HMAC_SECRET, at=None):
    body, moment = body_of(message), str(int(time.time() if at is None else at))
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, "sha256").hexdigest()
    headers = {"X-Crm-Signature": f"sha256={digest}", "X-Crm-Time": moment}
    return say(gateway, "/webhooks/hmac", body, headers)


def by_login(gateway, message, *, password=PASSWORD):
    login = base64.b64encode(f"pipedrive:{password}".encode()).decode()
    return say(gateway, "/webhooks/basic", body_of(message), {"Authorization": f"Basic {login}"})


def by_path(gateway, message, *, secret=PATH_SECRET, query=""):
    return say(gateway, f"/webhooks/path/{secret}{query}", body_of(message), {})


WAYS = (standard, by_hmac, by_login, by_path)


@pytest.fixture
def gateway(tmp_path, x_emulator):
    made = Gateway(tmp_path, x_emulator.url)
    made.config.write_text(made.config.read_text() + SETTINGS)
    with made as running:
        yield running


def at_x(x_emulator):
    sent = [
        conversion
        for request in x_emulator.received(bodies=True)["entries"]
        for conversion in json.loads(request["body"])["conversions"]
    ]
    return sorted((each["conversion_id"], each["value"], each["price_currency"]) for each in sent)


def test_each_way_reaches_x_once_with_exact_id_and_money(gateway, x_emulator):
    first = 820982911946154508
    answers = [way(gateway, order(first + at)) for at, way in enumerate(WAYS) for _ in range(2)]
    balance = gateway.drained()

    assert [status for status, _ in answers] == [200] * 8
    assert at_x(x_emulator) == [(str(first + at), "49.90", "EUR") for at in range(4)]
    assert (balance["delivered"], balance["duplicate"]) == (4, 4)


def test_bad_messages_are_answered_and_nothing_is_lost(gateway, x_emulator):
    answers = {
        "wrong secret": standard(gateway, order(), key=b"other"),
        "replay": standard(gateway, order(), at=time.time() - 400),
        "early": standard(gateway, order(), at=time.time() + 400),
        "hmac wrong": by_hmac(gateway, order(), secret="other"),
        "hmac replay": by_hmac(gateway, order(), at=time.time() - 400),
        "login wrong": by_login(gateway, order(), password="other"),
        "path wrong": by_path(gateway, order(), secret="other"),
        "huge": by_path(gateway, b" " * 2_000_000),
        "no amount": by_path(gateway, order(2, total=None)),
        "currency": by_path(gateway, order(3, currency="XBT")),
        "list": by_path(gateway, order(4, total=[49.90])),
        "object": by_path(gateway, order(5, total={"amount": 49.90})),
        "no id": by_path(gateway, order(None)),
        "no JSON": by_path(gateway, b"text"),
        "deep": by_path(gateway, b"[" * 100_000),
        "denied": by_path(gateway, order(6, consent=False)),
        "test": by_path(gateway, order(7) | {"livemode": False}),
        "other": standard(gateway, order(8) | {"type": "order.created"}),
        "good": standard(gateway, order(9)),
    }
    gateway.drained()
    balance = gateway.balance()
    rejected = json.loads(command(gateway, "rejected", "--json").stdout)
    counted = json.loads(command(gateway, "accounting", "--json").stdout)["ignored"]

    wrong = ["wrong secret", "replay", "early", "hmac wrong", "hmac replay", "login wrong"]
    refused = dict.fromkeys([*wrong, "path wrong"], 401)
    assert {name: status for name, (status, _) in answers.items()} == (
        dict.fromkeys(answers, 200) | refused | {"huge": 413}
    )
    assert [sent[0] for sent in at_x(x_emulator)] == ["9"]
    codes = [row["errors"][0]["code"] for row in rejected]
    assert sorted(codes) == sorted(
        ["not_an_amount", "currency_unknown", "too_deep", *["wrong_type"] * 4]
    )
    assert {(row["name"], row["reason"]) for row in counted} == {
        ("order.paid", "test"),
        ("order.created", "other_message"),
    }
    assert (balance["suppressed"], balance["rejected"], balance["balance"]) == (1, 7, 0)


@pytest.mark.parametrize("name", ["standard", "hmac", "basic", "path"])
def test_signed_sample_shows_its_conversion_and_never_reaches_x(gateway, x_emulator, name):
    done = command(gateway, "webhook", "test", name)

    assert (done.returncode, done.stderr) == (0, "")
    assert "accepted" in done.stdout
    assert "order-1001" in done.stdout
    assert "The gateway counted this test as ignored. It is never sent to X." in done.stdout
    assert "shopper@" not in done.stdout
    counted = json.loads(command(gateway, "accounting", "--json").stdout)
    assert [(row["name"], row["reason"]) for row in counted["ignored"]] == [("order.paid", "test")]
    assert gateway.balance()["received"] == 0
    assert at_x(x_emulator) == []


@pytest.mark.parametrize("name", ["stripe", "woo"])
def test_samples_of_other_kinds_never_reach_x(tmp_path, x_emulator, name):
    with with_webhooks(Gateway(tmp_path, x_emulator.url)) as gateway:
        done = command(gateway, "webhook", "test", name, "--json")
        balance = gateway.balance()

    (shown,) = json.loads(done.stdout)["conversions"]
    assert (done.returncode, shown["verdict"], shown["errors"]) == (0, "accepted", [])
    assert balance["received"] == 0
    assert at_x(x_emulator) == []


def test_sample_with_another_secret_is_refused_with_the_fix(gateway):
    gateway.config.write_text(gateway.config.read_text().replace(PATH_SECRET, "another-secret"))

    done = command(gateway, "webhook", "test", "path")

    assert done.returncode == 1
    assert "the gateway has another secret for this webhook. Run twite reload" in done.stderr
    assert "another-secret" not in done.stdout + done.stderr


def test_sample_without_a_gateway_says_what_to_do(gateway):
    gateway.kill()

    done = command(gateway, "webhook", "test", "path", "--to", gateway.url)

    assert done.returncode == 1
    assert "Start twite serve, or check --to" in done.stderr
    assert PATH_SECRET not in done.stdout + done.stderr


def test_no_file_or_output_contains_a_person_or_a_secret(tmp_path, x_emulator):
    made = Gateway(tmp_path, x_emulator.url)
    text = made.config.read_text().replace('level = "warning"', 'level = "debug"')
    made.config.write_text(text + SETTINGS)
    x_emulator.fault("status", status=400, after=1)
    with made as gateway:
        said = [way(gateway, order(at)) for at, way in enumerate(WAYS)]
        said += [way(gateway, order(9, total=EMAIL)) for way in WAYS]
        said += [
            by_path(gateway, order(10), query=f"?mail={EMAIL}&key={PATH_SECRET}"),
            by_path(gateway, order(11), secret=f"{PATH_SECRET}x"),
            by_path(gateway, b" " * 2_000_000),
            by_path(gateway, {"type": EMAIL, "data": [EMAIL]}),
            by_path(gateway, EMAIL.encode()),
            by_path(gateway, order([EMAIL], currency=EMAIL)),
            say(gateway, f"/webhooks/nothing/{PATH_SECRET}", b"{}", {}),
            say(gateway, f"/webhooks/path/{PATH_SECRET}", b"{}", {"Content-Encoding": "other"}),
            say(gateway, f"/webhooks/path/{PATH_SECRET}", b"{}", {"X": "y" * 100_000}),
            say(gateway, f"/webhooks/path/{PATH_SECRET}", b"{}", {}, version="7.x"),
            say(gateway, f"/webhooks/path/{PATH_SECRET}\x01", b"{}", {}),
        ]
        gateway.drained()
        outputs = [
            command(gateway, "rejected", "--json"),
            command(gateway, "accounting"),
            command(gateway, "show", "0", "--json"),
            command(gateway, "check"),
            command(gateway, "reload"),
            command(gateway, "webhook", "test", "path"),
            command(gateway, "webhook", "try", "-", "--webhook", "path", typed=json.dumps(order())),
        ]
        metrics = gateway.get("/metrics")
        gateway.kill()
        log = gateway.log()

    assert [status for status, _ in said[:8]] == [200] * 8
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".toml"]
    kept = {path.name: path.read_bytes() for path in files}
    kept["answers"] = json.dumps(said).encode()
    kept["outputs"] = "".join(output.stdout + output.stderr for output in outputs).encode()
    kept["log and metrics"] = log.encode() + json.dumps(metrics).encode()
    kept["what X got"] = json.dumps(x_emulator.received(bodies=True)).encode()
    assert len(files) >= 3
    assert {name: found for name, held in kept.items() if (found := found_in(held))} == {}
    secrets = [
        spelled.encode()
        for text in SECRETS
        for spelled in (text, base64.b64encode(f"pipedrive:{text}".encode()).decode())
    ]
    assert [name for name, held in kept.items() if any(text in held for text in secrets)] == []


def test_no_trace_contains_a_person_or_a_secret(tmp_path, x_emulator):
    made = Gateway(tmp_path, x_emulator.url)
    with otlp_receiver() as receiver:
        traces = f'\n[traces]\nendpoint = "{receiver.url}"\n'
        made.config.write_text(made.config.read_text() + SETTINGS + traces)
        with made as gateway:
            by_path(gateway, order(1), secret="other")
            by_path(gateway, order(2, total=None), query=f"?mail={EMAIL}")
            assert [way(gateway, order(at))[0] for at, way in enumerate(WAYS)] == [200] * 4
            gateway.drained()
            wait_for(lambda: any(span.name == "send" for span in receiver.spans))
            gateway.stop()

    sent = b"".join(receiver.bodies)
    assert found_in(sent) == []
    assert [text for text in SECRETS if text.encode() in sent] == []

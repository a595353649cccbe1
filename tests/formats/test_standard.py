"""Standard Webhooks: signatures by the specification's vector, time, and rotated secrets."""

import base64

import pytest

from builders import NOW
from formats.webhook_builders import a_message, a_webhook
from twite.formats.standard.read import verify
from twite.formats.webhook_kind import SignatureVerdict
from twite.formats.webhook_kinds import KINDS

STANDARD = KINDS["standard"]
# The vector agrees with the reference library, `standardwebhooks` 1.1.0. [ran]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {
    "webhook_id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook_timestamp": "1614265330",
    "webhook_signature": SIGNATURE,
}
SIGNED_AT = 1_614_265_330_000
OPTIONS = {"map": {"conversion_id": "data.id"}}


def verdict(*secrets, body=BODY, now=SIGNED_AT, tolerance=300, **headers):
    webhook = a_webhook(STANDARD, *(secrets or (SECRET,)), **OPTIONS, tolerance=tolerance)
    return verify(a_message(body, **(HEADERS | headers)), webhook, now)


def test_signature_of_the_specification_is_genuine():
    assert verdict() is SignatureVerdict.GENUINE


def test_secret_without_the_prefix_is_the_text_itself():
    """BigCommerce signs with its client secret."""
    signature = "v1,W1ikhzJWe/WvAflug1z1ElGwZh4eZjMxyF5HxhgAK/o="

    assert verdict("client-secret", webhook_signature=signature) is SignatureVerdict.GENUINE


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook_signature": ""},
        {"webhook_signature": SIGNATURE.removeprefix("v1,")},
        {"webhook_signature": SIGNATURE.replace("v1,", "v2,")},
        {"webhook_signature": SIGNATURE.replace("v1,", "v1a,")},
        {"webhook_signature": SIGNATURE.replace("g0hM", "g0hN")},
        {"webhook_signature": "v1,ö"},
        {"webhook_id": "msg_other"},
        {"webhook_id": ""},
        {"webhook_id": "msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330", "webhook_timestamp": ""},
        {"webhook_timestamp": "1614265331"},
        {"webhook_timestamp": "+1614265330"},
        {"webhook_timestamp": "1" * 400},
    ],
)
def test_other_signatures_ids_and_times_are_wrong(headers):
    assert verdict(**headers) is SignatureVerdict.WRONG


def test_changed_bodies_and_other_secrets_are_wrong():
    other = "whsec_" + base64.b64encode(b"another secret").decode()

    assert verdict(body=BODY + b" ") is SignatureVerdict.WRONG
    assert verdict(other) is SignatureVerdict.WRONG


def test_one_of_several_signatures_and_secrets_suffices():
    given = f"v1a,AAAA v1,AAAA {SIGNATURE}"

    assert verdict("whsec_AAAA", SECRET, webhook_signature=given) is SignatureVerdict.GENUINE


@pytest.mark.parametrize(
    ("after", "judged"),
    [
        (0, SignatureVerdict.GENUINE),
        (300, SignatureVerdict.GENUINE),
        (301, SignatureVerdict.LATE),
        (-300, SignatureVerdict.GENUINE),
        (-301, SignatureVerdict.LATE),
    ],
)
def test_times_outside_the_tolerance_are_late(after, judged):
    assert verdict(now=SIGNED_AT + after * 1_000) is judged
    assert verdict(now=SIGNED_AT + after * 1_000, tolerance=3_600) is SignatureVerdict.GENUINE


def test_headers_of_svix_are_read():
    headers = {name.replace("webhook_", "svix_"): text for name, text in HEADERS.items()}
    webhook = a_webhook(STANDARD, SECRET, **OPTIONS)

    assert verify(a_message(BODY, **headers), webhook, SIGNED_AT) is SignatureVerdict.GENUINE


@pytest.mark.parametrize("kind", ["standard", "posthog"])
def test_samples_are_genuine(kind):
    webhook = a_webhook(KINDS[kind], SECRET, **OPTIONS)
    message = webhook.kind.sample(webhook, NOW, "")

    assert webhook.kind.verify(message, webhook, NOW) is SignatureVerdict.GENUINE
    assert webhook.kind.read(message, webhook).parsed.conversions[0].conversion_id == "order-1001"

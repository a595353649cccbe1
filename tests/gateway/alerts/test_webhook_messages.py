import base64
import hashlib
import hmac
import json

import msgspec
import pytest

from twite.domain.alert import Alert, AlertKind, AlertPhase
from twite.domain.secret import Secret
from twite.formats.standard.signature import is_unreadable
from twite.gateway.alerts.notifier import Envelope, enveloped, headers, trial

# The example of the Standard Webhooks libraries.
SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
ENVELOPE = Envelope(id="msg_p5jXN8AQM9LWM0D4loKWxJek", body=b'{"test": 2432232314}')
AT = 1_614_265_330_000
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

ALERT = Alert(
    id="019ab9f2-0000-7000-8000-000000000001",
    kind=AlertKind.CREDENTIALS_REFUSED,
    subject="o8z6j",
    reason="X's response: 401 UNAUTHORIZED_ACCESS",
    opened_at=1_795_600_000_000,
    reported_at=1_795_600_000_000,
)


def test_webhook_message_is_signed_like_by_standard_webhooks():
    assert headers(ENVELOPE, now=AT + 999, secret=SECRET) == {
        "Content-Type": "application/json",
        "webhook-id": ENVELOPE.id,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNED,
    }


def test_webhook_message_is_unsigned_without_a_secret():
    assert "webhook-signature" not in headers(ENVELOPE, now=AT, secret=None)


def test_custom_webhook_secret_is_used_unchanged():
    signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330." + ENVELOPE.body
    digest = hmac.new(b"between us", signed, hashlib.sha256).digest()

    said = headers(ENVELOPE, now=AT, secret=Secret("between us"))

    assert said["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", False),
        ("whsec_", True),
        ("whsec_not base64", True),
        ("anything else", False),
    ],
)
def test_base64_webhook_secret_must_be_valid(text, bad):
    assert is_unreadable(Secret(text)) is bad


def test_webhook_message_has_text_reason_start_and_help():
    envelope = enveloped(ALERT, AlertPhase.OPENED, gateway="https://t.shop.example")

    assert json.loads(envelope.body) == {
        "text": (
            "[opened] credentials_refused · o8z6j: X refuses the credentials. "
            "X's response: 401 UNAUTHORIZED_ACCESS. Gateway https://t.shop.example. "
            "What to do: twite check tests each credential. Replace a refused one, and run twite "
            "reload. The documentation has more, in Alerts: credentials_refused"
        ),
        "event": "opened",
        "code": "credentials_refused",
        "severity": "critical",
        "subject": "o8z6j",
        "reason": "X's response: 401 UNAUTHORIZED_ACCESS",
        "also": [],
        "id": ALERT.id,
        "opened_at": "2026-11-25T09:46:40.000Z",
        "resolved_at": None,
        "timestamp": "2026-11-25T09:46:40.000Z",
        "gateway": "https://t.shop.example",
        "help": "Alerts: credentials_refused",
    }


def test_message_of_a_resolved_alert_has_start_and_end():
    over = msgspec.structs.replace(ALERT, resolved_at=ALERT.opened_at + 60_000)

    said = json.loads(enveloped(over, AlertPhase.RESOLVED, gateway="g").body)

    assert (said["event"], said["opened_at"], said["resolved_at"]) == (
        "resolved",
        "2026-11-25T09:46:40.000Z",
        "2026-11-25T09:47:40.000Z",
    )
    assert said["text"].startswith("[resolved] ")


def test_each_webhook_message_has_its_own_stable_id():
    def ids(alert):
        return [enveloped(alert, phase, gateway="g").id for phase in AlertPhase]

    later = msgspec.structs.replace(ALERT, reported_at=ALERT.reported_at + 86_400_000)

    assert ids(ALERT) == ids(ALERT)
    assert len({*ids(ALERT), *ids(later)}) == 4


@pytest.mark.parametrize(
    "name", ["type", "payload", "channel", "username", "attachments", "props", "priority"]
)
def test_webhook_message_has_no_field_with_a_special_meaning_for_chats(name):
    assert name not in json.loads(enveloped(ALERT, AlertPhase.OPENED, gateway="g").body)


def test_reason_of_x_cannot_mention_users_of_a_chat():
    loud = msgspec.structs.replace(ALERT, reason="no such pixel <!channel> @here")

    said = json.loads(enveloped(loud, AlertPhase.OPENED, gateway="g").body)

    assert "no such pixel (!channel) (at)here" in said["text"]
    assert said["reason"] == loud.reason


def test_message_has_the_format_of_an_alert():
    said = json.loads(trial(id_="t-1", now=AT, gateway="g").body)

    assert said.keys() == json.loads(enveloped(ALERT, AlertPhase.OPENED, gateway="g").body).keys()
    assert (said["event"], said["code"], said["severity"]) == ("test", "test", "info")

"""Alert settings: the webhook and the thresholds."""

import pytest

from twite.config.server_tables import AlertSettings
from twite.domain.secret import Secret
from twite.gateway.alerts.checks import Thresholds
from twite.gateway.alerts.notifier import Webhook
from written import GOOD, complaint, read

ADDRESS = "https://hooks.chat.example/T0/B0/x?token=t0"


def loaded(tmp_path, lines, environ=(), **how):
    return read(tmp_path, f"{GOOD}\n[alerts]\n{lines}\n", dict(environ), **how)


def complaint_about(tmp_path, lines):
    return complaint(tmp_path, f"{GOOD}\n[alerts]\n{lines}\n")


def test_webhook_and_its_secret_are_read_from_the_environment(tmp_path):
    lines = 'webhook = "env:HOOK"\nsecret = "env:SIGN"\ndead_letters = 3\ndisk_free = "64MiB"'

    settings = loaded(tmp_path, lines, {"HOOK": ADDRESS, "SIGN": "between us"})

    assert settings.alerts == AlertSettings(
        webhook=Webhook(address=Secret(ADDRESS), secret=Secret("between us")),
        thresholds=Thresholds(dead_letters=3, disk_free=64 << 20),
    )


def test_webhook_is_absent_by_default(tmp_path):
    assert read(tmp_path).alerts.webhook is None


def test_command_that_only_reads_needs_no_webhook_secret(tmp_path):
    settings = loaded(tmp_path, 'webhook = "env:HOOK"', credentials=False)

    assert settings.alerts.webhook is None


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('webhook = "hooks.chat.example/T0"', "alerts.webhook: not an http or https URL."),
        ('webhook = "ftp://hooks.chat.example/"', "alerts.webhook: not an http or https URL."),
        ('webhook = "https://u:p@chat.example/"', "alerts.webhook: the URL contains a user name"),
        ('webhook = "https://chat.example/#T0"', "alerts.webhook: the URL contains a user name"),
        ('secret = "whsec_!"', "alerts.secret: starts with whsec_, but the rest is not base64"),
        ("dead_letters = 0", "alerts.dead_letters: 0 is out of range."),
        ('disk_free = "1"', "alerts.disk_free: '1' is out of range."),
    ],
)
def test_wrong_alert_setting_is_explained(tmp_path, lines, said):
    assert complaint_about(tmp_path, lines).startswith(said)


@pytest.mark.parametrize("secret", ["T0-very-secret", "u:very-secret@"])
def test_wrong_webhook_url_is_not_shown(tmp_path, secret):
    reported = complaint_about(tmp_path, f'webhook = "https//{secret}chat.example"')

    assert "very-secret" not in reported


def test_webhook_in_plain_text_or_over_http_is_a_warning(tmp_path):
    settings = loaded(tmp_path, 'webhook = "http://chat.example/T0"')

    warned = [warning for warning in settings.warnings if warning.startswith("alerts.webhook")]
    assert [warning.split(".")[1].split(":")[1].strip() for warning in warned] == [
        "a secret in plain text",
        "alerts would travel unencrypted",
    ]
    assert "T0" not in "".join(warned)


def test_local_webhook_may_use_http(tmp_path):
    settings = loaded(tmp_path, 'webhook = "env:HOOK"', {"HOOK": "http://127.0.0.1:9/hook"})

    assert [warning for warning in settings.warnings if "alerts" in warning] == []

"""The secret key, from the file or the environment."""

import pytest

from twite.config.secret_key import seal_of
from twite.domain.secret import Secret
from written import GOOD, complaint, read

KEY = "a-key-to-seal-with-it"
STORED = GOOD.replace('region = "GB"', 'region = "GB"\nstape_credentials = "stored"')
TOO_SHORT = (
    "must have at least 16 characters, or it could be guessed. `openssl rand -base64 32` "
    "creates a safe key"
)


def test_secret_key_of_the_environment_is_used_if_the_file_names_none(tmp_path):
    settings = read(tmp_path, STORED, {"TWITE_SECRET_KEY": f" {KEY}\n"})

    assert settings.server.secret_key == Secret(KEY)
    assert settings.sources()[0].stape_credentials == "stored"


def test_secret_key_named_in_the_file_overrides_the_environment(tmp_path):
    text = GOOD.replace("[server]", '[server]\nsecret_key = "env:OTHER"')

    settings = read(tmp_path, text, {"TWITE_SECRET_KEY": "x" * 20, "OTHER": KEY})

    assert settings.server.secret_key == Secret(KEY)


def test_old_secret_key_is_configured_beside_the_current_one(tmp_path):
    text = GOOD.replace("[server]", '[server]\nformer_secret_keys = ["env:FORMER"]')

    settings = read(tmp_path, text, {"TWITE_SECRET_KEY": KEY, "FORMER": "a-former-key-of-ours"})

    assert settings.server.former_secret_keys == (Secret("a-former-key-of-ours"),)


@pytest.mark.parametrize(
    ("written", "environ", "place"),
    [
        ('secret_key = "env:SHORT"', {"SHORT": "fifteen-letters"}, "server.secret_key"),
        (
            'former_secret_keys = ["env:SHORT"]',
            {"SHORT": "fifteen-letters"},
            "server.former_secret_keys[0]",
        ),
        ("", {"TWITE_SECRET_KEY": "fifteen-letters"}, "server.secret_key"),
    ],
)
def test_secret_key_that_is_too_short_is_an_error(tmp_path, written, environ, place):
    text = GOOD.replace("[server]", f"[server]\n{written}")

    assert complaint(tmp_path, text, environ) == f"{place}: {TOO_SHORT}"


def test_command_that_only_reads_needs_no_secret_key(tmp_path):
    assert read(tmp_path, STORED, credentials=False).server.secret_key is None


def test_settings_without_a_secret_key_seal_nothing():
    assert seal_of(None, ()) is None
    assert seal_of(Secret(KEY), ()) is not None

"""`[google]`: the service account key is read but never shown. Also the checks about it."""

import json
import subprocess
import sys

import pytest

from fakes import MovingClock
from google_double import EMAIL, PROJECT, GoogleDouble, key_file
from twite.config.event_mapping import SettingsFileDraft
from twite.diagnostics import CheckStatus
from twite.tags.checks.container import google
from twite.tags.settings.google import GoogleSettings, google_of
from twite.tags.settings.tag_settings import TagSettings
from written import GOOD, complaint, read

KEY = '[google]\ncredentials = "file:service-account.json"\n'
CALLS = """___INFO___
{"type": "%s", "displayName": "Writes"}
___SANDBOXED_JS_FOR_SERVER___
const BigQuery = require('BigQuery');
const auth = require("getGoogleAuth");
require('getGoogleScript');
___SERVER_PERMISSIONS___
[]
"""


def written(folder, key=None, more=""):
    (folder / "service-account.json").write_text(key_file() if key is None else key)
    return f"{GOOD}\n{KEY}{more}"


def google_of_tags(settings):
    return settings.feature(TagSettings).google


def test_key_file_with_several_lines_is_read(tmp_path):
    settings = read(tmp_path, written(tmp_path))

    found = google_of_tags(settings)
    assert found.key.email == EMAIL
    assert found.is_set
    assert settings.warnings == ()
    assert "PRIVATE KEY" not in repr(settings)


def test_google_key_can_be_in_the_environment(tmp_path):
    text = GOOD + '\n[google]\ncredentials = "env:KEY"\nproject = "shop-2"\n'
    environ = {
        "X_PIXEL_TOKEN": "emulator-pixel-token-o8z6j",
        "TWITE_SHOP_KEY": "a-key-that-nobody-will-guess",
        "KEY": key_file(),
    }

    found = google_of_tags(read(tmp_path, text, environ))

    assert (found.key.email, found.project) == (EMAIL, "shop-2")


def test_google_table_can_come_from_the_environment(tmp_path):
    environ = {
        "X_PIXEL_TOKEN": "emulator-pixel-token-o8z6j",
        "TWITE_SHOP_KEY": "a-key-that-nobody-will-guess",
        "TWITE_GOOGLE__CREDENTIALS": "metadata",
    }

    settings = read(tmp_path, GOOD, environ)

    assert google_of_tags(settings) == GoogleSettings(is_machine=True)


def test_google_key_in_plain_text_is_read_with_a_warning(tmp_path):
    text = f"{GOOD}\n[google]\ncredentials = '''{key_file()}'''\n"

    settings = read(tmp_path, text)

    assert google_of_tags(settings).key.email == EMAIL
    [warning] = settings.warnings
    assert warning.startswith("google.credentials: a secret in plain text")


def test_missing_google_table_means_no_service_account(tmp_path):
    found = google_of_tags(read(tmp_path))

    assert found == GoogleSettings()
    assert google_of(found, MovingClock()).is_set is False


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("no json", "is not JSON"),
        (key_file(private_key="gone"), 'has a "private_key" that cannot be used'),
        (json.dumps({"type": "authorized_user"}), "is not a service account key"),
    ],
)
def test_invalid_google_key_is_explained_with_a_fix(tmp_path, key, why):
    said = complaint(tmp_path, written(tmp_path, key))

    assert said.startswith(f"google.credentials: {why}")
    assert 'Write "file:service-account.json"' in said


def test_google_project_without_a_service_account_is_an_error(tmp_path):
    said = complaint(tmp_path, f'{GOOD}\n[google]\nproject = "shop-1"\n')

    assert said.startswith("google.credentials: is missing. Write")


def test_command_that_only_reads_ignores_a_missing_google_key(tmp_path):
    settings = read(tmp_path, f"{GOOD}\n{KEY}", credentials=False)

    assert google_of_tags(settings).is_set is False


def test_token_requests_over_http_are_a_warning(tmp_path):
    far = written(tmp_path, more='api_url = "http://emulator.example:9099"\n')
    near = far.replace("emulator.example", "127.0.0.1")

    assert read(tmp_path, far).warnings == (
        "google.api_url: tokens would travel unencrypted. Use https",
    )
    assert read(tmp_path, near).warnings == ()


def test_google_key_in_plain_text_is_masked_in_a_diff(tmp_path):
    path = tmp_path / "twite.toml"
    path.write_text(
        '[[pixel]]\nid = "o8z6j"\nevents = { a = "o9000" }\n[google]\ncredentials = "clear-text"\n'
    )

    shown = "\n".join(SettingsFileDraft(path, pixel="o8z6j", name="news", event="o9001").diff())

    assert "news" in shown
    assert "clear-text" not in shown


async def found(settings):
    return [(finding.status, finding.found) async for finding in google(settings)]


async def test_check_requests_a_google_token_and_names_the_account(tmp_path):
    with GoogleDouble() as double:
        settings = read(tmp_path, written(tmp_path, more=f'api_url = "{double.url}"\n'))

        assert await found(settings) == [
            (
                CheckStatus.PASSED,
                f"Google issues tokens for the key of {EMAIL}; the project is {PROJECT}",
            )
        ]
        assert double.asked == []


async def test_check_explains_why_it_got_no_google_token(tmp_path):
    with GoogleDouble(lambda _path, _before: 403) as double:
        settings = read(
            tmp_path, written(tmp_path, key_file(project_id=""), f'api_url = "{double.url}"\n')
        )

        assert await found(settings) == [
            (
                CheckStatus.WARNING,
                f"Google issued no token for the key of {EMAIL}: denied: as played",
            ),
            (CheckStatus.WARNING, "no Google project is configured"),
        ]


async def test_check_uses_the_service_account_of_the_machine(tmp_path):
    with GoogleDouble() as double:
        table = f'[google]\ncredentials = "metadata"\napi_url = "{double.url}"\n'

        assert await found(read(tmp_path, f"{GOOD}\n{table}")) == [
            (
                CheckStatus.PASSED,
                f"Google issues tokens for this machine's account; the project is {PROJECT}",
            )
        ]


@pytest.mark.parametrize("kind", ["TAG", "CLIENT"])
async def test_check_names_templates_that_call_google_without_an_account(tmp_path, kind):
    (tmp_path / "writes.tpl").write_text(CALLS % kind)
    table = f'[[{kind.lower()}]]\nname = "rows"\ntemplate = "writes.tpl"\n'

    said = await found(read(tmp_path, f"{GOOD}\n{table}"))
    with_account = read(
        tmp_path, written(tmp_path, more=f'api_url = "http://127.0.0.1:1"\n{table}')
    )

    who = "rows" if kind == "TAG" else "the client rows"
    calls = f"{who} calls getGoogleAuth, BigQuery, but [google] is not set"
    assert said == [(CheckStatus.WARNING, calls)]
    assert not any("is not set" in text for _, text in await found(with_account))


FORM = """___TEMPLATE_PARAMETERS___
[{"type": "RADIO", "name": "bigQueryLogType", "radioItems": [{"value": "no"}, {"value": "always"}]},
 {"type": "TEXT", "name": "logBigQueryTableId", "enablingConditions": [
   {"paramName": "bigQueryLogType", "paramValue": "always", "type": "EQUALS"}]}]
"""
ON = 'fields = { bigQueryLogType = "always" }\n'


@pytest.mark.parametrize("kind", ["TAG", "CLIENT"])
@pytest.mark.parametrize(("fields", "calls"), [("", 0), (ON, 1)])
async def test_template_that_does_not_call_google_needs_no_account(tmp_path, kind, fields, calls):
    (tmp_path / "writes.tpl").write_text(
        CALLS.replace('require("getGoogleAuth")', "0") % kind + FORM
    )
    table = f'[[{kind.lower()}]]\nname = "rows"\ntemplate = "writes.tpl"\n{fields}'

    said = await found(read(tmp_path, f"{GOOD}\n{table}"))

    assert sum("calls BigQuery, but" in text for _, text in said) == calls


def test_commands_without_google_do_not_import_its_library(tmp_path):
    code = (
        "import sys, twite.app.gateway_builder, twite.config.settings as s, pathlib, os;"
        f"s.load(pathlib.Path({str(tmp_path / 'twite.toml')!r}), os.environ);"
        "sys.exit('google.auth' in sys.modules)"
    )
    (tmp_path / "twite.toml").write_text(
        GOOD.replace("env:X_PIXEL_TOKEN", "t").replace("env:TWITE_SHOP_KEY", "k")
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

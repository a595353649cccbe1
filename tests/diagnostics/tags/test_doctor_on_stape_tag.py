"""Diagnostics of Stape's X tag in OAuth mode."""

import shutil
from pathlib import Path

import pytest

from twite.config.settings import load
from twite.tags.checks.container import container, tags

TEMPLATE = Path(__file__).parents[2] / "tags/templates/proxy_post.tpl"
SETTINGS = """
[[pixel]]
id = "o8z6j"
auth = { pixel_token = "env:TOKEN" }
events = { purchase = "o8z6k" }
[[tag]]
name = "x"
template = "proxy_post.tpl"
fields = { %s }
[server]
secret_key = "a-key-that-seals-things"
%s
"""
STAPE = """
[templates.stape]
identifier = "twite"
default_domain = "%s"
api_key = "local"
"""
PROXY = """
trusted_proxies = ["127.0.0.1/32"]
container_headers = ["x-gtm-identifier", "x-gtm-default-domain", "x-gtm-api-key"]
"""
PIXEL = 'pixelId = "o8z6j"'
FINE = (
    "x: Stape's X tag uses OAuth; Twite queues its conversions and sends them with the pixel's "
    "own credentials"
)
MISSING = "x: Stape's X tag uses OAuth, but no setting provides x-gtm-default-domain, x-gtm-api-key"
NOT_ALLOWED = (
    "x: the template's permissions do not allow requests to https://twite.other.example/stape-api/"
)


def findings_of(folder, fields, server):
    shutil.copy(TEMPLATE, folder)
    (folder / "twite.toml").write_text(SETTINGS % (fields, server))
    settings = load(folder / "twite.toml", {}, credentials=False)
    return [
        (str(finding.status), finding.found)
        for finding in tags(settings)
        if "proxy_post" not in finding.found
    ]


@pytest.mark.parametrize("server", [STAPE % "stape.io", STAPE % "shop.example", PROXY])
def test_headers_for_the_stape_tag_are_reported_with_their_source(tmp_path, server):
    assert findings_of(tmp_path, PIXEL, server) == [("passed", FINE)]


def test_missing_headers_for_the_stape_tag_are_named(tmp_path):
    partly = '[templates.stape]\nidentifier = "twite"\n'

    assert findings_of(tmp_path, PIXEL, partly) == [("warning", MISSING)]


def test_domain_that_the_stape_tag_may_not_call_is_named(tmp_path):
    assert findings_of(tmp_path, PIXEL, STAPE % "other.example") == [("warning", NOT_ALLOWED)]


def test_pixel_of_the_stape_tag_that_the_settings_lack_is_named(tmp_path):
    assert findings_of(tmp_path, 'pixelId = "zzzzz"', STAPE % "stape.io") == [
        ("warning", "x: the tag's pixel zzzzz is not in the settings")
    ]


def test_stape_tag_with_an_access_token_needs_no_header(tmp_path):
    assert findings_of(tmp_path, f'{PIXEL}, authMethod = "accessToken"', "") == []


async def test_stape_tags_of_a_container_are_checked(tmp_path):
    shutil.copy(TEMPLATE, tmp_path)
    (tmp_path / "container.toml").write_text(
        '[[template]]\nname = "x"\nfile = "proxy_post.tpl"\n[[tag]]\nname = "X"\ntemplate = "x"\n'
        'triggers = ["All Events"]\n[tag.fields]\nauthMethod = "oAuth"\n'
    )
    (tmp_path / "twite.toml").write_text('[container]\nfile = "container.toml"\n')
    settings = load(tmp_path / "twite.toml", {}, credentials=False)

    found = [finding.found async for finding in container(settings)]

    assert any(text.startswith("X: Stape's X tag uses OAuth, but no") for text in found), found

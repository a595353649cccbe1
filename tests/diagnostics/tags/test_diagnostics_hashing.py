"""Diagnostics of tags that get hashed personal data: whether they would send the same requests."""

import pytest

from poster_container import CONTAINER, TEMPLATE
from twite.config.settings import load
from twite.tags.checks.container import container, tags

# Like public vendor templates: 64 hexadecimal digits count as a hash, everything else is hashed,
# and phone numbers lose their plus.
VENDOR = """
const all = require('getAllEventData')(), user = all.user_data || {}, JSON = require('JSON');
const address = user.address && user.address[0] || user.address || {};
const isHash = (text) => require('testRegex')(require('createRegex')('^[0-9a-f]{64}$'), text);
const hashed = (text) => !text || isHash(text) ? text
  : require('sha256Sync')(text.toLowerCase(), {outputEncoding: 'hex'});
const bare = (text) => (text ? text.replace('+', '') : text);
const sent = {};
data.fields.split(' ').forEach((name) => {
  if (name === 'em') sent.em = hashed(user.email_address || all.email);
  if (name === 'ph') sent.ph = hashed(bare(user.phone_number || all.phone));
  if (name === 'fn') sent.fn = hashed(address.first_name || user.first_name);
  if (name === 'raw') sent.raw = user.email_address;
});
require('sendHttpRequest')('https://vendor.example/', {method: 'POST'}, JSON.stringify(sent));
data.gtmOnSuccess();
"""
GRANTS = """
___SERVER_PERMISSIONS___

[{"instance": {"key": {"publicId": "read_event_data", "versionId": "1"}, "param": [
  {"key": "eventDataAccess", "value": {"type": 1, "string": "any"}}]}},
 {"instance": {"key": {"publicId": "send_http", "versionId": "1"}, "param": [
  {"key": "allowedUrls", "value": {"type": 1, "string": "any"}}]}}]
"""
TAG = """
[[tag]]
name = "ads"
template = "poster.tpl"
events = ["lead"]
fields = { fields = "%s" }
%s
"""
KEY = '[server]\nsecret_key = "a-key-that-seals-things"\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "poster.tpl").write_text(TEMPLATE.replace("data.gtmOnSuccess();", VENDOR) + GRANTS)
    return tmp_path


def warnings_of(folder, written):
    (folder / "twite.toml").write_text(written)
    settings = load(folder / "twite.toml", {}, credentials=False)
    return [tag.found for tag in tags(settings) if str(tag.status) == "warning"]


@pytest.mark.parametrize(
    ("sent", "differs"),
    [
        ("em", None),
        ("em fn", None),
        ("ph", "phone number"),
        ("em ph", "phone number"),
        ("raw", "email"),
        ("raw ph", "email, phone number"),
    ],
)
def test_tag_that_sends_other_data_if_it_gets_hashes_is_named(folder, sent, differs):
    found = warnings_of(folder, TAG % (sent, 'persons = "hashed"'))

    said = (
        [] if differs is None else [(f"ads: with hashed data, the tag sends different {differs}")]
    )
    assert found == said


def test_tag_that_gets_hashes_because_the_secret_key_is_missing_is_named(folder):
    assert warnings_of(folder, TAG % ("ph", "")) != []


def test_tag_that_gets_sealed_personal_data_has_no_findings(folder):
    assert warnings_of(folder, KEY + TAG % ("ph raw", "")) == []


def test_tag_that_sends_no_request_is_reported(folder):
    (folder / "poster.tpl").write_text(TEMPLATE)
    (folder / "twite.toml").write_text(TAG % ("ph", ""))

    found = list(tags(load(folder / "twite.toml", {}, credentials=False)))

    assert [finding.found for finding in found][1:] == [
        "ads: the tag sends no request for a sample event, with hashed or unhashed data"
    ]


async def test_tags_of_a_container_are_compared(folder, monkeypatch):
    monkeypatch.setenv("TOKEN", "ph")
    (folder / "container.toml").write_text(CONTAINER.replace("token =", "fields =") % "env:TOKEN")
    (folder / "twite.toml").write_text('[container]\nfile = "container.toml"\n')

    found = [
        finding async for finding in container(load(folder / "twite.toml", {}, credentials=False))
    ]

    assert found[1].found == "Post: with hashed data, the tag sends different phone number"

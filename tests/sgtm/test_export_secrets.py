"""Secrets of an export: found, taken out, and nowhere in what is written."""

import msgspec
import pytest
from export_parts import brought, table, tag, template, text, told

from twite.sgtm.container.parts import Source
from twite.sgtm.export.secret_looks import looks_secret, speaks_of_secret


def taken(found):
    return [(one.kind, one.name, one.path) for one in found.secrets]


@pytest.mark.parametrize(
    "name",
    [
        "accessToken",
        "API key",
        "api_key",
        "apiKey",
        "clientSecret",
        "Password",
        "Authorization",
        "X-Api-Key",
        "APIKey",
        "pixelAccessToken",
        "oauthTokenSecret",
        "privateKey",
    ],
)
def test_a_name_that_promises_a_secret_is_known(name):
    assert speaks_of_secret(name)


@pytest.mark.parametrize(
    "name", ["pixelId", "authMethod", "keyPath", "eventName", "key", "cookieName", "monkey", ""]
)
def test_a_name_that_promises_none_is_not(name):
    assert not speaks_of_secret(name)


@pytest.mark.parametrize(
    "text",
    [
        "px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5",
        "Bearer wh_5Tq8Zn2Xc7Vb1Lm4Kp9Rd",
        "EAAGm0PX4ZCpsBAKZCZBexample",
        "eyJhbGciOiJIUzI1NiJ9.e30.x",
        "https://user:word@api.example/in",
        "https://api.example/in?access_token=abc",
        "9f86d081884c7d659a2feaa0c55ad015",
    ],
)
def test_a_text_that_looks_like_a_secret_is_known(text):
    assert looks_secret(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "purchase",
        "https://api.example/orders?event=purchase",
        "o8z6j",
        "tw-o8z6j-o8z6m",
        "{{Access token of the pixel 2f7Qm9Zr4Tb8}}",
        "123456789012345678901234567890",
        "3f2b8c1e-9d4a-4b6f-8e21-0a5c7d9e1f23",
        "A sentence that is long enough to be one, with 3 numbers 1 2",
        "completed_checkout_with_discount",
    ],
)
def test_a_text_of_another_kind_is_not(text):
    assert not looks_secret(text)


def test_secrets_are_taken_from_fields_rows_and_constants():
    found = brought(
        templates=[template(1, fields=[{"type": "TEXT", "name": "f", "displayName": "API token"}])],
        tag=[
            tag(
                "Tag",
                "cvt_190000001_1",
                text("f", "short"),
                text("accessToken", "open-1"),
                text("plain", "px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5"),
                text("kept", "{{Word}}"),
                table("headers", {"name": "Authorization", "value": "x"}, {"name": "A"}),
                text("password", "{{Word}}"),
            )
        ],
        variable=[{"name": "Word", "type": "c", "parameter": [text("value", "sesame")]}],
    )

    assert taken(found) == [
        ("variable", "Word", "value"),
        ("tag", "Tag", "f"),
        ("tag", "Tag", "accessToken"),
        ("tag", "Tag", "plain"),
        ("tag", "Tag", "headers.0.value"),
    ]
    assert found.container.variables[0].type is Source.CONSTANT
    assert found.container.tags[0].fields == {
        "kept": "{{Word}}",
        "headers": [{"name": "Authorization"}, {"name": "A"}],
        "password": "{{Word}}",
    }


def test_a_table_that_feeds_a_secret_field_gives_up_its_values():
    found = brought(
        tag=[tag("Tag", "cvt_190000001_1", text("accessToken", "{{By shop}}"))],
        variable=[
            {
                "name": "By shop",
                "type": "smm",
                "parameter": [
                    text("input", "{{_event}}"),
                    table("map", {"key": "a", "value": "one"}, {"key": "b", "value": "two"}),
                ],
            }
        ],
    )

    assert [(one.path, one.secret.reveal()) for one in found.secrets] == [
        ("rows.0.value", "one"),
        ("rows.1.value", "two"),
    ]


@pytest.mark.parametrize("name", ["word", "Tag.word"])
def test_a_person_can_name_more(name):
    made = tag("Tag", "cvt_190000001_1", text("word", "sesame"))

    assert taken(brought(tag=[made], named=[name])) == [("tag", "Tag", "word")]
    assert taken(brought(tag=[made])) == []


def test_a_field_with_dots_in_its_name_gives_up_its_secret_too():
    found = brought(tag=[tag("Tag", "cvt_190000001_1", text("api.token", "sesame"))])

    assert found.container.tags[0].fields == {}
    assert dict(found.container.tags[0].secrets) == {r"api\.token": r"env:tag/Tag/api\.token"}


def test_no_secret_is_in_what_is_written_or_printed():
    found = brought(tag=[tag("Tag", "cvt_190000001_1", text("accessToken", "open-sesame"))])

    shown = repr(found) + msgspec.json.encode(found.container).decode()

    assert "open-sesame" not in shown


def test_a_secret_that_has_to_stand_in_the_file_is_told():
    right = text("arg1", "px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5")
    condition = {"type": "EQUALS", "parameter": [text("arg0", "{{_event}}"), right]}

    found = brought(trigger=[{"name": "P", "type": "ALWAYS", "filter": [condition]}])

    assert told(found, "trigger", "P") == (
        "differs",
        "it holds what looks like a secret, which stands in the file in clear",
    )

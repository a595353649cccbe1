"""The form of a template, as rows and as a `[[tag]]` block."""

import json
import tomllib

import pytest

from twite.tags.settings.form_block import form_block
from twite.tags.template.fields import read_fields
from twite.tags.template.form import FormRow, form_rows, is_switched_off
from twite.tags.template.template import Template, read_template

FORM = [
    {
        "type": "TEXT",
        "name": "pixelId",
        "displayName": "Pixel ID",
        "help": 'From <a href="https://ads.example">Ads</a>,\n  tab Pixels.',
        "valueValidators": [{"type": "NON_EMPTY"}],
    },
    {
        "type": "RADIO",
        "name": "auth",
        "displayName": "Sign in",
        "defaultValue": "token",
        "radioItems": [
            {
                "value": "token",
                "displayValue": "Token",
                "subParams": [
                    {
                        "type": "TEXT",
                        "name": "accessToken",
                        "valueValidators": [{"type": "NON_EMPTY"}],
                    }
                ],
            },
            {"value": "key", "displayValue": "Key"},
        ],
    },
    {
        "type": "GROUP",
        "name": "more",
        "enablingConditions": [
            {"paramName": "auth", "type": "EQUALS", "paramValue": "key"},
            {"paramName": "pixelId", "type": "PRESENT"},
        ],
        "subParams": [
            {"type": "LABEL", "name": "note", "displayName": "Only a note"},
            {"type": "CHECKBOX", "name": "debug", "checkboxText": "Log\x1b[31m"},
            {
                "type": "TEXT",
                "name": "why",
                "enablingConditions": [
                    {"paramName": "debug", "type": "NOT_EQUALS", "paramValue": False}
                ],
            },
        ],
    },
    {
        "type": "SIMPLE_TABLE",
        "name": "rows",
        "simpleTableColumns": [
            {
                "name": "key",
                "displayName": "Key",
                "type": "SELECT",
                "selectItems": [{"value": "a", "displayValue": "A"}, {"value": 2}],
            },
            {"name": "value", "displayName": "Value", "type": "TEXT", "defaultValue": "x"},
        ],
    },
    {"type": "TEXT", "name": "odd.name", "defaultValue": 'say "hi"\\\n', "displayName": "Odd"},
]


def template(kind: str = "TAG") -> Template:
    head = json.dumps({"type": kind, "displayName": "My ads: API v2"})
    return read_template(
        f"___INFO___\n{head}\n___TEMPLATE_PARAMETERS___\n{json.dumps(FORM)}\n"
        "___SANDBOXED_JS_FOR_SERVER___\n".encode()
    )


def row(name: str) -> FormRow:
    (found,) = [row for row in form_rows(template().fields) if row.name == name]
    return found


def test_form_lists_every_field_and_column():
    assert [row.name for row in form_rows(template().fields)] == [
        "pixelId",
        "auth",
        "accessToken",
        "debug",
        "why",
        "rows",
        "rows[].key",
        "rows[].value",
        "odd.name",
    ]


def test_form_row_describes_its_field():
    assert row("pixelId") == FormRow(
        name="pixelId",
        type="TEXT",
        label="Pixel ID",
        help="From Ads, tab Pixels.",
        required=True,
    )
    assert (row("auth").default, row("auth").choices) == ("token", ("token", "key"))
    assert (row("rows[].key").choices, row("rows[].value").default) == (("a", 2), "x")


def test_form_row_says_when_its_field_is_used():
    assert row("pixelId").when == ""
    assert row("accessToken").when == 'auth = "token"'
    assert row("debug").when == 'auth = "key" or pixelId is set'
    assert row("why").when == '(auth = "key" or pixelId is set) and debug is not false'


LOGGING = [
    {"type": "RADIO", "name": "logTo", "displayName": "Log to BigQuery", "radioItems": [
        {"value": "no"}, {"value": "always"}], "enablingConditions": [
        {"paramName": "firestorePath", "type": "NOT_EQUALS", "paramValue": "x"}]},
    {"type": "GROUP", "name": "g", "enablingConditions": [
        {"paramName": "logTo", "type": "EQUALS", "paramValue": "always"}],
     "subParams": [{"type": "TEXT", "name": "bigQueryTable"}]},
    {"type": "TEXT", "name": "firestorePath"},
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "service", "is_off"),
    [
        ({}, "BigQuery", True),
        ({"logTo": "no", "bigQueryTable": "t"}, "BigQuery", True),
        ({"logTo": "always"}, "BigQuery", False),
        ({"logTo": "{{mode}}"}, "BigQuery", False),
        ({}, "Firestore", False),
        ({}, "getGoogleAuth", False),
    ],
)
def test_google_service_is_off_if_all_its_fields_are_hidden(given, service, is_off):
    fields = read_fields(LOGGING)

    assert is_switched_off(fields, given, service) is is_off


def test_toml_block_has_the_values_of_a_new_form():
    block = form_block(template(), "my ads.tpl")

    (tag,) = tomllib.loads(block)["tag"]

    assert tag == {
        "name": "my-ads-api-v2",
        "template": "my ads.tpl",
        "events": ["purchase"],
        "fields": {
            "pixelId": "",
            "auth": "token",
            "accessToken": "env:ACCESS_TOKEN",
            "odd.name": 'say "hi"\\\n',
        },
    }


def test_toml_block_has_other_fields_as_usable_comments():
    block = form_block(template(), "my ads.tpl")
    filled = block.replace("# debug =", "debug =").replace("# rows =", "rows =")

    (tag,) = tomllib.loads(filled)["tag"]

    assert tag["fields"]["debug"] is False
    assert tag["fields"]["rows"] == [{"key": "a", "value": "x"}]
    assert "# Pixel ID (required)\n" in block
    assert '# "token" or "key"\n' in block
    assert '# Only if auth = "key" or pixelId is set\n' in block
    assert "\x1b" not in block


def test_client_has_a_toml_block_and_a_variable_has_none():
    (client,) = tomllib.loads(form_block(template("CLIENT"), "c.tpl"))["client"]

    assert client["template"] == "c.tpl"
    assert "events" not in client
    assert form_block(template("MACRO"), "v.tpl") == ""


def test_condition_shared_by_group_and_field_is_shown_once():
    condition = {"paramName": "on", "type": "EQUALS", "paramValue": True}
    field = {"type": "TEXT", "name": "ttl", "enablingConditions": [condition]}
    group = {
        "type": "GROUP",
        "name": "more",
        "enablingConditions": [condition],
        "subParams": [field],
    }

    [row] = form_rows(read_fields([group]))

    assert row.when == "on = true"

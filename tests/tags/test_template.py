"""Reading the text of a `.tpl` file."""

import pytest

from twite.tags.template.fields import Field
from twite.tags.template.permissions import Grant
from twite.tags.template.template import (
    Template,
    TemplateKind,
    TemplatePart,
    TemplateUnusable,
    read_template,
)

WHOLE = """___TERMS_OF_SERVICE___

None.


___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "displayName": "A \\u003ctag\\u003e",
  "description": "What it does.",
  "containerContexts": ["SERVER"]
}


___TEMPLATE_PARAMETERS___

[{"type": "TEXT", "name": "one", "displayName": "One"}]


___SANDBOXED_JS_FOR_SERVER___

const a = 1;
return a;


___SERVER_PERMISSIONS___

[{"instance": {"key": {"publicId": "logging", "versionId": "1"}, "param": []}}]


___TESTS___

scenarios: []


___NOTES___

Created.
"""
LEAST = '___INFO___\n{"type": "TAG"}\n___SANDBOXED_JS_FOR_SERVER___'


def test_template_file_is_split_into_its_sections():
    found = read_template(WHOLE.encode())

    assert found == Template(
        kind=TemplateKind.TAG,
        id="cvt_temp_public_id",
        name="A <tag>",
        description="What it does.",
        fields=(Field(type="TEXT", name="one", shown="One"),),
        code=TemplatePart(text="\nconst a = 1;\nreturn a;\n\n", line=23),
        grants=(Grant(permission="logging"),),
        tests=TemplatePart(text="\nscenarios: []\n\n", line=34),
        notes="Created.",
    )


@pytest.mark.parametrize(
    "text", ["\ufeff" + WHOLE, WHOLE.replace("\n", "\r\n"), WHOLE.replace("___\n", "___ \t\n")]
)
def test_byte_order_mark_crlf_and_trailing_spaces_are_ignored(text):
    assert read_template(text.encode()) == read_template(WHOLE.encode())


def test_sections_of_a_template_can_have_any_order():
    head, notes = WHOLE.split("___NOTES___")
    moved = f"___NOTES___{notes}{head}"

    found = read_template(moved.encode())

    assert (found.notes, found.code.text) == ("Created.", "\nconst a = 1;\nreturn a;\n\n")


def test_template_needs_only_its_kind_and_code():
    text = '___INFO___\n{"type": "MACRO"}\n___SANDBOXED_JS_FOR_SERVER___\nreturn 1;'

    found = read_template(text.encode())

    assert (found.kind, found.fields, found.grants, found.tests) == (
        TemplateKind.VARIABLE,
        (),
        (),
        None,
    )
    assert found.code == TemplatePart(text="return 1;", line=4)


def test_trailing_commas_in_json_are_accepted():
    text = (
        '___INFO___\n{"type": "MACRO", "displayName": "a,] b,} \\",]",\n}\n'
        "___SANDBOXED_JS_FOR_SERVER___\nreturn 1;\n"
        '___TEMPLATE_PARAMETERS___\n[{"type": "TEXT", "name": "a", } , \n]\n'
    )

    found = read_template(text.encode())

    assert found.name == 'a,] b,} ",]'
    assert [field.name for field in found.fields] == ["a"]


def test_line_breaks_in_a_json_string_are_kept_with_a_warning():
    text = (
        '___INFO___\n{"type": "MACRO",\n"displayName": "a\nb\tc",\n"brand": {"id": "x",},}\n'
        "___SANDBOXED_JS_FOR_SERVER___\nreturn 1;\n"
        '___TEMPLATE_PARAMETERS___\n[{"type": "TEXT", "name": "a",\n"defaultValue": "1\n2"}]\n'
    )

    found = read_template(text.encode())

    assert (found.name, found.fields[0].default) == ("a\nb\tc", "1\n2")
    assert [warning.line for warning in found.warnings] == [3, 10]


def test_missing_quote_is_reported_with_its_line():
    text = '___INFO___\n{"type": "MACRO",\n"displayName": "a,\n"x": 1}\n'

    with pytest.raises(TemplateUnusable, match="line 3: INFO: not JSON"):
        read_template(f"{text}___SANDBOXED_JS_FOR_SERVER___".encode())


LABEL = '{"messageId": "M", "description": "for translators", "text": "Read %s"}'


def test_translatable_texts_are_read_everywhere():
    label = LABEL.replace("%s", "me")
    text = (
        f'___INFO___\n{{"type": "TAG", "displayName": {label}, "description": {label}}}\n'
        "___SANDBOXED_JS_FOR_SERVER___\n___TEMPLATE_PARAMETERS___\n"
        f'[{{"type": "SELECT", "name": "a", "displayName": {label}, "help": {label}, '
        f'"valueHint": {label}, "selectItems": [{{"value": 1, "displayValue": {label}}}], '
        f'"valueValidators": [{{"type": "NON_EMPTY", "errorMessage": {label}}}]}}]'
    )

    found = read_template(text.encode())

    (field,) = found.fields
    assert (found.name, found.description) == ("Read me", "Read me")
    assert (field.shown, field.help, field.hint) == ("Read me", "Read me", "Read me")
    assert (field.choices[0].shown, field.validators[0].message) == ("Read me", "Read me")
    assert found.warnings == ()


def test_malformed_text_of_a_template_is_dropped_with_a_warning():
    text = (
        '___INFO___\n{"type": "TAG"}\n___SANDBOXED_JS_FOR_SERVER___\n'
        '___TEMPLATE_PARAMETERS___\n[{"type": "GROUP", "name": "g", "subParams": '
        '[{"type": "TEXT", "name": "a", "help": 7, "displayName": ["x"]}]}]'
    )

    found = read_template(text.encode())

    inner = found.fields[0].fields[0]
    assert (inner.shown, inner.help) == ("", "")
    assert [warning.message for warning in found.warnings] == [
        "TEMPLATE_PARAMETERS: displayName of a is neither a text nor an object with a text",
        "TEMPLATE_PARAMETERS: help of a is neither a text nor an object with a text",
    ]


def test_terms_of_service_can_occur_twice():
    text = f"___TERMS_OF_SERVICE___\nyes\n{LEAST}\n___TERMS_OF_SERVICE___\nyes\n"

    assert read_template(text.encode()).kind is read_template(LEAST.encode()).kind


TEXT_AS_URL = """[{"instance": {"key": {"publicId": "send_http"}, "param": [
{"key": "allowedUrls", "value": {"type": 1, "string": "specific"}},
{"key": "urls", "value": {"type": 2, "listItem": [{"type": 1, "string": "shop"}]}}]}}]"""
TEXT_AS_LIST = """[{"instance": {"key": {"publicId": "get_cookies"}, "param": [
{"key": "cookieAccess", "value": {"type": 1, "string": "specific"}},
{"key": "cookieNames", "value": {"type": 1, "string": "a"}}]}}]"""


@pytest.mark.parametrize(
    ("text", "section", "line", "words"),
    [
        ("", "", 1, "no section"),
        ('___INFO___\n{"a": 1,\n"b" 2,}\n___SANDBOXED_JS_FOR_SERVER___', "INFO", 3, "not JSON"),
        ("hello", "", 1, "no section"),
        ('___INFO___\n{"type": "TAG"}', "SANDBOXED_JS_FOR_SERVER", 1, "missing"),
        ("___SANDBOXED_JS_FOR_SERVER___\n", "INFO", 1, "missing"),
        ("___INFO___\n\n{\n  'type': 1}\n___SANDBOXED_JS_FOR_SERVER___", "INFO", 4, "not JSON"),
        ("___INFO___\n[]\n___SANDBOXED_JS_FOR_SERVER___", "INFO", 2, "an object was expected"),
        ('___INFO___\n{"type": "PLANE"}\n___SANDBOXED_JS_FOR_SERVER___', "INFO", 2, "type must be"),
        ("___NOTES___\n___INFO___\n{}\n___NOTES___\n", "NOTES", 4, "occurs twice"),
        (
            f"{LEAST}\n___TEMPLATE_PARAMETERS___\n{{}}",
            "TEMPLATE_PARAMETERS",
            5,
            "an array was expected",
        ),
        (
            f"{LEAST}\n___SERVER_PERMISSIONS___\n[7]",
            "SERVER_PERMISSIONS",
            5,
            "an object was expected",
        ),
        (
            f"{LEAST}\n___SERVER_PERMISSIONS___\n{TEXT_AS_URL}",
            "SERVER_PERMISSIONS",
            5,
            "'shop' is not a URL pattern",
        ),
        (
            f"{LEAST}\n___SERVER_PERMISSIONS___\n{TEXT_AS_LIST}",
            "SERVER_PERMISSIONS",
            5,
            "an array was expected",
        ),
    ],
)
def test_malformed_template_is_refused_with_section_and_line(text, section, line, words):
    with pytest.raises(TemplateUnusable) as caught:
        read_template(text.encode())

    assert (caught.value.section, caught.value.line) == (section, line)
    assert words in str(caught.value)


def test_template_with_invalid_utf_8_is_refused_with_its_line():
    with pytest.raises(TemplateUnusable) as caught:
        read_template(b"___INFO___\n\n\xff")

    assert (caught.value.line, caught.value.message) == (3, "the file is not UTF-8")


WEB = '{"type": "TAG", "displayName": "Pixel", "containerContexts": ["WEB"]}'


@pytest.mark.parametrize(
    "text",
    [
        '___INFO___\n{"displayName": "Pixel"}\n___SANDBOXED_JS_FOR_WEB_TEMPLATE___\n',
        f"___INFO___\n{WEB}\n___SANDBOXED_JS_FOR_SERVER___\n",
    ],
)
def test_template_for_web_containers_is_refused_as_such(text):
    with pytest.raises(TemplateUnusable, match="“Pixel” is a web template"):
        read_template(text.encode())

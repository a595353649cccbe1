"""Secrets in an export are recognized and extracted, and not written to files."""

import random
import string

import msgspec
import pytest
from container_parts import planned
from export_parts import CODE, HEAD, boolean, import_of, table, tag, template, text
from secret_cases import OTHERS, SECRETS

from twite.redaction.vocabulary import promises_secret
from twite.tags.container.parts import VariableSource
from twite.tags.container.secrets import hidden, opened
from twite.tags.redaction.secrets import looks_secret, masked, secrets_in


def secrets_of(found):
    return [(secret.kind, secret.name, secret.path) for secret in found.secrets]


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
def test_name_of_a_secret_field_is_recognized(name):
    assert promises_secret(name)


@pytest.mark.parametrize(
    "name", ["pixelId", "authMethod", "keyPath", "eventName", "key", "cookieName", "monkey", ""]
)
def test_ordinary_field_name_is_not_a_secret(name):
    assert not promises_secret(name)


@pytest.mark.parametrize("text", SECRETS)
def test_secret_is_recognized_by_its_form(text):
    assert looks_secret(text)


@pytest.mark.parametrize("text", OTHERS)
def test_ordinary_text_is_not_a_secret(text):
    assert list(secrets_in(text)) == []


@pytest.mark.parametrize("text", SECRETS)
def test_masked_text_contains_no_recognized_secret(text):
    assert [secret for secret in secrets_in(text) if secret in masked(text)] == []


def test_random_tokens_are_recognized_as_secrets():
    randomness = random.Random(6)
    letters = string.ascii_letters + string.digits
    drawn = {
        f"{name} of {length}": sum(
            looks_secret("".join(randomness.choices(signs, k=length))) for _ in range(1000)
        )
        for name, signs, length in (
            ("hex", string.hexdigits[:16], 32),
            ("hex", string.hexdigits[:16], 40),
            ("base64", letters + "+/", 40),
            ("base64", letters + "+/", 64),
            ("base64 of URLs", letters + "-_", 43),
        )
    }

    assert {name: known for name, known in drawn.items() if known < 995} == {}


def test_secrets_are_extracted_from_fields_rows_and_constants():
    found = import_of(
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

    assert secrets_of(found) == [
        ("variable", "Word", "value"),
        ("tag", "Tag", "f"),
        ("tag", "Tag", "accessToken"),
        ("tag", "Tag", "plain"),
        ("tag", "Tag", "headers.0.value"),
    ]
    assert found.container.variables[0].type is VariableSource.CONSTANT
    assert found.container.tags[0].fields == {
        "kept": "{{Word}}",
        "headers": [{"name": "Authorization"}, {"name": "A"}],
        "password": "{{Word}}",
    }


def test_lookup_table_used_by_a_secret_field_loses_its_values():
    found = import_of(
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

    assert [(secret.path, secret.secret.reveal()) for secret in found.secrets] == [
        ("rows.0.value", "one"),
        ("rows.1.value", "two"),
    ]


@pytest.mark.parametrize("name", ["word", "Tag.word"])
def test_names_of_further_secrets_can_be_given(name):
    made = tag("Tag", "cvt_190000001_1", text("word", "sesame"))

    assert secrets_of(import_of(tag=[made], named=[name])) == [("tag", "Tag", "word")]
    assert secrets_of(import_of(tag=[made])) == []


def test_secret_in_a_field_with_a_dotted_name_is_extracted():
    found = import_of(tag=[tag("Tag", "cvt_190000001_1", text("api.token", "sesame"))])

    assert found.container.tags[0].fields == {}
    assert dict(found.container.tags[0].secrets) == {r"api\.token": r"env:tag/Tag/api\.token"}


def test_extracted_secret_is_neither_written_nor_printed():
    found = import_of(tag=[tag("Tag", "cvt_190000001_1", text("accessToken", "open-sesame"))])

    shown = repr(found) + msgspec.json.encode(found.container).decode()

    assert "open-sesame" not in shown


def comparable(found):
    return [(place.kind, place.name, place.path) for place in found.in_plain_text]


SECRET = "px_2f7Qm9Zr4Tb8Lw1Kc6Vn3Hd5"


def condition(left, right):
    return {"type": "EQUALS", "parameter": [text("arg0", left), text("arg1", right)]}


def test_secret_that_stays_in_the_file_is_reported_with_path_and_fix():
    shown = condition("{{_event}}", SECRET)

    found = import_of(trigger=[{"name": "P", "type": "ALWAYS", "filter": [shown]}])

    assert comparable(found) == [("trigger", "P", "when.0.right")]
    assert "a Constant variable" in found.in_plain_text[0].fix


def test_value_compared_with_a_secret_is_a_secret():
    shown = condition("{{Webhook token}}", "sesame")
    header = {"name": "Webhook token", "type": "rh", "parameter": [text("headerName", "X-T")]}

    found = import_of(
        variable=[header], trigger=[{"name": "P", "type": "ALWAYS", "filter": [shown]}]
    )

    assert comparable(found) == [("trigger", "P", "when.0.right")]


def test_secret_set_by_a_transformation_is_reported():
    change = {
        "name": "More",
        "type": "tf_augment_event",
        "parameter": [
            table(
                "augmentEventTable",
                {"paramName": "api_key", "paramValue": "sesame"},
                {"paramName": "plain", "paramValue": SECRET},
                {"paramName": "other", "paramValue": "purchase"},
            )
        ],
    }

    found = import_of(transformation=[change])

    assert sorted(comparable(found)) == [
        ("transformation", "More", "set.api_key"),
        ("transformation", "More", "set.plain"),
    ]


def test_secret_in_a_name_is_reported_and_not_printed():
    found = import_of(tag=[tag(f"To {SECRET}")])

    assert comparable(found) == [("tag", "To …", "name")]
    assert SECRET not in repr(found.lines) + repr(found.in_plain_text)


@pytest.mark.parametrize(
    ("section", "where"),
    [
        (f'___SANDBOXED_JS_FOR_SERVER___\nconst k = "{SECRET}";\n', "line 4"),
        ("___SANDBOXED_JS_FOR_SERVER___\nconst apiKey = 'open-sesame';\n", "line 4"),
        (f"___SANDBOXED_JS_FOR_SERVER___\n\n// once {SECRET}\n", "line 5"),
        (f"___SANDBOXED_JS_FOR_SERVER___\n\n\n___NOTES___\n{SECRET}\n", "line 7"),
    ],
)
def test_secret_in_the_code_of_a_template_is_reported_with_its_line(section, where):
    made = template(1) | {"templateData": HEAD % ("TAG", "cvt_temp_public_id") + section}

    found = import_of(templates=[made], tag=[tag("Tag")])

    assert comparable(found) == [("template", "T1", where)], found.lines


IN_A_TEST = f"{CODE}\n___TESTS___\n\nscenarios:\n- code: '{SECRET}'\n"
IN_THE_SETUP = f"___TESTS___\nsetup: const accessToken = 'made-up-token';\n{CODE}"
IN_A_HELP_TEXT = (
    '___TEMPLATE_PARAMETERS___\n[{"type": "TEXT", "name": "f",\n'
    f'"help": "such as \\"{SECRET}\\"", "valueHint": "{SECRET}"}}]\n{CODE}'
)


@pytest.mark.parametrize("section", [IN_A_TEST, IN_THE_SETUP, IN_A_HELP_TEXT])
def test_example_secret_in_tests_and_help_texts_is_not_reported(section):
    made = template(1) | {"templateData": HEAD % ("TAG", "cvt_temp_public_id") + section}

    found = import_of(templates=[made], tag=[tag("Tag")])

    assert comparable(found) == [], found.lines


def test_secret_after_the_tests_and_beside_a_help_text_is_reported():
    section = (
        "___TESTS___\n\n___TEMPLATE_PARAMETERS___\n"
        f'[{{"type": "TEXT", "name": "f", "help": "a", "displayName": "{SECRET}"}}]\n'
        f'___SANDBOXED_JS_FOR_SERVER___\nconst k = {{"help": "{SECRET}"}};\n'
    )
    made = template(1) | {"templateData": HEAD % ("TAG", "cvt_temp_public_id") + section}

    found = import_of(templates=[made], tag=[tag("Tag")])

    assert comparable(found) == [("template", "T1", "lines 6, 8")], found.lines


@pytest.mark.parametrize(
    ("default", "where"),
    [(SECRET, "line 4"), ("sesame", "the default of its field apiToken")],
)
def test_secret_as_the_default_of_a_field_is_reported(default, where):
    field = {"type": "TEXT", "name": "apiToken", "defaultValue": default}

    found = import_of(templates=[template(1, fields=[field])])

    assert comparable(found) == [("template", "T1", where)]


@pytest.mark.parametrize(("gallery", "reported"), [({}, 0), ({"isModified": True}, 1)])
def test_default_of_a_public_gallery_template_is_not_a_secret(gallery, reported):
    field = {"type": "TEXT", "name": "apiToken", "defaultValue": SECRET}
    made = template(1, fields=[field]) | {"galleryReference": {"owner": "somebody", **gallery}}

    assert len(import_of(templates=[made]).in_plain_text) == reported


def test_text_with_a_variable_and_a_secret_is_sealed_completely():
    found = import_of(
        tag=[
            tag(
                "Tag",
                "cvt_190000001_1",
                text("header", f"Bearer {SECRET}{{{{_event}}}}"),
                text("accessToken", "{{_event}}-abc"),
                text("password", "Bearer {{_event}}"),
            )
        ]
    )

    assert [(secret.path, secret.secret.reveal()) for secret in found.secrets] == [
        ("header", f"Bearer {SECRET}{{{{_event}}}}"),
        ("accessToken", "{{_event}}-abc"),
    ]
    assert found.in_plain_text == ()


def test_variables_in_a_sealed_text_are_filled_in_when_a_tag_runs():
    made = tag("Tag", "cvt_190000001_1", text("header", f"Bearer {SECRET}-{{{{_event}}}}"))
    found = import_of(tag=[made])
    kept = {secret.kept: secret.secret.reveal() for secret in found.secrets}

    (fired,) = planned(opened(found.container, kept.__getitem__)).fired

    assert fired.fields == {"header": f"Bearer {SECRET}-purchase"}


def test_sealed_text_is_hidden_except_for_variable_names():
    variable = {
        "name": "By shop",
        "type": "smm",
        "parameter": [
            text("input", "{{_event}}"),
            table("map", {"key": SECRET, "value": f"{SECRET}1{{{{_event}}}}/in"}),
            boolean("setDefaultValue", "true"),
            text("defaultValue", f"{SECRET}2"),
        ],
    }
    found = import_of(variable=[variable])
    kept = {secret.kept: secret.secret.reveal() for secret in found.secrets}

    shown = list(hidden(opened(found.container, kept.__getitem__)))

    assert sorted(shown) == ["/in", SECRET, f"{SECRET}1", f"{SECRET}2"]


def test_keys_of_lookup_tables_can_be_sealed():
    rows = table("map", {"key": SECRET, "value": "shop"}, {"key": "other", "value": "x"})
    variable = {"name": "V", "type": "smm", "parameter": [text("input", "{{_event}}"), rows]}

    found = import_of(variable=[variable])

    assert secrets_of(found) == [("variable", "V", "rows.0.key")]
    assert [row.key for row in found.container.variables[0].rows] == ["", "other"]


def test_lookup_table_with_a_secret_input_loses_its_keys():
    rows = table("map", {"key": "sesame", "value": "shop"})
    header = {"name": "Api key", "type": "rh", "parameter": [text("headerName", "X-K")]}
    variable = {"name": "V", "type": "smm", "parameter": [text("input", "{{Api key}}"), rows]}

    assert secrets_of(import_of(variable=[header, variable])) == [("variable", "V", "rows.0.key")]


def test_secret_name_of_an_object_makes_its_fields_secret():
    deep = table("tokens", {"shop": "one", "name": "x"}, {"shop": "{{_event}}"})

    found = import_of(tag=[tag("Tag", "cvt_190000001_1", deep)])

    assert secrets_of(found) == [("tag", "Tag", "tokens.0.shop")]


def test_secret_header_in_a_table_makes_its_variable_secret():
    rows = table("headers", {"name": "Authorization", "value": "Bearer {{Word}}"})
    word = {"name": "Word", "type": "c", "parameter": [text("value", "sesame")]}

    found = import_of(tag=[tag("Tag", "cvt_190000001_1", rows)], variable=[word])

    assert secrets_of(found) == [("variable", "Word", "value")]


def test_secret_too_long_to_be_sealed_is_reported_once():
    found = import_of(
        tag=[
            tag(
                "Tag",
                "cvt_190000001_1",
                text("accessToken", "open sesame " * 2000),
                text("other", SECRET + " and more" * 2000),
            )
        ]
    )

    assert found.secrets == ()
    assert comparable(found) == [("tag", "Tag", "accessToken"), ("tag", "Tag", "other")]
    assert "too long to be sealed" in found.in_plain_text[0].fix

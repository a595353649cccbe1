"""`[[tag]]`: errors name the place and the fix; valid tables become tags with rules."""

import json
import shutil
from pathlib import Path

import pytest

from twite.config.settings import load
from twite.config.toml import IN_CLEAR_TEXT
from twite.domain.errors import SettingsError
from twite.tags.checks.container import tags
from twite.tags.ports.tags import PersonHandling, RepeatPolicy
from twite.tags.settings.tag_settings import TagSettings

TEMPLATES = Path(__file__).parents[2] / "tags/templates"
BASE = """
[[pixel]]
id = "o8z6j"
auth = { pixel_token = "env:TOKEN" }
events = { purchase = "o8z6k" }
[[source]]
name = "shop"
key = "env:TOKEN"
pixel = "o8z6j"
[[tag]]
name = "crm"
"""
GOOD = 'template = "crm_post.tpl"\nfields = { endpoint = "https://crm.example/in" }\n'


def settings(folder: Path, text: str):
    shutil.copy(TEMPLATES / "crm_post.tpl", folder)
    shutil.copy(TEMPLATES / "client_json.tpl", folder)
    path = folder / "twite.toml"
    path.write_text(BASE + text)
    return load(path, {"TOKEN": "a-token-of-sixteen-or-more", "CRM": "the-key-of-the-crm"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('template = "none.tpl"\n', "none.tpl: cannot be read"),
        ('template = "client_json.tpl"\n', "tag[0].template: client_json.tpl is not a tag"),
        ('template = "crm_post.tpl"\n', "tag[0].fields.endpoint: must not be empty"),
        (GOOD + 'sources = ["shops"]\n', "tag[0].sources[0]: 'shops' is not a source. Did you"),
        (GOOD + 'consent = ["ad_storge"]\n', "tag[0].consent: 'ad_storge' is not a consent"),
        (GOOD + 'redirect = { "a.example" = "http://b.example:1" }\n', "tag[0].redirect.a.ex"),
        (GOOD + 'redirect = { "a.example" = "https://127.0.0.1:1" }\n', "is not an http URL"),
        (GOOD + 'redirect = { "a.example" = "http://127.0.0.1:1/x" }\n', "is not an http URL"),
        (GOOD + 'timeout = "5m"\n', "tag[0].timeout: '5m' is out of range"),
        (GOOD + 'persons = "sealed"\n', "tag[0].persons: personal data is stored encrypted"),
        (GOOD + 'repeat = "once"\n', "tag[0].repeat: 'once' is not known"),
        (GOOD + "[[tag]]\nname = 'crm'\n" + GOOD, "tag[1].name: 'crm' is already the tag at"),
    ],
)  # fmt: skip
def test_wrong_tag_is_explained_with_its_place(tmp_path, text, said):
    with pytest.raises(SettingsError) as wrong:
        settings(tmp_path, text)

    assert said in str(wrong.value)


def test_syntax_error_of_a_tag_template_has_its_line(tmp_path):
    shutil.copy(TEMPLATES / "crm_post.tpl", tmp_path / "broken.tpl")
    text = (tmp_path / "broken.tpl").read_text().replace("const body =", "const body == ")
    (tmp_path / "broken.tpl").write_text(text)

    with pytest.raises(SettingsError, match=r"broken\.tpl, line \d+: SANDBOXED_JS_FOR_SERVER"):
        settings(tmp_path, 'template = "broken.tpl"\nfields = { endpoint = "https://a.example" }\n')


def test_unknown_tag_field_is_a_warning(tmp_path):
    text = GOOD.replace("{ ", '{ enpoint = "x", ')

    found = settings(tmp_path, text)

    assert any("tag[0].fields.enpoint: is not a field" in warning for warning in found.warnings)


def with_choice(folder: Path, given: str, **said: object):
    """Load a tag whose template has an additional field: a choice of a or b."""
    items = [{"value": "a", "displayValue": "A"}, {"value": "b", "displayValue": "B"}]
    more = {"type": "SELECT", "name": "mode", "selectItems": items, **said}
    text = (TEMPLATES / "crm_post.tpl").read_text()
    start = "___TEMPLATE_PARAMETERS___\n\n["
    assert start in text
    (folder / "own.tpl").write_text(text.replace(start, f"{start}{json.dumps(more)}, "))
    return settings(
        folder, GOOD.replace("crm_post", "own").replace("{ ", f'{{ {more["name"]} = "{given}", ')
    )


def test_value_outside_the_choices_of_a_field_is_an_error_unless_variables_are_allowed(tmp_path):
    with pytest.raises(SettingsError) as wrong:
        with_choice(tmp_path, "c")
    found = with_choice(tmp_path, "c", macrosInSelect=True)

    said = 'tag[0].fields.mode: is not one of its choices: "a", "b". '
    assert said in str(wrong.value)
    assert (
        f"{said}Ignore this if a variable sets the field; otherwise correct the value"
        in found.warnings
    )
    assert with_choice(tmp_path, "{{mode}}").feature(TagSettings).tags is not None


def test_tag_setting_is_loaded_with_its_rule_and_hides_secrets(tmp_path):
    text = GOOD.replace("{ ", '{ key = "env:CRM", ') + 'repeat = "at_most_once"\n'

    found = settings(tmp_path, text).feature(TagSettings).tags

    assert found is not None
    rule = found.rules["crm"]
    assert (rule.pixel, rule.repeat, rule.persons) == (
        "tag:crm", RepeatPolicy.AT_MOST_ONCE, PersonHandling.HASHED
    )  # fmt: skip
    assert "the-key-of-the-crm" in {secret.reveal() for secret in rule.secrets}
    assert [secret.reveal() for secret in rule.field_secrets] == ["the-key-of-the-crm"]
    assert "the-key-of-the-crm" not in repr(rule)
    assert found.container.tags[0].fields["key"] == "the-key-of-the-crm"


def test_trigger_of_a_tag_is_named_by_its_event(tmp_path):
    more = """[[tag]]
name = "all"
template = "crm_post.tpl"
fields = { endpoint = "https://crm.example/in" }
"""
    found = settings(tmp_path, GOOD + 'events = ["purchase", "sign_up"]\n' + more)

    container = found.feature(TagSettings).tags.container
    assert [trigger.name for trigger in container.triggers] == [
        "crm: event is purchase",
        "crm: event is sign_up",
        "all: any event",
    ]


def test_check_reports_a_tag_that_sends_to_a_local_server(tmp_path):
    text = GOOD + 'redirect = { "crm.example" = "http://127.0.0.1:9000/" }\n'

    found = settings(tmp_path, text)

    assert found.feature(TagSettings).tags is not None
    assert found.feature(TagSettings).tags.rules["crm"].redirect == {
        "crm.example": "http://127.0.0.1:9000"
    }
    assert [finding.found for finding in tags(found) if "redirect" in finding.found] == [
        "crm: requests are redirected for tests: crm.example → http://127.0.0.1:9000"
    ]


def test_tags_that_run_at_most_once_are_known_without_the_container(tmp_path):
    cautious = GOOD + 'repeat = "at_most_once"\n[[tag]]\nname = "mail"\n' + GOOD
    imported = '[container]\nfile = "container.json"\nrepeat = "at_most_once"\n'

    own = settings(tmp_path, cautious)
    both = settings(tmp_path, cautious + imported)

    asked = ("o8z6j", "tag:crm", "tag:mail", "tag:of the container", "of nobody")
    assert [own.is_cautious(address) for address in asked] == [False, True, False, False, False]
    assert [both.is_cautious(address) for address in asked] == [False, True, False, True, False]


def test_pixel_with_on_ambiguous_hold_is_cautious(tmp_path):
    path = tmp_path / "twite.toml"
    path.write_text(
        BASE.replace("[[source]]", 'on_ambiguous = "hold"\n[[source]]').partition("[[tag]]")[0]
    )

    assert load(path, {"TOKEN": "a-token-of-sixteen-or-more"}).is_cautious("o8z6j")


@pytest.mark.parametrize(
    ("written", "place", "secrets"),
    [
        ('apiKey = "sesame-open"', "apiKey", ["sesame-open"]),
        ('note = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"', "note", ["sk_live_4eC39HqLyjWDarjtT1zdp7dc"]),
        ('rows = [{ name = "X-Api-Key", value = "sesame-open" }]', "rows.0.value", ["sesame-open"]),
        ('token = "Bearer open-{{id}}"', "token", ["Bearer open-"]),
    ],
)
def test_secret_in_plain_text_in_a_tag_field_is_hidden_and_reported(
    tmp_path, written, place, secrets
):
    found = settings(tmp_path, GOOD.replace("{ ", f"{{ {written}, "))

    rule = found.feature(TagSettings).tags.rules["crm"]
    assert [secret.reveal() for secret in rule.field_secrets] == secrets
    assert set(secrets) < {secret.reveal() for secret in rule.secrets}
    warnings = [warning for warning in found.warnings if "plain text" in warning]
    assert warnings == [f"tag[0].fields.{place}: {IN_CLEAR_TEXT}"]


@pytest.mark.parametrize(
    "written",
    ['key = "env:CRM"', 'token = "{{token}}"', 'mode = "advanced"', 'tokenType = "Bearer"'],
)
def test_tag_field_without_a_secret_may_be_in_plain_text(tmp_path, written):
    found = settings(tmp_path, GOOD.replace("{ ", f"{{ {written}, "))

    assert not [warning for warning in found.warnings if "plain text" in warning]


def test_choice_field_of_a_template_is_not_a_secret(tmp_path):
    found = with_choice(tmp_path, "a", name="tokenPlace", displayName="Where the API token goes")

    assert not [warning for warning in found.warnings if "plain text" in warning]

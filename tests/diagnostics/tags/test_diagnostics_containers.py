"""Diagnostics of a server container."""

import pytest

from poster_container import CONTAINER, TEMPLATE
from twite.config.settings import load
from twite.tags.checks.container import container
from twite.tags.settings.tag_settings import TagSettings
from twite.tags.settings.tags import company_of

ANY_COOKIE = """[{"instance": {"key": {"publicId": "get_cookies", "versionId": "1"}, "param": [
  {"key": "cookieAccess", "value": {"type": 1, "string": "any"}}]}}]"""
SETTINGS = '[container]\nfile = "container.toml"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "there")
    (tmp_path / "twite.toml").write_text(SETTINGS)
    (tmp_path / "poster.tpl").write_text(TEMPLATE)
    (tmp_path / "container.toml").write_text(CONTAINER % "env:TOKEN")
    return tmp_path


async def findings(folder):
    settings = load(folder / "twite.toml", {}, credentials=False)
    return [(str(finding.status), finding.found) async for finding in container(settings)]


async def test_valid_container_passes_with_its_number_of_tags(folder):
    assert await findings(folder) == [
        ("passed", "container.toml: 1 tag can fire, 1 secret is available"),
        (
            "passed",
            "Post: the tag sends no request for a sample event, with hashed or unhashed data",
        ),
    ]


async def test_paused_tags_of_a_container_are_named(folder):
    file = folder / "container.toml"
    file.write_text(file.read_text().replace('name = "Post"\n', 'name = "Post"\npaused = true\n'))

    assert ("warning", "paused: Post") in await findings(folder)


@pytest.mark.parametrize(
    ("name", "was", "is_", "said"),
    [
        ("container.toml", "env:TOKEN", "env:NOBODY", "variable 'NOBODY' is not set"),
        ("container.toml", "env:TOKEN", "sealed:x", "the store has no secret 'x'"),
        ("container.toml", "All Events", "Some", "there is no trigger 'Some'"),
        ("poster.tpl", "data.gtmOnSuccess();", "data.(", "template 'Poster'"),
        ("poster.tpl", "___INFO___", "nothing", "the section is missing"),
    ],
)
async def test_container_that_prevents_a_start_fails(folder, name, was, is_, said):
    file = folder / name
    file.write_text(file.read_text().replace(was, is_))

    [(status, found)] = await findings(folder)

    assert (status, said in found) == ("failed", True), found


async def test_settings_without_a_container_have_no_findings(folder):
    (folder / "twite.toml").write_text("")

    assert await findings(folder) == []


@pytest.mark.parametrize(
    ("persons", "statuses"), [("hashed", ["passed", "warning", "passed"]), ("sealed", ["passed"])]
)
async def test_tag_with_access_to_all_cookies_in_plain_text_is_reported(folder, persons, statuses):
    (folder / "poster.tpl").write_text(f"{TEMPLATE}\n___SERVER_PERMISSIONS___\n{ANY_COOKIE}")
    key = '[server]\nsecret_key = "a-key-that-seals-things"\n'
    (folder / "twite.toml").write_text(f'{key}{SETTINGS}persons = "{persons}"\n')

    found = await findings(folder)

    assert [status for status, _ in found] == statuses
    assert (
        "warning",
        "Post: the tag may read any cookie, and personal data is hashed",
    ) in found or (persons == "sealed")


async def test_secret_with_an_unknown_variable_fails_and_is_not_shown(folder, monkeypatch):
    monkeypatch.setenv("TOKEN", "s3cret {{Nobody}}")

    [(status, found)] = await findings(folder)

    assert (status, "refers to an unknown variable" in found) == ("failed", True), found
    assert "s3cret" not in found


GOOGLE_FORM = """
___TEMPLATE_PARAMETERS___
[{"type": "CHECKBOX", "name": "useFirestore"},
 {"type": "TEXT", "name": "firestorePath", "enablingConditions": [
   {"paramName": "useFirestore", "paramValue": true, "type": "EQUALS"}]}]
"""


@pytest.mark.parametrize(
    ("fields", "calls"), [("", 0), ("[variable.fields]\nuseFirestore = true\n", 1)]
)
async def test_variables_that_call_google_are_named(folder, fields, calls):
    look_up = TEMPLATE.replace("data.gtmOnSuccess();", "return require('Firestore');").replace(
        "TAG", "MACRO"
    )
    (folder / "look_up.tpl").write_text(look_up + GOOGLE_FORM)
    file = folder / "container.toml"
    file.write_text(
        file.read_text()
        + '[[template]]\nname = "Look-up"\nfile = "look_up.tpl"\n'
        + f'[[variable]]\nname = "V"\ntype = "template"\ntemplate = "Look-up"\n{fields}'
    )

    said = [text for _, text in await findings(folder)]

    assert sum("the template Look-up calls Firestore, but" in text for text in said) == calls


async def test_redirect_of_a_containers_requests_is_reported(folder):
    redirect = 'redirect = { "crm.example" = "http://127.0.0.1:9000/" }\n'
    (folder / "twite.toml").write_text(SETTINGS + redirect)
    imported = load(folder / "twite.toml", {}, credentials=False).feature(TagSettings).imported
    assert imported is not None

    config = await company_of(imported, environ={"TOKEN": "there"}, secret_store=None)

    assert config.rules["Post"].redirect == {"crm.example": "http://127.0.0.1:9000"}
    said = "requests are redirected for tests: crm.example → http://127.0.0.1:9000"
    assert ("warning", f"all tags of the container: {said}") in await findings(folder)


async def test_redirect_is_reported_not_to_apply_to_client_templates(folder):
    redirect = 'redirect = { "*" = "http://127.0.0.1:9000/" }\n'
    (folder / "twite.toml").write_text(SETTINGS + f'client_source = "shop"\n{redirect}')
    (folder / "client.tpl").write_text(TEMPLATE.replace("TAG", "CLIENT"))
    file = folder / "container.toml"
    file.write_text(
        file.read_text()
        + '[[template]]\nname = "Orders"\nfile = "client.tpl"\n'
        + '[[client]]\nname = "Orders"\ntemplate = "Orders"\n'
    )

    place = "all tags of the container, but not of its client templates"
    said = "requests are redirected for tests: * → http://127.0.0.1:9000"
    assert ("warning", f"{place}: {said}") in await findings(folder)


async def test_tag_that_creates_events_is_reported_with_tags_that_read_them(folder):
    calls = (
        """[{"instance": {"key": {"publicId": "run_container", "versionId": "1"}, "param": []}}]"""
    )
    (folder / "poster.tpl").write_text(f"{TEMPLATE}\n___SERVER_PERMISSIONS___\n{calls}\n")
    (folder / "other.tpl").write_text(f"{TEMPLATE}\n___SERVER_PERMISSIONS___\n{ANY_COOKIE}\n")
    file = folder / "container.toml"
    file.write_text(
        f"""{file.read_text()}
[[template]]
name = "Other"
file = "other.tpl"
[[tag]]
name = "Reads"
template = "Other"
triggers = ["All Events"]
"""
    )

    found = await findings(folder)

    said = "the tag may read any cookie, and personal data is hashed"
    assert {("warning", f"Post: {said}"), ("warning", f"Reads: {said}")} <= set(found)

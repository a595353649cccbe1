"""All wrong settings of a file are reported together, each with its position."""

import shutil
from pathlib import Path

import pytest

from twite.config.settings import load
from twite.diagnostics import examine
from twite.domain.errors import SettingsError

TEMPLATES = Path(__file__).parents[1] / "tags/templates"
TOKEN = "a-token-of-sixteen-or-more"
WRONG_FIELDS = """
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
template = "two.tpl"
fields = { endpoint = "" }
[[tag]]
name = "other"
template = "two.tpl"
sources = ["shops"]
fields = { second = "x" }
[[client]]
template = "client_orders.tpl"
fields = { path = "" }
"""
WRONG_KEYS = """
[server]
listen = "nowhere"
lissten = "127.0.0.1:8080"
[[pixel]]
id = "o8z6j"
events = { purchase = "o8z6k" }
[[pixel]]
id = "o8z6j"
[[tag]]
template = "two.tpl"
timeout = "5m"
"""


def written(folder: Path, text: str) -> Path:
    template = (TEMPLATES / "crm_post.tpl").read_text()
    start = "___TEMPLATE_PARAMETERS___\n\n["
    more = '{"type": "TEXT", "name": "second", "valueValidators": [{"type": "NON_EMPTY"}]}, '
    (folder / "two.tpl").write_text(template.replace(start, f"{start}{more}"))
    shutil.copy(TEMPLATES / "client_orders.tpl", folder)
    path = folder / "twite.toml"
    path.write_text(text)
    return path


def errors_of(path: Path, **environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as wrong:
        load(path, {"TOKEN": TOKEN, **environ})
    return wrong.value


def test_all_wrong_fields_of_tags_and_clients_are_reported(tmp_path):
    found = errors_of(written(tmp_path, WRONG_FIELDS))

    assert [error.place for error in found.each] == [
        "client[0].fields.path",
        "tag[0].fields.second",
        "tag[0].fields.endpoint",
        "tag[1].fields.endpoint",
        "tag[1].sources[0]",
    ]


def test_all_wrong_keys_of_all_tables_are_reported(tmp_path):
    found = errors_of(written(tmp_path, WRONG_KEYS))

    assert [error.place for error in found.each] == [
        "server.lissten",
        "server.listen",
        "pixel[1].events",
        "tag[0].name",
        "tag[0].timeout",
    ]


def test_error_has_a_line_for_each_wrong_setting(tmp_path):
    found = errors_of(written(tmp_path, WRONG_FIELDS))

    assert str(found).splitlines() == [str(error) for error in found.each]
    assert str(found).splitlines()[1].startswith("tag[0].fields.second: must not be empty")


def test_environment_variable_with_a_wrong_value_is_named_beside_other_errors(tmp_path):
    path = written(tmp_path, WRONG_KEYS)

    found = errors_of(path, TWITE_STORE__KEEP_BODIES="never")

    places = [error.place for error in found.each]
    assert "store.keep_bodies (set by TWITE_STORE__KEEP_BODIES)" in places
    assert "tag[0].timeout" in places


async def test_check_reports_a_finding_with_its_line_for_each_wrong_setting(tmp_path):
    path = written(tmp_path, WRONG_FIELDS)

    findings = [finding async for finding in examine(path, {"TOKEN": TOKEN})]

    wrong = [finding for finding in findings if finding.topic == "settings"]
    assert len(wrong) == 5
    assert all(f"{path}, line" in finding.found for finding in wrong)
    assert len({finding.line for finding in wrong}) > 3

"""All wrong fields of tags and client templates are reported together."""

import shutil
from pathlib import Path

import pytest

from twite.config.settings import load
from twite.domain.errors import SettingsError

TEMPLATES = Path(__file__).parents[2] / "tags/templates"
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


def written(folder: Path, text: str) -> Path:
    template = (TEMPLATES / "crm_post.tpl").read_text()
    start = "___TEMPLATE_PARAMETERS___\n\n["
    more = '{"type": "TEXT", "name": "second", "valueValidators": [{"type": "NON_EMPTY"}]}, '
    (folder / "two.tpl").write_text(template.replace(start, f"{start}{more}"))
    shutil.copy(TEMPLATES / "client_orders.tpl", folder)
    path = folder / "twite.toml"
    path.write_text(text)
    return path


def errors_of(path: Path) -> SettingsError:
    with pytest.raises(SettingsError) as wrong:
        load(path, {"TOKEN": TOKEN})
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


def test_error_has_a_line_for_each_wrong_setting(tmp_path):
    found = errors_of(written(tmp_path, WRONG_FIELDS))

    assert str(found).splitlines() == [str(error) for error in found.each]
    assert str(found).splitlines()[1].startswith("tag[0].fields.second: must not be empty")

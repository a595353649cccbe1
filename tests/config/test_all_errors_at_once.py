"""All wrong settings of a file are reported together, each with its position."""

from pathlib import Path

import pytest

from twite.config.settings import load
from twite.diagnostics import examine
from twite.domain.errors import SettingsError

TOKEN = "a-token-of-sixteen-or-more"
WRONG_KEYS = """
[server]
listen = "nowhere"
lissten = "127.0.0.1:8080"
[[pixel]]
id = "o8z6j"
events = { purchase = "o8z6k" }
[[pixel]]
id = "o8z6j"
[[source]]
key = "env:TOKEN"
pixel = "o8z6j"
browser_rate = 0
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "twite.toml"
    path.write_text(text)
    return path


def errors_of(path: Path, **environ: str) -> SettingsError:
    with pytest.raises(SettingsError) as wrong:
        load(path, {"TOKEN": TOKEN, **environ})
    return wrong.value


def test_all_wrong_keys_of_all_tables_are_reported(tmp_path):
    found = errors_of(written(tmp_path, WRONG_KEYS))

    assert [error.place for error in found.each] == [
        "server.lissten",
        "server.listen",
        "pixel[1].events",
        "source[0].name",
        "source[0].browser_rate",
    ]


def test_error_has_a_line_for_each_wrong_setting(tmp_path):
    found = errors_of(written(tmp_path, WRONG_KEYS))

    assert str(found).splitlines() == [str(error) for error in found.each]
    assert str(found).splitlines()[1].startswith("server.listen: ")


def test_environment_variable_with_a_wrong_value_is_named_beside_other_errors(tmp_path):
    path = written(tmp_path, WRONG_KEYS)

    found = errors_of(path, TWITE_STORE__KEEP_BODIES="never")

    places = [error.place for error in found.each]
    assert "store.keep_bodies (set by TWITE_STORE__KEEP_BODIES)" in places
    assert "source[0].browser_rate" in places


async def test_check_reports_a_finding_with_its_line_for_each_wrong_setting(tmp_path):
    path = written(tmp_path, WRONG_KEYS)

    findings = [finding async for finding in examine(path, {"TOKEN": TOKEN})]

    wrong = [finding for finding in findings if finding.topic == "settings"]
    assert len(wrong) == 5
    assert all(f"{path}, line" in finding.found for finding in wrong)
    assert len({finding.line for finding in wrong}) > 3

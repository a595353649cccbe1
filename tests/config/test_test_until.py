"""`test_until` of a source, in the settings and written by the console."""

import tomllib

import pytest

from twite.config.test_until import write_test_until
from twite.domain.errors import SettingsError
from written import GOOD, read

AT = 1_796_234_400_000  # 2026-12-02T18:00:00Z
LAYOUTS = {
    "plain": '# who sends\n[[source]]\nname = "shop" # ours\npixel = "o8z6j"\n\n# end\n',
    "no line end": '[[source]]\nname = "shop"\npixel = "o8z6j"',
    "several": '[[source]]\nname = "other"\n[[source]]\nname = "shop"\n[source.events]\na = "b"\n',
    "windows": '[[source]]\r\nname = "shop"\r\npixel = "o8z6j"\r\n',
    "inline": 'source = [{name = "other"}, {name = "shop"}]\n[x]\nversion = "12"\n',
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_end_is_written_changed_and_removed_without_other_changes(tmp_path, text):
    path = tmp_path / "twite.toml"
    path.write_bytes(text.encode())

    write_test_until(path, "shop", AT)
    first = path.read_bytes().decode()
    write_test_until(path, "shop", AT + 1_000)
    second = path.read_bytes().decode()
    write_test_until(path, "shop", None)
    third = path.read_bytes().decode()

    assert ends(first) == ["2026-12-02T18:00:00.000Z"]
    assert ends(second) == ["2026-12-02T18:00:01.000Z"]
    assert tomllib.loads(third) == tomllib.loads(text)
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert [line for line in second.splitlines() if line.startswith("#")] == comments
    assert ("\r\n" in text) <= (second.count("\n") == second.count("\r\n"))


def ends(text):
    return [each["test_until"] for each in tomllib.loads(text)["source"] if "test_until" in each]


def test_unknown_source_is_refused(tmp_path):
    path = tmp_path / "twite.toml"
    path.write_text(LAYOUTS["plain"])

    with pytest.raises(SettingsError, match="other"):
        write_test_until(path, "other", AT)

    assert path.read_text() == LAYOUTS["plain"]


@pytest.mark.parametrize(
    "written", ['"2026-12-02T18:00:00Z"', "2026-12-02T18:00:00Z", "2026-12-02T19:00:00+01:00"]
)
def test_time_may_be_a_string_or_a_time_of_toml(tmp_path, written):
    text = GOOD.replace('name = "shop"', f'name = "shop"\ntest_until = {written}')

    (source,) = read(tmp_path, text).sources()

    assert source.test_until == AT
    assert source.at(AT - 1).name == "test:shop"
    assert source.at(AT).name == "shop"

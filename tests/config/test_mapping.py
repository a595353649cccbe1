"""Adding an event to the settings file changes the line of that event, and nothing else."""

import os
import stat

import pytest

from twite.config.event_mapping import SettingsFileDraft
from twite.domain.errors import SettingsError
from written import GOOD

TABLE = """\
[[pixel]]
id = "o8z6j"
auth = { pixel_token = "clear-text-for-everyone" }

# What we call them.
[pixel.events]
purchase = "o8z6k"   # the shop's

[[source]]
name = "shop"
key = "a-key-that-nobody-will-guess"
pixel = "o8z6j"
"""


def drafted(folder, text, name="news", event="o9001"):
    path = folder / "twite.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path, SettingsFileDraft(path, pixel="o8z6j", name=name, event=event)


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        (
            GOOD,
            'sign_up = "tw-o8z6j-o8z6m" }',
            'sign_up = "tw-o8z6j-o8z6m", news = "o9001" }',
        ),
        (
            GOOD.replace("{ purchase", "{purchase").replace('o8z6m" }', 'o8z6m"}'),
            'sign_up = "tw-o8z6j-o8z6m"}',
            'sign_up = "tw-o8z6j-o8z6m", news = "o9001"}',
        ),
        (TABLE, "   # the shop's\n", '   # the shop\'s\nnews = "o9001"\n'),
    ],
)
def test_only_the_events_of_the_pixel_change(tmp_path, text, before, after):
    path, draft = drafted(tmp_path, text)

    draft.write()

    assert path.read_text() == text.replace(before, after)


DOTTED = """\
[[pixel]]
id = "o8z6j"
events.purchase = "o8z6k"
events.sign_up = "o8z6m"  # leads
auth = { pixel_token = "env:X_PIXEL_TOKEN" }
"""
# Each pixel stands next to its source, and each comment describes what follows it.
IN_TURN = """\
[[pixel]]
id = "o6dkt"
events = { purchase = "o6dkv" }

[[source]]
name = "client"
pixel = "o6dkt"

[[pixel]]
id = "o8z6j"

[pixel.events]
purchase = "o8z6k"

# The shop's.
[[source]]
name = "shop"
pixel = "o8z6j"
"""
LISTED = """\
pixel = [
  { id = "o6dkt", events = { purchase = "o6dkv" } },  # the client's
  { id = "o8z6j", events = { purchase = "o8z6k" } },
]
"""


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        (
            DOTTED,
            'events.purchase = "o8z6k"\n',
            'events.purchase = "o8z6k"\nevents.news = "o9001"\n',
        ),
        (IN_TURN, '"o8z6k"\n', '"o8z6k"\nnews = "o9001"\n'),
        (LISTED, '"o8z6k" }', '"o8z6k", news = "o9001" }'),
        (DOTTED.rstrip(), '"o8z6k"\n', '"o8z6k"\nevents.news = "o9001"\n'),
        (
            TABLE.partition("\n\n[[source]]")[0],
            "  # the shop's",
            '  # the shop\'s\nnews = "o9001"\n',
        ),
    ],
    ids=["dotted keys", "interleaved tables", "inline array", "dotted keys last", "table last"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_file_with_another_layout_changes_only_in_the_events(tmp_path, text, before, after, end):
    path, draft = drafted(tmp_path, text.replace("\n", end))

    draft.write()

    assert path.read_bytes().decode() == text.replace(before, after).replace("\n", end)


def test_change_that_would_alter_other_settings_is_not_written(tmp_path):
    # NaN is not equal to itself, so the rest cannot be compared.
    with pytest.raises(SettingsError, match="Add news by hand, with the id o9001"):
        drafted(tmp_path, f"{TABLE}[log]\nlevel = nan\n")


def test_invalid_toml_is_explained_with_its_line(tmp_path):
    with pytest.raises(SettingsError, match=r"twite.toml, line 3.*not TOML"):
        drafted(tmp_path, "[[pixel]]\nid = 1\nevents = \n")


def test_each_line_of_a_multiline_secret_is_masked_in_the_diff(tmp_path):
    text = """\
[[pixel]]
id = "o8z6j"
[pixel.events]
purchase = "o8z6k"
[[source]]
key = \'\'\'a-key-
nobody-will-guess\'\'\'
"""

    shown = "\n".join(drafted(tmp_path, text)[1].diff())

    assert '+news = "o9001"' in shown
    assert " key = " in shown
    assert "a-key-" not in shown


def test_existing_event_name_gets_the_new_event_id(tmp_path):
    path, draft = drafted(tmp_path, GOOD, name="purchase")

    draft.write()

    assert path.read_text() == GOOD.replace('"o8z6k"', '"o9001"')


def test_file_with_the_same_mapping_does_not_change(tmp_path):
    assert not drafted(tmp_path, GOOD, name="purchase", event="o8z6k")[1].is_changed


def test_line_ends_and_byte_order_mark_of_the_file_stay(tmp_path):
    held = b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()
    path, draft = drafted(tmp_path, held)

    draft.write()

    assert path.read_bytes() == held.replace(b'o8z6m" }', b'o8z6m", news = "o9001" }')


def test_secrets_near_the_changed_line_are_masked_in_the_diff(tmp_path):
    text = TABLE.replace("\n# What we call them.\n", "")

    shown = "\n".join(drafted(tmp_path, text)[1].diff())

    assert '+news = "o9001"' in shown
    assert "clear-text-for-everyone" not in shown
    assert "a-key-that-nobody-will-guess" not in shown


def test_mode_of_the_settings_file_is_kept(tmp_path):
    path, draft = drafted(tmp_path, GOOD)
    path.chmod(0o640)

    draft.write()

    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["twite.toml"]


def test_symbolic_link_to_the_settings_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    path, _ = drafted(tmp_path / "real", GOOD)
    link = tmp_path / "twite.toml"
    link.symlink_to(path)

    SettingsFileDraft(link, pixel="o8z6j", name="news", event="o9001").write()

    assert link.is_symlink()
    assert 'news = "o9001"' in path.read_text()


def test_pixel_that_the_file_does_not_define_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="'o8z6j' is not defined in this file"):
        drafted(tmp_path, "[server]\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_settings_file_is_an_error(tmp_path):
    _, draft = drafted(tmp_path, GOOD)
    tmp_path.chmod(0o500)

    with pytest.raises(SettingsError, match="cannot be written"):
        draft.write()


def test_settings_file_changed_in_the_meantime_is_not_overwritten(tmp_path):
    path, first = drafted(tmp_path, TABLE)
    second = SettingsFileDraft(path, pixel="o8z6j", name="sale", event="o9002")
    second.write()

    with pytest.raises(SettingsError, match="was changed in the meantime"):
        first.write()

    assert path.read_text() == second.text

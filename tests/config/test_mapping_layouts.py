"""In every TOML layout, adding an event changes only its own line, and takes effect."""

import re
import tomllib
from itertools import takewhile

from hypothesis import assume, given
from hypothesis import strategies as st

from toml_layouts import NAMES, PIXEL, layouts
from twite.config.event_mapping import SettingsFileDraft

EVENT = "o9001"


def written(folder, layout, name):
    """Map a name, and return the file before and after."""
    path = folder / "twite.toml"
    path.write_bytes(layout.text.encode())
    SettingsFileDraft(path, pixel=PIXEL, name=name, event=EVENT).write()
    return layout.text, path.read_bytes().decode()


def expected(layout, name):
    tree = tomllib.loads(layout.text)
    events = next(pixel for pixel in tree["pixel"] if pixel["id"] == PIXEL)["events"]
    events[name] = EVENT
    return tree


def common_length(parts, other):
    """Return the length of the common prefix."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(parts, other, strict=False))
    )


def removed_and_inserted(before, after):
    """Return the removed and the inserted text between the common prefix and suffix."""
    begin = common_length(before, after)
    end = common_length(before[begin:][::-1], after[begin:][::-1])
    return before[begin : len(before) - end], after[begin : len(after) - end]


@given(layouts(), NAMES)
def test_new_event_name_is_inserted_and_nothing_removed(tmp_path_factory, layout, name):
    assume(name not in layout.events)

    before, after = written(tmp_path_factory.mktemp("layout"), layout, name)

    gone, come = removed_and_inserted(before, after)
    assert tomllib.loads(after) == expected(layout, name)
    assert gone == ""
    assert "#" not in come.replace(name, "")
    assert after.count("\n") - before.count("\n") <= 2
    assert ("\r\n" in before) <= (after.count("\n") == after.count("\r\n"))


@given(layouts(), st.data())
def test_only_the_id_of_an_existing_event_name_is_replaced(tmp_path_factory, layout, data):
    name = data.draw(st.sampled_from(sorted(layout.events)))

    before, after = written(tmp_path_factory.mktemp("layout"), layout, name)

    gone, come = removed_and_inserted(before, after)
    assert tomllib.loads(after) == expected(layout, name)
    assert re.fullmatch(r"""["']*(\r?\n)?[\w\\]*["']*""", gone)
    assert re.fullmatch(r"""["']*\w*["']*""", come)


@given(layouts(), st.data())
def test_file_with_the_same_mapping_does_not_change(tmp_path_factory, layout, data):
    path = tmp_path_factory.mktemp("layout") / "twite.toml"
    path.write_bytes(layout.text.encode())
    name = data.draw(st.sampled_from(sorted(layout.events)))

    draft = SettingsFileDraft(path, pixel=PIXEL, name=name, event=layout.events[name])

    assert not draft.is_changed


@given(layouts(), NAMES)
def test_diff_of_any_layout_shows_no_secret(tmp_path_factory, layout, name):
    path = tmp_path_factory.mktemp("layout") / "twite.toml"
    path.write_bytes(layout.text.encode())

    shown = "\n".join(SettingsFileDraft(path, pixel=PIXEL, name=name, event=EVENT).diff())

    assert "-in-plain-text" not in shown
    assert "no remark" not in shown

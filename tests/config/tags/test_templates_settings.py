"""`[templates]`: the difference after a reload, and the diff of a changed file."""

from twite.config.difference import difference
from twite.config.event_mapping import SettingsFileDraft
from written import GOOD, read


def test_values_for_templates_that_are_only_read_at_start_need_a_restart(tmp_path):
    running = read(tmp_path, GOOD)
    changed = read(tmp_path, GOOD.replace("[x]", '[templates.stape]\nidentifier = "a"\n[x]'))

    found = difference(running, changed)

    assert (found.changes, found.restart) == ((), ("templates.stape",))


def test_keys_of_templates_are_masked_in_the_diff(tmp_path):
    path = tmp_path / "twite.toml"
    path.write_text("""\
[[pixel]]
id = "o8z6j"
events.purchase = "o8z6k"
[templates.hmac_keys]
partner = "a-key-of-a-partner"
""")

    draft = SettingsFileDraft(path, pixel="o8z6j", name="news", event="o9001")
    shown = "\n".join(draft.diff())

    assert " partner = " in shown
    assert "a-key-of" not in shown

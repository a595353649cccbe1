"""The files of value tables: read at the start, by a reload, and again when they change."""

import os

import pytest
from msgspec.structs import replace

from builders import NOW, a_conversion
from fakes import MovingClock
from twite.app.value_rules.table_files import ValueRuleFiles, read_tables, rules_of
from twite.domain.conversion import Content
from twite.domain.errors import SettingsError
from twite.domain.value_change import RuleProblem
from twite.formats.value_rules import ValueRules
from twite.gateway.ports.events import ProblemSeen
from written import GOOD, read

RULE = """
[[value_rule]]
name = "cost"
value = "lookup('costs', contents[0].id, 'cost')"
[[value_table]]
name = "costs"
file = "costs.csv"
"""


class FilesStage:
    """Rules with a table in a folder, and what was reported."""

    def __init__(self, folder):
        self.path = folder / "costs.csv"
        self.settings = read(folder, GOOD + RULE)
        self.seen = []
        self.modified_at = NOW
        self.files = ValueRuleFiles(clock=MovingClock(NOW), observer=self)

    def see(self, notice):
        self.seen.append(notice)

    def write(self, text):
        """Replace the file, with a new time of modification."""
        self.path.write_text(text)
        self.modified_at += 1_000
        os.utime(self.path, ns=(self.modified_at, self.modified_at))

    async def look(self, times=1):
        for _ in range(times):
            await self.files.look()

    def cost(self):
        """Return the result of the rule in use."""
        conversion = replace(a_conversion(), value="1.00", contents=(Content(id="A"),))
        return self.files.current.rules.applied(conversion, source="shop")

    @property
    def value(self):
        return self.cost().conversion.value


@pytest.fixture
async def stage(tmp_path):
    stage = FilesStage(tmp_path)
    stage.write("id,cost\nA,2.50\n")
    await stage.files.begin(stage.settings)
    yield stage
    await stage.files.stop()


async def test_changed_file_is_read_once_it_no_longer_changes(stage):
    first = stage.value
    stage.write("id,cost\nA,3.5")
    await stage.look()
    stage.write("id,cost\nA,3.75\n")
    await stage.look()
    while_changing = stage.value
    await stage.look()

    assert (first, while_changing, stage.value) == ("2.50", "2.50", "3.75")
    assert stage.seen == []


async def test_file_that_becomes_unreadable_keeps_its_rows_and_is_reported_once(stage):
    stage.write("id,cost\nA,free\n")
    await stage.look(4)
    kept = stage.value
    stage.path.unlink()
    await stage.look(4)

    assert (kept, stage.value) == ("2.50", "2.50")
    reasons = [notice.reason for notice in stage.seen if isinstance(notice, ProblemSeen)]
    assert [reason.partition("costs.csv: ")[2] for reason in reasons] == [
        'row 2: "free" in column cost is not a number. Write it like 12.50',
        "No such file or directory. Correct the path or file",
    ]
    stage.write("id,cost\nA,4.00\n")
    await stage.look(2)
    assert stage.value == "4.00"


async def test_missing_file_at_the_start_fails_the_rule_until_it_appears(tmp_path):
    stage = FilesStage(tmp_path)
    await stage.files.begin(stage.settings)
    missing = stage.cost()
    stage.write("id,cost\nA,2.50\n")
    await stage.look(2)
    await stage.files.stop()

    assert missing.change.problem is RuleProblem.NO_TABLE
    assert missing.conversion.value == "1.00"
    assert stage.value == "2.50"


async def test_reload_reads_the_file_again_and_names_the_change(stage):
    stage.write("id,cost\nA,5.00\n")

    files = await stage.files.prepare(stage.settings)
    changes = [str(change) for change in stage.files.changes(files)]
    before = stage.value
    stage.files.use(stage.settings, files)

    assert changes == ["value_table costs changed: rows"]
    assert (before, stage.value) == ("2.50", "5.00")
    assert list(stage.files.changes(files)) == []


async def test_reload_refuses_an_unreadable_file_with_its_place(stage):
    stage.write("id,price\nA,5.00\n")

    with pytest.raises(SettingsError) as wrong:
        await stage.files.prepare(stage.settings)

    assert str(wrong.value).startswith("value_table[0].file: ")
    assert str(wrong.value).endswith('costs.csv: no column "cost" after the first. Columns: price')


def test_rules_of_settings_without_tables_are_usable(tmp_path):
    settings = read(tmp_path, GOOD)

    rules = rules_of(settings, read_tables(settings))

    assert isinstance(rules, ValueRules)
    assert not rules

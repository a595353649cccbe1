"""If memory runs out while an object grows, the run ends, but not its process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from template_stage import call, template

from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.sandbox import RunLimits

LONG = os.environ.get("TWITE_TRIAL") == "1"
# Steps between the memory limits, in bytes. With shorter steps, memory runs out in more places.
STEP, NEAR_STEP = (7_001, 4_001) if LONG else (21_003, 16_003)
SCRIPT = """
from template_stage import call, template
from twite.tags.engines.quickjs.engine import QuickJsEngine
from twite.tags.template.sandbox import RunLimits

# Where exactly it runs out decides what the engine was about to do.
for memory in range({first}, {first} + 220_000, {step}):
    limits = RunLimits(time=5, memory=memory)
    assert QuickJsEngine(template({code!r}), limits=limits).start(call()).spent
"""


@pytest.mark.parametrize(
    ("code", "first"),
    [
        ("const grown = {}; for (let at = 1e9; ; at++) grown[at] = 1;", 2_060_000),
        ("const grown = {}; for (let at = 0; ; at++) grown['k' + at] = 1;", 2_170_000),
        ("const grown = []; const one = () => 1; for (;;) grown.push(one.bind(1, 2));", 2_060_000),
    ],
)
def test_run_without_memory_ends_but_not_its_process(code, first):
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(code=code, first=first, step=STEP)],
        cwd=Path(__file__).parent,
        check=False,
        timeout=300,
    )

    assert ran.returncode == 0


def test_cycles_are_collected_between_runs_without_pythons_collector():
    """The binding's own collector would also run Python's, over all objects of a gateway."""
    script = """
import gc
from template_stage import call, template
from twite.tags.engines.quickjs.engine import QuickJsEngine

engine = QuickJsEngine(template("const a = {}; a.itself = a; a.long = [1, 2, 3, a]; return 1;"))
engine.start(call())
gc.collect()
before = gc.get_stats()[2]["collections"]
held = []
for at in range(2_000):
    engine.start(call())
    held.append(engine.memory())
assert engine.contexts == 1
assert max(held) < 1024 * 1024, max(held)
assert gc.get_stats()[2]["collections"] == before
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, check=False, timeout=300
    )

    assert ran.returncode == 0


GROWS = "for (let at = 0; ; at++) grown['k' + at] = 1;"
IN_A_PROMISE = f"require('Promise').create(() => {{ {GROWS} }});"


@pytest.mark.parametrize(
    "code",
    [
        f"const grown = {{}}; {GROWS}",
        f"const grown = {{}}; require('callLater')(() => {{ {GROWS} }});",
        f"const grown = {{}}; {IN_A_PROMISE}",
        f"const grown = {{}}; return {IN_A_PROMISE}",
    ],
    ids=["at once", "later", "in a promise", "in a promise that is returned"],
)
def test_exceeded_memory_limit_is_recognized_wherever_it_occurs(code):
    """If a table of names cannot grow, the engine throws an invalid value."""
    turns = [
        QuickJsEngine(template(code), limits=RunLimits(time=5, memory=memory)).start(call())
        for memory in range(2_700_000, 2_800_000, NEAR_STEP)
    ]

    heads = {f"{turn.error}".partition(". ")[0] for turn in turns}
    assert heads == {"the run used too much memory"}
    assert {turn.spent for turn in turns} == {True}


ROWS = "const rows = []; for (let at = 0; at < 2000; at++) rows.push('x' + at);"


@pytest.mark.parametrize(
    ("code", "returned"),
    [
        (f"{ROWS} return rows;", [f"x{at}" for at in range(2_000)]),
        (f"{ROWS} return require('Promise').create((done) => done(rows)).then((x) => x);", None),
        (f"{ROWS} return require('JSON').stringify(rows).length;", 14_891),
        (f"{ROWS} const as = require('JSON'); return as.parse(as.stringify(rows)).length;", 2_000),
        ("return require('decodeUriComponent')('%20' + 'x'.repeat(1e5)).length;", 100_001),
        ("return require('createRegex')('(?:a|b)'.repeat(50)) !== null;", True),
    ],
    ids=["list", "promise", "stringify", "parse", "decode", "regex"],
)
def test_value_is_complete_or_its_run_ends(code, returned):
    engine = QuickJsEngine(template(code), limits=RunLimits(time=5))
    returned = returned or engine.start(call()).returned
    first = engine.memory()

    turns = [
        QuickJsEngine(template(code), limits=RunLimits(time=5, memory=memory)).start(call())
        for memory in range(first - 100_000, first + 500_000, STEP)
    ]

    assert {turn.spent for turn in turns} == {True, False}
    assert all(turn.returned == returned for turn in turns if not turn.error)
    assert {turn.spent for turn in turns if turn.error} == {True}

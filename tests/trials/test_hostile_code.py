"""Generated template code against the engine and the sandbox, in processes that may die of it.

A finding names its seed and run. Again, alone, and cut down:

    .venv/bin/python tests/trials/hostile_runs.py --seed 7 --only 1234
"""

import os
from collections import Counter

import pytest
from hostile_grammar import program, reachable, sweep
from hostile_runs import (
    BEYOND,
    SWEEP,
    Finding,
    Settings,
    Tally,
    Told,
    harm_of,
    run_all,
    settings,
)

from twite.gtm.template.refused import refused

LONG = os.environ.get("TWITE_TRIAL") == "1"
EACH = 1_000 if LONG else 25
CHUNKS = range(40 if LONG else 2)


def told(found: list[Finding]) -> list[str]:
    return [
        f"run {finding.run}: {finding.harm}\n{finding.settings}\n{finding.code}"
        for finding in found
    ]


@pytest.mark.timeout(7_200 if LONG else 300)
@pytest.mark.parametrize("chunk", CHUNKS)
def test_no_code_harms_the_process_that_it_runs_in(chunk, figure):
    tally = run_all(f"code{chunk}", range(EACH))

    assert told(tally.findings) == []
    assert tally.runs == EACH
    figure(
        "no template's code ends the process, or changes what comes after it",
        f"{tally.runs:,} programs, with drawn limits of memory, stack and time: 0 crashes, "
        f"0 that did not come back, or took {BEYOND:.0f} s more than they may, 0 that changed a "
        f"harmless run after them; {tally.leaks} left memory to the process",
    )


@pytest.mark.timeout(7_200 if LONG else 300)
@pytest.mark.parametrize("chunk", CHUNKS)
def test_memory_may_run_out_anywhere(chunk, figure):
    first = chunk * EACH if LONG else chunk * 500

    tally = run_all(SWEEP, range(first, first + EACH))

    assert told(tally.findings) == []
    figure(
        "memory may run out at any allocation",
        f"{tally.runs:,} programs, each of which does one thing 300 times with a few blocks of "
        "memory free: 0 crashes",
    )


def test_what_is_reachable_is_looked_up():
    found = reachable()

    assert {"[].map", "(() => 0).bind", "''.replace", "require('parseUrl')"} <= set(found)
    assert not {"/x/g.compile", "[].keys().drop", "''.normalize", "''.bold"} & set(found)


def test_the_same_seed_makes_the_same_code_and_nearly_all_of_it_runs():
    programs = [program(f"same:{run}") for run in range(50)]

    assert programs == [program(f"same:{run}") for run in range(50)]
    assert len(set(programs)) == 50
    assert [refused(code) for code in programs] == [None] * 50
    assert settings("same", 3) == settings("same", 3)
    assert sweep(5) == sweep(5)


@pytest.mark.parametrize(
    ("code", "harm"),
    [
        ("while (true) {}", ""),
        ("const held = []; for (;;) held.push('x'.repeat(1000));", ""),
        ("data.honest = 1;", ""),
    ],
)
def test_what_a_limit_ends_is_no_finding(code, harm):
    assert harm_of(code, Settings()) == harm


def test_each_kind_of_harm_is_told():
    tally = Tally()
    for run, harm in enumerate(
        ({"took": 4.0}, {"held": 0.6}, {"changed": "Turn"}, {"left": 40_000_000}, {"took": 2.0})
    ):
        tally.hear("seed", Told(run=run, outcome="done", **harm))

    kinds = Counter(finding.harm.split(" ")[0] for finding in tally.findings)
    assert kinds == {"took": 1, "held": 1, "changed": 1, "left": 1}
    assert tally.runs == 5

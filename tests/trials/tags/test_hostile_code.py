"""The gateway's process survives generated hostile template code in the engine processes.

A finding names its seed and program. To repeat it alone and reduce it:

    .venv/bin/python tests/trials/tags/hostile_runs.py --seed 7 --only 1234
"""

import os

import pytest
from hostile_grammar import program, reachable, sweep
from hostile_runs import SWEEP, Finding, Settings, harm_of, ran, run_all, settings

from twite.tags.engines.process.engine_server import EngineServer
from twite.tags.template.refused import refused

LONG = os.environ.get("TWITE_TRIAL") == "1"
ENDLESS = """
const none = {};
const long = 'x'.repeat(2000000);
for (let at = 0; ; at++) none[long + at];
"""
PROGRAMS = 1_000 if LONG else 4
CHUNKS = range(50 if LONG else 1)


def texts_of_findings(found: list[Finding]) -> list[str]:
    return [
        f"run {finding.run}: {finding.harm}\n{finding.settings}\n{finding.code}"
        for finding in found
    ]


@pytest.mark.timeout(14_400 if LONG else 300)
@pytest.mark.parametrize("chunk", CHUNKS)
def test_generated_code_neither_ends_the_gateway_nor_affects_later_runs(chunk, figure):
    tally = run_all(f"code{chunk}", range(PROGRAMS))

    assert texts_of_findings(tally.findings) == []
    assert tally.programs == PROGRAMS
    figure(
        "no template's code ends the gateway, or changes what comes after it",
        f"{tally.runs:,} runs of {tally.programs:,} programs, with drawn limits of memory, stack "
        f"and time: the gateway's process ended 0 times, {tally.ended} engine processes ended in a "
        f"run, {tally.crashes} of them by a fault; 0 changed a harmless run after them",
    )


@pytest.mark.timeout(14_400 if LONG else 300)
@pytest.mark.parametrize("chunk", CHUNKS)
def test_out_of_memory_at_any_allocation_does_not_end_the_gateway(chunk, figure):
    first = chunk * PROGRAMS

    tally = run_all(SWEEP, range(first, first + PROGRAMS), each=1)

    assert texts_of_findings(tally.findings) == []
    figure(
        "memory may run out at any allocation",
        f"{tally.runs:,} programs, each of which does one thing 300 times with a few blocks of "
        f"memory free: the gateway's process ended 0 times, {tally.crashes} engine processes did",
    )


def test_functions_that_a_template_can_reach_are_found():
    found = reachable()

    assert {"[].map", "(() => 0).bind", "''.replace", "require('parseUrl')"} <= set(found)
    assert not {"/x/g.compile", "[].keys().drop", "''.normalize", "''.bold"} & set(found)


def test_same_seed_generates_the_same_code_and_most_of_it_runs():
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
def test_program_that_exceeds_a_limit_is_not_a_finding(code, harm):
    assert harm_of(code, Settings()) == harm


def test_step_that_cannot_be_interrupted_ends_at_the_limit():
    assert harm_of(ENDLESS, Settings()) == ""


async def test_different_result_of_a_later_run_is_a_finding():
    server = EngineServer()

    _, harm = await ran(server, "return 1;", Settings(), "what it said before", 1)

    await server.stop()
    assert harm.startswith("changed what comes after it: Turn(")

"""Fail the Nth operation, for every N."""

import os

import pytest

from simulator.nth_fault import CALL_FAULTS, REQUEST_FAULTS, Scenario, main, run, try_all

LONG = os.environ.get("TWITE_TRIAL") == "1"
SQLITE = "twite.stores.sqlite:SQLiteStore"
STEP = 11


def broken(tried):
    """Return the finding and the command that reproduces it."""
    return [f"{failure.findings[0]}\n  {failure.command}" for failure in tried.failed]


def figure_text(tried):
    return (
        f"{tried.runs:,} runs: {tried.calls:,} store calls in {len(CALL_FAULTS)} ways, "
        f"{tried.requests:,} requests in {len(REQUEST_FAULTS)}; 0 promises broken"
    )


def test_no_single_failed_operation_breaks_a_guarantee(figure):
    # The short form runs one case in eleven: most kinds of failure, but not at each operation.
    tried = try_all(step=1 if LONG else STEP)

    assert broken(tried) == []
    every = tried.calls * len(CALL_FAULTS) + tried.requests * len(REQUEST_FAULTS)
    assert tried.runs == 1 + (every if LONG else -(-every // STEP))
    figure("the Nth operation fails, in memory", figure_text(tried))


def test_no_single_failed_operation_breaks_a_guarantee_on_sqlite(figure):
    # Every run opens files, so the short form tries only each 43rd operation.
    tried = try_all(store=SQLITE, step=1 if LONG else 43)

    assert broken(tried) == []
    figure("the Nth operation fails, on SQLite", figure_text(tried))


def test_scenario_uses_every_store_method():
    scenario = Scenario()

    found = run(scenario)

    assert found == ()
    assert set(scenario.calls) >= {"record", "claim", "settle", "sweep", "load", "put"}


@pytest.mark.parametrize("choice", [["--call", "7=DIES_AFTER"], ["--request", "2=TIMEOUT+"]])
def test_command_of_a_finding_repeats_its_run(choice, capsys):
    status = main(choice)

    assert status == 0
    assert "process 2 starts" in capsys.readouterr().out

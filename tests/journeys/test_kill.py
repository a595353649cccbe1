"""A gateway is killed at random moments: acknowledged conversions are delivered, none twice."""

import contextlib
import os
import sqlite3

import msgspec
import pytest

from ends import SeenConversions, judge, main, play, printed
from load_shop import PostingStyle
from twite_emulator.process import ReceivedTally

TRIAL = bool(os.environ.get("TWITE_TRIAL"))
KILLS = 200 if TRIAL else 4
ACCEPTED = 250_000 if TRIAL else 500
RESTARTS = 200 if TRIAL else 2


@pytest.mark.journey
@pytest.mark.timeout(6_000 if TRIAL else 300)
def test_kill_loses_no_acknowledged_conversion_and_sends_none_twice(tmp_path, figure):
    ended = play(tmp_path, ends=KILLS, least=ACCEPTED)

    assert ended.broken == ()
    assert ended.acknowledged >= ACCEPTED
    assert ended.acknowledged_by.keys() == set(PostingStyle)
    figure("202 survives kill -9", printed(ended, end="kill"))
    print(dict(ended.acknowledged_by))
    assert counted_by_the_console(tmp_path) == counted_in_the_store(tmp_path)


def rows(folder, *questions):
    with contextlib.closing(sqlite3.connect(folder / "twite.db")) as store:
        return [store.execute(question).fetchone()[0] for question in questions]


def counted_by_the_console(folder):
    """The totals of received, duplicate and accepted conversions, timings, match keys and
    identifier errors.
    """
    return rows(
        folder,
        "SELECT sum(received) FROM flow WHERE span = 3600000",
        "SELECT sum(duplicate) FROM flow WHERE span = 3600000",
        "SELECT sum(delivered) FROM flow WHERE span = 3600000",
        "SELECT sum(deliveries) FROM waited WHERE span = 3600000",
        "SELECT sum(conversions) FROM matched",
        "SELECT sum(times) FROM flaw",
    )


def counted_in_the_store(folder):
    """The same totals from the store.

    The trial's addresses belong to nobody, so each is an identifier error.
    """
    conversions = "SELECT count(*) FROM conversion"
    delivered = "SELECT sum(delivered) FROM account"
    return rows(
        folder,
        "SELECT sum(received) FROM account",
        "SELECT sum(duplicate) FROM account",
        delivered,
        delivered,
        conversions,
        conversions,
    )


@pytest.mark.journey
@pytest.mark.timeout(6_000 if TRIAL else 120)
def test_stop_with_sigterm_leaves_no_ambiguous_attempt(tmp_path, figure):
    ended = play(tmp_path, ends=RESTARTS, end="stop")

    assert ended.broken == ()
    figure("SIGTERM under load", printed(ended, end="stop"))


ONCE = ReceivedTally(api=1, counted=1)
WELL = SeenConversions(
    acknowledged={"a", "b"},
    unanswered={"c"},
    tallies={"a": ONCE, "b": ONCE},
    balance={"delivered": 2, "balance": 0, "dead": 0, "held": 0, "pending": 0},
)


def test_trial_without_errors_passes():
    assert judge(WELL, end="kill") == judge(WELL, end="stop") == ()


@pytest.mark.parametrize(
    ("end", "change", "broken"),
    [
        ("kill", {"acknowledged": {"a", "b", "z"}}, "1 acknowledged conversions never reached X"),
        (
            "kill",
            {"tallies": {"a": ONCE, "b": ReceivedTally(api=2, counted=2)}},
            "were not counted exactly once",
        ),
        (
            "kill",
            {"tallies": {"a": ONCE, "b": ReceivedTally(api=2, counted=0)}},
            "were not counted exactly once",
        ),
        ("kill", {"unexplained": ["b"]}, "resent although X's response was known"),
        ("kill", {"problems": ["500: {}"]}, "responses were wrong, as 500"),
        (
            "kill",
            {"residues": [{"balance": 3}]},
            "checks of the balance found a value other than 0",
        ),
        ("kill", {"balance": {**WELL.balance, "balance": 1}}, "1 are left over under balance"),
        ("kill", {"balance": {**WELL.balance, "dead": 1}}, "1 are left over under dead"),
        ("kill", {"balance": {**WELL.balance, "held": 1}}, "1 are left over under held"),
        ("kill", {"balance": {**WELL.balance, "delivered": 3}}, "Twite reports 3 as delivered"),
        ("stop", {"tallies": {"a": ONCE, "b": ReceivedTally(api=2, counted=1)}}, "more than once"),
        ("stop", {"unanswered": {"b"}}, "the connection closed before the response"),
        ("stop", {"codes": {0, -9}}, "processes did not exit with code 0 after SIGTERM"),
    ],
)
def test_trial_detects_a_broken_guarantee(end, change, broken):
    [said] = judge(msgspec.structs.replace(WELL, **change), end=end)

    assert broken in said


@pytest.mark.journey
@pytest.mark.timeout(120)
def test_trial_command_uses_a_chosen_folder(tmp_path, capsys):
    status = main(["--ends", "1", "--folder", str(tmp_path / "trial"), "-v"])

    said = capsys.readouterr().out
    assert status == 0
    assert "kill 1:" in said
    assert "0 lost" in said


def test_trial_command_refuses_a_folder_that_is_not_empty(tmp_path, capsys):
    (tmp_path / "twite.db").write_bytes(b"somebody's")

    with pytest.raises(SystemExit) as refused:
        main(["--folder", str(tmp_path)])

    assert refused.value.code == 2
    assert "is not empty" in capsys.readouterr().err

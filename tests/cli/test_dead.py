import asyncio
import json
import sqlite3
import time
from contextlib import closing

import pytest

from builders import a_submission, an_entry
from twite.cli.options import who
from twite.cli.printing import safe
from twite.domain.times import HOUR, spelled
from twite.stores.sqlite import SQLiteStore

SEPARATOR = "│"


def cells(out: str) -> list[list[str]]:
    lines = [line for line in out.splitlines() if line.startswith(SEPARATOR)]
    return [[cell.strip() for cell in line.strip(SEPARATOR).split(SEPARATOR)] for line in lines]


def states(command, shop) -> dict[str, str]:
    shown = {}
    for order in ("order-1", "order-2", "order-3", "order-4"):
        _, out, _ = command("show", order, "--config", str(shop), "--json")
        shown[order] = json.loads(out)["conversions"][0]["state"]
    return shown


@pytest.mark.parametrize("words", [["dead"], ["dead", "list"]])
def test_dead_and_held_deliveries_are_listed_with_their_reasons(command, shop, words, monkeypatch):
    monkeypatch.chdir(shop.parent)

    code, out, err = command(*words)

    assert (code, err) == (0, "")
    assert cells(out) == [
        ["3", "held", "o8z6j", "o8z6k", "order-3", "2026-11-25T09:46:40.000Z", "outcome unknown"],
        [
            "2",
            "dead",
            "o8z6j",
            "o8z6k",
            "order-2",
            "2026-11-25T09:46:40.000Z",
            "\\x1b[31m\\x1b]0;owned\\x07 [bold]big[/bold] \\u202egpj.exe \\x9b2J",
        ],
    ]


def test_limited_list_says_that_there_are_more_deliveries(command, shop):
    _, out, err = command("dead", "list", "--config", str(shop), "--limit", "1", "--json")

    assert [history["conversion_id"] for history in json.loads(out)] == ["order-3"]
    assert err == "Only the latest 1 are shown; --limit shows more.\n"


def test_period_excludes_deliveries_that_died_before_or_after_it(command, shop):
    def listed(*period: str) -> list[str]:
        _, out, _ = command("dead", "list", *period, "--config", str(shop), "--json")
        return [history["conversion_id"] for history in json.loads(out)]

    assert listed("--since", "2026-11-25") == ["order-3", "order-2"]
    assert listed("--since", "2026-11-26") == []
    assert listed("--since", "2h") == []
    assert listed("--until", "2026-11-25T09:46:00Z") == []
    assert listed("--since", "2026-11-25T09:46:00Z", "--until", "2026-11-26") == [
        "order-3",
        "order-2",
    ]


@pytest.mark.parametrize("name", ["order-2", "2"])
def test_dead_letter_is_replayed_by_conversion_id_or_delivery_number(command, shop, name):
    code, out, err = command("dead", "replay", name, "--config", str(shop))

    assert (code, out.splitlines()[0], err) == (0, "1 delivery queued again (0 held).", "")
    assert states(command, shop)["order-2"] == "queued"


def test_replay_all_excludes_held_deliveries(command, shop):
    code, out, _ = command("dead", "replay", "--all", "--config", str(shop))

    assert (code, out.splitlines()[0]) == (0, "1 delivery queued again (0 held).")
    assert states(command, shop)["order-3"] == "held"


def test_held_deliveries_are_replayed_on_request(command, shop):
    words = ("replay", "--all", "--held", "--may-count-twice")
    code, out, err = command("dead", *words, "--config", str(shop))

    assert (code, out.splitlines()[0], err) == (0, "2 deliveries queued again (1 held).", "")
    assert states(command, shop)["order-3"] == "queued"


DOUBT = (
    "order-3 (3): X may already have this conversion since 2026-11-25 09:46; after 40 hours, X may "
    "not drop a duplicate.\n"
)


@pytest.fixture
def ambiguous_long_ago(shop):
    """The shop, with all attempts moved to sixty hours ago."""
    long_ago = time.time_ns() // 1_000_000 - 60 * HOUR
    with closing(sqlite3.connect(shop.parent / "twite.db")) as store:
        store.execute("UPDATE attempt SET at = ?", (long_ago,))
        store.execute("UPDATE outbox SET ambiguous_since = ? WHERE ambiguous_since", (long_ago,))
        store.commit()
    since = spelled(long_ago)[:16].replace("T", " ")
    return shop, DOUBT.replace("2026-11-25 09:46", since)


@pytest.mark.parametrize("which", [["--all", "--held"], ["order-2", "order-3"]])
def test_replay_of_a_possible_duplicate_needs_confirmation(command, ambiguous_long_ago, which):
    shop, doubt = ambiguous_long_ago
    before = states(command, shop)

    code, out, err = command("dead", "replay", *which, "--config", str(shop))
    between = states(command, shop)
    sure = command("dead", "replay", *which, "--may-count-twice", "--config", str(shop))

    assert (code, out) == (1, "")
    assert err == doubt + (
        "Nothing was sent: X could count 1 conversion twice. "
        "Use --may-count-twice to send anyway.\n"
    )
    assert between == before
    assert sure[0] == 0
    assert states(command, shop)["order-3"] == "queued"
    with closing(sqlite3.connect(shop.parent / "twite.db")) as store:
        assert store.execute("SELECT max(ambiguous_since) FROM outbox").fetchone() == (None,)


def test_dry_run_lists_possible_duplicates(command, ambiguous_long_ago):
    shop, doubt = ambiguous_long_ago
    words = ("replay", "--all", "--held", "--dry-run", "--config", str(shop))

    code, out, err = command("dead", *words)
    reported = json.loads(command("dead", *words, "--json")[1])

    assert code == 0
    assert out.endswith("2 deliveries would be queued again (1 held).\n")
    assert (
        err == doubt + "X could count 1 conversion twice. Use --may-count-twice to send anyway.\n"
    )
    assert [history["delivery"] for history in reported["may_count_twice"]] == [3]


def test_discard_of_a_possible_duplicate_needs_no_confirmation(command, ambiguous_long_ago):
    shop, _ = ambiguous_long_ago

    code, out, err = command("dead", "discard", "order-3", "--config", str(shop))

    assert (code, out, err) == (0, "1 delivery discarded (1 held).\n", "")


def test_replay_and_discard_are_audited_with_the_user(command, ambiguous_long_ago):
    shop, _ = ambiguous_long_ago
    config = ("--config", str(shop))
    command("dead", "replay", "order-3", *config)
    command("dead", "replay", "--all", "--dry-run", *config)

    command("dead", "replay", "order-3", "order-2", "--may-count-twice", *config)
    command("dead", "discard", "order-9", *config)
    replayed = json.loads(command("audit", "list", "--json", *config)[1])

    assert [(entry["what"], entry["subject"], entry["detail"]) for entry in replayed] == [
        (
            "replay",
            "o8z6j o8z6k",
            "2: order-3, order-2; for several reasons; may count twice: confirmed",
        )
    ]
    assert {entry["who"] for entry in replayed} == {who()}


def test_note_in_the_audit_log_contains_no_personal_data(command, shop):
    config = ("--config", str(shop))
    note = "shopper@shop.example asked"

    command("dead", "discard", "order-2", "--note", note, *config)

    code, out, _ = command("audit", "list", *config)
    (kept,) = json.loads(command("audit", "list", "--json", *config)[1])
    assert code == 0
    assert (kept["what"], kept["detail"]) == ("discard", "1: order-2; *** asked")
    assert "shopper" not in out


def test_dry_run_changes_nothing(command, shop):
    before = states(command, shop)

    code, out, _ = command("dead", "discard", "--all", "--held", "--dry-run", "--config", str(shop))

    assert code == 0
    assert out.endswith("2 deliveries would be discarded (1 held).\n")
    assert states(command, shop) == before


def test_discarded_delivery_is_suppressed_with_the_note(command, shop):
    command("dead", "discard", "order-2", "--note", "test order", "--config", str(shop))

    _, out, _ = command("show", "order-2", "--config", str(shop), "--json")
    history = json.loads(out)["conversions"][0]
    assert (history["state"], history["reason"]) == ("suppressed", "test order")
    assert command("accounting", "--config", str(shop))[0] == 0


def test_unknown_id_exits_1_and_the_other_deliveries_are_replayed(command, shop):
    code, out, err = command("dead", "replay", "order-1", "order-2", "--config", str(shop))

    assert (code, out.splitlines()[0]) == (1, "1 delivery queued again (0 held).")
    assert err == "order-1 is neither dead nor held. twite show order-1 shows its history.\n"


def test_result_of_a_replay_is_printed_as_json(command, shop):
    _, out, _ = command("dead", "replay", "order-2", "order-9", "--config", str(shop), "--json")

    reported = json.loads(out)
    (listed,) = json.loads(command("dead", "replays", "--config", str(shop), "--json")[1])
    assert reported | {"chosen": [history["conversion_id"] for history in reported["chosen"]]} == {
        "dry_run": False,
        "chosen": ["order-2"],
        "may_count_twice": [],
        "old_events": [],
        "refused": [],
        "replay": listed["id"],
        "started": 1,
        "unknown": ["order-9"],
    }


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["replay"], "give ids, or --all"),
        (["discard", "order-2", "--all"], "give ids, or --all"),
        (["replay", "order-2", "--held"], "--held requires --all"),
        (["list", "--pixel", "zzz"], "no such pixel"),
        (["list", "--limit", "0"], "greater than or equal to 1"),
    ],
)
def test_invalid_options_of_dead_exit_2(command, shop, words, complaint):
    code, out, err = command("dead", *words, "--config", str(shop))

    assert (code, out) == (2, "")
    assert complaint in err


def test_empty_list_of_dead_letters_is_a_sentence(command, shop):
    command("dead", "discard", "--all", "--held", "--config", str(shop))

    assert command("dead", "list", "--config", str(shop)) == (
        0,
        "No dead letters or held conversions.\n",
        "",
    )


def test_printable_text_of_x_is_shown_unchanged():
    assert safe("Grüße aus 東京, 49.90 €") == "Grüße aus 東京, 49.90 €"


@pytest.fixture
def accepted_twice(shop):
    """The shop, with a later copy of its dead letter, accepted as new by an earlier version."""
    path = str(shop.parent / "twite.db")
    with closing(sqlite3.connect(path)) as store, store:
        store.executescript("DELETE FROM fresh_key; DELETE FROM dedup")

    async def again():
        store = await SQLiteStore.open(path)
        await store.record(a_submission(an_entry("order-2"), receipt="r-later"))
        await store.close()

    asyncio.run(again())
    return shop


@pytest.mark.parametrize("which", [["--all"], ["order-2"]])
def test_replay_with_a_later_copy_needs_confirmation(command, accepted_twice, which):
    code, out, err = command("dead", "replay", *which, "--config", str(accepted_twice))
    sure = command("dead", "replay", *which, "--may-count-twice", "--config", str(accepted_twice))

    assert (code, out) == (1, "")
    assert err == (
        "order-2 (2): delivery 6 has the same conversion id and is queued.\nNothing was "
        "sent: X could count 1 conversion twice. "
        "Use --may-count-twice to send anyway.\n"
    )
    assert sure[0] == 0
    assert sure[1].startswith("1 delivery queued again (0 held).\n")

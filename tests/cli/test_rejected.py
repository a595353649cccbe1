"""Rejected conversions in `twite rejected` and `twite show`."""

import asyncio
import json

import msgspec
import pytest
from command_stage import RECEIPT, settings_in

from builders import NOW, a_submission
from twite.cli.rejected import print_rejection
from twite.domain.fault import MaskedFault
from twite.domain.submission import RejectedConversion, Rejection
from twite.machine.system import SystemClock
from twite.stores.sqlite import SQLiteStore

FAULT = MaskedFault(path="event", code="event_unknown", message="no such event", value="bought")
NEGATIVE = MaskedFault(path="value", code="amount_negative", message="below zero", value="-5.00")


@pytest.fixture
def refused(tmp_path):
    asyncio.run(_refused(str(tmp_path / "twite.db")))
    return settings_in(tmp_path)


async def _refused(path):
    store = await SQLiteStore.open(path)
    refusals = (
        RejectedConversion(index=0, pixel="o8z6j", errors=(), conversion_id="order-1",
                event="bought",
                faults=(FAULT, NEGATIVE)),
        RejectedConversion(index=4, pixel="", errors=(), conversion_id="order-2",
                faults=(NEGATIVE,)),
    )  # fmt: skip
    submission = a_submission(receipt=RECEIPT, received_at=SystemClock().now())
    await store.record(msgspec.structs.replace(submission, refusals=refusals))
    await store.close()


def test_rejections_are_a_table_with_reasons(command, refused):
    code, out, err = command("rejected", "--config", str(refused))

    lines = [line.replace("│", " ").split() for line in out.splitlines() if line[0] == "│"]
    assert (code, err) == (0, "")
    assert [line[1:] for line in lines] == [
        ["shop", "order-2", "amount_negative", "value", "-5.00", "below", "zero"],
        ["shop", "order-1", "event_unknown", "event", "bought", "no", "such", "event"],
        ["value", "-5.00", "below", "zero"],
    ]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ((), ["order-2", "order-1"]),
        (("--code", "event_unknown"), ["order-1"]),
        (("--source", "other"), []),
        (("--limit", "1"), ["order-2"]),
        (("--since", "2020-01-01"), ["order-2", "order-1"]),
    ],
)
def test_rejections_as_json_match_the_http_response(command, refused, words, ids):
    code, out, _ = command("rejected", "--json", *words, "--config", str(refused))

    reported = json.loads(out)
    assert (code, [rejection["conversion_id"] for rejection in reported]) == (0, ids)
    assert all(
        rejection["errors"][0].keys() == {"path", "code", "message", "value"}
        for rejection in reported
    )


@pytest.mark.parametrize("words", [("--code", "bad"), ("--since", "last year")])
def test_invalid_filter_of_rejected_exits_2(command, refused, words):
    assert command("rejected", *words, "--config", str(refused))[0] == 2


def test_show_prints_a_rejected_conversion(command, refused):
    code, out, err = command("show", "order-1", "--config", str(refused))

    assert (code, err) == (0, "")
    assert "order-1  event bought of pixel o8z6j: rejected\n" in out
    assert f"  receipt      {RECEIPT}, conversion 1 of the request\n" in out
    assert "  event_unknown  event: bought\n               no such event\n" in out


def test_show_says_that_an_error_concerns_the_whole_conversion(capsys):
    missing = MaskedFault(path="", code="identifier_missing", message="no key", value="")
    print_rejection(
        Rejection(
            receipt=RECEIPT, source="shop", endpoint="native", pixel="", index=0, at=NOW, event="",
            conversion_id="", faults=(missing,),
        )
    )  # fmt: skip

    assert "  identifier_missing  the whole conversion\n" in capsys.readouterr().out


def test_show_prints_all_rejected_conversions_of_a_receipt(command, refused):
    code, out, _ = command("show", RECEIPT, "--json", "--config", str(refused))

    assert code == 0
    rejected = json.loads(out)["rejected"]
    assert [rejection["conversion_id"] for rejection in rejected] == ["order-2", "order-1"]


def test_rejected_without_entries_says_so(command, shop):
    code, out, _ = command("rejected", "--config", str(shop))

    assert (code, out) == (0, "Nothing was rejected in the last seven days.\n")

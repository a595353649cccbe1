import asyncio
import hashlib
import json

import msgspec
import pytest
from command_stage import HOSTILE, RECEIPT, settings_in
from intake_stage import SHOP, intake

from builders import NOW, a_submission, an_entry
from twite.app.reports.conversion_report import conversion_report
from twite.app.reports.text import LONGEST
from twite.cli.show import print_history
from twite.domain.cause import DeliveryCause
from twite.domain.delivery import NO_REQUEST, State
from twite.domain.history import History, PastAttempt, TagNotFired
from twite.domain.joins import GainedIdentifier
from twite.domain.normalize import visible
from twite.domain.value_change import ValueChange
from twite.http.routes.reports import HistoryView
from twite.stores.sqlite import SQLiteStore

BODY = (
    '{"conversion_time":"2026-11-25T09:46:40.000Z","event_id":"o8z6k","identifiers":'
    '[{"twclid":"23opevjt…"}],"conversion_id":"%s","value":"49.90",'
    '"price_currency":"EUR"}'
)


def test_show_prints_every_attempt_of_a_conversion(command, shop):
    assert command("show", "order-1", "--config", str(shop)) == (
        0,
        (
            "order-1  event o8z6k of pixel o8z6j: delivered\n"
            "  source       shop\n"
            "  receipt      r-order-1\n"
            "  received at  2026-11-25T09:46:40.000Z\n"
            "  deadline at  2026-11-27T09:46:40.000Z\n"
            "  duplicates   1\n"
            "  delivery     1\n"
            f"  body         {BODY % 'order-1'}\n"
            "  attempt 1    2026-11-25T09:46:41.000Z  delivered, HTTP 200\n"
            "               all is well\n"
        ),
        "",
    )


def test_show_of_a_held_delivery_says_why_and_that_x_may_have_it(command, shop):
    code, out, _ = command("show", "order-3", "--config", str(shop))

    assert code == 0
    assert "order-3  event o8z6k of pixel o8z6j: held\n" in out
    assert "  because      outcome unknown\n" in out
    assert "errored, no answer, and X may have processed it\n" in out


def test_show_of_a_tag_attempt_does_not_mention_x(capsys):
    attempt = PastAttempt(at=NOW, outcome="errored", status=None, answer="", ambiguous=True)
    history = History(
        delivery=1, pixel="tag:crm", event="purchase", conversion_id="order-1",
        state=State.HELD, source="shop", receipt=RECEIPT, received_at=NOW, deadline_at=NOW,
        sent=b"{}", attempts=(attempt,),
    )  # fmt: skip

    print_history(history, now=NOW)

    assert "no answer, and the recipient may have processed it\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("outcome", "answer", "said"),
    [
        ("delivered", NO_REQUEST, "delivered, made no request\n"),
        (
            "errored",
            f"{NO_REQUEST}: the template failed: no",
            "errored, made no request\n               the template failed: no\n",
        ),
    ],
)
def test_show_of_a_tag_run_without_requests_has_no_response(capsys, outcome, answer, said):
    attempt = PastAttempt(at=NOW, outcome=outcome, status=None, answer=answer)
    history = History(
        delivery=1, pixel="tag:crm", event="purchase", conversion_id="order-1",
        state=State.QUEUED, source="shop", receipt=RECEIPT, received_at=NOW, deadline_at=NOW,
        sent=b"{}", attempts=(attempt,),
    )  # fmt: skip

    print_history(history, now=NOW)

    assert capsys.readouterr().out.endswith(said)


def test_response_of_x_is_escaped_in_the_terminal(command, shop):
    _, out, _ = command("show", "order-2", "--config", str(shop))

    assert (
        "  because      \\x1b[31m\\x1b]0;owned\\x07 [bold]big[/bold] \\u202egpj.exe \\x9b2J\n"
    ) in out
    assert all(c.isprintable() or c == "\n" for c in out)


def test_show_json_is_ascii_and_contains_the_response_of_x_escaped(command, shop):
    _, out, _ = command("show", "order-2", "--config", str(shop), "--json")

    assert all(" " <= c <= "~" or c == "\n" for c in out)
    assert json.loads(out)["conversions"][0]["attempts"] == [
        {
            "at": "2026-11-25T09:46:41.000Z",
            "outcome": "rejected",
            "status": 400,
            "answer": visible(HOSTILE),
            "ambiguous": False,
        }
    ]


def test_show_json_says_what_was_sent_without_the_body(command, shop):
    _, out, _ = command("show", "order-1", "--config", str(shop), "--json")

    (shown,) = json.loads(out)["conversions"]
    assert shown["sent"]["event_id"] == "o8z6k"
    assert shown["sent"]["identifiers"] == ["twclid"]
    assert "identifiers" not in shown


def test_show_prints_what_a_value_rule_made_of_the_amount(capsys):
    change = ValueChange(
        rule="profit", before="49.90", currency_before="EUR", after="12.30", currency="EUR"
    )
    history = History(
        delivery=7,
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-1",
        state=State.DELIVERED,
        source="shop",
        receipt="r7",
        received_at=0,
        deadline_at=1,
        sent=b"{}",
        attempts=(),
        value_change=change,
    )

    print_history(history, now=NOW)

    assert "  value rule   profit: 49.90 EUR → 12.30 EUR\n" in capsys.readouterr().out


def test_report_of_a_conversion_has_what_the_http_response_has():
    history = History(
        delivery=7,
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-7",
        state=State.QUEUED,
        source="shop",
        receipt="r7",
        received_at=0,
        deadline_at=1,
        sent=b'{"event_id":"o8z6k","description":"a gift for Ada"}',
        attempts=(PastAttempt(at=0, outcome="errored", status=500, answer="x" * 1_000),),
        cause=DeliveryCause.REFUSED,
        reason="why",
        due_at=2,
        consent=b'{"action":"send","rule":"granted","policy":"p","signals":{"npa":"1"}}',
        not_fired=(TagNotFired(tag="tag:crm", why="consent ad_storage"),),
        gained=(GainedIdentifier(identifier="twclid", origin="page_view", at=0),),
        value_change=ValueChange(rule="profit", before="1.00", after="0.30", currency="EUR"),
    )

    shown = msgspec.to_builtins(conversion_report(history))
    keys_of_the_answer = set(HistoryView.__struct_fields__) - {"others", "test"}

    assert set(shown) == {*keys_of_the_answer, "delivery"}
    assert shown["sent"] == {"event_id": "o8z6k"}
    assert shown["consent"] == {"action": "send", "rule": "granted"}
    assert len(shown["attempts"][0]["answer"]) == LONGEST


def test_show_why_prints_the_reason_and_the_fix(command, shop):
    code, out, _ = command("show", "order-3", "--config", str(shop), "--why")

    assert code == 0
    assert out == (
        "order-3  event o8z6k of o8z6j: held\n"
        "  because      outcome unknown\n"
        "  meaning      The conversion waits for a decision\n"
        "  → Send it again, or discard it.\n"
    )


def test_show_why_as_json_counts_the_sent_copies(command, shop):
    _, out, _ = command("show", "order-1", "--config", str(shop), "--why", "--json")

    assert json.loads(out) == {"sent": 1, "not_sent": [], "more": False}


def test_show_finds_the_conversions_of_an_email_by_its_sha256(command, shop):
    digest = hashlib.sha256(b"shopper@shop.example").hexdigest()
    body = b'{"event_id":"o8z6k","identifiers":[{"hashed_email":"%s"}]}' % digest.encode()
    entry = msgspec.structs.replace(an_entry("order-e"), body=body)
    asyncio.run(record(shop.parent / "twite.db", entry))

    code, out, _ = command("show", digest, "--config", str(shop), "--json")

    assert code == 0
    assert [found["conversion_id"] for found in json.loads(out)["conversions"]] == ["order-e"]


async def record(path, entry):
    store = await SQLiteStore.open(str(path))
    await store.record(a_submission(entry, receipt="r-e"))
    await store.close()


def test_show_of_a_receipt_prints_its_conversions(command, shop):
    code, out, _ = command("show", RECEIPT.upper(), "--config", str(shop))

    assert code == 0
    assert out.startswith("order-4  event o8z6k of pixel o8z6j: queued\n")
    assert out.endswith("  no attempt yet\n")


def test_show_prints_an_event_that_the_settings_do_not_map(command, shop):
    shop.write_text(shop.read_text().replace('purchase = "o8z6k"', 'purchase = "o8z6z"'))

    code, out, _ = command("show", "order-1", "--config", str(shop), "--pixel", "o8z6j")

    assert code == 0
    assert out.startswith("order-1  event o8z6k of pixel o8z6j: delivered\n")


def test_show_prints_a_conversion_of_a_removed_pixel(command, shop):
    shop.write_text(shop.read_text().replace('"o8z6j"', '"o7new"'))

    code, out, _ = command("show", "order-1", "--config", str(shop))

    assert code == 0
    assert "order-1  event o8z6k of pixel o8z6j: delivered\n" in out


def test_show_of_an_unknown_conversion_exits_1(command, shop):
    assert command("show", "order-9", "--config", str(shop)) == (
        1,
        "",
        (
            "Found nothing for order-9. Rejected conversions are kept for seven days: "
            "twite rejected lists them.\n"
        ),
    )


def test_unknown_pixel_option_of_show_exits_2(command, shop):
    code, _, err = command("show", "order-1", "--config", str(shop), "--pixel", "zzz")

    assert code == 2
    assert "there is no such pixel or tag. Available: o8z6j" in err


def test_show_without_a_store_is_an_error(command, shop):
    (shop.parent / "twite.db").unlink()

    code, out, err = command("show", "order-1", "--config", str(shop))

    assert (code, out) == (1, "")
    assert err == (
        f"Error: {shop.parent}/twite.db: the database does not exist yet. twite serve creates it. "
        f"If the gateway has run, check that store.url names its file\n"
    )


def test_why_without_an_id_is_about_the_latest_that_were_not_sent(command, shop):
    code, out, _ = command("show", "--why", "--config", str(shop), "--json")
    found = json.loads(out)

    assert code == 0
    assert [(each["conversion_id"], each["state"]) for each in found["not_sent"]] == [
        ("order-3", "held"),
        ("order-2", "dead"),
    ]
    assert (found["sent"], found["more"]) == (0, False)


def test_why_without_an_id_counts_rejected_conversions_and_obeys_the_pixel(command, tmp_path):
    asyncio.run(_received(str(tmp_path / "twite.db")))
    path = settings_in(tmp_path)

    _, out, _ = command("show", "--why", "--config", str(path), "--json", "--pixel", "o8z6j")
    _, of_tests, _ = command("show", "--why", "--config", str(path), "--pixel", "test:o8z6j")

    assert {each["state"] for each in json.loads(out)["not_sent"]} == {"suppressed", "rejected"}
    assert of_tests == ""


async def _received(path):
    async with intake(path) as accept:
        for more in ({"consent": {"ad_user_data": "denied"}}, {"event": "wishlist"}, {}):
            order = {"event": "purchase", "conversion_id": f"o-{len(more)}", "twclid": "a"} | more
            await accept.native(source=SHOP, body=json.dumps(order).encode())


def test_show_without_an_id_needs_why(command, shop):
    code, _, err = command("show", "--config", str(shop))

    assert code == 2
    assert "name a conversion, or pass --why" in err

"""`twite erase`: the identifiers, what would be erased, and the confirmation."""

import json

import pytest

CLICK = "23opevjt88psuo13lu8d020qkn"
FOUND = {
    "conversions": {"o8z6j": {"dead": 1, "delivered": 1, "held": 1, "queued": 1}},
    "tag_events": 0,
    "unopened_tag_events": 0,
    "submissions": 5,
    "dedup_rows": 0,
    "visitor_rows": 0,
    "texts": 0,
    "audit_lines": 0,
}


@pytest.fixture
def erase(command, shop):
    return lambda *words: command("erase", "--config", str(shop), *words)


@pytest.fixture
def listed(tmp_path):
    def write(text):
        path = tmp_path / "list.txt"
        path.write_text(text)
        return str(path)

    return write


def states(command, shop):
    _, out, _ = command("accounting", "--config", str(shop), "--json")
    reported = json.loads(out)
    return {name: reported[name] for name in ("delivered", "suppressed", "dead", "held", "pending")}


BEFORE = {"delivered": 1, "suppressed": 0, "dead": 1, "held": 1, "pending": 1}


def test_dry_run_lists_what_would_be_erased_and_changes_nothing(erase, command, shop, listed):
    code, out, err = erase("--file", listed(f"click: {CLICK}\n"), "--dry-run", "--json")

    assert (code, err) == (0, "")
    reported = json.loads(out)
    assert reported["found"]["conversions"] == FOUND["conversions"]
    assert (reported["identifiers"], reported["dry_run"], reported["result"]) == (1, True, None)
    assert states(command, shop) == BEFORE


def test_dry_run_is_printed_as_text(erase):
    code, out, err = erase("--conversion-id", "order-2", "--dry-run")

    assert (code, err) == (0, "")
    assert out == (
        "Identifiers: 1. Found:\n"
        "  conversions  1\n"
        "    o8z6j: 1 dead\n"
        "  tag events   0 (included in the conversions)\n"
        "  requests     1\n"
        "  report rows  0\n"
        "  visitor rows 0\n"
        "  other texts  0\n"
    )


def test_nothing_is_erased_without_confirmation(erase, command, shop):
    code, _, err = erase("--click", CLICK)

    assert code == 1
    assert err == "Nothing was erased. Use --yes to erase without confirmation.\n"
    assert states(command, shop) == BEFORE


def test_erased_conversion_is_still_counted_and_not_sent(erase, command, shop):
    code, out, err = erase("--click", CLICK, "--yes")
    _, history, _ = command("show", "order-1", "--config", str(shop), "--json")
    _, audit, _ = command("audit", "list", "--config", str(shop), "--json")

    assert (code, err) == (0, "")
    assert out.startswith("Erased: 4 conversions, ")
    assert "later conversions with these identifiers (consent_revoked)" in out
    assert states(command, shop) == {
        "delivered": 1, "suppressed": 3, "dead": 0, "held": 0, "pending": 0,
    }  # fmt: skip
    [shown] = json.loads(history)["conversions"]
    assert shown["conversion_id"].startswith("erased-")
    assert "sent" not in shown
    [line] = json.loads(audit)
    assert line["what"] == "erase"
    assert CLICK not in audit
    assert (shop.parent / "twite.db").read_bytes().find(CLICK.encode()) == -1


def test_option_may_return_adds_no_opt_out(erase):
    _, out, _ = erase("--click", CLICK, "--yes", "--may-return", "--json")

    assert json.loads(out)["result"]["listed"] == 0


def test_second_erasure_of_a_person_finds_nothing(erase):
    erase("--click", CLICK, "--yes")

    code, out, _ = erase("--click", CLICK, "--yes", "--json")

    assert code == 0
    assert json.loads(out)["result"]["conversions"] == 0


def test_file_of_identifiers_has_one_per_line(erase, listed):
    text = f"# asked on Monday\n\nclick: {CLICK}\nEmail: ada@shop.example\nconversion-id: x: 1\n"

    code, out, _ = erase("--file", listed(text), "--dry-run", "--json")

    assert code == 0
    assert json.loads(out)["identifiers"] == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("email: ada@shop.example\nada@shop.example\n", "line 2 must begin with"),
        ("email: ada at shop\n", "line 1: not a valid email address"),
        ("phone: 020 7946 0958\n", "line 1: the phone number has no country code"),
        ("click: abc\n", "line 1: too short"),
    ],
)
def test_invalid_identifier_is_reported_by_line_and_not_printed(erase, listed, text, said):
    code, out, err = erase("--file", listed(text), "--yes")

    plain = " ".join(err.replace("│", " ").split())
    assert (code, out) == (2, "")
    assert said in plain
    assert "ada" not in plain
    assert "7946" not in plain


def test_option_region_sets_the_country_of_phone_numbers(erase, listed):
    code, _, _ = erase("--file", listed("phone: 020 7946 0958\n"), "--region", "gb", "--dry-run")

    assert code == 0


@pytest.mark.parametrize("words", [[], ["--file", "no-such-file"], ["--pixel", "other"]])
def test_erase_without_identifiers_is_refused(erase, words):
    code, _, err = erase(*words)

    assert code == 2
    assert err


def test_erasure_with_json_asks_nothing_and_needs_an_answer(erase):
    code, out, err = erase("--click", CLICK, "--json")

    assert (code, out) == (2, "")
    assert "asks nothing: add --yes or --dry-run" in err

"""`twite what-if`: it reads a store, a backup, and a store in use, and says what it cannot know."""

import asyncio
import json

import pytest
from command_stage import SETTINGS, settings_in
from intake_stage import SHOP, intake

ORDERS = (
    {"event": "purchase", "conversion_id": "order-1", "email": "shopper@example.com",
     "value": "49.90", "currency": "EUR"},
    {"event": "purchase", "conversion_id": "order-2", "twclid": "23opevjt88psuo13lu8d020qkn",
     "consent": {"ad_user_data": "denied"}},
    {"event": "sign_up", "conversion_id": "lead-1", "email": "shopper@example.com"},
    {"event": "wishlist", "conversion_id": "lead-2", "email": "shopper@example.com"},
)  # fmt: skip


@pytest.fixture(autouse=True)
def priority(monkeypatch):
    """Keep the priority of the test's own process."""
    lowered = []
    monkeypatch.setattr("twite.cli.what_if.command.yield_cpu", lambda: lowered.append(True))
    return lowered


async def _received(place):
    async with intake(place) as accept:
        for order in ORDERS:
            await accept.native(source=SHOP, body=json.dumps(order).encode())


@pytest.fixture
def received(tmp_path):
    asyncio.run(_received(str(tmp_path / "twite.db")))
    return settings_in(tmp_path)


def changed(path, *replacements, more=""):
    text = SETTINGS.format(x="http://127.0.0.1:1")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    target = path.with_name("changed.toml")
    target.write_text(text + more)
    return str(target)


def what_if(command, path, target, *more):
    return command("what-if", "--config", str(path), "--settings", target, *more)


def test_what_if_of_the_same_settings_reports_no_difference(command, received, priority):
    code, out, _ = what_if(command, received, str(received))

    assert code == 0
    assert out.startswith("4 conversions from ")
    assert "4 unchanged." in out
    assert "Differences" not in out
    assert priority == [True]


def test_what_if_shows_by_number_and_example_what_differs(command, received):
    target = changed(received, ('purchase = "o8z6k"', 'purchase = "o9abc", wishlist = "o9abd"'))

    code, out, _ = what_if(command, received, target, "--json")

    assert code == 0
    found = json.loads(out)
    assert (found["conversions"], found["unchanged"]) == (4, 2)
    assert found["before"] == {"rejected": 1, "sent": 2, "suppressed": 1}
    assert found["after"] == {"sent": 2, "suppressed": 1, "unknown": 1}
    other, unknown = found["differences"]
    assert (other["fields"], other["conversions"]) == (["event_id"], 1)
    (example,) = other["examples"]
    assert example["conversion_id"] == "order-1"
    assert example["changes"] == [{"field": "event_id", "before": "o8z6k", "after": "o9abc"}]
    assert unknown["verdict_before"] == {"outcome": "rejected", "reason": "event_unknown"}
    assert unknown["verdict_after"] == {"outcome": "unknown", "reason": "rejected_not_stored"}
    assert list(found["unknown"]) == ["rejected_not_stored"]


def test_what_if_says_that_identifiers_of_a_denied_conversion_are_not_stored(command, received):
    target = changed(received, more='[source.consent_policy]\nuser_data_denied = "strip"\n')

    code, out, _ = what_if(command, received, target)

    assert code == 0
    assert "suppressed (consent_denied)" in out
    assert "unknown (identifiers_not_stored)" in out
    assert "the identifiers were not stored" in out
    assert "shopper" not in out


def test_what_if_names_changed_settings_that_it_cannot_apply(command, received):
    target = changed(
        received, ('listen = "127.0.0.1:0"', 'listen = "127.0.0.1:1"'), more='region = "FR"\n'
    )

    _, out, _ = what_if(command, received, target)

    assert "not applied: source shop: region: phone numbers are stored as hashes" in out
    assert "not applied: server.listen: it does not decide" in out


def test_what_if_of_another_x_names_the_other_settings_that_it_cannot_apply(command, received):
    target = changed(received, ("http://127.0.0.1:1", "http://127.0.0.1:2"), more='region = "FR"\n')

    _, out, _ = what_if(command, received, target)

    assert "not applied: source shop: region: phone numbers are stored as hashes" in out
    assert "not applied: x.api_url: it does not decide" in out


def test_what_if_applies_restricted_data_use(command, received):
    more = ("[x]\n", '[x]\nrestricted_data_use = "unsupported"\n')

    _, out, _ = what_if(command, received, changed(received, more))

    assert "not applied" not in out


def test_what_if_applies_rules_for_values(command, received):
    rule = '[[value_rule]]\nname = "half"\nvalue = "divide(value, `2`)"\nevents = ["purchase"]\n'

    _, out, _ = what_if(command, received, changed(received, more=rule), "--json")

    (difference,) = json.loads(out)["differences"]
    assert difference["fields"] == ["value"]
    (change,) = difference["examples"][0]["changes"]
    assert (change["before"], change["after"]) == ("49.90", "24.95")


def test_what_if_masks_persons_in_its_examples(command, received):
    target = changed(received, ("pixel = ", 'consent = "required"\npixel = '))

    _, out, _ = what_if(command, received, target, "--json")

    assert "shopper" not in out
    assert "23opevjt88psuo13lu8d020qkn" not in out


def test_what_if_reads_a_store_that_a_gateway_uses_and_changes_nothing(command, received):
    async def beside():
        async with intake(str(received.with_name("twite.db"))) as accept:
            before = await accept.intake.balance()
            found = await asyncio.to_thread(what_if, command, received, str(received))
            return before == await accept.intake.balance(), found

    is_same, (code, out, _) = asyncio.run(beside())

    assert is_same
    assert code == 0
    assert "4 unchanged." in out


def test_what_if_reads_a_backup(command, received, monkeypatch):
    backup = received.with_name("backup.db")
    assert command("backup", str(backup), "--config", str(received))[0] == 0
    received.with_name("twite.db").unlink()
    monkeypatch.setenv("TWITE_STORE__URL", f"sqlite:{backup}")

    code, out, _ = what_if(command, received, str(received))

    assert (code, "4 unchanged." in out) == (0, True)


def test_what_if_reads_postgresql(command, tmp_path, postgres_url, monkeypatch):
    asyncio.run(_received(postgres_url))
    path = settings_in(tmp_path)
    target = changed(path, ('purchase = "o8z6k"', 'purchase = "o9abc"'))
    monkeypatch.setenv("TWITE_STORE__URL", postgres_url)

    code, out, _ = what_if(command, path, target, "--json")

    assert code == 0
    found = json.loads(out)
    assert found["before"] == {"rejected": 1, "sent": 2, "suppressed": 1}
    (difference, *_) = found["differences"]
    assert difference["fields"] == ["event_id"]
    assert difference["examples"][0]["conversion_id"] == "order-1"


def test_mistake_in_the_changed_settings_is_named_with_its_place(command, received):
    target = changed(received, ("[[source]]", "[[sauce]]"))

    code, _, err = what_if(command, received, target)

    assert code == 1
    assert "sauce" in err
    assert "source" in err


def test_changed_settings_that_are_not_toml_are_named_with_the_line(command, received):
    target = changed(received, more="x = = 1\n")

    code, _, err = what_if(command, received, target)

    assert code == 1
    assert "changed.toml, line " in err


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        (("--until", "2001-01-01", "--since", "2000-01-01"), "no stored conversion was received"),
        (("--since", "1h", "--until", "2h"), "the range ends before it begins"),
        (("--since", "lately"), "--since"),
    ],
)
def test_range_without_conversions_is_an_error(command, received, options, reported):
    code, _, err = what_if(command, received, str(received), *options)

    assert code != 0
    assert reported in err


def test_limit_ends_a_run_and_the_report_says_so(command, received):
    _, out, _ = what_if(command, received, str(received), "--most", "2")

    assert "2 conversions from" in out
    assert "a limit ended the run" in out


def test_what_if_says_until_when_it_read_within_its_time(command, received, monkeypatch):
    asked = iter((False, False, True))
    monkeypatch.setattr("twite.app.what_if.compare.deadline", lambda _: lambda: next(asked))
    _, out, _ = what_if(command, received, str(received), "--within", "5", "--json")
    report = json.loads(out)

    assert report["conversions"] == 2
    assert report["is_cut"]
    assert report["since"] < report["until"]


def test_what_if_without_time_says_so(command, received):
    code, _, error = what_if(command, received, str(received), "--within", "0")

    assert code == 1
    assert "no conversion was compared within 0 seconds" in error


def test_mapping_is_tried_without_a_changed_file(command, received):
    options = ("--config", str(received), "--event", "purchase=o9abc")

    code, out, _ = command("what-if", *options)

    assert code == 0
    assert "other event_id" in out


def test_what_if_without_a_change_is_a_usage_error(command, received):
    code, _, err = command("what-if", "--config", str(received))

    assert code == 2
    assert "--event" in err

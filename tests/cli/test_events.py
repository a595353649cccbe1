"""`twite events`, with the emulator."""

import asyncio
import json
from pathlib import Path

import pytest
from command_stage import ENVIRONMENT, settings_in

from twite.app.gateway_builder import start_gateway
from twite.cli.options import who
from twite.config.settings import load
from twite.domain.plural import plural
from twite.x.spec import CLICK_WINDOWS, EVENT_TAG_TYPES, VIEW_WINDOWS
from x_page import CONSUMER_KEY, CONSUMER_SECRET

OAUTH = (
    f'auth = {{ consumer_key = "{CONSUMER_KEY}", consumer_secret = "{CONSUMER_SECRET}", '
    'token = "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb", '
    'token_secret = "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE" }'
)
TOKEN = 'auth = { pixel_token = "env:X_PIXEL_TOKEN" }'


@pytest.fixture
def path(tmp_path, x_emulator) -> Path:
    """Settings with a pixel that uses OAuth."""
    file = settings_in(tmp_path, x_emulator.url)
    text = file.read_text().replace(TOKEN, f'account = "18ce54d4x5t"\n{OAUTH}')
    file.write_text(text)
    return file


@pytest.fixture
def events(command, path):
    """Run `twite events …` with those settings."""

    def ran(*arguments: str) -> tuple[int, str, str]:
        return command("events", *arguments, "--config", str(path))

    return ran


def events_by_id(events, *more: str) -> dict[str, dict[str, object]]:
    return {event["id"]: event for event in json.loads(events("list", "--json", *more)[1])}


def test_events_are_listed_with_their_configured_names(events):
    code, out, err = events("list")

    assert (code, err) == (0, "")
    shown = [" ".join(line.replace("│", " ").split()) for line in out.splitlines()]
    assert [line for line in shown if line.startswith("o8z6")] == [
        f"{event} 30 d 1 d UNVERIFIED never"
        for event in (
            "o8z6k purchase purchase PURCHASE",
            "o8z6m sign_up sign_up SIGN_UP (Lead)",
            "o8z6n - page_view SITE_VISIT (Page view)",
            "o8z6p - add_to_cart ADD_TO_CART",
            "o8z6q - checkout CHECKOUT_INITIATED",
        )
    ]


@pytest.mark.parametrize("kind", EVENT_TAG_TYPES)
def test_every_event_type_of_x_can_be_created(events, kind):
    code, out, _ = events("create", "Something", "--type", kind.lower(), "--json")

    assert (code, json.loads(out)["type"]) == (0, kind)


@pytest.mark.parametrize(
    ("click", "view"),
    [(click, view) for click in CLICK_WINDOWS for view in VIEW_WINDOWS],
)
def test_view_window_longer_than_the_click_window_is_refused(events, x_emulator, click, view):
    code, out, err = events(
        "create", "Something", "--click-window", str(click), "--view-window", str(view), "--json"
    )

    if view <= click:
        made = json.loads(out)
        assert (made["click_window"], made["view_through_window"]) == (click, view)
    else:
        assert (code, out) == (2, "")
        said = " ".join(err.replace("│", " ").split())
        assert f"is longer than the click window of {plural(click, 'day')}" in said
        assert f"a view window of {plural(view, 'day')} is" in said
        assert len(x_emulator.world()["events"]) == 6


def test_window_limits_also_apply_to_the_unchanged_window(events):
    code, _, err = events("update", "o8z6k", "--view-window", "30", "--click-window", "7")
    assert code == 2

    code, _, err = events("update", "purchase", "--click-window", "0")

    assert (code, "a click window of 0 days: X accepts 1, 7, 14 or 30" in err) == (2, True)


def test_event_can_be_updated_by_name_or_either_form_of_its_id(events):
    events("update", "purchase", "--click-window", "14")
    events("update", "o8z6m", "--name", "Leads")
    events("update", "tw-o8z6j-o8z6n", "--no-retargeting")

    after = events_by_id(events)

    assert after["o8z6k"]["click_window"] == 14
    assert after["o8z6m"]["name"] == "Leads"
    assert after["o8z6n"]["retargeting_enabled"] is False


def test_deleted_event_is_marked_and_the_settings_that_name_it_are_listed(events, path):
    code, out, err = events("delete", "purchase", "--yes")

    assert (code, err) == (0, "")
    assert out == (
        "Deleted purchase. X keeps the event, marked as deleted. To see it, run "
        "twite events list --deleted.\n"
        f"Remove purchase from {path}: X now refuses the conversions of this event.\n"
    )
    assert "o8z6k" not in events_by_id(events)
    assert events_by_id(events, "--deleted")["o8z6k"]["deleted"] is True


def test_unknown_event_is_an_error_with_a_hint(events):
    assert events("update", "o6dkv", "--name", "Theirs") == (
        1,
        "",
        (
            "Error: o6dkv: the event o6dkv does not exist in the ads account. Run twite "
            "events list to see the events\n"
        ),
    )


def test_created_event_is_added_to_the_settings_and_comments_stay(events, path):
    path.write_text(path.read_text().replace("events = {", "# ours → X's\nevents = {"))
    before = path.read_text()

    code, out, err = events("create", "Newsletter", "--type", "SIGN_UP", "--as", "news", "--yes")

    made = next(id_ for id_, event in events_by_id(events).items() if event["name"] == "Newsletter")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"Created Newsletter: {made} (tw-o8z6j-{made})."
    assert f'+events = {{ purchase = "o8z6k", sign_up = "o8z6m", news = "{made}" }}' in out
    assert CONSUMER_SECRET not in out
    assert path.read_text() == before.replace(
        'sign_up = "o8z6m" }', f'sign_up = "o8z6m", news = "{made}" }}'
    )


def test_change_without_confirmation_is_only_shown(events, path, monkeypatch):
    before = path.read_text()

    code, out, err = events("create", "Newsletter", "--as", "news")

    assert (code, err) == (0, "Nothing was written. Use --yes, or add the line yourself.\n")
    assert '+events = { purchase = "o8z6k"' in out
    assert path.read_text() == before


def test_invalid_event_name_is_refused_before_x_creates_an_event(events, x_emulator):
    code, _, err = events("create", "Newsletter", "--as", " news", "--yes")

    assert (code, err.startswith("Error: --as")) == (1, True)
    assert len(x_emulator.world()["events"]) == 6


def test_changes_at_x_and_in_the_settings_are_audited(events, command, path):
    events("create", "Newsletter", "--type", "sign_up", "--as", "news", "--yes")
    made = next(id_ for id_, event in events_by_id(events).items() if event["name"] == "Newsletter")
    events("update", "purchase", "--click-window", "14")
    events("delete", "sign_up", "--yes")

    kept = json.loads(command("audit", "list", "--json", "--config", str(path))[1])
    assert [(entry["what"], entry["subject"], entry["detail"]) for entry in reversed(kept)] == [
        (
            "event.create",
            "o8z6j",
            (
                "name: Newsletter, type: SIGN_UP, click_window: 30, view_through_window: 1, "
                "retargeting_enabled: True"
            ),
        ),
        ("event.map", f"o8z6j {made}", "news"),
        ("event.update", "o8z6j o8z6k", "click_window: 14"),
        ("event.delete", "o8z6j o8z6m", "sign_up"),
    ]
    assert {entry["who"] for entry in kept} == {who()}


def test_list_and_refused_changes_are_not_audited(events, path):
    events("list")
    events("snippet", "purchase")
    events("create", "Newsletter", "--click-window", "1", "--view-window", "7")
    events("delete", "o6dkv", "--yes")

    assert not (path.parent / "twite.db").exists()


async def test_running_gateway_writes_the_audit_log(events, command, path):
    gateway = await start_gateway(load(path, ENVIRONMENT))
    try:
        code, _, err = await asyncio.to_thread(events, "update", "purchase", "--click-window", "7")
        kept = await asyncio.to_thread(command, "audit", "list", "--json", "--config", str(path))
    finally:
        await gateway.stop()

    assert (code, err) == (0, "")
    assert [(entry["what"], entry["who"]) for entry in json.loads(kept[1])] == [
        ("event.update", who())
    ]


def test_change_that_cannot_be_audited_is_not_made_at_x(events, x_emulator, path):
    (path.parent / "twite.db").write_text("no database at all, but a text of some length")
    before = x_emulator.world()["events"]

    code, _, err = events("delete", "o8z6q", "--yes")

    assert (code, "twite.db" in err) == (1, True)
    assert x_emulator.world()["events"] == before


def test_events_without_oauth_credentials_explains_how_to_sign_in(command, tmp_path, x_emulator):
    file = settings_in(tmp_path, x_emulator.url)

    assert command("events", "list", "--config", str(file)) == (
        1,
        "",
        (
            "Error: the auth of pixel o8z6j: OAuth 1.0a is missing, which X requires to "
            "manage events. Sign in with twite login --pixel o8z6j, or use X's Events "
            "Manager\n"
        ),
    )


def test_hostile_names_from_x_are_escaped(events, x_emulator):
    x_emulator.add(events=[{"id": "o8z6k", "name": "\x1b]0;owned\x07 [bold]=1+1\u202e"}])

    _, out, _ = events("list")

    assert "\x1b]0" not in out
    assert "\u202e" not in out


def test_snippets_exist_for_every_integration(events):
    kinds = [snippet["kind"] for snippet in json.loads(events("snippet", "purchase", "--json")[1])]
    servers = json.loads(events("snippet", "purchase", "--server-only", "--json")[1])

    assert kinds == ["pixel", "script", "curl", "python", "node", "php", "sgtm"]
    assert [server["kind"] for server in servers] == ["curl", "python", "node", "php", "sgtm"]


def test_pixel_snippet_contains_xs_form_of_the_event_id(events):
    assert events("snippet", "purchase", "--for", "pixel")[1] == (
        "twq('event', 'tw-o8z6j-o8z6k', {\n"
        "  value: 49.90,\n"
        "  currency: 'EUR',\n"
        "  conversion_id: 'order-1001', // the id that your server sends, too: X drops the "
        "second copy\n"
        "  email_address: 'shopper@shop.example',\n"
        "});\n"
    )


def test_tag_snippet_has_the_fields_of_the_tag_template(events):
    template = (Path(__file__).parents[2] / "sgtm" / "twite-tag.tpl").read_text()

    lines = events("snippet", "purchase", "--for", "sgtm")[1].splitlines()

    fields = [line.split("  ")[0] for line in lines]
    assert [field for field in fields if f'"displayName": "{field}"' not in template] == []
    assert '"displayValue": "Always the same"' in template

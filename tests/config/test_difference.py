"""What a reload changes, and which changed keys need a restart."""

import pytest

from twite.config.difference import difference, with_reloaded
from written import GOOD, read

SECOND = """
[[pixel]]
id = "abc12"
auth = { pixel_token = "env:X_PIXEL_TOKEN" }
events = { purchase = "abc13" }

[[source]]
name = "second"
key = "a-second-key-that-nobody-guesses"
pixel = "abc12"
"""


def compared(tmp_path, text, *, before=GOOD, environ=None):
    running = read(tmp_path, before)
    return difference(running, read(tmp_path, text, environ))


def test_equal_settings_have_no_difference(tmp_path):
    found = compared(tmp_path, f"# a comment\n{GOOD}")

    assert (found.changes, found.restart) == ((), ())


def test_new_and_removed_tables_are_named(tmp_path):
    added = compared(tmp_path, GOOD + SECOND)
    removed = compared(tmp_path, GOOD, before=GOOD + SECOND)

    assert list(map(str, added.changes)) == ["pixel abc12 added", "source second added"]
    assert list(map(str, removed.changes)) == ["pixel abc12 removed", "source second removed"]
    assert (added.restart, removed.restart) == ((), ())


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ('purchase = "o8z6k"', 'purchase = "o8z6n"', "pixel o8z6j changed: events"),
        ("env:X_PIXEL_TOKEN", "another-pixel-token", "pixel o8z6j changed: auth"),
        ('account = "18ce54d4x5t"\n', "", "pixel o8z6j changed: account"),
        (
            'account = "18ce54d4x5t"\n',
            'account = "18ce54d4x5t"\non_ambiguous = "hold"\nvalue_guard = "off"\n',
            "pixel o8z6j changed: on_ambiguous, value_guard",
        ),
        ("env:TWITE_SHOP_KEY", "another-key-that-nobody-guesses", "source shop changed: key"),
        ('consent = "optional"', 'consent = "required"', "source shop changed: consent"),
        (
            'consent = "optional"',
            'consent_policy.missing = "hold"\ncookie.days = 30',
            "source shop changed: consent_policy.missing, cookie.days",
        ),
        ('region = "GB"', 'region = "FR"', "source shop changed: region"),
    ],
)
def test_changed_tables_are_named_with_their_keys(tmp_path, old, new, change):
    found = compared(tmp_path, GOOD.replace(old, new))

    assert (list(map(str, found.changes)), found.restart) == ([change], ())


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8090", "server.listen"),
        ("https://t.shop.example", "https://u.shop.example", "server.public_url"),
        ("sqlite:twite.db", "sqlite:other.db", "store.url"),
        ("[x]", "[x]\nrate = 7", "x.rate"),
        ("[x]", '[x]\nrestricted_data_use = "unsupported"', "x.restricted_data_use"),
        ("[x]", '[alerts]\nwebhook = "https://a.example/hook"\n[x]', "alerts.webhook"),
        ("[x]", "[alerts]\ndead_letters = 3\n[x]", "alerts.dead_letters"),
        ("[x]", '[console]\nidle = "20m"\n[x]', "console.idle"),
        ("[x]", '[log]\nlevel = "debug"\n[x]', "log.level"),
        ("[x]", '[traces]\nendpoint = "http://127.0.0.1:4318"\n[x]', "traces.endpoint"),
    ],
)
def test_key_that_is_only_read_at_start_needs_a_restart(tmp_path, old, new, key):
    found = compared(tmp_path, GOOD.replace(old, new))

    assert (found.changes, found.restart, found.is_other_x) == ((), (key,), False)


def test_pixel_keys_for_rate_and_policy_need_a_restart(tmp_path):
    running = read(tmp_path)
    text = GOOD.replace("[x]", '[x]\nrate = 7\nrestricted_data_use = "unsupported"') + SECOND

    reloaded = with_reloaded(running, read(tmp_path, text))

    assert {pixel.rate for pixel in reloaded.pixels} == {running.x.rate}
    assert {source.consent.can_restrict for source in reloaded.sources()} == {True}
    assert reloaded.x == running.x


def test_settings_for_another_x_are_not_applied(tmp_path):
    other = GOOD.replace('oauth_url = "https://api.x.com"\n', "").replace(
        'api_url = "https://ads-api.x.com"', 'emulator = "127.0.0.1:8090"'
    )

    found = compared(tmp_path, other + SECOND)

    assert (found.changes, found.restart, found.is_other_x) == ((), ("x.emulator",), True)


def test_difference_of_settings_shows_no_secret(tmp_path):
    found = compared(tmp_path, GOOD.replace("env:TWITE_SHOP_KEY", "a-new-key-that-is-secret"))

    assert "a-new-key-that-is-secret" not in repr(found)

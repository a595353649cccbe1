"""`[[sync]]`: its keys, all errors at once, and reload."""

import pytest

from twite.config.difference import difference
from twite.domain.errors import SettingsError
from twite.domain.times import MINUTE
from written import GOOD, read

SYNC = """
[[sync]]
name = "orders"
source = "shop"
url = "env:DATABASE_URL"
query = "SELECT 1"
cursor = "updated_at"
key = "conversion_id"
"""
ENVIRON = {"DATABASE_URL": "postgresql://shop:a-canary@db/shop"}


def written(tmp_path, text=SYNC, **environ):
    (sync,) = read(tmp_path, GOOD + text, ENVIRON | environ).syncs
    return sync


def complaints(tmp_path, text):
    with pytest.raises(SettingsError) as wrong:
        read(tmp_path, GOOD + text, ENVIRON)
    return [str(each) for each in wrong.value.each]


def test_sync_has_its_query_and_defaults(tmp_path):
    sync = written(tmp_path)

    assert (sync.name, sync.source, sync.query) == ("orders", "shop", "SELECT 1")
    assert (sync.cursor, sync.key, sync.older) == ("updated_at", "conversion_id", "skip")
    assert (sync.interval, sync.look_back, sync.history) == (5 * MINUTE, 5 * MINUTE, False)
    assert "canary" not in repr(sync)


def test_query_can_be_in_a_file_of_several_lines(tmp_path):
    (tmp_path / "orders.sql").write_text("SELECT *\nFROM orders -- all\n")

    sync = written(tmp_path, SYNC.replace('"SELECT 1"', '"file:orders.sql"'))

    assert sync.query.splitlines()[:2] == ["SELECT *", "FROM orders -- all"]


def test_objects_need_no_query(tmp_path):
    text = '[[sync]]\nname = "files"\nsource = "shop"\nurl = "s3://bucket/orders/"\n'

    assert written(tmp_path, text).is_storage


def test_source_of_a_sync_needs_no_key(tmp_path):
    source = '[[source]]\nname = "warehouse"\npixel = "o8z6j"\n'

    sync = written(tmp_path, source + SYNC.replace('source = "shop"', 'source = "warehouse"'))

    assert sync.source == "warehouse"


def test_only_a_password_in_plain_text_is_warned_about(tmp_path):
    plain = SYNC.replace("env:DATABASE_URL", "postgresql://shop:a-canary@db/shop")
    without = SYNC.replace("env:DATABASE_URL", "sqlite:///shop.db")

    warned = read(tmp_path, GOOD + plain, ENVIRON).warnings
    silent = read(tmp_path, GOOD + without, ENVIRON).warnings

    assert [line for line in warned if "sync" in line and "canary" not in line]
    assert [line for line in silent if "sync" in line] == []


def test_all_errors_are_reported_at_once(tmp_path):
    text = """
[[sync]]
name = "list"
source = "shap"
url = "s3://bucket/"
query = "SELECT 1"
timezone = "Mars/Base"
currency = "XX"
interval = "1s"
write_back = "a; b"
"""
    found = "\n".join(complaints(tmp_path, text))

    for sentence in (
        "sync[0].name: 'list' cannot be the name of a sync",
        "sync[0].timezone: 'Mars/Base' is not a time zone",
        "sync[0].currency: 'XX' is not an ISO 4217",
        "sync[0].interval: '1s' is out of range",
        "sync[0].write_back: 'a; b' is not the name of a table",
    ):
        assert sentence in found


def test_sync_is_checked_against_its_source_and_kind(tmp_path):
    text = SYNC.replace('"shop"', '"shap"').replace('cursor = "updated_at"\n', "")
    text += 'map = { emial = "x" }\n[[sync]]\nname = "files"\nsource = "shop"\n'
    text += 'url = "s3://bucket/"\nquery = "SELECT 1"\nevent = "purchas"\n'

    assert complaints(tmp_path, text) == [
        "sync[0].source: 'shap' is not the name of a [[source]]. Did you mean 'shop'?",
        "sync[0].map: 'emial' is not a field of a conversion. Did you mean 'email'?",
        "sync[0].cursor: is missing: a database needs a query with a cursor and a key",
        "sync[1].event: 'purchas' is not an event of the source's pixel. Did you mean 'purchase'?",
        "sync[1].query: is for databases, and url names objects",
    ]


def test_names_of_syncs_differ(tmp_path):
    (found,) = complaints(tmp_path, SYNC + SYNC)

    assert "sync[1].name" in found


def test_reload_reports_the_changed_keys_of_a_sync(tmp_path):
    before = read(tmp_path, GOOD + SYNC, ENVIRON)
    after = read(tmp_path, GOOD + SYNC + 'currency = "EUR"\ntimezone = "UTC"\n', ENVIRON)

    (change,) = difference(before, after).changes

    assert str(change) == "sync orders changed: currency, timezone"

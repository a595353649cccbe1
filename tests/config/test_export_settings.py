"""`[[export]]`: its keys, all errors at once, and reload."""

import pytest

from twite.config.difference import difference
from twite.config.syncs import LocationUrl
from twite.config.toml import Reader
from twite.domain.errors import SettingsError
from twite.domain.times import HOUR, MINUTE
from written import GOOD, read

EXPORT = """
[[export]]
name = "warehouse"
to = "env:WAREHOUSE"
"""
ENVIRON = {"WAREHOUSE": "postgresql://twite:a-canary@db/shop"}


def written(tmp_path, text=EXPORT, **environ):
    (export,) = read(tmp_path, GOOD + text, ENVIRON | environ).exports
    return export


def complaints(tmp_path, text, **environ):
    with pytest.raises(SettingsError) as wrong:
        read(tmp_path, GOOD + text, ENVIRON | environ)
    return [str(each) for each in wrong.value.each]


def test_export_has_defaults_and_hides_its_password(tmp_path):
    export = written(tmp_path)

    assert (export.name, export.table) == ("warehouse", "twite_conversions")
    assert (export.interval, export.since, export.is_storage) == (15 * MINUTE, 0, False)
    assert "canary" not in repr(export)


def test_export_has_its_own_values(tmp_path):
    text = EXPORT + 'table = "analytics.sent"\ninterval = "1h"\nsince = "2026-11-01T00:00:00Z"\n'

    export = written(tmp_path, text, WAREHOUSE="s3://bucket/twite/")

    assert (export.table, export.interval) == ("analytics.sent", HOUR)
    assert export.since == 1_793_491_200_000
    assert export.is_storage


def test_two_exports_to_one_prefix_are_refused(tmp_path):
    other = EXPORT.replace('"warehouse"', '"lake"').replace('"env:WAREHOUSE"', '"env:LAKE"')
    prefix = "s3://bucket/twite/"

    found = complaints(tmp_path, EXPORT + other, WAREHOUSE=prefix, LAKE=prefix)

    assert found == [
        "export[1].to: is also the prefix of the export 'warehouse'. Give each its own"
    ]
    own = read(tmp_path, GOOD + EXPORT + other, {"WAREHOUSE": prefix, "LAKE": f"{prefix}lake/"})
    assert [export.name for export in own.exports] == ["warehouse", "lake"]


def test_exports_into_one_database_are_accepted(tmp_path):
    other = EXPORT.replace('"warehouse"', '"again"')

    assert len(read(tmp_path, GOOD + EXPORT + other, ENVIRON).exports) == 2


def test_all_mistakes_are_named_at_once(tmp_path):
    text = (
        EXPORT.replace('"env:WAREHOUSE"', '"mysql://db/shop"')
        + EXPORT.replace('"env:WAREHOUSE"', '"s3://bucket/file.parquet"')
        + EXPORT.replace('"env:WAREHOUSE"', '"s3://bucket/twite/"')
    )

    found = complaints(tmp_path, text)

    assert [each.partition(": ")[0] for each in found] == [
        "export[0].to", "export[1].to", "export[1].name", "export[2].name"
    ][: len(found)]  # fmt: skip
    assert "is not the URL of a target" in found[0]
    assert "does not name a prefix" in found[1]
    assert "already the export" in found[2]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('table = "sent; DROP"', "is not the name of a table"),
        ('interval = "1s"', "export[0].interval"),
        ('since = "2026-11-01"', "export[0].since"),
    ],
)
def test_wrong_values_are_named(tmp_path, line, complaint):
    (found,) = complaints(tmp_path, f"{EXPORT}{line}\n")

    assert complaint in found


def test_name_has_no_blanks(tmp_path):
    (found,) = complaints(tmp_path, EXPORT.replace('"warehouse"', '"my export"'))

    assert "cannot be the name of an export" in found


def test_reload_names_the_changed_keys(tmp_path):
    before = read(tmp_path, GOOD + EXPORT, ENVIRON)
    after = read(tmp_path, GOOD + EXPORT, {"WAREHOUSE": "postgresql://twite@other/shop"})

    (change,) = difference(before, after).changes

    assert str(change) == "export warehouse changed: to"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql://twite:word@[::1/shop", "is not a URL"),
        ("s3://AKIA:word@bucket/twite/", "has credentials"),
        ("postgresql://twite:word@db:99999999/shop", "has a port that is not a number from 1"),
        ("postgresql://twite:word@db:0/shop", "has a port"),
        ("postgresql://twite:word@db:5432,replica:x/shop", "has a port"),
        ("mysql://twite:word@[::1]:65536/shop", "has a port"),
    ],
)
def test_url_with_a_wrong_host_or_credentials_is_refused_without_them(tmp_path, url, complaint):
    with pytest.raises(SettingsError, match=complaint) as refused:
        LocationUrl().read("env:TARGET", "--to", Reader(environ={"TARGET": url}, folder=tmp_path))

    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://twite:word@db/shop",
        "postgresql://twite:word@db:5432,replica:5433,other/shop?target_session_attrs=primary",
        "postgresql:///shop?host=/run/postgresql",
        "postgresql://twite:w:1/or@d@db:5432/shop",
    ],
)
def test_url_with_right_ports_is_read(tmp_path, url):
    reader = Reader(environ={"TARGET": url}, folder=tmp_path)

    assert LocationUrl().read("env:TARGET", "--to", reader).reveal() == url

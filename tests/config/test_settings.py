from ipaddress import ip_network

import pytest

from twite.config.server_tables import (
    AlertSettings,
    ConsoleSettings,
    LogSettings,
    ServerSettings,
    StoreSettings,
    StoreUrl,
    XSettings,
)
from twite.config.settings import Settings, load
from twite.config.values import HostPort
from twite.domain.consent import ConsentPolicy
from twite.domain.destination import Destination, OAuthKeys, PixelToken, Source
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.domain.times import DAY, SECOND
from twite.gateway.alerts.checks import Thresholds
from written import GOOD, complaint, read, write


def test_settings_file_of_the_documentation_is_read(tmp_path):
    settings = read(tmp_path)

    assert settings == Settings(
        path=tmp_path / "twite.toml",
        server=ServerSettings(
            listen=HostPort(host="127.0.0.1", port=8080),
            public_url="https://t.shop.example",
            trusted_proxies=(ip_network("127.0.0.1/32"),),
            max_body=1 << 20,
            receive_deadline=30 * SECOND,
        ),
        store=StoreSettings(
            url=StoreUrl(engine="sqlite", path=tmp_path / "twite.db"),
            dedup_window=7 * DAY,
            queue=20_000,
        ),
        x=XSettings(
            api_url="https://ads-api.x.com",
            oauth_url="https://api.x.com",
            api_version="12",
            rate=60_000,
            timeout=15 * SECOND,
            batch=500,
            in_flight=4,
        ),
        alerts=AlertSettings(
            webhook=None, thresholds=Thresholds(dead_letters=10, disk_free=1 << 30)
        ),
        log=LogSettings(level="info", format="text"),
        console=ConsoleSettings(),
        pixels=(
            Destination(
                pixel="o8z6j",
                credentials=PixelToken(token=Secret("emulator-pixel-token-o8z6j")),
                events={"purchase": "o8z6k", "sign_up": "o8z6m"},
                account="18ce54d4x5t",
                rate=60_000,
            ),
        ),
        submitters=(
            Source(
                name="shop",
                key=Secret("a-key-that-nobody-will-guess"),
                pixel="o8z6j",
                pixels=frozenset({"o8z6j"}),
                origins=("https://shop.example",),
                consent=ConsentPolicy(),
                region="GB",
            ),
        ),
        features=settings.features,
        warnings=(),
    )


def test_empty_settings_file_has_all_defaults(tmp_path):
    settings = load(write(tmp_path, ""), {})

    assert settings.server.public_url is None
    assert settings.x.api_url == "https://ads-api.x.com"
    assert (settings.destinations(), settings.sources()) == ((), ())


def test_settings_built_in_code_have_the_defaults_of_the_loader(tmp_path):
    settings = load(write(tmp_path, ""), {})

    assert (settings.server, settings.x, settings.console, settings.log) == (
        ServerSettings(),
        XSettings(),
        ConsoleSettings(),
        LogSettings(),
    )


@pytest.mark.parametrize("half", ["key", "secret"])
def test_app_key_without_its_secret_is_an_error(tmp_path, half):
    other = {"key": "secret", "secret": "key"}[half]

    assert complaint(tmp_path, GOOD, {f"TWITE_X__CONSUMER_{half.upper()}": "a-part"}) == (
        f"x.consumer_{other}: is missing: an app has a key and a secret. Copy both from X's "
        "developer console"
    )


def test_oauth_credentials_have_four_parts_of_which_two_are_secret(tmp_path):
    auth = (
        'auth = { consumer_key = "ck", consumer_secret = "env:CS", '
        'token = "tk", token_secret = "env:TS" }'
    )
    text = GOOD.replace('auth = { pixel_token = "env:X_PIXEL_TOKEN" }', auth)

    settings = read(tmp_path, text, {"CS": "one", "TS": "two"})

    assert settings.destinations()[0].credentials == OAuthKeys(
        consumer_key="ck", consumer_secret=Secret("one"), token="tk", token_secret=Secret("two")
    )
    assert settings.warnings == ()


def test_repr_of_the_settings_hides_secrets(tmp_path):
    shown = repr(read(tmp_path))

    assert "emulator-pixel-token" not in shown
    assert "nobody-will-guess" not in shown


def test_secret_in_plain_text_is_a_warning_that_does_not_show_it(tmp_path):
    text = GOOD.replace("env:TWITE_SHOP_KEY", "clear-text-for-everyone")

    settings = read(tmp_path, text)

    assert settings.sources()[0].key == Secret("clear-text-for-everyone")
    assert settings.warnings == (
        (
            "source[0].key: a secret in plain text. Put it into an environment variable or a "
            'file, and write "env:NAME" or "file:PATH"'
        ),
    )


def test_value_can_be_read_from_a_file_beside_the_settings(tmp_path):
    (tmp_path / "shop.key").write_text("a-key-in-a-file-of-its-own\n")
    text = GOOD.replace("env:TWITE_SHOP_KEY", "file:shop.key")

    settings = read(tmp_path, text)

    assert settings.sources()[0].key == Secret("a-key-in-a-file-of-its-own")


def test_number_can_come_from_the_environment(tmp_path):
    text = GOOD.replace("[x]", '[x]\nrate = "env:X_RATE"')

    assert read(tmp_path, text, {"X_RATE": "1200"}).x.rate == 1_200


def test_command_that_only_reads_needs_no_secret(tmp_path):
    settings = load(write(tmp_path), {}, credentials=False)

    assert settings.destinations()[0].credentials == PixelToken(token=Secret(""))


def test_source_can_name_further_pixels(tmp_path):
    other = (
        '[[pixel]]\nid = "o8z7a"\nauth = { pixel_token = "env:X_PIXEL_TOKEN" }\n'
        'events = { purchase = "gtm_purchase" }\n'
    )
    text = GOOD + 'pixels = ["o8z7a"]\n' + other

    settings = read(tmp_path, text)

    assert settings.sources()[0].pixels == frozenset({"o8z6j", "o8z7a"})
    assert settings.destinations()[1].events == {"purchase": "gtm_purchase"}


def test_store_path_is_relative_to_the_settings_file(tmp_path, monkeypatch):
    folder = tmp_path / "etc"
    folder.mkdir()
    write(folder)
    monkeypatch.chdir(tmp_path)

    settings = load((folder / "twite.toml").relative_to(tmp_path), {}, credentials=False)

    assert settings.store.path == folder / "twite.db"
    assert settings.store.gateway_file == folder / "twite.db.gateway"


def test_gateway_file_is_in_the_local_folder_with_postgresql_and_beside_a_sqlite_store(tmp_path):
    sqlite = 'url = "sqlite:twite.db"\nlocal_folder = "run"'
    text = GOOD.replace('url = "sqlite:twite.db"', sqlite)
    server = text.replace("sqlite:twite.db", "postgresql://twite@db/twite")

    assert read(tmp_path, text).store.gateway_file == tmp_path / "twite.db.gateway"
    assert read(tmp_path, server).store.gateway_file == tmp_path / "run/twite.postgresql.gateway"


def test_absolute_store_path_can_have_one_or_three_slashes(tmp_path):
    for url in ("sqlite:/var/lib/twite.db", "sqlite:///var/lib/twite.db"):
        settings = read(tmp_path, GOOD.replace("sqlite:twite.db", url))

        assert str(settings.store.path) == "/var/lib/twite.db"


def test_database_url_hides_its_password(tmp_path):
    url = "postgresql://twite:p4ssw0rd@db.example.com/ledger?sslmode=require"

    store = read(tmp_path, GOOD.replace("sqlite:twite.db", "env:DB"), {"DB": url}).store

    assert (store.place, store.shown) == (url, "postgresql://twite@db.example.com/ledger")
    assert store.exists
    assert "p4ssw0rd" not in repr(store)


def test_postgres_and_postgresql_urls_are_the_same_store(tmp_path):
    url = "postgres://twite:p4ssw0rd@db.example.com/ledger"

    store = read(tmp_path, GOOD.replace("sqlite:twite.db", url)).store

    assert (store.engine, store.place) == ("postgresql", url)
    assert store.shown == "postgresql://twite@db.example.com/ledger"


def test_store_url_without_a_database_is_an_error(tmp_path):
    for url in (
        "postgresql:twite.db",
        "postgresql://twite:p4ssw0rd@db.example.com",
        "postgresql://twite:a/p4ssw0rd@db.example.com/ledger",
    ):
        with pytest.raises(SettingsError, match="is not the URL of a database") as caught:
            read(tmp_path, GOOD.replace("sqlite:twite.db", url))

        assert "p4ssw0rd" not in str(caught.value)


def test_unsafe_settings_are_warnings(tmp_path):
    text = GOOD.replace("127.0.0.1/32", "0.0.0.0/0").replace("https://ads-api", "http://ads-api")

    assert read(tmp_path, text, {"TWITE_SHOP_KEY": "short"}).warnings == (
        (
            "server.trusted_proxies: Twite would trust X-Forwarded-For from every client. "
            "Write your proxy's own network"
        ),
        "x.api_url: credentials would travel unencrypted. Use https",
        "source[0].key: short enough to guess. `twite init` creates a safe key",
    )


def test_byte_order_mark_of_the_settings_file_is_ignored(tmp_path):
    path = tmp_path / "twite.toml"
    path.write_bytes(b"\xef\xbb\xbf[x]\nrate = 7\n")

    assert load(path, {}).x.rate == 7

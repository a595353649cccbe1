"""Each error in the settings names the position, the problem and the fix."""

import pytest

from twite.config.settings import load
from twite.domain.errors import SettingsError
from written import GOOD, complaint

CHANGES = [
    # an unknown name
    ("listen =", "lissten =", "server.lissten: unknown key. Did you mean 'listen'?"),
    (
        "[server]",
        "[servr]",
        "servr: unknown key. Did you mean 'server'?",
    ),
    (
        "account =",
        "colour =",
        (
            "pixel[0].colour: unknown key. "
            "Available: id, events, auth, account, on_ambiguous, value_guard"
        ),
    ),
    (
        "pixel_token =",
        "pixel_tokn =",
        "pixel[0].auth.pixel_tokn: unknown key. Did you mean 'pixel_token'?",
    ),
    # a wrong type
    (
        'api_version = "12"',
        "api_version = 12",
        'x.api_version: must be a string, not a whole number. Write it as "…"',
    ),
    (
        'origins = ["https://shop.example"]',
        'origins = "https://shop.example"',
        'source[0].origins: must be a list of strings, not a string. Write it as ["…"]',
    ),
    (
        "[x]",
        '[x]\nrate = "many"',
        "x.rate: must be a whole number, not a string. Write it as 60",
    ),
    (
        "[x]",
        "[x]\nrate = true",
        "x.rate: must be a whole number, not true or false. Write it as 60",
    ),
    (
        'events = { purchase = "o8z6k", sign_up = "tw-o8z6j-o8z6m" }',
        "events = 7",
        "pixel[0].events: must be a table, not a whole number. Write it as { … }",
    ),
    (
        "[[source]]",
        "[source]",
        "source: must be a list of tables, not a table. Write it as [[…]]",
    ),
    # an invalid value
    (
        "[x]",
        "[x]\nbatch = 501",
        "x.batch: 501 is out of range. Write a number from 1 to 500",
    ),
    (
        'api_version = "12"',
        'api_version = "13"',
        "x.api_version: '13' is not known. Available: 11, 12",
    ),
    (
        'consent = "optional"',
        'consent = "require"',
        "source[0].consent: 'require' is not known. Did you mean 'required'?",
    ),
    (
        "127.0.0.1:8080",
        "127.0.0.1",
        (
            "server.listen: '127.0.0.1' has no valid port. Write the host and port, such as "
            '"127.0.0.1:8080" or "[::1]:8080"'
        ),
    ),
    (
        "127.0.0.1:8080",
        "127.0.0.1:65536",
        (
            "server.listen: '127.0.0.1:65536' has no valid port. Write the host and port, such as "
            '"127.0.0.1:8080" or "[::1]:8080"'
        ),
    ),
    (
        "listen =",
        'local_listen = "0.0.0.0:8081"\nlisten =',
        (
            "server.local_listen: must be a loopback address with its own port, such as "
            '"127.0.0.1:8081"'
        ),
    ),
    (
        "127.0.0.1:8080",
        "::1:8080",
        (
            "server.listen: '::1:8080' has no host. Write the host and port, such as "
            '"127.0.0.1:8080" or "[::1]:8080"'
        ),
    ),
    (
        "https://t.shop.example",
        "t.shop.example",
        (
            "server.public_url: not an http or https URL. Write a URL such as "
            '"https://t.shop.example"'
        ),
    ),
    (
        "https://t.shop.example",
        "https://t.shop.example/?a=b",
        (
            "server.public_url: 'https://t.shop.example/?a=b' has a query or a fragment. "
            "Remove everything after the path"
        ),
    ),
    (
        "https://ads-api.x.com",
        "https://me:secret@ads-api.x.com",
        (
            "x.api_url: the URL contains a user name or a password. Write a URL such as "
            '"https://t.shop.example"'
        ),
    ),
    (
        "127.0.0.1/32",
        "10.0.0.1/8",
        (
            "server.trusted_proxies[0]: '10.0.0.1/8' has bits set beyond its prefix. Write "
            "'10.0.0.0/8' for the network, or '10.0.0.1' for the single address"
        ),
    ),
    (
        "127.0.0.1/32",
        "*",
        (
            "server.trusted_proxies[0]: '*' is not a network. Write an address and a prefix "
            'length, such as "10.0.0.0/8" or "127.0.0.1/32"'
        ),
    ),
    (
        "sqlite:twite.db",
        "mysql:twite",
        (
            'store.url: Twite does not support this store. Write "sqlite:" and a path, such as '
            '"sqlite:twite.db", or a URL, such as "postgresql://twite@db.example.com/twite"'
        ),
    ),
    (
        "sqlite:twite.db",
        "sqlite::memory:",
        (
            "store.url: a store in memory would lose acknowledged conversions. Write the path of "
            "a file"
        ),
    ),
    (
        "[server]",
        "[server]\nworkers = 2",
        (
            "server.workers: 2 processes cannot share a SQLite file. Set store.url to a PostgreSQL "
            "database, or run one process"
        ),
    ),
    (
        "[store]",
        '[store]\ndedup_window = "47h"',
        "store.dedup_window: '47h' is out of range. Write 2d to 365d",
    ),
    (
        "[x]",
        '[x]\ntimeout = "soon"',
        "x.timeout: 'soon' is not a duration. Write a whole number and ms, s, m, h or d: \"15s\"",
    ),
    (
        "[server]",
        '[server]\nmax_body = "1 megabyte"',
        (
            "server.max_body: '1 megabyte' is not a size. "
            'Write a whole number and B, KiB, MiB, GiB or TiB: "1MiB"'
        ),
    ),
    (
        "[server]",
        '[server]\nmax_body = "10B"',
        "server.max_body: '10B' is out of range. Write 1KiB to 64MiB",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "sentence"), CHANGES)
def test_wrong_setting_is_explained(tmp_path, right, wrong, sentence):
    assert GOOD.count(right) >= 1

    assert complaint(tmp_path, GOOD.replace(right, wrong, 1)) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            b"[server]\nlisten = 127.0.0.1:8080\n",
            (
                "{path}, line 2, column 15: not TOML: expected newline or end of document "
                "after a statement. Put strings in quotes and table names in [brackets]"
            ),
        ),
        (
            b"[server]\nlisten = ",
            (
                "{path}, the end: not TOML: invalid value. Put strings in quotes and table names "
                "in [brackets]"
            ),
        ),
        (
            b"[x]\nrate = 1\nrate = 2\n",
            (
                "{path}, line 3, column 9: not TOML: cannot overwrite a value. Set each key "
                "and table only once"
            ),
        ),
        (
            b"[x]\nrate = " + b"9" * 5_000,
            "{path}: contains a number with too many digits. Shorten it",
        ),
        (b"# \xff\n", "{path}, line 1: not UTF-8 text. Save the file as UTF-8"),
        (
            b"a = " + b"[" * 100_000,
            "{path}: nested too deeply. Flatten the tables",
        ),
    ],
)
def test_invalid_toml_is_explained_with_its_line(tmp_path, text, sentence):
    path = tmp_path / "twite.toml"
    path.write_bytes(text)

    with pytest.raises(SettingsError) as reported:
        load(path, {})

    assert str(reported.value) == sentence.format(path=path)


def test_missing_settings_file_is_explained_with_a_fix(tmp_path):
    with pytest.raises(SettingsError) as reported:
        load(tmp_path / "twite.toml", {})

    assert str(reported.value) == (
        f"{tmp_path}/twite.toml: the file does not exist. `twite init` creates it; --config "
        "selects another"
    )

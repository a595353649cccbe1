"""Environment variables named `TWITE_…__…` override any key of the file."""

import pytest

from twite.config.schema import ROOT
from twite.config.settings import override, variable
from twite.domain.secret import Secret
from written import GOOD, complaint, read

KEYS = [key for key, _ in ROOT.settings()]


@pytest.mark.parametrize(
    ("name", "text", "get", "expected"),
    [
        ("TWITE_SERVER__LISTEN", "0.0.0.0:9000", lambda s: str(s.server.listen), "0.0.0.0:9000"),
        ("TWITE_X__RATE", "1200", lambda s: s.x.rate, 1_200),
        ("TWITE_X__API_VERSION", "11", lambda s: s.x.api_version, "11"),
        ("TWITE_LOG__FORMAT", "json", lambda s: s.log.format, "json"),
        ("TWITE_PIXEL__0__ACCOUNT", "abc", lambda s: s.pixels[0].account, "abc"),
        ("TWITE_PIXEL__0__EVENTS__PURCHASE", "o9", lambda s: s.pixels[0].events["purchase"], "o9"),
        ("TWITE_PIXEL__0__EVENTS__LEAD", "o9", lambda s: s.pixels[0].events["lead"], "o9"),
        (
            "TWITE_SOURCE__0__ORIGINS",
            '["https://a.example", "https://b.example"]',
            lambda s: s.submitters[0].origins,
            ("https://a.example", "https://b.example"),
        ),
        (
            "TWITE_SOURCE__0__ORIGINS__1",
            "https://b.example",
            lambda s: s.submitters[0].origins,
            ("https://shop.example", "https://b.example"),
        ),
        ("TWITE_SOURCE__0__REGION", "env:REGION", lambda s: s.submitters[0].region, "FR"),
    ],
)
def test_environment_variable_overrides_a_key_of_the_file(tmp_path, name, text, get, expected):
    settings = read(tmp_path, GOOD, {name: text, "REGION": "FR"})

    assert get(settings) == expected


def test_secret_from_the_environment_is_no_warning(tmp_path):
    settings = read(tmp_path, GOOD, {"TWITE_SOURCE__0__KEY": "another-key-of-some-length"})

    assert settings.submitters[0].key == Secret("another-key-of-some-length")
    assert settings.warnings == ()


def test_environment_variables_alone_can_define_a_pixel(tmp_path):
    environ = {
        "TWITE_PIXEL__0__ID": "o8z6j",
        "TWITE_PIXEL__0__AUTH__PIXEL_TOKEN": "token",
        "TWITE_PIXEL__0__EVENTS__PURCHASE": "o8z6k",
    }

    settings = read(tmp_path, "", environ)

    assert [pixel.events for pixel in settings.pixels] == [{"purchase": "o8z6k"}]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        (
            "TWITE_SERVER__LISTN",
            "x",
            ("TWITE_SERVER__LISTN: does not match a setting. Did you mean 'TWITE_SERVER__LISTEN'?"),
        ),
        (
            "TWITE_PIXEL__1__IDS",
            "x",
            ("TWITE_PIXEL__1__IDS: does not match a setting. Did you mean 'TWITE_PIXEL__1__ID'?"),
        ),
        (
            "TWITE_PIXEL__7__ID",
            "x",
            (
                "TWITE_PIXEL__7__ID: the next table has the number 1. "
                "Number tables from 0, without gaps"
            ),
        ),
        (
            "TWITE_X__RATE",
            "many",
            ("x.rate (set by TWITE_X__RATE): must be a whole number, not a string. Write it as 60"),
        ),
        (
            "TWITE_SERVER__PUBLIC_URL",
            "shop",
            (
                "server.public_url (set by TWITE_SERVER__PUBLIC_URL): not an http or https "
                'URL. Write a URL such as "https://t.shop.example"'
            ),
        ),
    ],
)
def test_wrong_environment_variable_is_explained(tmp_path, name, text, sentence):
    assert complaint(tmp_path, GOOD, {name: text}) == sentence


def test_environment_variables_of_other_programs_are_ignored(tmp_path):
    text = GOOD.replace("env:TWITE_SHOP_KEY", "env:TWITE_SHOP__KEY")
    environ = {
        "TWITE_SECRET_KEY": "reserved-for-the-seal",
        "TWITE_SHOP__KEY": "read-by-the-file-itself",
        "TWITTER__X": "not ours",
    }

    settings = read(tmp_path, text, environ)

    assert settings.submitters[0].key == Secret("read-by-the-file-itself")


def test_every_key_can_be_set_by_an_environment_variable():
    for key in KEYS:
        name = variable(key)
        if not key.endswith("*"):
            assert override({}, {name: "1"}) == {key.replace("[]", "[0]"): name}


ODD = [
    "", " ", "x" * 70_000, "-1", str(2**70), "1.5", "nan", "true", "[]", "{}", "[[1]]", '{a = "b"}',
    "1979-05-27", '"', "env:", "env:A=B", "env:\0", "file:", "file:.", "file:\0", "file:/dev/null",
    "[::", "[::]:1", "a:٣", "http://[", "http://a:99999", "http://[v1.x]", "http://\u2100.example",
    "https://a.example:٣", "sqlite:", "sqlite:///", "\ud800", "tw--", "%", "1/2", "::/129",
    "9" * 5_000, "9" * 5_000 + "d",
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_any_value_of_an_environment_variable_is_accepted_or_explained(tmp_path, key):
    name = variable(key.replace("*", "purchase"))

    sentences = [complaint(tmp_path, GOOD, {name: odd}) for odd in ODD]

    assert all(sentences)

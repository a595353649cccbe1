"""Errors in a source name the position and the fix."""

import pytest

from written import GOOD, complaint

SOURCE = '[[source]]\nname = "shop"\norigins = ["https://shop.example"]\npixel = "o8z6j"\n'

CHANGES = [
    (
        "[[source]]",
        f"{SOURCE}[[source]]",
        "source[1].name: 'shop' is already the source at source[0].name. Remove or rename one",
    ),
    (
        'pixel = "o8z6j"',
        'pixel = "o8z6i"',
        "source[0].pixel: 'o8z6i' is not the id of a [[pixel]]. Did you mean 'o8z6j'?",
    ),
    (
        'pixel = "o8z6j"',
        'pixel = "o8z6j"\npixels = ["zzz"]',
        "source[0].pixels[0]: 'zzz' is not the id of a [[pixel]]. Available: o8z6j",
    ),
    (
        'name = "shop"',
        'name = "x-api"',
        "source[0].name: 'x-api' is reserved for requests in X's format. Choose another name",
    ),
    (
        'name = "shop"',
        'name = "test:shop"',
        "source[0].name: 'test:' begins the names of sources in test mode. Choose another",
    ),
    (
        'name = "shop"',
        'name = "shop"\ntest_until = "2026-12-02T18:00"',
        (
            "source[0].test_until: is a time without a zone: end it with Z (UTC) or an offset such "
            "as +01:00"
        ),
    ),
    (
        'name = "shop"',
        'name = "shop"\ntest_until = true',
        (
            "source[0].test_until: must be a time, not true or false. Write it as "
            '"2026-12-02T18:00:00Z"'
        ),
    ),
    (
        'name = "shop"',
        'name = " shop"',
        (
            "source[0].name: ' shop' is not a valid name for a source. Write 1 to 64 "
            "printable characters, without spaces around them"
        ),
    ),
    (
        'key = "env:TWITE_SHOP_KEY"\norigins = ["https://shop.example"]',
        "",
        (
            "source[0]: has neither a key nor origins, so no client could send conversions. "
            'Set key = "env:NAME" for servers, or origins for browsers, or add a [[webhook]] or a '
            "[[sync]]"
        ),
    ),
    (
        "env:TWITE_SHOP_KEY",
        "clé-clé-clé-clé-clé",
        "source[0].key: must be ASCII, to fit into an HTTP header",
    ),
    (
        'pixel = "o8z6j"',
        'pixel = "o8z6j"\nevents = { generate_lead = "sign-up" }',
        (
            "source[0].events.generate_lead: 'sign-up' is not an event of the source's pixel. "
            "Did you mean 'sign_up'?"
        ),
    ),
    (
        'pixel = "o8z6j"',
        'pixel = "o8z6j"\nstape_credentials = "stored"',
        (
            "source[0].stape_credentials: credentials are stored encrypted, but there is no "
            'key. Set server.secret_key = "env:TWITE_SECRET_KEY"'
        ),
    ),
    (
        '["https://shop.example"]',
        '["https://Shop.example/"]',
        (
            "source[0].origins[0]: 'https://Shop.example/' is not the form that browsers "
            "send. Write 'https://shop.example'"
        ),
    ),
    (
        '["https://shop.example"]',
        '["*"]',
        (
            "source[0].origins[0]: '*' would let any web page send conversions. List each "
            'origin, such as "https://shop.example"'
        ),
    ),
    (
        '["https://shop.example"]',
        '["shop.example"]',
        (
            "source[0].origins[0]: 'shop.example' is not an origin. "
            'Write scheme and host: "https://shop.example"'
        ),
    ),
    (
        'key = "env:TWITE_SHOP_KEY"\norigins = ["https://shop.example"]',
        'key = "env:TWITE_SHOP_KEY"\nwrite_key = "shop-pages"',
        (
            "source[0].write_key: is for pages, and the source has no origins. Add the origins of "
            "the pages"
        ),
    ),
    (
        'pixel = "o8z6j"\n',
        'pixel = "o8z6j"\nwrite_key = "shop pages"\n',
        (
            "source[0].write_key: is not a write key. Write 1 to 64 letters, digits, dots, "
            "hyphens, underscores"
        ),
    ),
    (
        'pixel = "o8z6j"\n',
        'pixel = "o8z6j"\nwrite_key = "env:TWITE_SHOP_KEY"\n',
        (
            "source[0].write_key: is the secret key of source 'shop', and pages show it to "
            "everyone. Choose another text"
        ),
    ),
    ('"GB"', '"UK"', "source[0].region: 'UK' is not a region. Write 'GB'"),
    (
        '"GB"',
        '"Narnia"',
        (
            "source[0].region: 'Narnia' is not a region. Write a two-letter country code of "
            "ISO 3166, such as 'GB'"
        ),
    ),
    (
        'name = "shop"',
        "",
        'source[0].name: is missing. Set name = "…"',
    ),
    (
        '"GB"',
        '""',
        "source[0].region: is empty. Write a value, or leave the key out",
    ),
    (
        '"GB"',
        '"G\\nB"',
        "source[0].region: contains a control character or a line break. Write it on one line",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "sentence"), CHANGES)
def test_wrong_source_setting_is_explained(tmp_path, right, wrong, sentence):
    assert GOOD.count(right) >= 1

    assert complaint(tmp_path, GOOD.replace(right, wrong, 1)) == sentence


def test_two_sources_with_the_same_write_key_are_an_error(tmp_path):
    text = GOOD.replace("[[source]]", '[[source]]\nwrite_key = "pages"')
    other = '[[source]]\nname = "blog"\norigins = ["https://a.example"]\npixel = "o8z6j"\n'

    assert complaint(tmp_path, f'{text}{other}write_key = "pages"') == (
        "source[0].write_key: source 'blog' has the same write_key. Give each its own"
    )


def test_two_sources_with_the_same_key_are_an_error(tmp_path):
    other = '[[source]]\nname = "till"\nkey = "env:TWITE_SHOP_KEY"\npixel = "o8z6j"\n'

    assert complaint(tmp_path, GOOD + other) == (
        "source[1].key: source 'shop' has the same key. Give each source its own key"
    )

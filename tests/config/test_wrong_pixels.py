"""Errors in a pixel name the position and the fix."""

import pytest

from written import GOOD, complaint

PIXEL = (
    '[[pixel]]\nid = "o8z6j"\nauth = { pixel_token = "env:X_PIXEL_TOKEN" }\nevents = { a = "b" }\n'
)

CHANGES = [
    (
        'id = "o8z6j"',
        'id = "O8Z6J"',
        (
            "pixel[0].id: 'O8Z6J' is not a pixel id. X's ids consist of digits and lowercase "
            'letters, such as "o8z6j"; copy the id from Events Manager'
        ),
    ),
    (
        '"o8z6k"',
        '"o8z6j"',
        (
            "pixel[0].events.purchase: 'o8z6j' is the pixel's own id, which X refuses as an event. "
            "Copy the id of the event from Events Manager"
        ),
    ),
    (
        "tw-o8z6j-o8z6m",
        "tw-o8z6j-o8z6j",
        (
            "pixel[0].events.sign_up: 'tw-o8z6j-o8z6j' is the pixel's own id, which X refuses as "
            "an event. Copy the id of the event from Events Manager"
        ),
    ),
    (
        "tw-o8z6j-o8z6m",
        "tw-zzzzz-o8z6m",
        (
            "pixel[0].events.sign_up: 'tw-zzzzz-o8z6m' is an event of the pixel 'zzzzz', not of "
            "'o8z6j'. Copy the event id from this pixel's events in Events Manager"
        ),
    ),
    (
        '"o8z6k"',
        '"Purchase!"',
        (
            "pixel[0].events.purchase: 'Purchase!' is not an event id. Write it as Events Manager "
            'shows it: "o8z6k" or "tw-o8z6j-o8z6k"'
        ),
    ),
    (
        '{ purchase = "o8z6k", sign_up = "tw-o8z6j-o8z6m" }',
        "{}",
        (
            "pixel[0].events: is empty. Map each of your event names to X's event id, for example "
            '{ purchase = "o8z6k" }'
        ),
    ),
    (
        '{ pixel_token = "env:X_PIXEL_TOKEN" }',
        "{}",
        (
            "pixel[0].auth: contains no credentials. Write { pixel_token = "
            '"env:X_PIXEL_TOKEN" }, or the four parts of OAuth 1.0a; or leave auth out and '
            "sign in with twite login"
        ),
    ),
    (
        '{ pixel_token = "env:X_PIXEL_TOKEN" }',
        '{ pixel_token = "env:X_PIXEL_TOKEN", token = "t" }',
        "pixel[0].auth.consumer_key: is missing: OAuth 1.0a needs all four parts",
    ),
    (
        '{ pixel_token = "env:X_PIXEL_TOKEN" }',
        '{ consumer_key = "c", token = "t", token_secret = "env:X_PIXEL_TOKEN" }',
        "pixel[0].auth.consumer_secret: is missing: OAuth 1.0a needs all four parts",
    ),
    (
        '{ pixel_token = "env:X_PIXEL_TOKEN" }',
        '{ pixel_token = "env:NOT_THERE" }',
        (
            "pixel[0].auth.pixel_token: the environment variable 'NOT_THERE' is not set. Set "
            "it before you start Twite"
        ),
    ),
    (
        '{ pixel_token = "env:X_PIXEL_TOKEN" }',
        '{ pixel_token = "file:not.there" }',
        (
            "pixel[0].auth.pixel_token: the file 'not.there' cannot be read (No such file or "
            "directory). Check its permissions and the path, which is relative to the "
            "settings file"
        ),
    ),
    (
        '{ pixel_token = "env:X_PIXEL_TOKEN" }',
        "{ pixel_token = 7 }",
        ('pixel[0].auth.pixel_token: must be a string, not a whole number. Write it as "…"'),
    ),
    (
        "[[source]]",
        f"{PIXEL}[[source]]",
        "pixel[1].id: 'o8z6j' is already the pixel at pixel[0].id. Remove or rename one",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "sentence"), CHANGES)
def test_wrong_pixel_setting_is_explained(tmp_path, right, wrong, sentence):
    assert GOOD.count(right) >= 1

    assert complaint(tmp_path, GOOD.replace(right, wrong, 1)) == sentence


def test_secret_under_a_wrong_key_is_not_shown_in_the_error(tmp_path):
    text = GOOD.replace('account = "18ce54d4x5t"', 'account = ["a-secret-in-a-list"]')

    sentence = complaint(tmp_path, text)

    assert sentence.startswith("pixel[0].account: must be a string, not a list.")
    assert "a-secret-in-a-list" not in sentence

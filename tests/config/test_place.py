"""The position of a setting in the file."""

import pytest

from twite.config.toml import position

TEXT = """\
# A comment about key = 1
[server]
listen = "127.0.0.1:8080"

[[pixel]]
id = "o8z6j"
auth = { pixel_token = "env:A", token = "env:B" }
events = { purchase = "o8z6k" }

[[pixel]]
id = "o8z7a"
"events" = { "sign up" = "o8z7b" }

[[source]]
name = "shop"
origins = [
  "https://shop.example",
  "https://shop2.example",
]
consent_policy.missing = "hold"
"""


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("server.listen", (3, 1)),
        ("pixel[0].id", (6, 1)),
        ("pixel[1].id", (11, 1)),
        ("pixel[0].auth.token", (7, 33)),
        ("pixel[0].auth.pixel_token", (7, 10)),
        ("pixel[0].events.purchase", (8, 12)),
        ("pixel[1].events.sign up", (12, 14)),
        ("pixel[1].auth", (10, 3)),  # missing: the table it should be in
        ("source[0].origins[1]", (16, 1)),
        ("source[0].consent_policy.missing", (20, 16)),
        ("store.url", None),
        ("TWITE_X__RATE", None),
        ("", None),
    ],
)
def test_place_of_a_setting_has_a_line_and_a_column(tmp_path, place, expected):
    path = tmp_path / "twite.toml"
    path.write_text(TEXT)

    assert position(path, place) == expected


def test_missing_settings_file_has_no_places(tmp_path):
    assert position(tmp_path / "twite.toml", "server.listen") is None

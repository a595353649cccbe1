"""What is stored of a text, a URL or JSON that may contain personal data."""

from base64 import b64encode
from urllib.parse import quote

import pytest

from twite.redaction.scrub_text import (
    free_text,
    names_a_person,
    scrubbed_address,
    scrubbed_json,
    scrubbed_path,
    without_persons,
)
from twite.redaction.shapes import MOST_READ

SHOP = "https://shop.alt"
DIGEST = "a" * 64
CODED = b64encode(b"anna@shop.alt".ljust(32)).decode()


def inside(url, *, times=1):
    """Return a URL as the parameter of another, repeatedly."""
    for _ in range(times):
        url = f"{SHOP}/?u={quote(url, safe='')}"
    return url


UNCHANGED = [
    "", "mug", "x=1", "first_name=1", "first_name=true", "first_name=NO", "first_name=***",
    f"first_name={DIGEST}", "first_name=", '"name": "Mug"', "a=b", "x" * (MOST_READ + 1),
    "%5Cu0040", "x" * (MOST_READ - 1) + "@", f"{SHOP}/?x=1#ok", f"{SHOP}?", inside(f"{SHOP}/?x=1"),
    f"{SHOP}/?xdtdc=abc&x=1", f"{SHOP}/?x=dtdc", f"{SHOP}/?u=1",
]  # fmt: skip
CHANGED = {
    "a@b.co": "***", "call +442079460059 now": "call *** now", "email=anna": "email=***",
    "first_name=Anna x": "first_name=*** x", "q=email=anna": "q=email=***",
    "x;first_name=Anna;y": "x;first_name=***;y",
    "first_name=Anna last_name=Bee x": "first_name=*** last_name=*** x",
    '"first_name": "Anna", "n": 1': '"first_name": "***", "n": 1',
    '"first_name":["Anna"]': '"first_name":["***"]', "a%40b.co and": "*** and",
    "a&#64;b.co x": "*** x", "x" * MOST_READ + "@": "***", "a&#64;b.co first_name=Anna":
    "*** first_name=***",
    "\\u005cu005cu005cu005cu005cu0040": "***", "name=Anna x": "name=*** x",
    # URLs
    f"{SHOP}/?u=https://a.alt/x&y=a@b.co": f"{SHOP}/?u=https://a.alt/x",
    "?y=a@b.co&" + "x" * (MOST_READ - 9): "?" + "x" * (MOST_READ - 9),
    f"{SHOP}/?email=anna&x=1": f"{SHOP}/?x=1", f"{SHOP}/?x=1&email=anna": f"{SHOP}/?x=1",
    f"{SHOP}/a@b.co/x?x=1#f": f"{SHOP}/-/x?x=1#f", f"{SHOP}/?x=1#a@b.co": f"{SHOP}/?x=1",
    f"{SHOP}/?x=a@b.co": f"{SHOP}/", f"{SHOP}/?a=1&x=a@b.co#": f"{SHOP}/?a=1#",
    "/u/a@b.co": "/u/-", "?x=a@b.co&y=1": "?y=1", "#a@b.co": "",
    f"{SHOP}/?e=a&#64;b.co&y=1": f"{SHOP}/-", "/x?e=a&#64;b.co": "-",
    f"{SHOP}/?dtdc=abc&email=a&x=1": f"{SHOP}/?x=1", f"{SHOP}/?dtcd=abc&email=a": f"{SHOP}/",
    f"{SHOP}/?dt%64c=abc&email=a&x=1": f"{SHOP}/?x=1",
    f"{SHOP}/?y=a@b.co&{'x' * MOST_READ}": f"{SHOP}/",
    inside(f"{SHOP}/?email=a&x=1"): inside(f"{SHOP}/?x=1"),
    inside(f"{SHOP}/?email=a&x=1", times=2): inside(f"{SHOP}/?x=1", times=2),
    inside(f"{SHOP}/?email=a&x=1", times=3): inside(f"{SHOP}/", times=2),
}  # fmt: skip


@pytest.mark.parametrize("text", UNCHANGED)
def test_text_without_personal_data_is_unchanged(text):
    assert without_persons(text) == text


@pytest.mark.parametrize(("text", "kept"), CHANGED.items())
def test_text_loses_only_its_personal_data(text, kept):
    assert without_persons(text) == kept
    assert without_persons(kept) == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (None, None), ("", None), ("   ", None), (" mug ", "mug"), (" a@b.co x ", "*** x"),
        ("x" * 300 + " a@b.co", "x" * 300 + " ***"),
    ],
)  # fmt: skip
def test_stored_text_is_trimmed(text, kept):
    assert free_text(text) == kept


@pytest.mark.parametrize("name", ["dtdc", "dtcd"])
def test_url_parameter_with_an_encoded_event_is_removed(name):
    assert scrubbed_address(f"{SHOP}/?{name}=abc&x=1") == f"{SHOP}/?x=1"


def test_urls_in_the_first_fifty_parameters_are_scrubbed_and_in_others_removed():
    parts = [f"u{n}={quote(f'{SHOP}/?email=a&k=1', safe='')}" for n in range(52)]
    kept = [f"u{n}={quote(f'{SHOP}/?k=1', safe='')}" for n in range(50)]

    assert scrubbed_address(f"{SHOP}/?{'&'.join(parts)}") == f"{SHOP}/?{'&'.join(kept)}"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/" + "x" * MOST_READ, "/" + "x" * MOST_READ),
        ("/a/b", "/a/b"), ("/a@b.co/x", "/-/x"), ("/a%40b.co", "/-"), ("/a@/b.co", "/a@/b.co"),
        ("/x/" + "x" * MOST_READ + "@", "-"), ("/x/tel:020/7946/0059", "-"),
        ("/a@b.co/" + "x" * (MOST_READ - 8), "/-/" + "x" * (MOST_READ - 8)),
    ],
)  # fmt: skip
def test_steps_of_a_url_path_with_personal_data_are_replaced(path, kept):
    assert scrubbed_path(path) == kept


@pytest.mark.parametrize(
    ("part", "is_named"),
    [
        ("", False), ("mug", False), ("x=1", False), ("&#&#64;", False), ("a@b.co", True),
        ("a%40b.co", True), ("email=anna", True), ("email%3Danna", True), ('"email": "x"', True),
        ("x" * (MOST_READ - 1) + "=", False), ("x" * MOST_READ + "=", True),
        ("x" * (MOST_READ + 1), False),
    ],
)  # fmt: skip
def test_part_of_a_url_with_personal_data_is_recognized(part, is_named):
    assert names_a_person(part) is is_named


# JSON, what is kept of typed data, and what is kept of other data.
JSON = [
    ('{"a":"mug"}', '{"a":"mug"}', '{"a":"mug"}'),
    ('{"a":"a@b.co","b":"x"}', '{"a":"***","b":"x"}', '{"a":"***","b":"x"}'),
    ('{"a":"+442079460059"}', '{"a":"***"}', '{"a":"***"}'),
    ('{"a":"a%40b.co"}', '{"a":"***"}', '{"a":"***"}'),
    ('{"a":"%2b442079460059"}', '{"a":"***"}', '{"a":"***"}'),
    ('{"a":"\uff0b442079460059"}', '{"a":"***"}', '{"a":"***"}'),
    ('{"a":"é"}', '{"a":"é"}', '{"a":"é"}'),
    ('{"a@b.co":1}', '{"***":1}', '{"***":1}'),
    ('{"a":"\\"a@b.co"}', '{"a":"***"}', '{"a":"***"}'),
    ('["x+1","a@b.co"]', '["x+1","***"]', '["x+1","***"]'),
    (f'["{DIGEST}","a@b.co"]', f'["{DIGEST}","***"]', f'["{DIGEST}","***"]'),
    (f'["{"x " * 200}a@b.co"]', f'["{"x " * 200}***"]', f'["{"x " * 200}***"]'),
    ('["\\u00e9","a@b.co"]', '["\\u00e9","***"]', '["\\u00e9","***"]'),
    # By its form, this is a SHA-256 in base64.
    (f'["{CODED}","a@b.co"]', f'["{CODED}","***"]', f'["{CODED}","***"]'),
    # Typed data has been searched before.
    ('{"a":"(020) 7946 0059"}', '{"a":"(020) 7946 0059"}', '{"a":"***"}'),
    ('["first_name=Anna"]', '["first_name=Anna"]', '["first_name=***"]'),
    ('["x%","first_name=Anna"]', '["x%","first_name=Anna"]', '["x%","first_name=***"]'),
]


@pytest.mark.parametrize(("given", "typed", "other"), JSON)
def test_json_loses_the_personal_data_in_its_texts_and_keys(given, typed, other):
    assert scrubbed_json(given.encode()).decode() == typed
    assert scrubbed_json(given.encode(), thoroughly=True).decode() == other

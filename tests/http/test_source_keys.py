import base64
import json
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_source
from twite.domain.secret import Secret
from twite.http.authorization import SourceKeys


def test_source_is_found_by_its_key():
    shop = a_source()

    assert SourceKeys([shop]).find(b"a-source-key") == shop
    assert SourceKeys([shop]).find(b"a-source-kez") is None
    assert SourceKeys([shop]).find(b"") is None


def test_source_without_a_key_is_never_found():
    browsers = msgspec.structs.replace(a_source(), key=None)

    assert SourceKeys([browsers]).find(b"") is None


def test_two_sources_cannot_share_a_key():
    with pytest.raises(ValueError, match="shop and blog have the same key"):
        SourceKeys([a_source("shop"), a_source("blog")])


def test_source_key_can_be_any_text():
    odd = msgspec.structs.replace(a_source(), key=Secret("schlüssel"))

    assert SourceKeys([odd]).find("schlüssel".encode()) == odd


KEY = "Zq/long-source.key_01"
KEYS = SourceKeys([msgspec.structs.replace(a_source(), key=Secret(KEY))])
ENCODED = "".join(f"%{ord(character):02x}" for character in KEY)
SPELLED = {
    "as it is": KEY,
    "percent-encoded": quote(KEY, safe=""),
    "each letter encoded": ENCODED,
    "encoded twice": quote(ENCODED, safe=""),
    "half encoded": f"{KEY[:9]}{ENCODED[27:]}",
    "escaped in JSON": KEY.replace("/", "\\/").replace("-", "\\u002D"),
    "escaped in JSON in JSON": json.dumps(KEY.replace("/", "\\/").replace("q", "\\u0071")),
}


@pytest.mark.parametrize("spelled", SPELLED.values(), ids=SPELLED)
def test_source_key_is_removed_from_a_body_in_every_spelling(spelled):
    before, after = b'{"url": "https://shop.example/?k=', b'&x=1"}'
    body = before + spelled.strip('"').encode() + after

    assert KEYS.without(body) == before + b"***" + after


@pytest.mark.parametrize("key", [KEY, "\xff\xfe??~~~>>>\xff\xef-key-01"])
@pytest.mark.parametrize("before", ["", "a", "ab", "abc", '{"k":"'])
@pytest.mark.parametrize("pack", [base64.b64encode, base64.urlsafe_b64encode])
def test_source_key_is_removed_from_base64(key, before, pack):
    keys = SourceKeys([msgspec.structs.replace(a_source(), key=Secret(key))])
    packed = pack(f"{before}{key} and more".encode()).decode()

    begin = len(before) * 4 // 3 + 4
    middle = packed[begin : begin + 8]

    for spelled in (str, lambda text: quote(text, safe=""), lambda text: text.replace("/", "\\/")):
        kept = keys.without(f"cart={spelled(packed)}; x=1".encode()).decode()
        assert "***" in kept
        assert spelled(middle) not in kept
        assert (kept[:5], kept[-5:]) == ("cart=", "; x=1")


def test_text_without_a_source_key_is_unchanged():
    body = quote('{"url": "https://shop.example/\\u0061?k=Zq/long-source.key_0&x=1%2F"}').encode()

    assert KEYS.without(body) == body
    scope = {"path": "/data", "query_string": body, "headers": [(b"a", body)]}
    assert KEYS.removed(scope) == scope


def test_source_key_is_removed_from_path_query_and_headers():
    packed = base64.b64encode(json.dumps({"a": 1, "url": f"https://a.b/?k={KEY}"}).encode())
    scope = KEYS.removed(
        {
            "path": f"/of/{KEY}/x",
            "query_string": f"a=1&k={ENCODED}&dl=x%3Fk%3D{ENCODED}&dtdc={quote(packed)}".encode(),
            "headers": [(b"referer", f"https://a.b/?k={KEY}".encode()), (b"x-k", KEY.encode())],
        }
    )

    assert scope["path"] == "/of/***/x"
    assert scope["headers"] == [(b"referer", b"https://a.b/?k=***")]
    a, dl, dtdc = scope["query_string"].decode().split("&")
    assert (a, dl) == ("a=1", "dl=x%3Fk%3D***")
    event = json.loads(
        base64.b64decode(dtdc.partition("=")[2].replace("%3D", "=").replace("%2F", "/"))
    )
    assert event == {"a": 1, "url": "https://a.b/?k=***"}


def test_ordinary_word_that_is_also_a_source_key_is_unchanged():
    weak = SourceKeys([msgspec.structs.replace(a_source(), key=Secret("purchase"))])

    assert weak.without(b"purchase") == b"purchase"


@given(st.binary(max_size=200), st.sampled_from(sorted(SPELLED.values())), st.binary(max_size=50))
def test_source_key_is_removed_in_every_encoding(before, spelled, after):
    kept = KEYS.without(before + spelled.encode() + after)

    assert spelled.strip('"').encode() not in kept
    assert KEYS.without(kept) == kept


@pytest.mark.parametrize("many", [1, 20])
def test_each_of_many_source_keys_is_removed(many):
    keys = SourceKeys(
        [
            msgspec.structs.replace(a_source(f"s{n}"), key=Secret(f"long-source-key-{n:05}"))
            for n in range(many)
        ]
    )

    assert keys.without(b"\xff long-source-key-%05d \xfe" % (many - 1)) == b"\xff *** \xfe"
    assert keys.without(b"\xff long-source-key- \xfe") == b"\xff long-source-key- \xfe"


def test_source_key_that_consists_of_punctuation_is_removed():
    keys = SourceKeys([msgspec.structs.replace(a_source(), key=Secret("/-/.-/-./-./-"))])

    assert keys.without(b"x /-/.-/-./-./- y") == b"x *** y"

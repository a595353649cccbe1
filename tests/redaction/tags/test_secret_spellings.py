"""Each encoding of a known secret is replaced exactly."""

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest

from twite.domain.secret import Secret
from twite.tags.redaction.secrets import spellings, without_secrets

KEY = 'key "of" the vendör'
SPELLED = {
    "percent-encoded": quote(KEY, safe=""),
    "as a form": quote_plus(KEY),
    "in a URL": quote(KEY, safe=";,/?:@&=+$-_.!~*'()#"),
    "hex": KEY.encode().hex(),
    "HEX": KEY.encode().hex().upper(),
    "escaped in ASCII": json.dumps(KEY)[1:-1],
    "escaped": json.dumps(KEY, ensure_ascii=False)[1:-1],
}


def without(text, key=KEY):
    return without_secrets({"k": text}, [Secret(key)])["k"]


@pytest.mark.parametrize("spelled", SPELLED.values(), ids=SPELLED)
def test_known_secret_is_replaced_in_each_encoding(spelled):
    assert without(f"it says {spelled} here") == "it says *** here"


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("after", range(3))
@pytest.mark.parametrize("key", ["hunter2b", "hunter2bc", "hunter2bcd?>?>", KEY])
def test_base64_of_a_secret_is_replaced_except_for_letters_shared_with_its_neighbors(
    key, before, after, encode
):
    low, high = (
        encode(sign * before + key.encode() + sign * after).decode() for sign in (b"\0", b"\xff")
    )
    own = [place for place, (a, b) in enumerate(zip(low, high, strict=True)) if a == b != "="]
    first, last = own[0], own[-1]

    assert own == [*range(first, last + 1)]
    if after or (before + len(key.encode())) % 3 == 0:
        assert without(low, key) == f"{low[:first]}***{low[last + 1 :]}"
    else:  # at the end of a text, the bits that follow the secret are zero
        assert without(low, key) == f"{low[:first]}***{low[last:]}"


def test_encodings_of_fewer_than_eight_characters_are_not_replaced():
    assert spellings("abc123") == {"abc123", "616263313233", "YWJjMTIz"}
    assert spellings("abc12") == {"abc12", "6162633132"}


@pytest.mark.parametrize("text", [KEY[1:], KEY[:-1]])
def test_part_of_a_secret_is_not_replaced(text):
    event = {"k": f"it says {text} here"}

    assert without_secrets(event, [Secret(KEY)]) is event


def test_secret_of_twelve_letters_is_replaced():
    assert without("by manufacturer", "manufacturer") == "by ***"
    assert without("by manufacture", "manufacture") == "by manufacture"

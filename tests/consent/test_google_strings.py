import pytest

from twite.consent.google import GcdValue, decode_flag, decode_gcd, decode_gcs
from twite.consent.gpp import decode_usp
from twite.consent.tcf import MalformedSignal

UNSET, DENIED, GRANTED, DEFAULT = (
    GcdValue.UNSET, GcdValue.DENIED, GcdValue.GRANTED, GcdValue.GRANTED_BY_DEFAULT,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "storage"),
    [
        ("G111", True),
        ("G110", True),
        ("G101", False),
        ("G100", False),
        ("G1-1", None),
        ("G1--", None),
    ],
)
def test_gcs_shows_whether_ad_storage_is_granted(text, storage):
    assert decode_gcs(text) is storage


@pytest.mark.parametrize(
    "text", ["", "G", "G1", "G11", "G1111", "G211", "G121", "g111", "G1\u06611"]
)
def test_invalid_gcs_is_malformed(text):
    assert isinstance(decode_gcs(text), MalformedSignal)


@pytest.mark.parametrize(
    ("letter", "word"),
    [
        ("l", UNSET), ("m", DENIED), ("n", GRANTED), ("p", DENIED), ("q", DENIED), ("r", GRANTED),
        ("t", DEFAULT), ("u", DENIED), ("v", GRANTED),
    ],
)  # fmt: skip
def test_gcd_letter_has_the_same_meaning_at_each_position(letter, word):
    for place in range(4):
        letters = ["l"] * 4
        letters[place] = letter
        expected = [UNSET] * 4
        expected[place] = word

        assert decode_gcd("1" + "".join(f"1{letter}" for letter in letters) + "5") == tuple(
            expected
        )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("11t1t1t1t5", (DEFAULT,) * 4),
        ("13r3r3r3r5", (GRANTED,) * 4),
        ("13l3l3l3l1", (UNSET,) * 4),
        ("11p1v1q1nl1", (DENIED, GRANTED, DENIED, GRANTED)),
    ],
)
def test_gcd_of_a_real_page_is_read(text, words):
    assert decode_gcd(text) == words


@pytest.mark.parametrize(
    "text", ["", "1", "11t1t1t", "21t1t1t1t5", "11o1t1t1t5", "11t1t1t1s5", "11T1t1t1t5", "1" * 99]
)
def test_invalid_gcd_is_malformed(text):
    assert isinstance(decode_gcd(text), MalformedSignal)


@pytest.mark.parametrize(
    ("text", "opted_out"),
    [
        ("1YNN", False),
        ("1YYN", True),
        ("1NYN", True),
        ("1yyn", True),
        ("1---", None),
        ("1Y-N", None),
    ],
)
def test_us_privacy_shows_an_opt_out_of_sale(text, opted_out):
    assert decode_usp(text) is opted_out


@pytest.mark.parametrize("text", ["", "1", "1YN", "2YYN", "1XXX", "1YYNN"])
def test_invalid_us_privacy_is_malformed(text):
    assert isinstance(decode_usp(text), MalformedSignal)


@pytest.mark.parametrize(
    ("word", "read"), [(True, True), ("1", True), ("YES", True), ("0", False), (False, False)]
)
def test_value_of_a_yes_or_no_signal_is_read(word, read):
    assert decode_flag(word) is read


def test_invalid_value_of_a_yes_or_no_signal_is_malformed():
    assert isinstance(decode_flag("perhaps"), MalformedSignal)

"""Which words look random, at each limit of the measured values."""

import pytest

from twite.tags.redaction.secrets import is_confidential, looks_secret, masked

RANDOM = {
    "three runs of digits": "abcdefgh12ijklmno34pqrst56uv",
    "20 signs, 15 of them digits": "123a456b789c012d345e",
    "a lower-case part of a path": "/shop/a1b2c3d4e5f6g7h8i9j0/order",
    "12 changes of kind in 26 signs": "QUser4NameADateTime2TimeAO",
    "17 changes of kind in 40 signs": "ThanksNameBBzShopNameShop4BANameUserName",
    "18 changes of kind in 42 letters": "zUserBzzOrderBNameBNameNameAAUserBUserName",
    "digits between words": "order12customer34invoice56",
    "letters without a vowel": "Bcdfgh1Jklmnp2Qrstvw3Xzbcdf",
    "40 letters without a word": "qXzWvKtRpLmNbGhJdFsCqXzWvKtRpLmNbGhJdFsC",
}
NAMES = {
    "path with digits in each part": "products2/summer2026/dress42/size38/blue7",
    "letters of one case with one run of digits": "xkcdqwrtzpsdfghjkl42bcd",
    "two runs of digits": "abcdefghi12jklmnopqrst56uv",
    "19 signs": "123a456b789c012d345",
    "20 signs, 16 of them digits": "1234a456b789c012d345",
    "few different signs": ("z" * 19 + "1") * 3,
    "9 changes of kind in 20 signs": "XQQ4Thanks7UserShop9",
    "11 of 20 signs in words": "pagecartXAA72QX97pag",
    "39 letters": "qXzWvKtRpLmNbGhJdFsCqXzWvKtRpLmNbGhJdFs",
    "40 letters in parts": "qXzWvKtRpLmNbGhJdFsC-qXzWvKtRpLmNbGhJdFsC",
}


@pytest.mark.parametrize("word", RANDOM.values(), ids=RANDOM)
def test_random_word_may_be_a_secret(word):
    assert looks_secret(word)


@pytest.mark.parametrize("word", NAMES.values(), ids=NAMES)
def test_word_that_does_not_look_random_is_not_a_secret(word):
    assert not looks_secret(word)


def test_secret_or_personal_data_in_a_word_is_recognized():
    assert is_confidential("sk_live_4eC39HqLyjWDarjtT1zdp7dc")
    assert is_confidential("anna@shop.alt")
    assert not is_confidential("mug")


def test_secret_that_begins_like_another_is_masked_completely():
    assert masked("sk_live_4eC39HqL sk_live_4eC39HqLyjWD") == "… …"

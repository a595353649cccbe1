"""A hash in a request is read, not hashed again."""

import hashlib

import pytest

from twite.domain.fault import fault
from twite.domain.normalize import digest

OF_ANNA = hashlib.sha256(b"anna@shop.alt").hexdigest()


@pytest.mark.parametrize("text", [OF_ANNA, OF_ANNA.upper(), f" {OF_ANNA}\n"])
def test_submitted_hash_is_read_in_any_case(text):
    assert digest(text, path="email") == OF_ANNA


@pytest.mark.parametrize("length", [32, 40, 128])
def test_hash_of_another_length_is_refused_with_its_length(length):
    assert digest("aB" * (length // 2), path="email") == fault(
        "email",
        "not_sha256",
        f"{length} hexadecimal digits are not a SHA-256 hash, which has 64",
    )


@pytest.mark.parametrize("text", ["", "anna@shop.alt", "a" * 63, "g" * 64])
def test_text_that_is_not_64_hexadecimal_digits_is_refused(text):
    assert digest(text, path="email") == fault("email", "not_sha256")


def test_hash_of_an_empty_text_is_refused():
    assert digest(hashlib.sha256(b"").hexdigest(), path="p") == fault("p", "hash_of_nothing")

import hashlib
import re
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.domain import normalize
from twite.domain.fault import Fault
from twite.domain.normalize import email_digest

X_VECTOR = "e586883b2b4faf78d48300a79e0e15138d664cdf796ffb86e533170a9893eda8"


def digest_of(text):
    return email_digest(text, path="email")


def code_of(text):
    read = digest_of(text)
    return read.code if isinstance(read, Fault) else "taken"


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("address", "digest"),
    [
        ("test-email@test.com", X_VECTOR),
        ("test@x.com", "5806dc6b2f04fb728708a8f7b81c14edcd4fba36f77914cf0c9368d9a3a25f76"),
        ("test@twitter.com", "d360d510a224510f373931ce2d6215a799f5a9c1cef221b0149b6b6b50cced62"),
    ],
)
def test_email_has_the_hash_that_x_computes(address, digest):
    assert digest_of(address) == digest


def test_hash_that_xs_page_prints_for_a_renamed_address_is_not_used():
    # X's page gives the digest of test@twitter.com as that of test@x.com.
    assert digest_of("test@x.com") != digest_of("test@twitter.com")


@pytest.mark.parametrize(
    "spelling",
    [
        " test-email@test.com",
        "test-email@test.com \t",
        "\r\ntest-email@test.com\n",
        "TEST-EMAIL@TEST.COM",
        "Test-Email@Test.Com",
        "\u00a0test-email@test.com\u2003",
        "\u200btest-email@test.com",
        "test-email\u200b@test.com",
        "test-email@test.com\u200d",
        "\ufefftest-email@test.com",
        "\u202atest-email@test.com\u202c",
        "\u2066test-email@test.com\u2069"[1:-1],
        "test\u00ad-email@test.com",
        "\u200b test-email@test.com \u200b",
    ],
)
def test_spaces_case_and_invisible_characters_of_an_email_are_ignored(spelling):
    assert digest_of(spelling) == X_VECTOR


def test_plus_tag_of_an_email_stays():
    assert digest_of("Bob+884@Example.com") == sha256("bob+884@example.com")


def test_dots_in_a_gmail_address_stay():
    assert digest_of("b.o.b@gmail.com") == sha256("b.o.b@gmail.com")


@pytest.mark.parametrize(
    "address",
    [
        "o'hara@example.com",
        "a/b=c@example.com",
        "x@sub.sub.example.co.uk",
        "1@example.com",
        "someone@123.example",
        "user@example.xn--p1ai",
        "user@xn--e1afmkfd.xn--p1ai",
        "иван@пример.рф",
        "user@उदाहरण.भारत",
        "user@例え.テスト",
        "müller@münchen.example",
    ],
)
def test_unusual_and_international_emails_are_hashed_as_written(address):
    assert digest_of(address) == sha256(address)


def test_email_is_the_same_in_every_unicode_normalization():
    assert digest_of("mu\u0308ller@example.com") == digest_of("m\u00fcller@example.com")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "N/A",
        "(not set)",
        "undefined",
        "none",
        "bob",
        "bob@",
        "@example.com",
        "bob@example",
        "bob@@example.com",
        "bob@example..com",
        "bob@.example.com",
        "bob@example.com.",
        "bob@-example.com",
        "bob@example.c",
        "bob@example.123",
        "bob@192.0.2.1",
        "bob@[192.0.2.1]",
        "bob example@example.com",
        '"bob"@example.com',
        "Bob <bob@example.com>",
        "bob@example.com, ann@example.com",
        "mailto:bob@example.com",
        "bob@example.com!",
        "bob@exam!ple.com",
        "bob\x00@example.com",
        "bob\x01@example.com",
        "bob@exam\x7fple.com",
        "a" * 65 + "@example.com",
        "a@" + "b" * 320 + ".com",
    ],
)
def test_undeliverable_email_has_an_error_code(text):
    assert code_of(text) == "email_unusable"


@pytest.mark.parametrize(("more", "code"), [(0, "taken"), (1, "email_unusable")])
def test_email_has_at_most_320_characters(more, code):
    domain = ".".join(["b" * 63] * 3 + ["c" * (60 + more), "de"])

    assert code_of(f"{'a' * 64}@{domain}") == code
    assert code_of(f" {'a' * 64}@{domain}") == code


def test_submitted_email_hash_is_not_hashed_again():
    assert digest_of(X_VECTOR) == X_VECTOR


def test_uppercase_email_hash_is_lowered():
    assert digest_of(f" {X_VECTOR.upper()} ") == X_VECTOR


@pytest.mark.parametrize("length", [32, 40, 128])
def test_hash_by_another_algorithm_is_refused_as_not_sha256(length):
    assert code_of("a1" * (length // 2)) == "not_sha256"


@pytest.mark.parametrize("length", [63, 65])
def test_text_of_hexadecimal_digits_of_the_wrong_length_is_not_hashed(length):
    assert code_of("a" * length) == "email_unusable"


def test_hash_of_the_empty_text_is_refused():
    assert code_of(sha256("")) == "hash_of_nothing"


def test_message_about_an_email_does_not_contain_it():
    read = digest_of("bob@@example.com")

    assert "bob" not in f"{read}"


@given(st.emails())
def test_submitted_email_hash_is_unchanged(address):
    once = digest_of(address)

    if not isinstance(once, Fault):
        assert digest_of(once) == once


@given(st.text(max_size=400))
def test_any_text_as_an_email_is_hashed_or_has_an_error_code(text):
    read = digest_of(text)

    assert isinstance(read, Fault) or (len(read) == 64 and read.isalnum())


@given(
    st.from_regex(r"[A-Za-z0-9._+-]{1,65}@(?:[A-Za-z0-9-]{1,64}\.)+[A-Za-z]{1,64}", fullmatch=True)
)
def test_fast_path_for_plain_emails_gives_the_hash_of_the_full_check(address):
    with patch.object(normalize, "_PLAIN_EMAIL", re.compile("(?!)")):
        thorough = digest_of(address)

    assert digest_of(address) == thorough

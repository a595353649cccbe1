"""Arbitrary consent signals raise no exception, and unreadable ones are not consent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from iab_strings import ALPHABET, MADE

from twite.consent.google import decode_flag, decode_gcd, decode_gcs, decode_word
from twite.consent.gpp import (
    decode_additional,
    decode_gpp,
    decode_names,
    decode_sid,
    decode_us_section,
    decode_usp,
)
from twite.consent.statements import KNOWN, ConsentStatus, statements
from twite.consent.tcf import decode_canada, decode_tcf
from twite.consent.verdict import verdict
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.domain.conversion import Identifiers

DECODERS = [
    decode_word, decode_flag, decode_gcs, decode_gcd, decode_usp, decode_tcf,
    decode_canada, decode_gpp, decode_sid, decode_additional, decode_names,
    *(lambda text, section=section: decode_us_section(section, text) for section in (7, 9, 24)),
]  # fmt: skip
ANY = st.text(st.characters()) | st.text(ALPHABET + ".~", max_size=200).map(lambda text: f"C{text}")
DATED = st.text(ALPHABET + ".~", max_size=200).map(lambda text: f"DBABM~{text}")
WORDS = st.one_of(ANY, DATED, st.booleans(), st.sampled_from(["granted", "denied", "1", "0", "DE"]))


@pytest.mark.parametrize("decode", DECODERS)
@given(text=ANY | DATED)
def test_any_text_as_a_consent_string_is_decoded_without_an_exception(decode, text):
    decode(text)


@given(st.dictionaries(st.sampled_from(sorted(KNOWN)) | st.text(), WORDS))
def test_any_consent_signals_have_a_verdict(given_signals):
    policy = ConsentPolicy(required=True, tcf_vendor_id=1, ac_provider_id=1, cmp_vendor="x")

    found = verdict(given_signals, Identifiers(click_id="a"), policy=policy, now=MADE)

    assert found.action in ConsentAction


@given(st.text(ALPHABET, min_size=40, max_size=200))
def test_random_consent_string_is_never_consent(text):
    said = statements({"tcf": f"CQ{text}"}, ConsentPolicy(), now=MADE)

    assert all(statement.status is not ConsentStatus.GRANTED for statement in said)

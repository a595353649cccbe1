import pytest
from hypothesis import given
from hypothesis import strategies as st

from twite.consent.signals import objection


@pytest.mark.parametrize("word", ["granted", "GRANTED", " Granted ", "true", "1", "yes", True])
def test_a_grant_lets_pass_even_where_consent_is_required(word):
    assert objection({"ad_storage": word}, required=True) is None


@pytest.mark.parametrize("word", ["denied", "DENIED", " Denied ", "false", "0", "no", False])
@pytest.mark.parametrize("name", ["ad_storage", "ad_user_data"])
@pytest.mark.parametrize("required", [True, False])
def test_a_denial_counts_wherever_it_stands(word, name, required):
    assert objection({name: word}, required=required) == f"consent_denied: {name}"


@pytest.mark.parametrize("required", [True, False])
def test_a_denial_beats_a_grant(required):
    signals = {"ad_storage": "granted", "ad_user_data": "denied"}

    assert objection(signals, required=required) == "consent_denied: ad_user_data"


@pytest.mark.parametrize("name", ["AD_STORAGE", "Ad_Storage", " ad_storage "])
def test_a_denial_counts_however_its_name_is_written(name):
    assert objection({name: "denied"}, required=False) == "consent_denied: ad_storage"


def test_a_denial_counts_beside_a_grant_of_the_same_name():
    signals = {"ad_storage": "granted", "AD_STORAGE": "denied"}

    assert objection(signals, required=False) == "consent_denied: ad_storage"


@pytest.mark.parametrize(
    "signals",
    [None, {}, {"ad_storage": ""}, {"analytics_storage": "granted"}],
)
def test_silence_is_denial_only_where_consent_is_required(signals):
    assert objection(signals, required=True) == "consent_missing"
    assert objection(signals, required=False) is None


def test_other_signals_decide_nothing():
    assert objection({"analytics_storage": "denied"}, required=False) is None


SIGNALS = st.dictionaries(
    st.sampled_from(["ad_storage", "ad_user_data", "analytics_storage", "other"]),
    st.sampled_from(["granted", "denied", "", "x", True, False]),
)


@given(SIGNALS)
def test_to_require_consent_never_lets_more_through(signals):
    if objection(signals, required=True) is None:
        assert objection(signals, required=False) is None


@given(SIGNALS, st.sampled_from(["ad_storage", "ad_user_data"]))
def test_one_more_denial_never_lets_anything_through(signals, name):
    assert objection(signals | {name: "denied"}, required=False) is not None


@pytest.mark.parametrize(
    "signals",
    [
        {"ad_storge": "denied"},
        {"ad_storage": "refused"},
        {"ad_storage": "granted", "ad_user_data": "maybe"},
        {"": "granted"},
    ],
)
def test_what_may_be_a_misspelt_denial_sends_nothing(signals):
    reason = objection(signals, required=False)

    assert reason is not None
    assert reason.startswith("consent_unclear: ")

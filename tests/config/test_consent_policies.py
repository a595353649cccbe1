import pytest

from twite.domain.consent import EEA, ConsentAction, ConsentPolicy, policy_version
from twite.domain.errors import SettingsError
from written import GOOD, read


def policy(tmp_path, *lines):
    # The file ends with its only source, so the policy belongs to that source.
    return read(tmp_path, GOOD + "\n[source.consent_policy]\n" + "\n".join(lines))


def test_source_without_a_consent_table_has_the_default_policy(tmp_path):
    found = read(tmp_path)

    assert found.sources()[0].consent == ConsentPolicy()


def test_every_key_of_a_consent_policy_is_read(tmp_path):
    found = policy(
        tmp_path,
        'storage_denied = "strip"',
        'user_data_denied = "strip"',
        'personalization_denied = "send"',
        'us_opt_out = "restrict"',
        'unclear = "ignore"',
        'missing = "hold"',
        'strict_regions = ["EEA", "BR"]',
        "tcf_purposes = [1, 2, 7]",
        "tcf_optimization_purposes = [4]",
        "tcf_vendor_id = 999",
        "ac_provider_id = 35",
        'cmp_vendor = "x-twitter"',
    )

    assert found.sources()[0].consent == ConsentPolicy(
        storage_denied=ConsentAction.STRIP,
        user_data_denied=ConsentAction.STRIP,
        personalization_denied=ConsentAction.SEND,
        us_opt_out=ConsentAction.RESTRICT,
        unclear=None,
        missing=ConsentAction.HOLD,
        strict_regions=EEA | {"BR"},
        tcf_purposes=(1, 2, 7),
        tcf_optimization_purposes=(4,),
        tcf_vendor_id=999,
        ac_provider_id=35,
        cmp_vendor="x-twitter",
    )


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ('storage_denied = "restrict"', "storage_denied"),
        ('unclear = "strip"', "unclear"),
        ('strict_regions = ["Germany"]', "strict_regions[0]"),
        ("tcf_purposes = []", "tcf_purposes"),
        ("tcf_purposes = [1, 1]", "tcf_purposes[1]"),
        ("tcf_purposes = [25]", "tcf_purposes[0]"),
        ("tcf_vendor_id = 0", "tcf_vendor_id"),
        ('colour = "red"', "colour"),
    ],
)
def test_wrong_consent_policy_is_explained_with_its_place(tmp_path, line, place):
    with pytest.raises(SettingsError) as wrong:
        policy(tmp_path, line)

    assert wrong.value.place == f"source[0].consent_policy.{place}"


def test_version_of_a_consent_policy_depends_on_its_content():
    first, strict, other_reading = (
        ConsentPolicy(), ConsentPolicy(required=True), ConsentPolicy(tcf_purposes=(1, 2)),
    )  # fmt: skip

    (single, read_one), (two, read_two), (three, read_three) = (
        policy_version(policy).split(".") for policy in (first, strict, other_reading)
    )

    assert len({single, two, three}) == 3
    assert read_one == read_two != read_three


def test_restriction_is_disabled_if_x_does_not_support_it(tmp_path):
    found = read(tmp_path, environ={"TWITE_X__RESTRICTED_DATA_USE": "unsupported"})

    assert not found.sources()[0].consent.can_restrict

import pytest
from tag_cases import cases, outcome

CASES = list(cases())


@pytest.mark.parametrize(
    ("endpoint", "case"), CASES, ids=[f"{endpoint}: {c['says']}" for endpoint, c in CASES]
)
def test_tag_request_becomes_the_conversions_of_its_case(endpoint, case):
    expected = {key: case[key] for key in ("conversions", "ignored", "error") if key in case}

    assert outcome(endpoint, case) == expected


def test_names_of_the_cases_are_unique():
    claims = [(endpoint, case["says"]) for endpoint, case in CASES]

    assert len(set(claims)) == len(claims)

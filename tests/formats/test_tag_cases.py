import pytest
from tag_cases import cases, outcome

CASES = list(cases())


@pytest.mark.parametrize(("door", "case"), CASES, ids=[f"{door}: {c['says']}" for door, c in CASES])
def test_what_a_tag_sends_becomes(door, case):
    expected = {key: case[key] for key in ("conversions", "ignored", "error") if key in case}

    assert outcome(door, case) == expected


def test_no_case_is_told_twice():
    claims = [(door, case["says"]) for door, case in CASES]

    assert len(set(claims)) == len(claims)

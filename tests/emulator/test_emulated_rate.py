"""Rate limits: 60,000 conversions per account in 15 minutes, and their headers."""

import pytest
from x_requests import NOW, Time, a_conversion, a_judge, a_request, answer_of, counted, reply


def conversions(number):
    return [a_conversion(conversion_id=str(index)) for index in range(number)]


def headers_of(judge, request):
    headers = dict(judge.answer(request).answer.headers)
    return {name: value for name, value in headers.items() if "rate" in name}


def test_each_response_has_rate_limit_headers():
    headers = headers_of(a_judge(), a_request(*conversions(3)))

    assert headers == {
        "x-rate-limit-limit": "60000",
        "x-rate-limit-remaining": "59997",
        "x-rate-limit-reset": str(int(NOW) + 900),
    }


def test_batch_over_the_limit_is_429_and_counts_nothing():
    judge = a_judge("rate_limit=5")
    answer_of(judge, *conversions(3))

    verdict = judge.answer(a_request(*conversions(3)))

    headers = dict(verdict.answer.headers)
    status, document = reply(verdict.answer)
    assert (status, document["errors"][0]["code"]) == (429, "TOO_MANY_REQUESTS")
    assert (headers["x-rate-limit-remaining"], counted(judge)) == ("2", 3)
    assert headers["x-rate-limit-reset"] == str(int(NOW) + 900)


def test_rate_limit_is_reset_after_15_minutes():
    clock = Time()
    judge = a_judge("rate_limit=1", clock=clock)
    answer_of(judge, a_conversion())

    statuses = []
    for clock.now in (NOW + 899, NOW + 900):
        statuses.append(answer_of(judge, a_conversion())[0])

    assert statuses == [429, 200]


def test_refused_batch_does_not_count_against_the_rate_limit():
    judge = a_judge("rate_limit=1")

    statuses = [
        answer_of(judge, conversion)[0]
        for conversion in (a_conversion(event_id="x"), a_conversion())
    ]

    assert statuses == [404, 200]


def test_each_account_has_its_own_rate_limit():
    judge = a_judge("rate_limit=1")
    foreign = {"pixel": "o6dkt", "token": "emulator-pixel-token-o6dkt"}

    statuses = [
        answer_of(judge, a_conversion())[0],
        answer_of(judge, a_conversion(event_id="o6dkv"), **foreign)[0],
        answer_of(judge, a_conversion())[0],
    ]

    assert statuses == [200, 200, 429]


def test_rate_limit_can_count_requests_by_switch():
    judge = a_judge("rate_unit=requests", "rate_limit=2")

    statuses = [answer_of(judge, *conversions(100))[0] for _ in range(3)]

    assert statuses == [200, 200, 429]


@pytest.mark.parametrize(
    ("switch", "names"),
    [
        ("rate_headers=none", set()),
        ("rate_headers=oauth", set()),
        ("rate_header_kind=account", {"x-account-rate-limit-limit"}),
        ("rate_header_kind=both", {"x-account-rate-limit-limit", "x-rate-limit-limit"}),
    ],
)
def test_rate_limit_headers_can_be_switched_off(switch, names):
    headers = headers_of(a_judge(switch), a_request(a_conversion()))

    assert {name for name in headers if name.endswith("-limit-limit")} == names

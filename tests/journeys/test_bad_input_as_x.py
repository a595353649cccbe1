import pytest

X_GOOD = {
    "conversion_time": "2026-11-24T10:00:00.000Z",
    "event_id": "o8z6k",
    "identifiers": [{"twclid": "23opevjt88psuo13lu8d020qkn"}],
    "conversion_id": "good",
}


@pytest.mark.parametrize(
    ("given", "status", "code", "parameter"),
    [
        (b"not JSON", 400, "INVALID_PARAMETER", ""),
        (b"[" * 10_000, 400, "INVALID_PARAMETER", ""),
        (b'{"conversions":[{"value":NaN}]}', 400, "INVALID_PARAMETER", ""),
        ({"conversions": []}, 400, "INVALID_PARAMETER", "conversions"),
        ({"conversions": [X_GOOD] * 501}, 400, "INVALID_PARAMETER", ""),
        (
            {"conversions": [X_GOOD, {**X_GOOD, "identifiers": [{"twclid": ""}]}]},
            400,
            "INVALID_PARAMETER",
            "",
        ),
        (
            {"conversions": [X_GOOD, {**X_GOOD, "event_id": "o8z6j"}]},
            400,
            "INVALID_PARAMETER",
            "event_id",
        ),
        (
            {"conversions": [X_GOOD, {**X_GOOD, "event_id": "tw-oka17-abc"}]},
            404,
            "NOT_FOUND",
            "event_id",
        ),
        (
            {"conversions": [X_GOOD, {**X_GOOD, "conversion_time": "2026-11-24T10:00:00"}]},
            400,
            "INVALID_PARAMETER",
            "conversion_time",
        ),
        (
            {"conversions": [X_GOOD, {**X_GOOD, "identifiers": [{"hashed_email": "abc"}]}]},
            400,
            "INVALID_PARAMETER",
            "hashed_email",
        ),
        (
            {"conversions": [X_GOOD, {**X_GOOD, "description": "a\u0000b"}]},
            400,
            "INVALID_PARAMETER",
            "description",
        ),
    ],
)
async def test_batch_that_x_would_refuse_is_refused_as_a_whole(api, given, status, code, parameter):
    answer = await api.submit_as_x(given)

    first = answer.json()["errors"][0]
    assert (answer.status, first["code"], first["parameter"]) == (status, code, parameter)
    assert await api.counts() == {}


async def test_batch_of_501_conversions_is_refused_like_at_x(api):
    answer = await api.submit_as_x({"conversions": [X_GOOD] * 501})

    assert answer.json()["errors"] == [
        {
            "code": "INVALID_PARAMETER",
            "message": "Conversion count limit is 500",
            "parameter": "",
        }
    ]


async def test_wrong_token_on_the_x_route_gets_xs_401(api):
    answer = await api.submit_as_x({"conversions": [X_GOOD]}, X_Pixel_Token="wrong")

    assert (answer.status, answer.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED_ACCESS")
    assert await api.counts() == {}


async def test_unknown_pixel_on_the_x_route_gets_404(api):
    answer = await api.submit_as_x({"conversions": [X_GOOD]}, pixel="oka17")

    assert (answer.status, answer.json()["errors"][0]["code"]) == (404, "NOT_FOUND")
    assert await api.counts() == {}

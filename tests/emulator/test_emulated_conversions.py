"""The conversions endpoint answers as X documents, word for word."""

import uuid

import pytest
from x_requests import (
    ACCOUNT,
    a_conversion,
    a_judge,
    a_request,
    answer_of,
    counted,
    refused,
    reply,
    signed_conversions,
)

INVALID = "INVALID_PARAMETER"


def test_valid_conversion_gets_the_documented_response():
    judge = a_judge()

    status, document = answer_of(judge, a_conversion(), a_conversion(conversion_id="order-2"))

    debug_id = document["data"].pop("debug_id")
    assert uuid.UUID(debug_id).version == 4
    assert (status, document) == (
        200,
        {"request": {"params": {"account_id": ACCOUNT}}, "data": {"conversions_processed": 2}},
    )


def test_pixel_id_in_place_of_an_event_id_is_refused():
    answer = answer_of(a_judge(), a_conversion(event_id="o8z6j"))

    error = (INVALID, "event_id (o8z6j) is not a single event tag (SET)", "event_id")
    assert answer == (400, refused(error))


def test_identifier_with_an_empty_value_does_not_count():
    answer = answer_of(a_judge(), a_conversion(identifiers=[{"twclid": ""}]))

    error = (INVALID, "At least one user identifier must be provided", "")
    assert answer == (400, refused(error))


def test_refusal_quotes_the_invalid_email_hash():
    answer = answer_of(a_judge(), a_conversion(identifiers=[{"hashed_email": "abc"}]))

    error = (INVALID, "hashed_email (abc) is not a valid SHA-256 hash", "hashed_email")
    assert answer == (400, refused(error))


def test_time_without_a_zone_is_refused_like_at_x():
    answer = answer_of(a_judge(), a_conversion(conversion_time="2022-06-16T01:14:00.603"))

    message = (
        'Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "2022-06-16T01:14:00.603" '
        "for conversion_time"
    )
    assert answer == (400, refused((INVALID, message, "conversion_time")))


@pytest.mark.parametrize("event_id", ["abc", "o6dkv", "tw-o8z6j-abc", "tw-o6dkt-o8z6k", "tw-x"])
def test_event_of_another_account_is_not_found_and_invalid(event_id):
    answer = answer_of(a_judge(), a_conversion(event_id=event_id))

    errors = (
        ("NOT_FOUND", f"event_id ({event_id}) does not belong to provided account", "event_id"),
        (INVALID, f"event_id ({event_id}) is not a single event tag (SET)", "event_id"),
    )
    assert answer == (404, refused(*errors))


def test_conversion_without_an_event_is_refused():
    answer = answer_of(a_judge(), a_conversion(event_id=None))

    assert answer == (400, refused((INVALID, "Event ID was not found", "event_id")))


def test_batch_of_500_conversions_is_accepted():
    conversions = [a_conversion(conversion_id=str(number)) for number in range(500)]

    status, document = answer_of(a_judge(), *conversions)

    assert (status, document["data"]["conversions_processed"]) == (200, 500)


def test_batch_over_500_conversions_is_refused_without_checks():
    answer = answer_of(a_judge(), *[{}] * 501)

    assert answer == (400, refused((INVALID, "Conversion count limit is 500", "conversions")))


def test_refusal_lists_all_problems_in_order_without_an_index():
    bad = a_conversion(
        identifiers=[{"hashed_email": "abc"}], conversion_time="soon", event_id="o8z6j"
    )

    answer = answer_of(a_judge(), a_conversion(), bad, a_conversion(identifiers=[]))

    time = 'Expected Time in yyyy-MM-ddTHH:mm:ss.SSSZ, got "soon" for conversion_time'
    errors = (
        (INVALID, "event_id (o8z6j) is not a single event tag (SET)", "event_id"),
        (INVALID, time, "conversion_time"),
        (INVALID, "hashed_email (abc) is not a valid SHA-256 hash", "hashed_email"),
        (INVALID, "At least one user identifier must be provided", ""),
    )
    assert answer == (400, refused(*errors))


def test_response_with_one_not_found_problem_is_404():
    bad = a_conversion(conversion_time="soon")

    status, document = answer_of(a_judge(), bad, a_conversion(event_id="abc"))

    codes = [error["code"] for error in document["errors"]]
    assert (status, codes) == (404, [INVALID, "NOT_FOUND", INVALID])


def test_refused_batch_counts_no_conversion():
    judge = a_judge()

    answer_of(judge, a_conversion(), a_conversion(event_id="abc"))

    assert counted(judge) == 0


def test_both_forms_of_an_event_id_name_the_same_event():
    judge = a_judge()

    answer_of(judge, a_conversion(), a_conversion(event_id="tw-o8z6j-o8z6k"))

    assert counted(judge) == 2


@pytest.mark.parametrize("version", ["11", "12"])
def test_both_api_versions_are_served_and_name_the_current_version(version):
    answer = a_judge().answer(a_request(a_conversion(), version=version)).answer

    headers = dict(answer.headers)
    assert (answer.status, headers["x-current-api-version"]) == (200, "12")


@pytest.mark.parametrize("path", ["/10/measurement/conversions/o8z6j", "/12/measurement", "/"])
def test_unknown_route_gets_a_404(path):
    request = a_request(a_conversion())
    unknown = type(request)(method="POST", url="https://ads-api.x.com", path=path, headers={})

    answer = reply(a_judge().answer(unknown).answer)

    error = {"code": "ROUTE_NOT_FOUND", "message": "The requested resource could not be found"}
    assert answer == (404, {"errors": [error], "request": {"params": {}}})


def test_wrong_method_on_conversions_is_not_allowed():
    request = a_request()
    got = type(request)(method="GET", url=request.url, path=request.path, headers={})

    status, document = reply(a_judge().answer(got).answer)

    assert (status, document["errors"][0]["code"]) == (405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 10_000 + b"]" * 10_000,
        b'{"conversions": [NaN]}',
        b'{"conversions": ["\\ud800"]}',
        b"\xff",
        b"\x1f\x8b\x08",
    ],
)
def test_body_that_is_not_json_is_refused(body):
    answer = answer_of(a_judge(), body=body)

    document = {
        "errors": [{"code": INVALID, "message": "The request body is not valid JSON"}],
        "request": {"params": {"account_id": ACCOUNT}},
    }
    assert answer == (400, document)


@pytest.mark.parametrize(
    ("body", "code", "parameter"),
    [
        (b"[]", INVALID, "body"),
        (b"{}", "MISSING_PARAMETER", "conversions"),
        (b'{"conversions": 5}', INVALID, "conversions"),
        (b'{"conversions": []}', INVALID, "conversions"),
        (b'{"conversions": ["order"]}', INVALID, "conversions"),
    ],
)
def test_malformed_list_of_conversions_is_refused(body, code, parameter):
    status, document = answer_of(a_judge(), body=body)

    error = document["errors"][0]
    assert (status, error["code"], error["parameter"]) == (400, code, parameter)


def test_unknown_pixel_is_not_found_for_a_signed_request():
    status, document = reply(
        a_judge().answer(signed_conversions(a_conversion(), pixel="zzz")).answer
    )

    assert (status, document["errors"][0]["code"]) == (404, "NOT_FOUND")


def test_credentials_are_checked_before_the_body():
    answer = a_judge().answer(a_request(body=b"{", token="wrong")).answer

    assert answer.status == 401


def test_switch_partial_success_counts_valid_conversions_and_lists_errors():
    judge = a_judge("partial_success=on")

    status, document = answer_of(judge, a_conversion(), a_conversion(event_id="o8z6j"))

    reported = (document["data"]["conversions_processed"], len(document["errors"]), counted(judge))
    assert (status, reported) == (200, (1, 1, 1))


def test_unchecked_conversions_are_only_counted():
    judge = a_judge("checks=off")

    status, document = answer_of(judge, {}, {}, {}, token="wrong")

    taken = document["data"]["conversions_processed"]
    assert (status, taken, judge.ledger.unchecked) == (200, 3, {"o8z6j": 3})


def test_switch_hides_the_account_from_a_pixel_token():
    _, document = answer_of(a_judge("echo_account=off"), a_conversion())

    assert document["request"] == {"params": {}}


def test_switch_refuses_a_batch_of_several_events():
    judge = a_judge("single_event_batch=on")

    status, _ = answer_of(judge, a_conversion(), a_conversion(event_id="o8z6m"))

    assert (status, counted(judge)) == (400, 0)


def test_switch_removes_conversions_from_the_sandbox_host():
    request = a_request(a_conversion())
    headers = {**request.headers, "host": "ads-api-sandbox.x.com"}
    asked = type(request)(
        method="POST", url=request.url, path=request.path, headers=headers, body=request.body
    )

    found = a_judge().answer(asked).answer.status
    missed = a_judge("sandbox=off").answer(asked).answer.status

    assert (found, missed) == (200, 404)


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"conversions": 5}'])
def test_malformed_batch_is_refused_even_without_checks(body):
    judge = a_judge("checks=off")

    assert (answer_of(judge, body=body)[0], judge.ledger.unchecked) == (400, {})

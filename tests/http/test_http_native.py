import asyncio
import gzip

import msgspec
import pytest
from http_stage import a_receipt

from builders import a_source
from twite.domain.errors import LedgerUnavailable, MalformedRequest, QueueFull
from twite.domain.fault import fault
from twite.domain.secret import Secret
from twite.domain.submission import RejectedConversion
from twite.formats.native.answers import IdentifierWarning
from twite.gateway.ports.events import ProblemSeen, TurnedAway
from twite.http import HttpLimits

ONE = b'{"event":"purchase","email":"shopper@example.com"}'


async def test_stored_submission_gets_202_with_its_receipt(stage):
    answer = await stage.submit(ONE)

    assert answer.status == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "receipt": "r1",
        "accepted": 1,
        "duplicates": 0,
        "suppressed": 0,
        "rejected": [],
    }
    assert stage.accept.seen == [("shop", ONE, None)]


async def test_submission_with_only_rejected_conversions_is_422_with_the_reasons(stage):
    refusal = RejectedConversion(
        index=0, pixel="o8z6j", errors=(fault("email_sha256", "not_sha256"),)
    )
    stage.accept.native_answer = a_receipt(rejected=(refusal,))

    answer = await stage.submit(ONE)

    assert answer.status == 422
    assert answer.json()["rejected"] == [
        {
            "index": 0,
            "errors": [
                {
                    "path": "email_sha256",
                    "code": "not_sha256",
                    "message": "not a SHA-256 digest of 64 hexadecimal digits",
                }
            ],
        }
    ]


@pytest.mark.parametrize("counted", ["duplicates", "suppressed"])
async def test_duplicates_and_suppressed_conversions_are_accepted(stage, counted):
    stage.accept.native_answer = a_receipt(**{counted: 1})

    answer = await stage.submit(ONE)

    assert answer.status == 202


async def test_omitted_identifiers_are_reported_as_warnings(stage):
    remark = IdentifierWarning(index=0, warnings=(fault("phone", "phone_unusable"),))
    stage.accept.native_answer = a_receipt(accepted=1, warnings=(remark,))

    answer = await stage.submit(ONE)

    assert answer.json()["warnings"] == [
        {
            "index": 0,
            "warnings": [
                {"path": "phone", "code": "phone_unusable", "message": "not a phone number"}
            ],
        }
    ]


async def test_source_key_identifies_the_source(staged):
    other = msgspec.structs.replace(a_source("blog"), key=Secret("another-key"))
    stage = await staged(sources=[a_source(), other])

    await stage.submit(ONE, key="another-key")

    assert [source for source, _, _ in stage.accept.seen] == ["blog"]


async def test_authorization_scheme_can_be_written_in_any_case(stage):
    answer = await stage.submit(ONE, key=None, headers={"Authorization": "bEARER a-source-key"})

    assert answer.status == 202


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("", "key_missing"),
        ("Basic YTpi", "key_missing"),
        ("Bearer", "key_missing"),
        ("Bearer ", "key_missing"),
        ("Bearer wrong", "key_wrong"),
        ("Bearer a-source-key2", "key_wrong"),
        ("Bearer \xe9\xff", "key_wrong"),
    ],
)
async def test_submission_without_a_source_key_is_refused(stage, authorization, code):
    answer = await stage.submit(ONE, key=None, headers={"Authorization": authorization})

    assert answer.status == 401
    assert answer.faults() == [("", code)]
    assert answer.headers["www-authenticate"] == 'Bearer realm="twite"'
    assert stage.accept.seen == []


@pytest.mark.parametrize(
    "declared",
    [
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        'application/json; charset="utf-8"',
    ],
)
async def test_json_with_the_utf_8_charset_is_accepted(stage, declared):
    answer = await stage.submit(ONE, headers={"Content-Type": declared})

    assert answer.status == 202


@pytest.mark.parametrize(
    "declared",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"],
)
async def test_submission_with_another_content_type_is_refused(stage, declared):
    answer = await stage.submit(ONE, headers={"Content-Type": declared})

    assert answer.status == 415
    assert answer.faults() == [("", "content_type")]
    assert stage.accept.seen == []


async def test_idempotency_key_is_used_for_derived_ids(stage):
    await stage.submit(ONE, headers={"Idempotency-Key": "order 1001/try"})

    assert stage.accept.seen == [("shop", ONE, "order 1001/try")]


@pytest.mark.parametrize("key", ["x" * 256, "caf\xe9", "a\tb"])
async def test_idempotency_key_is_1_to_255_printable_ascii_characters(stage, key):
    answer = await stage.submit(ONE, headers={"Idempotency-Key": key})

    assert answer.status == 400
    assert answer.faults() == [("", "idempotency_key")]


async def test_malformed_request_is_400_with_path_and_message(stage):
    stage.accept.native_answer = MalformedRequest(
        code="unknown_field", path="emial", message='"emial" is not a field; did you mean "email"?'
    )

    answer = await stage.submit(ONE)

    assert answer.status == 400
    assert answer.json() == {
        "errors": [
            {
                "path": "emial",
                "code": "unknown_field",
                "message": '"emial" is not a field; did you mean "email"?',
            }
        ]
    }


async def test_more_than_1000_conversions_are_413(stage):
    stage.accept.native_answer = MalformedRequest(
        code="too_many", path="conversions", message="1001"
    )

    answer = await stage.submit(ONE)

    assert answer.status == 413


@pytest.mark.parametrize(
    ("passing", "status", "code"),
    [
        (QueueFull(reason="full", retry_after=2), 429, "queue_full"),
        (LedgerUnavailable(reason="disk full", retry_after=30), 503, "ledger_unavailable"),
    ],
)
async def test_temporary_refusal_has_a_retry_after_header(stage, passing, status, code):
    stage.accept.native_answer = passing

    answer = await stage.submit(ONE)

    assert answer.status == status
    assert answer.faults() == [("", code)]
    assert answer.headers["retry-after"] == str(passing.retry_after)


@pytest.mark.parametrize(
    "unreadable", [RecursionError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no")]
)
async def test_body_that_is_not_utf_8_is_a_client_error(stage, unreadable):
    stage.accept.native_answer = unreadable

    answer = await stage.submit(ONE)

    assert answer.status == 400
    assert stage.notices.seen == [
        TurnedAway(source="shop", endpoint="native", code="body_unreadable"),
    ]


async def test_unexpected_error_is_500_and_reported_once_without_its_text(stage):
    stage.accept.native_answer = KeyError("shopper@example.com")

    answer = await stage.submit(ONE)

    assert answer.status == 500
    assert answer.faults() == [("", "unexpected")]
    [notice] = stage.notices.seen
    assert isinstance(notice, ProblemSeen)
    assert notice.where == "/v1/conversions"
    assert notice.reason.startswith("KeyError in native")
    assert "example" not in notice.reason


async def test_concurrent_submissions_above_the_limit_get_retry_after(staged):
    stage = await staged(limits=HttpLimits(requests=1))
    stage.accept.until = asyncio.Event()
    first = asyncio.create_task(stage.submit(ONE))
    await stage.accept.came.wait()

    second = await stage.submit(ONE)
    stage.accept.until.set()

    assert second.status == 429
    assert second.faults() == [("", "too_busy")]
    assert second.headers["retry-after"] == "1"
    assert (await first).status == 202
    assert (await stage.submit(ONE)).status == 202


async def test_concurrent_body_bytes_above_the_limit_get_retry_after(staged):
    stage = await staged(limits=HttpLimits(bodies=len(ONE) * 2))
    stage.accept.until = asyncio.Event()
    first = asyncio.create_task(stage.submit(ONE))
    await stage.accept.came.wait()

    answers = [
        await stage.submit(ONE + b" "),
        await stage.submit(gzip.compress(ONE), headers={"Content-Encoding": "gzip"}),
    ]
    stage.accept.until.set()

    assert [answer.status for answer in answers] == [429, 429]
    assert (await first).status == 202


async def test_single_body_is_accepted_whatever_the_byte_limit(staged):
    stage = await staged(limits=HttpLimits(bodies=1))

    answer = await stage.submit(ONE)

    assert answer.status == 202

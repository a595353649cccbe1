import json

import pytest
from send_gateway_double import RECEIPT

from twite.cli.send.client import (
    RetryPatience,
    SendNoResponse,
    SendResponse,
    SendStopped,
    Submitter,
)
from twite.formats.files.findings import FileRow, RowFinding
from twite.formats.files.requests import fits
from twite.formats.files.results import RowResultKind

REPEAT = RowFinding(field="conversion_id", code="same_as_earlier", message="as row 1")


def rows(*orders, notes=()):
    return [
        FileRow(number=number, order=order, body=json.dumps({"id": order}).encode(), notes=notes)
        for number, order in enumerate(orders, 2)
    ]


def answer(status=202, retry_after=0.0, **said):
    body = RECEIPT | said
    return SendResponse(status=status, body=json.dumps(body).encode(), retry_after=retry_after)


class Stage:
    """A gateway with scripted answers, and a clock that advances when the code waits."""

    def __init__(self, *answers, patience=600.0):
        self.answers = list(answers)
        self.bodies = []
        self.waited = []
        self.said = []
        self.submitter = Submitter(
            post=self.post,
            patience=RetryPatience(
                patience=patience,
                elapsed=lambda: sum(self.waited),
                sleep=self.sleep,
                randomness=lambda: 0.5,
                say=self.said.append,
            ),
        )

    async def post(self, body):
        self.bodies.append([load["id"] for load in json.loads(body)["conversions"]])
        return self.answers.pop(0)

    async def sleep(self, seconds):
        self.waited.append(seconds)


def kinds(verdicts):
    return [verdict.kind for verdict in verdicts]


async def test_each_row_gets_its_result_from_the_response():
    wrong = {"path": "event", "code": "event_unknown", "message": "no such event"}
    stage = Stage(
        answer(
            rejected=[{"index": 1, "errors": [wrong]}],
            warnings=[{"index": 2, "warnings": [wrong]}],
            duplicate_indexes=[3],
            suppressed_indexes=[4],
        )
    )

    verdicts = await stage.submitter.submit(rows("a", "b", "c", "d", "e"))

    assert kinds(verdicts) == [
        RowResultKind.ACCEPTED,
        RowResultKind.REJECTED,
        RowResultKind.ACCEPTED_WITH_NOTES,
        RowResultKind.DUPLICATE,
        RowResultKind.SUPPRESSED,
    ]
    finding = RowFinding(field="event", code="event_unknown", message="no such event")
    assert (verdicts[1].errors, verdicts[2].notes) == ((finding,), (finding,))


async def test_busy_gateway_is_asked_again_after_its_retry_after():
    stage = Stage(answer(429, retry_after=7.0), answer(503), answer())

    verdicts = await stage.submitter.submit(rows("a"))

    assert kinds(verdicts) == [RowResultKind.ACCEPTED]
    assert stage.waited == [7.0, 5.0]
    assert stage.said == [
        "the gateway returned 429: waiting for the gateway (Ctrl-C stops)",
        "the gateway accepts conversions again: continuing",
    ]


async def test_retry_interval_grows_to_30_seconds_until_the_time_limit():
    stage = Stage(*[SendNoResponse(reason="no gateway answers", lost=False)] * 50, patience=120.0)

    with pytest.raises(SendStopped, match=r"no gateway answers\. Twite gave up after 120 s"):
        await stage.submitter.submit(rows("a"))

    assert stage.waited == [2.5, 5.0, 10.0, 20.0, 30.0, 30.0, 30.0]


@pytest.mark.parametrize("lost", [SendNoResponse(reason="cut off", lost=True), answer(504)])
async def test_duplicate_after_a_lost_response_is_noted_as_already_received(lost):
    stage = Stage(lost, answer(duplicate_indexes=[0]))

    (verdict,) = await stage.submitter.submit(rows("a"))

    assert verdict.kind is RowResultKind.DUPLICATE
    assert [note.code for note in verdict.notes] == ["answer_lost"]


@pytest.mark.parametrize(
    "before", [SendNoResponse(reason="refused", lost=False), answer(503), answer(429)]
)
async def test_duplicate_after_a_request_that_was_not_sent_has_no_note(before):
    stage = Stage(before, answer(duplicate_indexes=[0]))

    (verdict,) = await stage.submitter.submit(rows("a"))

    assert verdict.notes == ()


async def test_second_row_with_the_same_id_has_no_note_about_a_lost_response():
    stage = Stage(SendNoResponse(reason="cut off", lost=True), answer(duplicate_indexes=[0]))

    (verdict,) = await stage.submitter.submit(rows("a", notes=(REPEAT,)))

    assert verdict.notes == (REPEAT,)


@pytest.mark.parametrize("status", [400, 413])
async def test_refused_request_is_bisected_until_the_invalid_row_is_alone(status):
    wrong = {"path": "conversions[0].email", "code": "odd", "message": "odd"}
    refuse = answer(status, errors=[wrong])
    stage = Stage(refuse, answer(), refuse, answer(), refuse)

    verdicts = await stage.submitter.submit(rows("a", "b", "c", "d"))

    assert stage.bodies == [["a", "b", "c", "d"], ["a", "b"], ["c", "d"], ["c"], ["d"]]
    assert kinds(verdicts) == [RowResultKind.ACCEPTED] * 3 + [RowResultKind.REJECTED]
    (error,) = verdicts[3].errors
    assert (error.field, error.code) == (("email", "odd") if status == 400 else ("", "too_large"))


@pytest.mark.parametrize(
    ("final", "sentence"),
    [
        (answer(401), "does not know this key"),
        (answer(403), "this key may not submit"),
        (answer(404), "this is not a gateway"),
        (answer(302), "returned 302, which POST"),
        (SendResponse(status=202, body=b"<html>"), "returned 202, which POST"),
        (answer(duplicate_indexes=[1]), "returned 202, which POST"),
        (answer(415, errors=[{"path": "", "code": "x", "message": "no JSON"}]), "no JSON"),
    ],
)
async def test_refusal_that_a_retry_cannot_change_stops_the_run(final, sentence):
    stage = Stage(final)

    with pytest.raises(SendStopped, match=sentence):
        await stage.submitter.submit(rows("a"))


def test_request_has_at_most_500_rows_and_stays_below_the_size_limit():
    assert fits(500, 800_000)
    assert not fits(501, 800_000)
    assert not fits(2, 900_000)

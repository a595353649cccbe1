"""Requests of a tag run, without an engine: what is sent, and what is recorded of the responses."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from fakes import MovingClock, ScriptedWeb, settled
from twite.gateway.ports.transport import NoResponse, Response
from twite.tags.google.calls import InsertIds
from twite.tags.google.requests import GoogleRequestDenied
from twite.tags.google_requests import bigquery
from twite.tags.ports.tags import TagRule
from twite.tags.run.outbound import (
    AT_ONCE,
    RunContext,
    TagOutbound,
    TemplateRun,
    answer_of,
)
from twite.tags.template.effects import HttpEffect, LogEffect, Service
from twite.tags.template.sandbox import RunResult, Turn


class Web(ScriptedWeb):
    hangs = False

    async def ask(self, asked):
        answer = await super().ask(asked)
        if self.hangs:
            await asyncio.Event().wait()
        return answer


class Google:
    """Sends each request, or denies its token."""

    denies = False
    is_set = True

    def __init__(self):
        self.token = asyncio.Event()
        self.token.set()
        self.options = []

    async def send(self, asked, *, by, **options):
        self.options.append(options)
        await self.token.wait()
        if self.denies:
            return GoogleRequestDenied(why="no credentials")
        return await by(asked)


class ToX:
    answer = None

    async def take(self, request, *, source):
        self.taken = request.url, source
        return self.answer


class Stage:
    def __init__(self, *answers, **rule):
        self.web, self.google, self.to_x, self.said = Web(answers), Google(), ToX(), []
        run_context = RunContext(
            engine_pool=None,
            web=self.web,
            google=self.google,
            to_x=self.to_x,
            storage=None,
            clock=MovingClock(),
            observer=None,
        )
        self.outbound = TagOutbound(
            run_context,
            rule=TagRule(name="crm", **({"timeout": 5_000} | rule)),
            mask=SimpleNamespace(over=lambda text, *, most: f"masked {text[:most]}"),
            lines=SimpleNamespace(say=self.said.append),
            marks=lambda: InsertIds(b"the run"),
        )

    async def request(self, **more):
        return await self.outbound.request(a_request(**more))

    async def call(self, name, *arguments):
        return await self.outbound.call(Service(id=4, name=name, arguments=[*arguments]))

    async def cut_off(self, **more):
        """Cancel a request without an answer; return whether it may be sent, before and after."""
        asking = asyncio.create_task(self.request(**more))
        await settled()
        before = self.outbound.left
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        return before, self.outbound.left


def a_request(**more):
    return HttpEffect(id=3, url="https://vendor.example/a", method="POST", **more)


def answered(status, headers=None, body=b"person"):
    return Response(status=status, headers=headers or {}, body=body)


@pytest.mark.parametrize(("asked", "limit"), [(0, 1), (1_000, 1_000), (9_000, 5_000)])
async def test_timeout_of_a_request_is_within_that_of_the_tag(asked, limit):
    stage = Stage(allow_hosts=frozenset({"a.internal"}))
    await stage.request(timeout=asked, body="ü", headers={"a": "b"})

    [sent] = stage.web.asked
    assert (sent.timeout, sent.body, sent.headers) == (limit, "ü".encode(), {"a": "b"})
    assert (sent.method, sent.allow_hosts) == ("POST", {"a.internal"})


async def test_request_to_x_is_delivered_by_the_gateway():
    stage = Stage()
    stage.to_x.answer = Response(status=202, headers={}, body=b"queued")
    answer = await stage.request()

    assert (answer.status, answer.body, stage.web.asked) == (202, "queued", [])
    assert stage.to_x.taken == ("https://vendor.example/a", "tag:crm")
    assert stage.outbound.left


@pytest.mark.parametrize("host", ["vendor.example", "*"])
async def test_request_is_redirected_to_a_local_server(host):
    stage = Stage(redirect={host: "http://127.0.0.1:9"})
    await stage.request()

    assert [sent.url for sent in stage.web.asked] == ["http://127.0.0.1:9/a"]
    assert hasattr(stage.to_x, "taken") == (host == "*")


async def test_request_that_gets_no_token_is_not_an_attempt():
    stage = Stage()
    stage.google.denies = True
    answer = await stage.request(authorization=("scope",))

    assert (answer.id, answer.reason) == (3, "failed")
    assert stage.said == ["getGoogleAuth: no credentials"]
    assert (stage.outbound.tried, stage.outbound.left) == ([], False)
    assert not hasattr(stage.to_x, "taken")


@pytest.mark.parametrize(
    ("named", "kept"),
    [("2", 2_000), ("12345678", 12_345_678_000), ("123456789", None), ("soon", None), ("", None)],
)
async def test_response_is_recorded_masked_and_truncated_with_its_retry_after(named, kept):
    stage = Stage(Response(status=429, headers={"retry-after": named}, body=b"x" * 1_501))
    await stage.request()

    [tried] = stage.outbound.tried
    assert (tried.status, tried.words, tried.left) == (429, "masked " + "x" * 1_500, True)
    assert (tried.retry_after, tried.passing) == (kept, False)


@pytest.mark.parametrize("left", [True, False])
async def test_missing_response_is_recorded_with_its_reason(left):
    stage = Stage(NoResponse(reason="cut", left=left))
    answer = await stage.request()

    [tried] = stage.outbound.tried
    assert (tried.status, tried.words, tried.left) == (None, "masked cut", left)
    assert (answer.reason, stage.outbound.left) == ("failed", left)


async def test_request_in_progress_may_have_been_sent():
    stage = Stage(NoResponse(reason="cut", left=False))
    await stage.request()
    stage.web.hangs = True

    assert not stage.outbound.left
    assert await stage.cut_off() == (True, True)
    [_, tried] = stage.outbound.tried
    assert (tried.status, tried.words, tried.left) == (None, "no answer in time", True)


async def test_lookup_in_progress_is_not_ambiguous():
    stage = Stage()
    stage.web.hangs = True
    with stage.outbound.looking_up():
        assert await stage.cut_off() == (False, False)


async def test_request_that_waits_for_its_token_has_not_been_sent():
    stage = Stage()
    stage.google.token.clear()

    assert await stage.cut_off(authorization=("scope",)) == (False, False)


async def test_at_most_six_requests_are_in_progress():
    stage = Stage()
    stage.web.hangs = True
    asking = [asyncio.create_task(stage.request()) for _ in range(AT_ONCE + 1)]
    await settled()

    assert len(stage.web.asked) == AT_ONCE == 6
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)


def test_requests_and_google_calls_of_all_turns_are_counted():
    outbound = Stage().outbound
    call = Service(id=1, name="n", arguments=[])
    turns = [Turn(run=1, effects=effects) for effects in ((a_request(),) * 60, (call,) * 40)]
    others = Turn(run=1, effects=(LogEffect(text="a line"),))

    assert [outbound.is_too_much(turn) for turn in (*turns, others)] == [False] * 3
    assert outbound.is_too_much(Turn(run=1, effects=(call,)))


@pytest.mark.parametrize(
    ("asked", "of_tag", "limit"),
    [(1, 5_000, 1), (None, 5_000, 5_000), (None, 60_000, 15_000), (9_000, 60_000, 9_000)],
)
async def test_timeout_of_a_google_call_is_within_that_of_the_tag(asked, of_tag, limit):
    stage = Stage(timeout=of_tag)
    await stage.call("getGoogleScript", "GTM", {"timeout": asked})

    [sent] = stage.web.asked
    assert (sent.timeout, sent.method) == (limit, "GET")
    [options] = stage.google.options
    assert (options["scopes"], options["own"]) == (None, True)


async def test_bigquery_rows_have_the_ids_of_the_run():
    stage = Stage()
    table = {"projectId": "p", "datasetId": "d", "tableId": "t"}
    for _ in range(2):
        answer = await stage.call("BigQuery.insert", table, [{"a": 1}])

    assert (answer.id, answer.reason) == (4, None)
    assert [options["scopes"] for options in stage.google.options] == [(bigquery.SCOPE,)] * 2
    # Equal rows of one run are different rows.
    assert len({sent.body for sent in stage.web.asked}) == 2


@pytest.mark.parametrize(("status", "words"), [(200, "masked "), (400, "masked person")])
async def test_firestore_documents_are_not_recorded_but_errors_are(status, words):
    stage = Stage(answered(status))
    await stage.call("Firestore.read", "users/1", {"projectId": "p"})

    [tried] = stage.outbound.tried
    assert (tried.status, tried.words, tried.passing) == (status, words, False)


async def test_response_to_bigquery_rows_is_recorded():
    stage = Stage(answered(200))
    table = {"projectId": "p", "datasetId": "d", "tableId": "t"}
    await stage.call("BigQuery.insert", table, [{"a": 1}])

    assert [tried.words for tried in stage.outbound.tried] == ["masked person"]


async def test_conflict_of_a_firestore_write_is_temporary():
    stage = Stage(answered(409))
    await stage.call("Firestore.write", "users/1", {"a": 1}, {"projectId": "p"})

    assert [tried.passing for tried in stage.outbound.tried] == [True]


async def test_lookup_does_not_make_a_run_ambiguous_but_a_later_request_does():
    stage = Stage()
    with stage.outbound.looking_up():
        await stage.request()
    before = stage.outbound.left
    await stage.request()

    assert (before, stage.outbound.left) == (False, True)


def test_template_gets_all_cookies_and_the_text_of_a_response():
    response = Response(status=200, headers={"a": "b"}, body=b"\xff", cookies=("c=1", "d=2"))
    answer = answer_of(7, response)

    assert (answer.id, answer.status, answer.body) == (7, 200, "�")
    assert answer.headers == {"a": "b", "set-cookie": ["c=1", "d=2"]}
    assert answer_of(7, Response(status=200, headers={}, body=b"")).headers == {}


def test_late_response_times_out():
    late = answer_of(7, NoResponse(reason="no answer in time", left=True, is_late=True))

    assert (late.id, late.reason) == (7, "timed_out")


def test_run_of_a_template_ends_when_it_waits_for_nothing():
    run = TemplateRun("template", began=5)
    over = [run.is_over]
    run.wake_at = 9
    over.append(run.is_over)
    run.error = "it failed"

    assert [*over, run.is_over] == [True, False, True]
    assert (run.template, run.began, run.id, run.turns, run.after) == ("template", 5, 0, 0, [])
    assert (run.outcome, run.returned, run.listening) == (RunResult.SILENT, None, ())


@pytest.mark.parametrize(
    ("preview", "previews", "trace"),
    [
        ("p1", SimpleNamespace(trace="of {}".format), "of p1"),
        ("", SimpleNamespace(trace="of {}".format), None),
        ("p1", None, None),
    ],
)
def test_run_is_traced_in_a_preview(preview, previews, trace):
    run_context = msgspec.structs.replace(Stage().outbound.run_context, previews=previews)

    assert run_context.trace(preview) == trace

"""Requests of a tag run, without an engine: what is sent, and what is kept of the answers."""

from types import SimpleNamespace

import msgspec
import pytest

from fakes import MovingClock, ScriptedWeb
from twite.gateway.ports.tags import TagRule
from twite.gateway.ports.transport import NoResponse, Response
from twite.gateway.tags.google.requests import GoogleRequestDenied
from twite.gateway.tags.run.outbound import RunContext, TagOutbound, TemplateRun, answer_of
from twite.gtm.template.effects import HttpEffect


class Google:
    """Sends each request, or denies its token."""

    denies = False

    async def send(self, asked, *, by, **_options):
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
        self.web, self.google, self.to_x, self.said = ScriptedWeb(answers), Google(), ToX(), []
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
            marks=None,
        )

    async def request(self, **more):
        effect = HttpEffect(id=3, url="https://vendor.example/a", method="POST", **more)
        return await self.outbound.request(effect)


@pytest.mark.parametrize(("asked", "limit"), [(0, 1), (1_000, 1_000), (9_000, 5_000)])
async def test_timeout_is_within_that_of_the_tag(asked, limit):
    stage = Stage(allow_hosts=frozenset({"a.internal"}))
    await stage.request(timeout=asked, body="ü", headers={"a": "b"})

    [sent] = stage.web.asked
    assert (sent.timeout, sent.body, sent.headers) == (limit, "ü".encode(), {"a": "b"})
    assert (sent.method, sent.allow_hosts) == ("POST", {"a.internal"})


async def test_request_to_x_is_not_sent_to_the_web():
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


async def test_request_that_is_denied_a_token_is_no_attempt():
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
async def test_answer_is_kept_masked_and_cut_with_its_time_to_retry(named, kept):
    stage = Stage(Response(status=429, headers={"retry-after": named}, body=b"x" * 1_501))
    await stage.request()

    [tried] = stage.outbound.tried
    assert (tried.status, tried.words, tried.left) == (429, "masked " + "x" * 1_500, True)
    assert (tried.retry_after, tried.passing) == (kept, False)


@pytest.mark.parametrize("left", [True, False])
async def test_missing_answer_is_kept_with_its_reason(left):
    stage = Stage(NoResponse(reason="cut", left=left))
    answer = await stage.request()

    [tried] = stage.outbound.tried
    assert (tried.status, tried.words, tried.left) == (None, "masked cut", left)
    assert (answer.reason, stage.outbound.left) == ("failed", left)


async def test_lookup_is_not_counted_as_sent_but_a_later_request_is():
    stage = Stage()
    with stage.outbound.looking_up():
        await stage.request()
    before = stage.outbound.left
    await stage.request()

    assert (before, stage.outbound.left) == (False, True)


def test_answer_has_all_its_cookies_and_its_text():
    response = Response(status=200, headers={"a": "b"}, body=b"\xff", cookies=("c=1", "d=2"))
    answer = answer_of(7, response)

    assert (answer.id, answer.status, answer.body) == (7, 200, "�")
    assert answer.headers == {"a": "b", "set-cookie": ["c=1", "d=2"]}
    assert answer_of(7, Response(status=200, headers={}, body=b"")).headers == {}


def test_late_answer_times_out():
    late = answer_of(7, NoResponse(reason="no answer in time", left=True))

    assert (late.id, late.reason) == (7, "timed_out")


def test_template_run_is_over_when_it_waits_for_nothing():
    run = TemplateRun(None, began=5)
    over = [run.is_over]
    run.wake_at = 9
    over.append(run.is_over)
    run.error = "it failed"

    assert [*over, run.is_over] == [True, False, True]
    assert (run.began, run.id, run.turns, run.after) == (5, 0, 0, [])


@pytest.mark.parametrize(
    ("preview", "previews", "trace"),
    [
        ("p1", SimpleNamespace(trace="of {}".format), "of p1"),
        ("", SimpleNamespace(trace="of {}".format), None),
        ("p1", None, None),
    ],
)
def test_run_is_traced_while_it_is_previewed(preview, previews, trace):
    run_context = msgspec.structs.replace(Stage().outbound.run_context, previews=previews)

    assert run_context.trace(preview) == trace

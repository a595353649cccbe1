"""Preview sessions are few and short, with limited memory and no personal data."""

import msgspec
import pytest

from fakes import MovingClock
from twite.domain.incoming_request import IncomingRequest
from twite.machine.system import SystemRandomness
from twite.tags.preview.sessions import (
    LASTS,
    MOST_REQUESTS,
    MOST_SESSIONS,
    PreviewSessions,
    PreviewUnavailable,
)
from twite.tags.preview.trace import MOST_EVENTS, MOST_LINES, MOST_RUNS, MOST_TEXT
from twite.tags.redaction.mask_line import LineMask
from twite.tags.template.effects import HttpEffect, LogEffect, SetCookie
from twite.tags.template.sandbox import EffectAnswer, Turn

EMAIL = "ada@shop.example"


@pytest.fixture
def clock():
    return MovingClock()


@pytest.fixture
def previews(clock):
    return PreviewSessions(clock=clock, randomness=SystemRandomness())


def begun(previews, session, **said):
    given = {"method": "POST", "path": "/data", "query": "", "headers": []} | said
    return previews.begin(session.token.reveal(), **given)


def test_only_the_token_of_a_session_begins_a_trace(previews):
    session = previews.open("ada", sends_nothing=False)
    token = session.token.reveal()

    assert len(token) >= 64
    assert begun(previews, session) is not None
    for wrong in ("", token[:-1], token.upper() + "x", session.id):
        assert previews.begin(wrong, method="GET", path="/", query="", headers=[]) is None


async def test_preview_session_ends_after_its_time(previews, clock):
    session = previews.open("ada", sends_nothing=False)
    trace = begun(previews, session)
    assert previews.trace(trace.id) is trace

    await clock.advance(LASTS)

    assert begun(previews, session) is None
    assert (previews.is_open, previews.of("ada"), previews.trace(trace.id)) == (False, [], None)


def test_worker_process_of_several_opens_no_preview_session(clock):
    """If the session sends nothing, another process would still send the requests that it gets."""
    previews = PreviewSessions(clock=clock, randomness=SystemRandomness(), shares_port=True)

    with pytest.raises(PreviewUnavailable, match="workers = 1"):
        previews.open("ada", sends_nothing=True)

    assert not previews.is_open


def test_user_sees_only_own_preview_sessions(previews):
    session = previews.open("ada", sends_nothing=True)

    assert previews.named(session.id, who="ada") is session
    assert previews.named("latest", who="ada") is session
    assert previews.named(session.id, who="olga") is None
    assert previews.named("latest", who="olga") is None


def test_oldest_preview_session_is_closed_for_a_new_one(previews):
    sessions = [previews.open("ada", sends_nothing=False) for _ in range(MOST_SESSIONS + 1)]

    assert begun(previews, sessions[0]) is None
    assert len(previews.of("ada")) == MOST_SESSIONS


def test_memory_of_preview_sessions_is_limited(previews):
    session = previews.open("ada", sends_nothing=False)
    text = "x" * 100_000
    for _ in range(MOST_REQUESTS + 5):
        trace = begun(
            previews, session, path=f"/{text}", query=text, headers=[("x-long", text)] * 120
        )
        trace.request(IncomingRequest(body=text), client=text)
        for number in range(MOST_EVENTS + 5):
            trace.event(f"event {number}", {"a": text}, text, LineMask((), {}))
        for number in range(MOST_RUNS + 5):
            recorder = trace.run(f"tag {number}", LineMask((), {}))
            logs = tuple(LogEffect(text="line") for _ in range(2 * MOST_LINES))
            recorder.turn("t", Turn(run=1, effects=logs))

    assert len(session.requests) == MOST_REQUESTS
    for seen in session.requests:
        assert (len(seen.events), len(seen.runs)) == (MOST_EVENTS, MOST_RUNS)
        assert all(len(run.lines) <= MOST_LINES for run in seen.runs)
        texts = sum(len(line.text) for run in seen.runs for line in run.lines)
        assert texts + sum(len(event.data) for event in seen.events) <= 2 * MOST_TEXT
        assert len(msgspec.json.encode(seen)) < 600_000


def test_preview_session_contains_no_personal_data_and_no_secret(previews):
    session = previews.open("ada", sends_nothing=False)
    trace = begun(
        previews,
        session,
        query=f"em={EMAIL}&v=2",
        headers=[("cookie", f"em={EMAIL}"), ("referer", f"https://shop.example/?email={EMAIL}")],
    )
    event = {"event_name": "view", "user_data": {"email_address": EMAIL, "first_name": "Adalbert"}}
    trace.request(IncomingRequest(body=msgspec.json.encode(event).decode()), client="data")
    trace.event("view", event, "send", LineMask((), {}))
    recorder = trace.run("ads", LineMask(["key-of-the-vendor"], event))
    url = "https://ads.example/?key=key-of-the-vendor"
    recorder.turn(
        "ads",
        Turn(
            run=1,
            effects=(
                HttpEffect(id=1, url=url, method="POST", body=f'{{"em": "{EMAIL}"}}'),
                LogEffect(text="hello Adalbert"),
                SetCookie(name="id", value="a-visitor-id"),
            ),
        ),
    )
    recorder.answers([EffectAnswer(id=1, status=200, body=f"thanks {EMAIL}")])
    recorder.end("success")

    reported = msgspec.json.encode(session.requests).decode()
    for hidden in (EMAIL, "Adalbert", "key-of-the-vendor", "a-visitor-id"):
        assert hidden not in reported
    kinds = [line.kind for line in session.requests[0].runs[0].lines]
    assert kinds == ["request", "log", "cookie", "answer"]


def test_event_in_a_preview_shows_no_secret_of_a_tag(previews):
    trace = begun(previews, previews.open("ada", sends_nothing=False))
    mask = LineMask(["key-of-the-vendor"], {})

    trace.event("by key-of-the-vendor", {"a": ["key-of-the-vendor", 1]}, "send", mask)

    [seen] = trace.seen.events
    assert (seen.name, seen.data) == ("by ***", '{"a":["***",1]}')

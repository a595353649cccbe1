"""The runContainer calls of one run, without an engine: which callbacks run, and when."""

import asyncio
from types import SimpleNamespace

import pytest

from builders import NOW
from fakes import settled
from twite.domain.errors import LedgerUnavailable, MalformedRequest
from twite.domain.secret import Secret
from twite.formats.event_data.conversions import REASONS, UNKNOWN_TO_X
from twite.gateway.ports.tags import TagOutcome
from twite.tags.ports.tags import TagCall, TagRule
from twite.tags.redaction.mask_line import LineMask
from twite.tags.run import run_calls
from twite.tags.run.container_calls import EndedTags
from twite.tags.run.outbound import TemplateRun
from twite.tags.run.payload import TagPayload
from twite.tags.run.run_calls import MOST_BYTES, RunCalls
from twite.tags.runtime.tag_log import MASKED_EVENT, TagLog
from twite.tags.template.effects import AfterEvent, RunContainer

KEY = "key-of-the-vendor"
UPSELL = {"event_name": "upsell"}
OWN = TagCall(id="c-0", root="r-0", tags=("first",))


class Calls:
    """The container calls of the process."""

    def __init__(self):
        self.accepted, self.traces, self.forgotten = [], [], []
        self.why = self.error = None
        self.ended = EndedTags()
        self.tags, self.ignored = (), ()

    def denied(self, call, _payload):
        self.call = call
        return self.why

    def expect(self, _call):
        return self.ended

    def forget(self, call):
        self.forgotten.append(call.id)

    async def accept(self, event, *, call, payload, trace):
        self.accepted.append((event, call, payload.at))
        self.traces.append(trace)
        if self.error is not None:
            raise self.error
        return SimpleNamespace(
            receipt=f"r-{len(self.accepted)}", tags=self.tags, ignored=self.ignored
        )


class Stage:
    """Calls of a run; plays its observer. `calls` is None if no container runs in this process."""

    def __init__(self, *, calls=True, seed=7, trace=None, payload=(), **rule):
        self.calls = Calls() if calls else None
        self.results, self.said = [], []
        self.see = lambda notice: self.results.append((notice.tag, notice.result))
        mask = LineMask([KEY], {})
        self.made = RunCalls(
            SimpleNamespace(container_calls=self.calls, observer=self),
            rule=TagRule(name="crm", **rule),
            payload=TagPayload(**{"pixel": "o8z6j", "at": NOW, **dict(payload)}),
            seed=seed,
            lines=TagLog(lambda: mask, lambda line: self.said.append(line.text)),
            mask=mask,
            trace=trace,
        )
        self.run = TemplateRun(None, began=0)

    async def perform(self, event=None, *, id_=1, start=False, complete=True):
        effect = RunContainer(id=id_, event=event or UPSELL, on_start=start, on_complete=complete)
        await self.made.perform(effect, self.run)

    async def answers(self):
        """Return the answers so far: (id, phase, [(tag, status)])."""
        await settled()
        return sorted(
            (answer.id, answer.phase, [(tag["id"], tag["status"]) for tag in tags_of(answer)])
            for answer in (task.result() for task in self.run.tasks if task.done())
        )

    def waits_for(self, *tags, status="queued"):
        self.calls.tags = tuple(TagOutcome(tag=tag, status=status) for tag in tags)


def tags_of(answer):
    return (answer.value or {}).get("tags", [])


async def call_of(event=None, times=1, **more):
    """Return the call of an event: the last one, if it is created several times."""
    stage = Stage(**more)
    for _ in range(times):
        await stage.perform(event)
    return stage.calls.call


async def test_created_event_is_accepted_counted_and_recorded():
    trace = SimpleNamespace(sends_nothing=False)
    stage = Stage(trace=trace)
    await stage.perform()

    [(event, call, at)] = stage.calls.accepted
    assert (event, at, stage.calls.traces) == (UPSELL, NOW, [trace])
    assert (call.tags, len(call.id), len(call.root)) == (("crm",), 16, 16)
    assert stage.results == [("tag:crm", "accepted")]
    assert stage.made.notes == ["runContainer created upsell, receipt r-1"]
    assert (stage.said, stage.made.unstored, stage.run.error) == ([], [], None)


@pytest.mark.parametrize(
    ("start", "complete", "phases"),
    [(False, False, []), (True, False, ["start"]), (True, True, ["complete", "start"])],
)
async def test_only_the_given_callbacks_run(start, complete, phases):
    stage = Stage()
    await stage.perform(start=start, complete=complete)

    assert [phase for _, phase, _ in await stage.answers()] == phases


async def test_repeated_run_makes_calls_with_the_same_ids():
    assert await call_of() == await call_of()


@pytest.mark.parametrize(
    "other",
    [
        {"times": 2},
        {"event": {"event_name": "other"}},
        {"seed": 8},
        {"payload": {"at": NOW + 1}},
        {"payload": {"call": OWN}},
    ],
    ids=["second", "event", "delivery", "time", "call"],
)
async def test_calls_of_other_events_have_other_ids(other):
    assert (await call_of(**other)).id != (await call_of()).id


async def test_calls_of_one_run_and_of_its_events_have_the_same_root():
    first, second = await call_of(), await call_of(times=2)
    inner = await call_of(payload={"call": OWN})

    assert first.root == second.root != (await call_of(seed=8)).root
    assert (inner.root, inner.tags) == ("r-0", ("first", "crm"))


async def test_process_without_a_container_ignores_the_call_and_calls_back():
    stage = Stage(calls=False)
    await stage.perform()
    await stage.perform(id_=2)
    stage.made.close()

    line = "runContainer was ignored: this command does not run the container"
    assert (stage.said, stage.results, stage.made.notes) == ([line], [], [])
    assert await stage.answers() == [(1, "complete", []), (2, "complete", [])]


async def test_denied_call_logs_the_reason_and_calls_back():
    stage = Stage()
    stage.calls.why = "too many"
    await stage.perform()

    assert stage.said == ["runContainer was ignored: too many"]
    assert (stage.results, stage.calls.accepted) == ([("tag:crm", "limit")], [])
    assert await stage.answers() == [(1, "complete", [])]


@pytest.mark.parametrize(("more", "accepted"), [(0, 1), (1, 0)])
async def test_created_event_over_the_size_limit_is_ignored(more, accepted):
    size = MOST_BYTES - len('{"a":""}')
    stage = Stage(field_secrets=(Secret(KEY),))
    letters = "x" * (size + more) if accepted else KEY.ljust(size + more, "x")
    await stage.perform({"a": letters})

    assert len(stage.calls.accepted) == accepted
    assert stage.results == [("tag:crm", "accepted" if accepted else "unreadable")]
    line = "runContainer was ignored: the event is larger than 256 KiB"
    assert stage.said == ([] if accepted else [line])
    assert await stage.answers() == [(1, "complete", [])]


async def test_secret_of_a_field_is_masked_in_the_created_event():
    stage = Stage(field_secrets=(Secret(KEY),))
    await stage.perform(UPSELL | {"key": KEY})
    await stage.perform(UPSELL | {"key": KEY})

    assert stage.calls.accepted[0][0] == UPSELL | {"key": "***"}
    assert stage.said == [MASKED_EVENT]


async def test_created_event_that_cannot_be_read_is_ignored():
    stage = Stage()
    stage.calls.error = MalformedRequest(code="no_event", path="", message="it has no name")
    await stage.perform()

    [line] = stage.said
    assert line.startswith("runContainer was ignored: ")
    assert (stage.results, stage.made.notes) == ([("tag:crm", "unreadable")], [])
    assert await stage.answers() == [(1, "complete", [])]


async def test_run_whose_event_cannot_be_stored_fails_and_is_repeated():
    stage = Stage()
    stage.calls.error = LedgerUnavailable(reason="the disk is full", retry_after=1)
    await stage.perform()

    assert stage.run.error == "the event of runContainer could not be stored"
    assert [(each.status, each.words, each.left) for each in stage.made.unstored] == [
        (None, "the disk is full", False)
    ]
    assert (stage.results, stage.run.tasks) == ([("tag:crm", "failed")], set())


async def test_reason_of_an_ignored_created_event_is_logged():
    known = next(reason for reason in REASONS if reason not in UNKNOWN_TO_X)
    stage = Stage()
    stage.calls.ignored = tuple(
        SimpleNamespace(reason=reason) for reason in (known, known, *UNKNOWN_TO_X)
    )
    await stage.perform()

    assert stage.said == [f"the event of runContainer was ignored: {REASONS[known]}"]
    assert stage.results == [("tag:crm", "accepted")]


async def test_record_of_a_run_names_five_created_events_without_secrets():
    stage = Stage()
    for name in (f"for {KEY}", "x" * 100, None, 7, "five", "six"):
        await stage.perform({"event_name": name, "n": 1})

    assert stage.made.notes == [
        "runContainer created for ***, receipt r-1",
        f"runContainer created {'x' * 64}, receipt r-2",
        "runContainer created an event, receipt r-3",
        "runContainer created 7, receipt r-4",
        "runContainer created five, receipt r-5",
    ]


async def test_on_complete_is_called_once_all_tags_have_ended():
    stage = Stage()
    stage.waits_for("mail", "bill")
    await stage.perform()
    before = await stage.answers()
    stage.calls.ended.add("bill", succeeded=False)
    between = await stage.answers()
    stage.calls.ended.add("mail", succeeded=True)

    assert (before, between) == ([], [])
    assert await stage.answers() == [(1, "complete", [("mail", "success"), ("bill", "failure")])]


async def test_tags_that_will_not_run_now_are_not_awaited():
    stage = Stage()
    stage.waits_for("mail", "bill", status="held")
    await stage.perform()

    assert await stage.answers() == [(1, "complete", [("mail", "held"), ("bill", "held")])]


async def test_calling_tag_is_not_awaited():
    """The run of the calling tag may in turn wait for this one."""
    stage = Stage(payload={"call": OWN})
    stage.waits_for("crm", "first")
    await stage.perform()

    assert await stage.answers() == [(1, "complete", [("crm", "queued"), ("first", "queued")])]


@pytest.mark.parametrize("sends_nothing", [True, False])
async def test_preview_that_sends_nothing_does_not_wait_for_tags(sends_nothing):
    stage = Stage(trace=SimpleNamespace(sends_nothing=sends_nothing))
    stage.waits_for("mail")
    await stage.perform()

    assert len(await stage.answers()) == sends_nothing
    for task in stage.run.tasks:
        task.cancel()


@pytest.mark.parametrize(("limit", "waits", "seconds"), [(8_001, 5_000, 4.0), (30_000, 5_000, 5.0)])
async def test_tags_are_awaited_for_half_of_the_timeout_and_at_most_five_seconds(
    limit, waits, seconds
):
    stage, untils = Stage(timeout=limit), []

    async def wait(names, *, until):
        untils.append((names, until - asyncio.get_running_loop().time()))

    stage.calls.ended.wait = wait
    stage.waits_for("mail")
    await stage.perform()
    await settled()

    assert waits == run_calls.WAITS
    [(names, left)] = untils
    assert names == ["mail"]
    assert seconds - 0.5 < left <= seconds


async def test_on_complete_gets_the_time_of_each_ended_tag(monkeypatch):
    stage = Stage()
    stage.waits_for("mail", "bill", "mail")
    await stage.perform()
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + 30)
    stage.calls.ended.add("mail", succeeded=True)
    stage.calls.ended.add("bill", succeeded=True)
    stage.calls.ended.add("mail", succeeded=False)
    await settled()

    [task] = stage.run.tasks
    first, _, third = tags_of(task.result())
    assert [first["status"], third["status"]] == ["success", "failure"]
    assert 30_000 <= first["executionTime"] < 60_000


async def test_on_complete_gets_0_as_the_time_of_a_tag_that_has_not_ended():
    stage = Stage()
    stage.waits_for("mail", status="held")
    await stage.perform()
    await settled()

    [task] = stage.run.tasks
    assert tags_of(task.result()) == [{"id": "mail", "status": "held", "executionTime": 0}]


async def test_callback_of_a_created_event_runs_when_its_tags_have_ended():
    stage = Stage()
    stage.waits_for("mail")
    await stage.perform(complete=False)

    assert stage.made.after_event(AfterEvent(id=8, event=1), stage.run)
    before = await stage.answers()
    stage.calls.ended.add("mail", succeeded=True)
    assert (before, await stage.answers()) == ([], [(8, "complete", [("mail", "success")])])


async def test_callback_of_the_runs_own_event_is_not_called_here():
    stage = Stage()
    await stage.perform(complete=False)

    assert not stage.made.after_event(AfterEvent(id=8, event=0), stage.run)
    assert not stage.made.after_event(AfterEvent(id=8, event=1), TemplateRun(None, began=0))
    assert stage.run.tasks == set()


async def test_created_events_are_forgotten_at_the_end_of_the_run():
    stage = Stage()
    await stage.perform()
    await stage.perform()
    stage.made.close()

    assert stage.calls.forgotten == [call.id for _, call, _ in stage.calls.accepted]

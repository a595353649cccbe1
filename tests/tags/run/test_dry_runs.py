"""Dry runs of tags for a preview send no request and change nothing for later runs."""

import asyncio

import pytest
from scripted_run import Preview, Stage, a_request, turn, waits_for

from builders import NOW
from fakes import settled
from twite.domain.errors import NotOpened
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.run.dry_runs import MOST_PENDING, DryRuns
from twite.tags.run.payload import TagPayload, written
from twite.tags.template.effects import Keep


class Seal:
    def open(self, name, _sealed):
        raise NotOpened(name, key_id="k-1")

    def close(self, _name, plain):
        return plain


class DryStage(Stage):
    def __init__(self, **turns):
        super().__init__(**turns)
        self.preview = Preview()
        self.made = None

    @property
    def runs(self):
        if self.made is None:
            config = ContainerConfig(
                container=self.container(setup=False), rules={"crm": TagRule(name="crm")}
            )
            self.made = DryRuns([config], self.run_context, seal=Seal())
        return self.made

    async def dry_run(self, *, pixel="tag:crm", body=None, seal=None, **payload):
        made = TagPayload(pixel="o8z6j", at=NOW, event={"event_name": "x"}, **payload)
        self.runs.start(
            pixel,
            written(made, name="tag:crm", seal=seal) if body is None else body,
            self.preview,
        )
        await settled(100)


async def test_requests_of_a_dry_run_are_answered_and_not_sent():
    stage = DryStage(main=[waits_for(a_request(), a_request(2, "https://ads-api.x.com/12/"))])
    await stage.dry_run()

    [(_, answers, _)] = stage.resumed
    assert [(answer.status, answer.body) for answer in answers] == [(200, '{"dry_run": true}')] * 2
    assert answers[0].headers == {"content-type": "application/json"}
    assert (stage.web.asked, stage.said) == ([], [])
    assert stage.preview.noted[-1] == ("end", "success")


@pytest.mark.parametrize(
    ("payload", "seed"), [({}, 1), ({"draw": 5}, 5), ({"draw": 5, "seed": 9}, 9)]
)
async def test_dry_run_has_the_seed_of_the_first_turn_or_of_the_event(payload, seed):
    stage = DryStage()
    await stage.dry_run(**payload)

    assert stage.started[-1][1].seed == seed


async def test_dry_run_changes_nothing_for_later_runs():
    stage = DryStage(main=[turn(Keep(key="a", value=1))])
    for _ in range(2):
        await stage.dry_run(draw=5)

    # The setup tag runs again, too.
    assert stage.order == ["setup", "main"] * 2
    assert [call.storage for _, call in stage.started] == [{}] * 4
    assert stage.storage.of(stage.templates["main"]) == {}


@pytest.mark.parametrize("given", [{"pixel": "tag:ads"}, {"body": b"no"}, {"seal": Seal()}])
async def test_dry_run_of_an_unknown_tag_or_unreadable_payload_does_not_start(given):
    stage = DryStage()
    await stage.dry_run(**given)

    assert (stage.order, stage.preview.noted) == ([], [])


async def test_number_of_pending_dry_runs_is_limited_and_they_end_at_the_stop():
    async def hangs():
        await asyncio.Event().wait()

    stage = DryStage(setup=[hangs] * (MOST_PENDING + 2))
    for _ in range(MOST_PENDING + 2):
        await stage.dry_run()
    before = len(stage.order)
    await stage.runs.stop()

    assert (before, len(asyncio.all_tasks())) == (MOST_PENDING, 1)


async def test_ended_dry_run_makes_room_for_another():
    stage = DryStage()
    for _ in range(MOST_PENDING + 2):
        await stage.dry_run()

    assert stage.order.count("main") == MOST_PENDING + 2

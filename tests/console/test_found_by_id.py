"""The search of the Live page finds a user's conversions of any event by id."""

import msgspec
import pytest
import pytest_asyncio
from console_stage import ConsoleStage

from builders import NOW, a_submission, an_entry
from twite.domain.joins import JoinKind, JoinRequest, KnownIdentifier
from twite.gateway.ports.outbox import SweepRequest
from twite.stores.sqlite import SQLiteStore

pytestmark = pytest.mark.asyncio(loop_scope="module")

# `events` in the settings contains only o8z6k and o8z6m: others were mapped earlier, or came in X's
# format.
KEPT = {"order-77": ("o8z6j", "o8z6k"), "lead-77": ("o8z6j", "o8z6z"), "own-77": ("o6dkt", "o6dkz")}
# One conversion of a pixel that is no longer in the settings, and one that only a tag got.
ELSEWHERE = {"old-77": ("o9old", "o9olk"), "tag-77": ("tag:crm", "purchase")}


WAITED = msgspec.structs.replace(
    an_entry("waited-77"), join=JoinRequest(keys=("k",), whose="", wait=1)
)
PHONE = KnownIdentifier(
    key="k", mark="m", kind=JoinKind.PHONE, value="0" * 64, whose="",
    at=NOW, seen_at=NOW, origin="identify",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory):
    stage = ConsoleStage(tmp_path_factory.mktemp("found"))
    store = await SQLiteStore.open(str(stage.settings.store.path))
    for name, (pixel, event) in (KEPT | ELSEWHERE).items():
        entry = an_entry(name, pixel=pixel, event=event)
        await store.record(a_submission(entry, receipt=f"r-{name}"))
    both = (an_entry("both-77"), an_entry("both-77", pixel="tag:crm", event="purchase", index=1))
    await store.record(a_submission(*both, receipt="r-both"))
    await store.record(a_submission(WAITED, receipt="r-waited"))
    await store.record(msgspec.structs.replace(a_submission(receipt="r-known"), known=(PHONE,)))
    await store.sweep(SweepRequest(now=NOW + 1, ambiguous_before=0, waiting_before=0))
    await store.close()
    await stage.start()
    yield stage
    await stage.stop()


@pytest.mark.parametrize("name", KEPT | ELSEWHERE)
async def test_conversion_is_found_by_id_whether_its_event_is_mapped_or_not(stage, name):
    vic = await stage.signed_in("vic")

    found = await vic.get(f"/console/conversions?id={name}")

    assert found.location.startswith("/console/conversions/")
    assert f"<h1>{name}" in (await vic.get(found.location)).text


@pytest.mark.parametrize("name", ["order-77", "lead-77", *ELSEWHERE])
async def test_conversion_of_another_pixel_is_not_found_by_id(stage, name):
    client = await stage.signed_in("client")

    answers = [await client.get(f"/console/conversions?id={id_}") for id_ in (name, "nothing-7")]

    assert [answer.status for answer in answers] == [200, 200]
    assert "No match." in answers[0].text
    assert answers[0].text.replace(name, "nothing-7") == answers[1].text


async def test_pixel_conversion_is_preferred_over_its_tag_delivery(stage):
    vic = await stage.signed_in("vic")

    found = await vic.get("/console/conversions?id=both-77")

    assert "of pixel <code>o8z6j</code>" in (await vic.get(found.location)).text


async def test_conversion_of_a_pixel_that_the_user_may_see_is_found_by_id(stage):
    client = await stage.signed_in("client")

    found = await client.get("/console/conversions?id=own-77")

    assert found.location.startswith("/console/conversions/")


async def test_history_shows_what_a_conversion_gained_while_it_waited(stage):
    vic = await stage.signed_in("vic")

    found = await vic.get((await vic.get("/console/conversions?id=waited-77")).location)

    assert "Gained: phone became known" in found.text
    assert "from identify" in found.text

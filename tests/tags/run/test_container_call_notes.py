"""The record of a run contains the events that it created, and says if one could not be stored."""

import msgspec
import pytest
from test_container_calls import RUN, ContainerStage

from twite.domain.secret import Secret
from twite.tags.ports.tags import TagRule
from twite.tags.runtime.tag_log import MASKED_EVENT

KEY = "key-of-the-vendor"


async def test_record_of_a_run_contains_no_secret_and_no_personal_data():
    name = "key-of-the-vendor for jane@mail.example"
    stage = ContainerStage(RUN + f"run({{event_name: '{name}'}}); data.gtmOnSuccess();")
    secrets = (Secret("key-of-the-vendor"),)
    stage.config.rules["caller"] = TagRule(name="caller", timeout=5_000, secrets=secrets)

    try:
        ran = await stage.run(await stage.received())
    finally:
        await stage.pool.stop()

    [note] = ran.notes
    assert note.startswith("runContainer created *** for ***, receipt ")


@pytest.mark.parametrize("name", ["upsell", "purchase"])
async def test_secret_field_is_stored_in_no_created_event(name):
    stage = ContainerStage(
        RUN + f"run({{event_name: '{name}', event_id: 'U-1', description: 'by ' + data.key,\n"
        "  auth: {keys: [data.key]}}); data.gtmOnSuccess();"
    )
    [caller, *others] = stage.config.container.tags
    tags = (msgspec.structs.replace(caller, fields={"key": KEY}), *others)
    container = msgspec.structs.replace(stage.config.container, tags=tags)
    rule = TagRule(
        name="caller", timeout=5_000, secrets=(Secret(KEY),), field_secrets=(Secret(KEY),)
    )
    stage.config = msgspec.structs.replace(
        stage.config, container=container, rules=stage.config.rules | {"caller": rule}
    )

    try:
        ran = await stage.run(await stage.received())
    finally:
        await stage.pool.stop()

    [(submission, _)] = stage.submissions
    stored = msgspec.json.encode(submission).decode()
    bodies = [entry.body.decode() for entry in submission.entries]
    assert ran.succeeded
    assert KEY not in stored + "".join(bodies)
    assert all("by ***" in body for body in bodies)
    assert stage.lines == [MASKED_EVENT]


async def test_effects_after_an_event_that_could_not_be_stored_are_not_performed():
    """The run is repeated, and would perform them again."""
    stage = ContainerStage(
        "const send = require('sendHttpRequest');\n"
        + RUN
        + "run({event_name: 'upsell'}); send('https://vendor.example/').then(data.gtmOnSuccess);\n"
    )
    stage.fails = True

    try:
        ran = await stage.run(await stage.received())
    finally:
        await stage.pool.stop()

    assert [(request.words, request.left) for request in ran.tried] == [("the disk is full", False)]
    assert not ran.succeeded

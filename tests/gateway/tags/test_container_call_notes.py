"""What the record of a run says about the events that the run created."""

from test_container_calls import RUN, ContainerStage

from twite.domain.secret import Secret
from twite.gateway.ports.tags import TagRule


async def test_the_record_of_a_run_names_no_secret_and_no_person():
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

"""No row of an export contains an identifier, a person's data or a credential."""

from itertools import product

import msgspec
import polars as pl
import pytest
from export_stage import latest, objects_of, rows_of

from builders import NOW, an_entry
from canaries import EMAIL, SPELLINGS, found_in
from store_contract.actions import dead_lettered
from twite.app.export.object_target import state_path
from twite.domain.conversion import Conversion, Identifiers
from twite.domain.submission import RejectedConversion
from twite.readers.object_storage import ObjectStorage
from twite.x.encode import conversion_body

IDENTIFIERS = Identifiers(
    click_id="23opevjt88psuo13lu8d020qkn",
    email="5f" * 32,
    phone="6e" * 32,
    ip="203.0.113.77",
    user_agent="CanaryBrowser/1.0",
    browser_id="canary-browser-id",
)
ROWS = 4 * len(SPELLINGS) + 1
SECRETS = (
    "23opevjt88psuo13lu8d020qkn", "5f5f5f", "6e6e6e", "203.0.113.77", "CanaryBrowser",
    "canary-browser", "canary-description", "canary-search", "canary-path", "canary-item",
    "Bearer canary-token",
)  # fmt: skip


def whole_entry():
    """Return a conversion with everything that X accepts."""
    conversion = Conversion(
        pixel="o8z6j",
        event="o8z6k",
        conversion_id="order-1",
        time=NOW,
        identifiers=IDENTIFIERS,
        value="49.90",
        currency="EUR",
        description="canary-description",
        search="canary-search",
        url="https://shop.example/canary-path",
    )
    return msgspec.structs.replace(an_entry("order-1"), body=conversion_body(conversion))


async def fill(stage):
    """Record conversions whose ids, events, reasons and answers of X name a person or a secret."""
    await stage.record(whole_entry())
    answer = f'{{"errors":[{{"message":"bad {EMAIL}","token":"Bearer canary-token"}}]}}'
    await stage.settle(dead_lettered, status=400, answer=answer)
    for spelling in SPELLINGS.values():
        await stage.record(an_entry(spelling, suppressed=f"refused: {spelling}"))
    for number, spelling in enumerate(SPELLINGS.values()):
        # A tag's copy has the name that the sender gave to the event.
        await stage.record(
            an_entry(f"tag-{number}", pixel="tag:pinterest", event=spelling, suppressed="denied")
        )
    refusals = tuple(
        RejectedConversion(
            index=index, pixel=pixel, errors=(), conversion_id=spelling, event=spelling
        )
        for index, (pixel, spelling) in enumerate(product(("o8z6j", ""), SPELLINGS.values()))
    )
    await stage.record(refusals=refusals)
    return stage


@pytest.fixture
async def full(stage):
    return await fill(stage)


async def test_no_row_in_a_database_names_a_person(full):
    await full.export()

    rows = await rows_of(full.url)
    (whole,) = (row for row in rows if row["conversion_id"] == "order-1")
    kept = "\n".join(str(list(row.values())) for row in rows)
    positions = str(
        await rows_of(full.url, "export AS key, position", "twite_conversions_position")
    )
    assert len(rows) == ROWS
    assert found_in(kept.encode()) == []
    assert [secret for secret in SECRETS if secret in kept] == []
    assert found_in(positions.encode()) == []
    assert whole["identifiers"] == "click_id,email,phone,ip,user_agent,browser_id"


@pytest.mark.parametrize(
    "id_",
    [
        IDENTIFIERS.email,
        f"lead-{IDENTIFIERS.email.upper()}",
        IDENTIFIERS.click_id,
        f"{IDENTIFIERS.ip}/7",
        f"{IDENTIFIERS.phone}_2",
    ],
)
async def test_id_that_contains_an_identifier_of_its_conversion_is_masked(stage, id_):
    await stage.record(msgspec.structs.replace(whole_entry(), conversion_id=id_))
    await stage.queue("order-203", id_[:5])

    await stage.export()

    rows = await rows_of(stage.url)
    assert sorted(row["conversion_id"] for row in rows) == sorted(["***", "order-203", id_[:5]])


ORDINARY = "9f86d081884c7d659a2feaa0c55ad015"
FORMS = [IDENTIFIERS.email, IDENTIFIERS.click_id, f"lead-{IDENTIFIERS.email}/1"]


async def dead_lettered_under(stage, id_):
    await stage.record(msgspec.structs.replace(whole_entry(), conversion_id=id_))
    await stage.settle(dead_lettered, status=400)


@pytest.mark.parametrize("id_", [*FORMS, IDENTIFIERS.ip, IDENTIFIERS.user_agent])
async def test_masked_id_in_a_table_stays_masked_once_the_body_is_pruned(stage, id_):
    await dead_lettered_under(stage, id_)
    await stage.export()
    await stage.replay()
    with stage.pruned_bodies():
        await stage.export()

    (row,) = await rows_of(stage.url)
    assert (row["conversion_id"], row["state"]) == ("***", "queued")


@pytest.mark.parametrize("id_", FORMS)
async def test_masked_id_in_objects_stays_masked_once_the_body_is_pruned(storage_stage, id_):
    await dead_lettered_under(storage_stage, id_)
    await storage_stage.export()
    await storage_stage.replay()
    with storage_stage.pruned_bodies():
        await storage_stage.export()

    _, whole = latest(storage_stage)
    states = sorted(whole["conversion_id", "state"].rows())
    assert states == [("***", "dead"), ("***", "queued")]
    assert id_ not in whole.write_csv()


@pytest.mark.parametrize("id_", FORMS)
async def test_id_in_the_form_of_an_identifier_is_masked_without_its_body(stage, tmp_path, id_):
    await dead_lettered_under(stage, id_)
    await stage.queue(ORDINARY)
    refusals = (RejectedConversion(index=0, pixel="o8z6j", errors=(), conversion_id=id_),)
    await stage.record(refusals=refusals)
    with stage.pruned_bodies():
        await stage.export()
        await stage.export(tmp_path / "all.parquet")

    rows = await rows_of(stage.url)
    assert sorted(row["conversion_id"] for row in rows) == ["***", "***", ORDINARY]
    frame = pl.read_parquet(tmp_path / "all.parquet")
    assert sorted(frame["conversion_id"]) == ["***", "***", ORDINARY]


async def test_no_file_names_a_person(full, tmp_path):
    await full.export(tmp_path / "all.csv")
    await full.export(tmp_path / "all.parquet")

    frame = pl.read_parquet(tmp_path / "all.parquet")
    assert len(frame) == ROWS
    for kept in ((tmp_path / "all.csv").read_bytes(), frame.write_csv().encode()):
        assert kept.count(b"\n") > ROWS
        assert found_in(kept) == []
        assert [secret for secret in SECRETS if secret.encode() in kept] == []


async def test_no_object_names_a_person(storage_stage):
    await fill(storage_stage)

    await storage_stage.export()

    _, whole = latest(storage_stage)
    kept = whole.write_csv().encode()
    storage = ObjectStorage(storage_stage.target.secret_url.reveal())
    state = storage.read(state_path(storage_stage.store_id)).content
    assert len(whole) == ROWS
    for content in (kept, state, "".join(objects_of(storage_stage)).encode()):
        assert found_in(content) == []
        assert [secret for secret in SECRETS if secret.encode() in content] == []


async def test_rejected_conversion_has_only_events_of_the_settings(stage):
    names = ("purchase", " Purchase", "o8z6k", "purchse", "")
    refusals = tuple(
        RejectedConversion(index=index, pixel="o8z6j", errors=(), event=name, conversion_id=name)
        for index, name in enumerate(names)
    )
    await stage.record(refusals=refusals)

    await stage.export()

    rows = await rows_of(stage.url, "key, conversion_id, event, event_name")
    assert {row["conversion_id"]: (row["event"], row["event_name"]) for row in rows} == {
        "purchase": ("o8z6k", "purchase"),
        " Purchase": ("o8z6k", "purchase"),
        "o8z6k": ("o8z6k", "purchase"),
        "purchse": (None, None),
        "": (None, None),
    }

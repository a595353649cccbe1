"""No row of an export contains an identifier, a person's data or a credential."""

import msgspec
import pytest
from export_stage import rows_of

from builders import NOW, an_entry
from canaries import EMAIL, SPELLINGS, found_in
from store_contract.actions import dead_lettered
from twite.domain.conversion import Conversion, Identifiers
from twite.domain.submission import RejectedConversion
from twite.x.encode import conversion_body

IDENTIFIERS = Identifiers(
    click_id="23opevjt88psuo13lu8d020qkn",
    email="5f" * 32,
    phone="6e" * 32,
    ip="203.0.113.77",
    user_agent="CanaryBrowser/1.0",
    browser_id="canary-browser-id",
)
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


@pytest.fixture
async def full(stage):
    """Conversions whose ids, reasons and answers of X contain a person or a secret."""
    await stage.record(whole_entry())
    answer = f'{{"errors":[{{"message":"bad {EMAIL}","token":"Bearer canary-token"}}]}}'
    await stage.settle(dead_lettered, status=400, answer=answer)
    for spelling in SPELLINGS.values():
        await stage.record(an_entry(spelling, suppressed=f"refused: {spelling}"))
    refusals = tuple(
        RejectedConversion(index=index, pixel="o8z6j", errors=(), conversion_id=spelling)
        for index, spelling in enumerate(SPELLINGS.values())
    )
    await stage.record(refusals=refusals)
    return stage


async def test_no_row_in_a_database_names_a_person(full):
    await full.export()

    rows = await rows_of(full.url)
    (whole,) = (row for row in rows if row["conversion_id"] == "order-1")
    kept = "\n".join(str(list(row.values())) for row in rows)
    positions = str(
        await rows_of(full.url, "export AS key, position", "twite_conversions_position")
    )
    assert len(rows) == 2 * len(SPELLINGS) + 1
    assert found_in(kept.encode()) == []
    assert [secret for secret in SECRETS if secret in kept] == []
    assert found_in(positions.encode()) == []
    assert whole["identifiers"] == "click_id,email,phone,ip,user_agent,browser_id"


async def test_no_file_names_a_person(full, tmp_path):
    await full.export(tmp_path / "all.csv")
    await full.export(tmp_path / "all.parquet")

    for name in ("all.csv", "all.parquet"):
        kept = (tmp_path / name).read_bytes()
        assert len(kept) > 1_000
        assert found_in(kept) == []
        assert [secret for secret in SECRETS if secret.encode() in kept] == []

"""Diagnostics of exports: unreachable targets, failed runs, and missing runs."""

import time

import pytest

from twite.app.export.run import ExportRun
from twite.app.export.state import run_record
from twite.diagnostics import CheckStatus
from twite.diagnostics.exports import exports
from twite.domain.times import MINUTE
from twite.stores.sqlite import SQLiteStore
from written import GOOD, read

EXPORT = """
[[export]]
name = "warehouse"
to = "env:WAREHOUSE"
"""


@pytest.fixture
def found(tmp_path, empty_postgres_url):
    async def find(run=None, url=empty_postgres_url):
        if run is not None:
            store = await SQLiteStore.open(str(tmp_path / "twite.db"))
            await store.put([run_record("warehouse", run)])
            await store.close()
        settings = read(tmp_path, GOOD + EXPORT, {"WAREHOUSE": url})
        ((status, sentence),) = [(each.status, each.found) async for each in exports(settings)]
        return status, sentence

    return find


def before(ms):
    return time.time_ns() // 1_000_000 - ms


async def test_reachable_target_passes(found):
    status, sentence = await found()

    assert status is CheckStatus.PASSED
    assert sentence.startswith("warehouse: reachable → postgresql://")
    assert sentence.endswith("has not run yet")


async def test_unreachable_target_fails_without_its_password(found):
    status, sentence = await found(url="postgresql://twite:a-canary@127.0.0.1:1/shop")

    assert status is CheckStatus.FAILED
    assert "the server refuses connections" in sentence
    assert "canary" not in sentence


async def test_failed_run_is_a_warning(found):
    status, sentence = await found(ExportRun(at=before(MINUTE), error="permission denied"))

    assert status is CheckStatus.WARNING
    assert sentence == "the last run of warehouse failed: permission denied"


@pytest.mark.parametrize(
    ("minutes", "status"), [(44, CheckStatus.PASSED), (46, CheckStatus.WARNING)]
)
async def test_missing_runs_are_a_warning(found, minutes, status):
    seen, sentence = await found(ExportRun(at=before(minutes * MINUTE)))

    assert seen is status
    assert ("has not run since" in sentence) is (status is CheckStatus.WARNING)

"""The findings of diagnostics. `tests/cli/test_check.py` runs the whole command."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from builders import NOW, a_submission, an_entry
from twite.diagnostics import CheckFinding, CheckStatus
from twite.diagnostics.configuration import pixels, sources
from twite.diagnostics.store import on_room, on_sync, speed_of, store
from twite.domain.pause import Cause, Pause
from twite.stores.sqlite import SQLiteStore
from written import GOOD, read

GIB = 1 << 30


@pytest.mark.parametrize(
    ("took", "status"),
    [
        (0.04, CheckStatus.WARNING),
        (0.05, CheckStatus.PASSED),
        (5.0, CheckStatus.PASSED),
        (5.1, CheckStatus.WARNING),
    ],
)
def test_sync_time_of_the_disk_is_compared_with_typical_disks(took, status):
    assert on_sync(took).status is status


@pytest.mark.parametrize(
    ("free", "status"),
    [
        (2 * GIB, CheckStatus.PASSED),
        (GIB // 2, CheckStatus.WARNING),
        (GIB // 32, CheckStatus.FAILED),
    ],
)
def test_free_disk_space_has_a_status(free, status):
    assert on_room(free, Path("/var/lib")).status is status


def test_disk_check_removes_its_files(tmp_path):
    speed_of(tmp_path)

    assert list(tmp_path.iterdir()) == []


async def test_missing_folder_of_the_store_fails(tmp_path):
    settings = read(tmp_path, GOOD.replace("sqlite:twite.db", "sqlite:none/twite.db"))

    findings = [finding async for finding in store(settings)]

    assert findings == [
        CheckFinding(
            topic="store",
            status=CheckStatus.FAILED,
            found=(f"the folder {tmp_path}/none does not exist, or this user cannot write to it"),
            meaning="The gateway would not start.",
            fix="Create the folder, or make the user that runs twite serve its owner.",
        )
    ]


async def finding_of_pause(folder, cause, reason, event=""):
    settings = read(folder)
    owned = await SQLiteStore.open(str(settings.store.path))
    await owned.put([Pause(pixel="o8z6j", since=NOW, cause=cause, reason=reason, event=event)])
    await owned.close()
    return [finding async for finding in store(settings)][-1]


async def test_rate_limited_event_is_a_warning_that_says_when_sending_goes_on(tmp_path):
    reason = "X limits only this event until 2026-11-25T10:00:00.000Z: 429"

    finding = await finding_of_pause(tmp_path, Cause.EVENT_LIMITED, reason, event="tw-o8z6j-a")

    assert finding == CheckFinding(
        topic="paused",
        status=CheckStatus.WARNING,
        found=f"event tw-o8z6j-a of pixel o8z6j, since 2026-11-25 09:46 UTC: {reason}",
        meaning="Its conversions stay queued until the time that the reason names.",
        fix="Wait: Twite goes on at the time that the reason names. If it recurs, ask X.",
    )


async def test_pixel_paused_by_a_user_is_a_warning_that_says_how_to_resume_it(tmp_path):
    finding = await finding_of_pause(tmp_path, Cause.USER, "paused by hand, by olga")

    assert (finding.status, finding.meaning) == (
        CheckStatus.WARNING,
        "Its conversions stay queued until a user resumes the pixel.",
    )
    assert "resume the pixel in the console" in finding.fix


async def test_paused_pixel_fails_with_the_reason_of_x(tmp_path):
    finding = await finding_of_pause(tmp_path, Cause.CREDENTIALS_REFUSED, "401 UNAUTHORIZED_ACCESS")

    assert finding == CheckFinding(
        topic="paused",
        status=CheckStatus.FAILED,
        found="pixel o8z6j, since 2026-11-25 09:46 UTC: 401 UNAUTHORIZED_ACCESS",
        meaning="Its conversions stay queued until X accepts one, which Twite tests once a minute.",
        fix="twite check tests each credential. Replace a refused one, and run twite reload.",
    )


async def test_balance_other_than_0_fails_with_source_and_pixel(tmp_path):
    settings = read(tmp_path)
    owned = await SQLiteStore.open(str(settings.store.path))
    await owned.record(a_submission(an_entry()))
    await owned.close()
    with closing(sqlite3.connect(settings.store.path)) as connection, connection:
        connection.execute("UPDATE account SET received = received + 2")
    connection.close()

    findings = [finding async for finding in store(settings)]

    assert [finding.found for finding in findings if finding.status is CheckStatus.FAILED] == [
        "the balance is not 0 (shop/o8z6j: +2)"
    ]


async def test_store_can_be_checked_while_a_gateway_uses_it(tmp_path):
    settings = read(tmp_path)
    owned = await SQLiteStore.open(str(settings.store.path))
    try:
        findings = [finding async for finding in store(settings)]
    finally:
        await owned.close()

    assert [finding.found for finding in findings if finding.topic == "balance"] == [
        "0: 0 received, 0 pending"
    ]


def test_settings_without_a_pixel_fail_and_without_a_source_are_a_warning(tmp_path):
    settings = read(tmp_path, "")

    assert [pixel.status for pixel in pixels(settings) if pixel.topic == "pixels"] == [
        CheckStatus.FAILED
    ]
    assert [source.status for source in sources(settings)] == [CheckStatus.WARNING]


def test_pixel_without_a_source_is_a_warning(tmp_path):
    text = GOOD + (
        '[[pixel]]\nid = "o8z7a"\nauth = { pixel_token = "env:X_PIXEL_TOKEN" }\n'
        'events = { purchase = "o8z7b" }\n'
    )

    findings = list(sources(read(tmp_path, text)))

    assert [finding.found for finding in findings if finding.status is CheckStatus.WARNING] == [
        "no source may submit to pixel o8z7a"
    ]


def test_key_file_that_others_can_read_is_a_warning(tmp_path):
    key = tmp_path / "twite.secret"
    key.write_text("a-key-that-nobody-will-guess")
    key.chmod(0o640)
    text = GOOD.replace("[server]", '[server]\nsecret_key = "file:twite.secret"')

    findings = [pixel for pixel in pixels(read(tmp_path, text)) if pixel.topic == "key"]

    assert [(finding.status, finding.found) for finding in findings] == [
        (CheckStatus.WARNING, f"{key} is readable by other users")
    ]

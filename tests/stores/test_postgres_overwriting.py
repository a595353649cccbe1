"""How often erased rows are overwritten, and with what."""

import os

import pytest

from twite.gateway.ports.privacy import ErasedText, EraseStore
from twite.stores.postgres.driver.connection import ResultRows
from twite.stores.postgres.overwriting import overwrite

TIMES = 8


class Session:
    """A session that notes its statements."""

    def __init__(self):
        self.ran = []
        self.rows = {
            "conversions_to_overwrite": [(1, b"a" * 30), (2, b"b" * 50)],
            "submissions_to_overwrite": [(3, b"c" * 70)],
        }

    def run(self, name, **values):
        self.ran.append((name, values))
        return ResultRows(self.rows.get(name, []), 0)

    def of(self, ending):
        return [(name, values) for name, values in self.ran if name.endswith(ending)]


@pytest.fixture
def session(monkeypatch):
    monkeypatch.setattr(os, "urandom", lambda size: b"?" * size)
    return Session()


def test_rows_are_overwritten_with_random_bytes_then_made_small_then_restored(session):
    erasing = EraseStore(conversions=(1, 2), cuts=(ErasedText(submission=3),))

    assert overwrite(session, erasing) == 3
    noise = [
        ("fill_conversions", {"ids": [1, 2], "noise": b"?" * 50}),
        *[("fill_conversions", {"ids": [1, 2], "noise": b""})] * TIMES,
    ]
    assert session.of("conversions") == [
        *noise,
        ("restore_conversions", {"id": 1, "body": b"a" * 30}),
        ("restore_conversions", {"id": 2, "body": b"b" * 50}),
    ]
    assert [len(values["noise"]) for _, values in session.of("fill_submissions")] == [
        70,
        *[0] * TIMES,
    ]
    assert session.of("restore_submissions") == [
        ("restore_submissions", {"id": 3, "body": b"c" * 70})
    ]


def test_rows_of_the_deduplication_report_are_overwritten_often_enough(session):
    assert overwrite(session, EraseStore(dedup_rows=(4, 5))) == 0
    assert session.ran == [("write_dedup_report_again", {"ids": [4, 5]})] * TIMES


def test_missing_rows_need_no_random_bytes(session):
    session.rows.clear()

    assert overwrite(session, EraseStore(conversions=(1,))) == 0
    assert session.of("fill_conversions")[0] == ("fill_conversions", {"ids": [1], "noise": b""})


def test_nothing_is_written_without_rows(session):
    assert overwrite(session, EraseStore()) == 0
    assert session.ran == []

"""Deduplication keys in memory are rebuilt from a long log in which one is damaged."""

import shutil

import pytest

from twite.domain.conversion import DEFAULT_WINDOW
from twite.stores.sqlite.engine.connection import connect_writer
from twite.stores.sqlite.engine.owner_session import OwnerSession, leases_of


@pytest.mark.parametrize("damaged", ["key || x'00'", "substr(key, 2)", "CAST(key AS TEXT) || 'é'"])
def test_damaged_key_in_a_long_log_affects_no_other_key(tmp_path, migrated_file, damaged):
    keys = {number.to_bytes(16, "little"): number for number in range(1, 40_000)}
    connection = connect_writer(str(shutil.copyfile(migrated_file, tmp_path / "twite.db")))
    connection.executemany("INSERT INTO fresh_key (key, delivery) VALUES (?, ?)", keys.items())
    connection.execute(f"UPDATE fresh_key SET key = {damaged} WHERE delivery = 400")  # noqa: S608

    book = OwnerSession(connection, window=DEFAULT_WINDOW, leases=leases_of(1))
    connection.execute("DELETE FROM fresh_key")

    missing = keys.items() - book.keys.holders(list(keys)).items()
    assert missing == {((400).to_bytes(16, "little"), 400)}
    connection.close()

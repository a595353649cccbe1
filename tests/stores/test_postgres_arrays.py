"""Arrays in PostgreSQL's binary format."""

import struct

import asyncpg
import pytest

from twite.stores.postgres.driver import arrays
from twite.stores.postgres.driver.address import Address

SMALLEST, LARGEST = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bigint", [SMALLEST, -1, 0, 1, LARGEST]),
        ("bigint", [None, 7, None]),
        ("bigint", [None, None]),
        ("bigint", []),
        ("text", ["", "Grüße", None, '{a,"b"}', "NULL"]),
        ("text", []),
        ("bytea", [b"", b"\x00\xff", None]),
        ("uuid", [bytes(16), bytes(range(16)), None]),
    ],
)
async def test_array_is_unchanged_by_encoding_and_decoding(postgres_url, kind, values):
    driver = await Address(postgres_url).connect()
    try:
        assert await driver.fetchval(f"SELECT $1::{kind}[]", values) == values
        rows = await driver.fetch(f"SELECT unnest($1::{kind}[])", values)
        assert [value for (value,) in rows] == values
    finally:
        await driver.close()


@pytest.mark.parametrize(
    ("kind", "value"),
    [("bigint", LARGEST + 1), ("bigint", "1"), ("text", 1), ("text", "\ud800"), ("uuid", b"1")],
)
async def test_array_with_a_wrong_value_is_an_error(postgres_url, kind, value):
    driver = await Address(postgres_url).connect()
    try:
        with pytest.raises((asyncpg.DataError, asyncpg.PostgresError)):
            await driver.fetchval(f"SELECT $1::{kind}[]", [value])
    finally:
        await driver.close()


async def test_arrays_are_not_encoded_by_asyncpg(postgres_url, monkeypatch):
    """The codecs of asyncpg look for nested arrays, and query types on each new connection."""
    kinds = []
    array = arrays._array  # noqa: SLF001

    def encoded(kind, *values):
        kinds.append(kind)
        return array(kind, *values)

    monkeypatch.setattr(arrays, "_array", encoded)
    driver = await Address(postgres_url).connect()
    try:
        for kind, value in (("bigint", 1), ("text", "a"), ("bytea", b"a"), ("uuid", bytes(16))):
            assert await driver.fetchval(f"SELECT $1::{kind}[]", [value]) == [value]
    finally:
        await driver.close()

    assert kinds == [20, 25, 17, 2950]


def test_array_has_one_dimension_that_begins_at_one():
    head = struct.pack(">iiIii", 1, 0, 20, 2, 1)  # the type 20 is bigint

    assert arrays.of_integers([7, None]) == head + struct.pack(">iqi", 8, 7, -1)


def test_integers_without_null_are_decoded_at_once(monkeypatch):
    monkeypatch.delattr(arrays, "_read")

    for values in ([], [SMALLEST], [1, 2, LARGEST]):
        assert arrays.integers(arrays.of_integers(values)) == values

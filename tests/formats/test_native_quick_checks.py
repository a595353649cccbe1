"""Checks of a whole body find each conversion that needs a closer look."""

import json

import pytest
from readings import read_bytes, sha256

from twite.formats.native import values

ORDER = {"event": "purchase", "conversion_id": "1", "email_sha256": sha256("a")}


@pytest.mark.parametrize(
    "twice",
    [
        b'"event":"purchase","event":"purchase"',
        b'"email":"a@b.alt","email":"c@d.alt"',
        b'"contents":[{"id":"1","id":"2"}]',
        b'"event":"sign_up","url":"https://shop.example/?twclid=abc","url":"https://a.example/"',
        b'"search":"a","search":"b","url":"https://shop.example/?twclid=abc"',
        b'"conversion_id":"7","search":null',
        # The numbers become texts, because the name changes. So as many texts are stored as came.
        b'"contents":[{"id":7,"group":8,"name":" Mug"}],"search":"a","search":"b"',
    ],
)
def test_repeated_key_rejects_only_its_conversion(twice):
    body = b'{"conversion_id":"1","event":"purchase","email_sha256":"%b",%b}' % (
        sha256("a").encode(), twice,
    )  # fmt: skip

    reading = read_bytes(b'{"conversions":[%b,%b]}' % (body, json.dumps(ORDER).encode()))

    assert [result.is_faulty for result in reading.results] == [True, False]


@pytest.mark.parametrize(("length", "cached"), [(500, 1), (501, 0)])
def test_only_short_contents_are_cached(length, cached):
    values._lines.clear()  # noqa: SLF001 - the cache has no other use

    read_bytes(json.dumps(ORDER | {"contents": [{"name": "x" * length}]}).encode())

    assert len(values._lines) == cached  # noqa: SLF001 - as above

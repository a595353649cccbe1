"""Files in object storage, on a real S3 server, and standard input."""

import gzip
import io
import re
import sys
from types import SimpleNamespace

import obstore
import polars as pl
import pytest
from obstore.store import from_url
from send_gateway_double import HEADER, YESTERDAY, ids, rows

from s3_server import BUCKET, s3_server
from twite.cli import run
from twite.domain.errors import ClientError
from twite.readers.input_file import standard_input
from twite.readers.object_storage import ObjectStorage, StorageUnusable

CSV = "\n".join([HEADER, *rows(3)]).encode()


@pytest.fixture(scope="module")
def server():
    with s3_server() as variables:
        yield variables


@pytest.fixture
def bucket(server, monkeypatch):
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    store = from_url(f"s3://{BUCKET}")
    yield store
    for page in obstore.list(store):
        for found in page:
            obstore.delete(store, found["path"])


def said(capsys):
    found = capsys.readouterr()
    return " ".join(re.sub("[│╭╮╰╯─]", " ", found.out + found.err).split())


def parquet():
    """Make the file in the process of the test: polars starts threads, which no fork copies."""
    table = pl.DataFrame(
        {
            "order_id": [2**53 + 1, 2**53 + 2],
            "event": ["purchase"] * 2,
            "time": [YESTERDAY] * 2,
            "total": pl.Series(["1.20", "3.40"]).cast(pl.Decimal(12, 2)),
            "currency": ["EUR"] * 2,
            "email": ["a@example.com", "b@example.com"],
        }
    )
    content = io.BytesIO()
    table.write_parquet(content)
    return content.getvalue()


LINE = '{"event":"purchase","conversion_id":"o-1","email":"a@example.com","time":"%s"}\n'


@pytest.mark.parametrize(
    ("name", "content", "sent"),
    [
        ("orders.csv", CSV, ["o-1", "o-2", "o-3"]),
        ("day=1/orders ü.csv.gz", gzip.compress(CSV), ["o-1", "o-2", "o-3"]),
        ("orders.jsonl", (LINE % YESTERDAY).encode(), ["o-1"]),
        ("orders.parquet", parquet, [str(2**53 + 1), str(2**53 + 2)]),
    ],
)
def test_object_is_sent_like_a_file(place, gateway, bucket, *, name, content, sent):
    obstore.put(bucket, name, content() if callable(content) else content)

    assert run(["send", f"s3://{BUCKET}/{name}", "--yes"]) == 0
    assert ids(gateway.sent) == sent
    report = place / f"{BUCKET}-{name.replace('/', '-')}.report.csv"
    assert report.read_text("utf-8-sig").count("accepted") == len(sent)


def test_all_objects_below_a_prefix_are_sent_in_order(place, gateway, bucket):
    for name in ("new/2.csv", "new/1.csv", "old/1.csv", "new/empty.csv"):
        lines = [HEADER, *rows(2)] if "empty" not in name else []
        obstore.put(bucket, name, "\n".join(lines).replace("o-", f"{name}-").encode())
    # Markers of Hadoop and Spark.
    for name in ("new/_SUCCESS", "new/_temporary/1.csv"):
        obstore.put(bucket, name, b"no table")

    assert run(["send", f"s3://{BUCKET}/new/", "--yes"]) == 0
    assert [id_[:5] for id_ in ids(gateway.sent)] == ["new/1", "new/1", "new/2", "new/2"]


def test_interrupted_object_continues_where_it_stopped(place, gateway, bucket):
    obstore.put(bucket, "orders.csv", "\n".join([HEADER, *rows(700)]).encode())
    url = f"s3://{BUCKET}/orders.csv"
    gateway.script = [(202, {"receipt": "r", "accepted": 500, "duplicates": 0, "suppressed": 0,
                             "rejected": []}), (404, {})]  # fmt: skip

    assert run(["send", url, "--yes"]) == 1
    assert run(["send", url, "--yes"]) == 0
    assert len(ids(gateway.sent)[-200:]) == 200
    assert [len(request) for request in gateway.requests] == [500, 200, 200]


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (f"s3://{BUCKET}/none.csv", "there is no such object or bucket"),
        ("s3://no-such-bucket/orders.csv", "there is no such object or bucket"),
        (f"s3://{BUCKET}/none/", "there are no objects"),
        ("az://exports/orders.csv", "Account must be specified"),
    ],
)
def test_missing_object_is_explained(place, gateway, bucket, capsys, *, url, sentence):
    assert run(["send", url, "--yes"]) in {1, 2}
    text = said(capsys)
    assert sentence in text
    assert "canary" not in text
    assert gateway.requests == []


def test_object_that_is_overwritten_meanwhile_is_not_mixed(bucket):
    obstore.put(bucket, "orders.csv", CSV)
    storage = ObjectStorage(f"s3://{BUCKET}/orders.csv")
    (stored,) = storage.objects()
    obstore.put(bucket, "orders.csv", b"other")

    with pytest.raises(StorageUnusable, match="was overwritten"):
        storage.file(stored).open()


def test_large_object_is_read_in_parts(bucket):
    content = bytes(range(256)) * 12_000
    obstore.put(bucket, "large.bin", content)
    storage = ObjectStorage(f"s3://{BUCKET}/large.bin")
    (stored,) = storage.objects()

    with storage.file(stored).open() as stream:
        assert stream.read(70_000) == content[:70_000]
        assert stream.read() == content[70_000:]


def test_missing_obstore_is_explained():
    def nowhere(name):
        raise ImportError(name)

    with pytest.raises(StorageUnusable, match="-m pip install obstore`"):
        ObjectStorage("gs://exports/", nowhere)


def test_standard_input_is_sent_like_a_file(place, gateway, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(CSV), isatty=lambda: False))

    assert run(["send", "-"]) == 0
    assert ids(gateway.sent) == ["o-1", "o-2", "o-3"]
    assert (place / "stdin.report.csv").exists()


def test_standard_input_that_does_not_fit_into_memory_is_refused():
    with pytest.raises(ClientError, match="compress it"):
        standard_input(io.BytesIO(b"x" * 11), most=10)

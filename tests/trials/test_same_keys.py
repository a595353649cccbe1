"""The same conversions sent to several gateways at the same time: each is new once, without
deadlocks.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from gateways_on_postgres import KEYS, LONG, Trial

from postgres_server import DATABASE
from twite.domain.history import total
from twite.stores.postgres.store import PostgresReader

CLIENTS, ROUNDS = 64, 1_000
PROCESSES, SECONDS = (4, 60) if LONG else (2, 3)
SUBMITTER = str(Path(__file__).with_name("overlapping_keys.py"))
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.mark.timeout(SECONDS + 600)
def test_equal_keys_in_several_processes_cause_no_deadlock(postgres_server, postgres_url, figure):
    deadlocks = int(postgres_server.psql(DEADLOCKS, DATABASE))
    processes = [
        subprocess.Popen(
            [sys.executable, SUBMITTER, postgres_url, str(SECONDS), str(seed)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        )
        for seed in range(PROCESSES)
    ]
    said = [json.loads(process.communicate()[0]) for process in processes]
    counts = asyncio.run(balance(postgres_url))
    deadlocks = int(postgres_server.psql(DEADLOCKS, DATABASE)) - deadlocks

    new = Counter(name for part in said for name in part["new"])
    duplicates = sum(part["duplicates"] for part in said)
    twice = [name for name, times in new.items() if times > 1]
    figure(
        "overlapping keys on PostgreSQL",
        f"{PROCESSES} processes, {SECONDS} s: {new.total() + duplicates:,} conversions, "
        f"{len(new):,} new, {len(twice)} new twice, {deadlocks} deadlocks",
    )
    assert twice == []
    assert duplicates
    assert (counts.received, counts.duplicate) == (new.total() + duplicates, duplicates)
    assert (counts.delivered + counts.pending, counts.balance) == (len(new), 0)
    assert deadlocks == 0


async def balance(url):
    reader = await PostgresReader.open(url)
    counts = total(await reader.balance())
    await reader.close()
    return counts


@pytest.mark.alone
@pytest.mark.timeout(3_600)
@pytest.mark.skipif(not LONG, reason="a trial of whole gateways")
def test_conversion_sent_to_all_gateways_is_new_at_one(tmp_path, figure):
    with ExitStack() as stack:
        trial = Trial(stack, tmp_path)
        answers = asyncio.run(all_rounds([gateway.url for gateway in trial.gateways], next(KEYS)))
        outcome = trial.outcome()

    wrong = [answer for answer in answers if answer != Counter(accepted=1, duplicates=CLIENTS - 1)]
    figure(
        "the same conversion at several gateways",
        f"{CLIENTS} clients, {ROUNDS:,} rounds: {ROUNDS - len(wrong):,} rounds with one new "
        f"conversion, {len(outcome.arrived):,} conversions at X, {outcome.resent} more than once",
    )
    assert wrong == []
    assert (len(outcome.arrived), outcome.resent) == (ROUNDS, 0)
    assert outcome.balance["delivered"] == ROUNDS


async def all_rounds(urls, key):
    """Make all clients submit the same conversion at once; return the total of each round."""
    streams = []
    for client in range(CLIENTS):
        where = urlsplit(urls[client % len(urls)])
        streams.append(await asyncio.open_connection(where.hostname, where.port))
    answers = []
    for number in range(ROUNDS):
        body = json.dumps(
            {"event": "purchase", "conversion_id": f"same-{number}", "email": "a@example.com"}
        )
        request = (
            f"POST /v1/conversions HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        counted = await asyncio.gather(
            *(accepted_and_duplicates(stream, request) for stream in streams)
        )
        answers.append(sum(counted, Counter()))
    for _, writer in streams:
        writer.close()
    return answers


async def accepted_and_duplicates(stream, request):
    """Post, and return how many conversions were accepted, and how many duplicates."""
    reader, writer = stream
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = (
        int(line.partition(b":")[2])
        for line in head.lower().splitlines()
        if line.startswith(b"content-length:")
    )
    answer = json.loads(await reader.readexactly(length))
    assert head.startswith(b"HTTP/1.1 202"), answer
    return Counter({name: answer[name] for name in ("accepted", "duplicates")})

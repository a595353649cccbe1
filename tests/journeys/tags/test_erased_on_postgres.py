"""A person erased through one gateway is in no table afterwards, while another gateway sends.

Both gateways accept conversions of the same people before, during and after the erasure.
"""

import hashlib
import json
import re
import threading
from itertools import count

import pytest
from gateway_processes import PIXEL, BalanceWatch, PostgresGateway, command, wait_for

from twite_emulator.process import running_emulator

SUBJECTS = 6
EACH = 5
BEFORE, AFTER = 20, 5  # requests
SELDOM = 4  # a subject is in every fourth request
REST = 0.1  # seconds between two requests of a shop
PERSON = re.compile(r"subject-\d+@erase\.example|\+44770090\d{4}|\d+clk[0-9a-f]{17}")

pytestmark = pytest.mark.journey


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def person(number):
    click = f"{number}clk{sha256(str(number))[:17]}"
    return {
        "email": f"subject-{number}@erase.example",
        "phone": f"+44770090{number:04d}",
        "twclid": click,
    }


HASHES = {
    sha256(spelled)
    for number in range(SUBJECTS)
    for spelled in (person(number)["email"], person(number)["phone"], person(number)["phone"][1:])
}
LISTED = "".join(
    f"email: {known['email']}\nphone: {known['phone']}\nclick: {known['twclid']}\n"
    for known in map(person, range(SUBJECTS))
)


class Shop:
    """Posts to one gateway until stopped: other people, and now and then a subject."""

    def __init__(self, gateway, name):
        self.requests = 0
        self.others = set()
        self._gateway = gateway
        self._name = name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _run(self):
        for number in count():
            if self._over.wait(REST):
                return
            others = [f"other-{self._name}-{number}-{at}" for at in range(EACH)]
            conversions = [signed_up(id_, {"email": f"{id_}@else.example"}) for id_ in others]
            turn, is_other = divmod(number, SELDOM)
            if not is_other:
                known = [*person(turn % SUBJECTS).items()]
                kind, value = known[(turn + turn // SUBJECTS) % len(known)]
                conversions.append(signed_up(f"theirs-{self._name}-{number}", {kind: value}))
            status, _ = self._gateway.post({"conversions": conversions})
            if status == 202:
                self.others.update(others)
                self.requests += 1


def signed_up(conversion_id, identifiers):
    return {"event": "sign_up", "conversion_id": conversion_id} | identifiers


def at_x(x):
    events = x.counted()["pixels"].get(PIXEL, {}).get("events", {})
    return {id_ for event in events.values() for id_ in event["ids"]}


def texts_of(psql):
    """Return each row of each table as text."""
    tables = psql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").splitlines()
    for table in tables:
        yield table, psql(f'SET bytea_output = escape; SELECT row::text FROM "{table}" AS row')  # noqa: S608 own names


def found_in(texts):
    found = {}
    for name, text in texts:
        hits = PERSON.findall(text) + [some for some in HASHES if some in text]
        if hits:
            found[name] = hits[:3]
    return found


@pytest.fixture
def two(tmp_path, postgres_url):
    with running_emulator("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0") as x:
        gateways = []
        for name in ("one", "two"):
            folder = tmp_path / name
            folder.mkdir()
            gateways.append(PostgresGateway(folder, x.url, postgres_url))
        with gateways[0], gateways[1]:
            yield x, gateways


def test_erasure_through_one_gateway_removes_the_person_and_no_other(
    two, postgres_server, tmp_path, figure
):
    x, gateways = two

    def psql(statement):
        return postgres_server.psql(statement, "twite")

    wait_for(lambda: psql("SELECT node FROM ownership WHERE account LIKE '18ce%'").isdigit())
    first = psql("SELECT min(id) FROM node")
    sends = 0 if psql("SELECT node FROM ownership WHERE account LIKE '18ce%'") == first else 1
    x.fault("status", status=503, count=0)
    with (
        BalanceWatch(gateways[0]) as watch,
        Shop(gateways[0], "one") as first_shop,
        Shop(gateways[1], "two") as second_shop,
    ):
        wait_for(lambda: min(first_shop.requests, second_shop.requests) > BEFORE)
        before = found_in(texts_of(psql))
        x.clear_faults()
        done = command(gateways[1 - sends], "erase", "--file", "-", "--yes", "--json", typed=LISTED)
        sent = at_x(x)
        erased_after = first_shop.requests, second_shop.requests
        wait_for(lambda: first_shop.requests > erased_after[0] + AFTER)
        wait_for(lambda: second_shop.requests > erased_after[1] + AFTER)
    balance = gateways[0].drained()
    arrived = at_x(x)
    logs = [(gateway.folder.name, gateway.log()) for gateway in gateways]
    after = found_in([*texts_of(psql), *logs])

    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)["result"]
    figure(
        "erased through one of two gateways",
        f"{SUBJECTS} persons, {result['conversions']} conversions, of {balance['received']} "
        f"received: in {len(before)} tables before, {len(after)} after",
    )
    assert result["conversions"] >= SUBJECTS
    assert {"submission", "conversion"} <= before.keys()
    assert after == {}
    theirs = {id_ for id_ in arrived if id_.startswith("theirs-")}
    assert theirs <= sent
    assert (first_shop.others | second_shop.others) <= arrived
    assert balance["balance"] == 0
    assert watch.residues == []

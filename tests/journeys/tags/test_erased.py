"""No file of a running gateway contains erased people, after it has stored their data everywhere.

Each subject has conversions of every kind: sent, waiting, refused, repeated, for a tag, from a
page, in X's format. The test searches all bytes of all files that the gateway and its commands
write.
"""

import hashlib
import json
import os
import re
import shutil
import sqlite3
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from gateway_processes import (
    ENVIRONMENT,
    KEY,
    PIXEL,
    TOKEN,
    BalanceWatch,
    Gateway,
    command,
    wait_for,
)
from vendor import Vendor

import fork_server
from twite_emulator.process import running_emulator

LONG = os.environ.get("TWITE_TRIAL") == "1"
SUBJECTS = 1_000 if LONG else 12
OTHERS = 20_000 if LONG else 100
REST = 0 if LONG else 0.02  # seconds between two requests of other people
SWITCHES = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=0")
TEMPLATE = Path(__file__).parents[2] / "tags/templates/crm_post.tpl"
PAGE = "https://shop.example"
# Every value of a subject, and no other, matches one of these. Each begins with literal text, which
# a search finds quickly.
LOOKS = [
    re.compile(look)
    for look in (
        rb"subject-\d{6}", rb"erase-\d{6}", rb"Agent/\d{6}", rb"clk[0-9a-z]{17}",
        rb"198\.51\.100\.\d+", rb"7700 ?900 ?\d{3}",
    )
]  # fmt: skip
# The findings of the last search with their surroundings, by file.
AROUND = {}
# "x" for each byte that is a hexadecimal digit, and a space for the others.
IS_HEX = bytes(ord("x" if byte in b"0123456789abcdef" else " ") for byte in range(256))

pytestmark = [pytest.mark.journey, pytest.mark.timeout(1_800 if LONG else 300)]


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def email(number):
    return f"subject-{number:06d}@erase.example"


def phone(number):
    return f"+447700900{number:03d}"


def click(number):
    return f"{number:06d}clk{sha256(str(number))[:17]}"


def ip(number):
    return f"198.51.100.{number % 250 + 1}"


def ids(number):
    return [f"erase-{number:06d}-{part}" for part in range(9)]


def digests(number):
    return {sha256(email(number)), sha256(phone(number)), sha256(phone(number)[1:])}


def first_submissions(number):
    """One sent to X and the tag; one with only an email; one with only a click id; one refused."""
    first, two, three, four, *_ = ids(number)
    around = {"ip": ip(number), "user_agent": f"Agent/{number:06d}"}
    persons = {
        "email": f" {email(number).title()}",
        "phone": f"+44 (0) 7700 900 {number:03d}",
        "twclid": click(number),
    }
    bought = {"event": "purchase", "conversion_id": first, "value": "49.90", "currency": "EUR"}
    return [
        bought | persons | around,
        signed_up(two, email_sha256=sha256(email(number)), **around),
        signed_up(three, twclid=click(number), **around),
        {"event": "unheard_of", "conversion_id": four, "email": email(number), **around},
    ]


def second_submissions(number):
    """The first one again, and two that X refuses for a while."""
    *_, waits, late, _ = ids(number)
    return [
        first_submissions(number)[0],
        {"event": "purchase", "conversion_id": waits, "phone_sha256": sha256(phone(number))},
        signed_up(late, email=email(number), twclid=click(number)),
    ]


def signed_up(conversion_id, **person):
    return {"event": "sign_up", "conversion_id": conversion_id, **person}


def again(number):
    """Send the old file again, with one new row."""
    return [
        first_submissions(number)[0] | {"conversion_id": f"late-{number}"},
        {"event": "sign_up", "conversion_id": f"later-{number}", "phone": phone(number)},
    ]


def other(number):
    return {
        "event": "sign_up",
        "conversion_id": f"other-{number}",
        "email": f"o{number}@else.example",
    }


def posted(gateway, conversions, each=100):
    for at in range(0, len(conversions), each):
        status, _ = gateway.post({"conversions": conversions[at : at + each]})
        assert status == 202


def from_page(gateway, numbers):
    for number in numbers:
        bought = {
            "event": "purchase",
            "conversion_id": ids(number)[4],
            "at": 0,
            "pixel": "loaded",
            "value": "49.90",
            "currency": "EUR",
            "email_sha256": sha256(email(number)),
            "twclid": click(number),
            "url": f"{PAGE}/thanks?twclid={click(number)}",
        }
        message = {"v": 1, "sent": 0, "conversions": [bought]}
        agent = f"Mozilla/5.0 (X11; Linux x86_64) Agent/{number:06d}"
        headers = {"Origin": PAGE, "Content-Type": "text/plain", "User-Agent": agent}
        ask(gateway, "/t?s=web", message, headers)


def in_xs_format(gateway, numbers):
    for number in numbers:
        conversion = {
            "event_id": "tw-o8z6j-o8z6k", "conversion_id": ids(number)[5],
            "conversion_time": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "identifiers": [{"hashed_phone_number": sha256(phone(number))},
                            {"twclid": click(number), "ip_address": ip(number)}]}  # fmt: skip
        headers = {"X-Pixel-Token": TOKEN, "Content-Type": "application/json"}
        ask(gateway, f"/12/measurement/conversions/{PIXEL}", {"conversions": [conversion]}, headers)


def ask(gateway, path, body, headers):
    request = urllib.request.Request(gateway.url + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status < 300


def found_in(folder, numbers):
    """Count the occurrences of subjects by file, in all bytes of all files but the shop's list."""
    hashes = frozenset(digest.encode() for number in numbers for digest in digests(number))
    found = Counter()
    for file in folder.rglob("*"):
        if not file.is_file() or file.name == "list.txt":
            continue
        content = file.read_bytes()
        places = [place.start() for look in LOOKS for place in look.finditer(content)]
        for run, digits in runs_of_hex(content):
            if any(digits[at : at + 64] in hashes for at in range(len(digits) - 63)):
                places.append(run)
        found[file.name] += len(places)
        if places:
            AROUND[file.name] = [content[max(0, at - 80) : at + 80] for at in places[:3]]
    return {name: hits for name, hits in found.items() if hits}


def runs_of_hex(content):
    """Yield (position, run) for each run of 64 or more hexadecimal digits."""
    is_hex = content.translate(IS_HEX)
    at = is_hex.find(b"x" * 64)
    while at >= 0:
        end = is_hex.find(b" ", at)
        end = len(content) if end < 0 else end
        yield at, content[at:end]
        at = is_hex.find(b"x" * 64, end)


def listed(numbers):
    return "".join(
        f"email: {email(number)}\nphone: 0044 7700-900{number:03d}\nclick: {click(number)}\n"
        f"conversion_id: {ids(number)[3]}\n"
        for number in numbers
    )


def erased(gateway, *arguments, stdin):
    began = time.monotonic()
    done = fork_server.run(
        [sys.executable, "-m", "twite", "erase", "--file", "-", "--json", *arguments,
         "--config", str(gateway.config)],
        input=stdin, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=600,
    )  # fmt: skip
    return done, time.monotonic() - began


def a_gateway(folder, x, vendor):
    shutil.copy(TEMPLATE, folder / "crm.tpl")
    gateway = Gateway(folder, x)
    text = gateway.config.read_text()
    text = text.replace(
        "[server]", '[server]\nsecret_key = "a-key-that-seals-things"\nbrowser_rate = 100000'
    )
    gateway.config.write_text(
        text
        + f"""
[[source]]
name = "web"
key = "{KEY}-web"
pixel = "o8z6j"
origins = ["{PAGE}"]
[[tag]]
name = "crm"
template = "crm.tpl"
allow_hosts = ["127.0.0.1"]
fields = {{ endpoint = "{vendor.url}", key = "of-the-vendor", note = "" }}
consent = []
events = ["purchase"]
persons = "sealed"
"""
    )
    return gateway


@contextmanager
def keep_buying(gateway, taken):
    """Let other people continue to buy, one request at a time."""
    over = threading.Event()

    def come():
        while not over.wait(REST):
            posted(gateway, [other(OTHERS + len(taken) * 10 + at) for at in range(10)])
            taken.append(10)

    thread = threading.Thread(target=come)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def number_unsettled(folder):
    """Count the unsettled conversions of all sources."""
    with closing(sqlite3.connect(f"file:{folder}/twite.db?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM outbox").fetchone()[0]


def counts_at_x(x):
    return x.counted()["pixels"][PIXEL]["events"]


def fill(gateway, x, vendor, numbers):
    """Submit all of them; the last ones wait."""
    posted(gateway, [other(number) for number in range(OTHERS)])
    posted(gateway, [conversion for number in numbers for conversion in first_submissions(number)])
    from_page(gateway, numbers)
    in_xs_format(gateway, numbers)
    wait_for(lambda: number_unsettled(gateway.folder) == 0, gateway.ended, seconds=600)
    x.fault("status", status=503, count=0)
    vendor.behaviour = lambda _: 503
    posted(gateway, [conversion for number in numbers for conversion in second_submissions(number)])


def let_through(gateway, x, vendor):
    x.clear_faults()
    vendor.behaviour = lambda _: 200
    wait_for(lambda: number_unsettled(gateway.folder) == 0, gateway.ended, seconds=600)


def by_state(found):
    """Count deliveries in flight as queued for their next attempt."""
    conversions = {
        source: states
        | {"queued": states.get("queued", 0) + states.get("sending", 0), "sending": 0}
        for source, states in found["conversions"].items()
    }
    return found | {"conversions": conversions}


def save_outputs(gateway):
    """Save the output of commands in a place that the test searches."""
    for name, words in {
        "dead": ("dead", "list", "--json"),
        "audit": ("audit", "list", "--json"),
        "balance": ("accounting", "--json"),
        "deduplication": ("deduplication", "--json"),
        "history": ("show", ids(0)[0], "--json"),
    }.items():
        (gateway.folder / f"{name}.json").write_text(command(gateway, *words).stdout)


def backed_up(gateway, name):
    assert command(gateway, "backup", str(gateway.folder / name)).returncode == 0
    return gateway.folder / name


def test_no_file_of_the_gateway_contains_an_erased_person(tmp_path, figure):
    numbers = range(SUBJECTS)
    taken = []
    with (
        running_emulator(*SWITCHES) as x,
        Vendor() as vendor,
        a_gateway(tmp_path, x.url, vendor) as gateway,
        BalanceWatch(gateway) as watch,
    ):
        fill(gateway, x, vendor, numbers)
        copy = backed_up(gateway, "before.db")
        older = copy.read_bytes()
        copy.unlink()
        looked, _ = erased(gateway, "--dry-run", stdin=listed(numbers))
        before = found_in(tmp_path, numbers)
        with keep_buying(gateway, taken):
            done, seconds = erased(gateway, "--yes", stdin=listed(numbers))
        posted(gateway, [conversion for number in numbers for conversion in again(number)])
        backed_up(gateway, "after.db")
        let_through(gateway, x, vendor)
        save_outputs(gateway)
        AROUND.clear()
        sent = {id_ for event in counts_at_x(x).values() for id_ in event["ids"]}
        at_work = found_in(tmp_path, numbers)
        once_more, _ = erased(gateway, "--yes", stdin=listed(numbers))
        gateway.stop()
        at_rest = found_in(tmp_path, numbers)
        # The older copy contains all subjects again, and the opt-out list removes them.
        reported = dict(AROUND)
        (tmp_path / "twite.db").write_bytes(older)
        put_back = found_in(tmp_path, numbers)
        AROUND.clear()
        gateway.start()
        restored, _ = erased(gateway, "--yes", stdin=listed(numbers))
        in_the_end = found_in(tmp_path, numbers)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    found, result = json.loads(done.stdout)["found"], json.loads(done.stdout)["result"]
    balance = json.loads((tmp_path / "balance.json").read_text())
    figure(
        "whoever is erased is in no file",
        f"{SUBJECTS:,} subjects, {len(listed(numbers).splitlines()):,} identifiers, "
        f"{result['conversions']:,} conversions of {balance['received']:,} in "
        f"{seconds:.0f} s, while {sum(taken):,} others came in; {sum(before.values()):,} places "
        f"before, {sum(at_work.values()) + sum(at_rest.values())} after; in an older copy "
        f"{sum(put_back.values()):,} and {sum(in_the_end.values())}",
    )
    looked, found = by_state(json.loads(looked.stdout)["found"]), by_state(found)
    assert looked == found
    expected = {"delivered": 5 * SUBJECTS, "queued": 2 * SUBJECTS, "sending": 0}
    assert found["conversions"][PIXEL] == expected
    assert found["tag_events"] == 3 * SUBJECTS
    assert min(sum(before.values()), sum(put_back.values())) > 20 * SUBJECTS
    assert at_work == at_rest == in_the_end == {}, (reported, AROUND)
    assert (restored.returncode, restored.stderr) == (0, "")
    history = json.loads((tmp_path / "history.json").read_text())
    assert history["conversions"][0]["state"] == "delivered"
    # None of their waiting conversions reached X.
    assert not sent & {id_ for number in numbers for id_ in ids(number)[6:]}
    assert json.loads(once_more.stdout)["result"]["conversions"] == 0
    assert watch.samples
    assert watch.residues == []
    assert balance["balance"] == 0
    assert taken

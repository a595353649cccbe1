"""Three gateways on one PostgreSQL database with a synchronous standby, under load.

The emulator records when X received requests, the database when successes were committed.
"""

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import ClassVar, NamedTuple
from urllib.parse import urlsplit

from primary_and_standby import PrimaryAndStandby

from gateway_process import GatewayProcess, environment, wait_for
from twite_emulator.process import running_emulator

LONG = os.environ.get("TWITE_TRIAL") == "1"
SEED = int(os.environ.get("TWITE_SEED", "1"))
POSTERS, EACH, REST = 4, 50, 0.02
REPEATED = 0.3
GATEWAYS = 3
TIMEOUT = 1  # seconds: the longest request
LEASE = int(os.environ.get("TWITE_TRIAL_LEASE", "8"))
STOPPED = LEASE + TIMEOUT + 4
# Each pixel has its own ads account. With hundreds, the workers occupy all connections.
PIXELS = {f"trial{n}": f"event{n}" for n in range(int(os.environ.get("TWITE_TRIAL_PIXELS", "4")))}
KEYS = cycle(f"a-key-of-the-shop-of-{pixel}" for pixel in PIXELS)
SLOW = str(Path(__file__).with_name("slow_sender.py"))
SWITCHES = ("rate_limit=1000000000", "dedup_scope=all", "log_bodies=1000000")

SETTINGS = """
[server]
listen = "127.0.0.1:0"
[store]
url = "{url}"
[x]
api_url = "{x}"
rate = 10000000
timeout = "{timeout}s"
batch = 100
[log]
level = "warning"
"""
PIXEL = """
[[pixel]]
id = "{pixel}"
account = "account{pixel}"
auth = {{ pixel_token = "token-of-{pixel}" }}
events = {{ purchase = "{event}" }}
[[source]]
name = "shop-{pixel}"
key = "a-key-of-the-shop-of-{pixel}"
pixel = "{pixel}"
"""


class SlowSender(subprocess.Popen):
    """Starts a gateway through slow_sender.py."""

    before: ClassVar[Sequence[str]] = ()
    words: ClassVar[Sequence[str]] = ()

    def __init__(self, command, **more):
        words = (f"--lease={LEASE}", *self.words)
        super().__init__([*self.before, sys.executable, SLOW, *words, *command[3:]], **more)


class UnfencedSender(SlowSender):
    # The pause is longer, so that almost every suspension falls into a pause.
    words = ("--no-fence", "--pause=0.3")


class Node(GatewayProcess):
    """One of the gateways, in its own folder."""

    popen = SlowSender

    def __init__(self, folder, url, x):
        folder.mkdir()
        config = folder / "twite.toml"
        config.write_text(
            SETTINGS.format(url=url, x=x, timeout=TIMEOUT)
            + "".join(PIXEL.format(pixel=pixel, event=event) for pixel, event in PIXELS.items())
        )
        super().__init__(config, note=folder / "twite.postgresql.gateway", key=next(KEYS))
        self.environment = environment()

    def balance(self):
        """Return the balance of each source, as the source sees it."""
        self.key = next(KEYS)
        return super().balance()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)


class Unfenced(Node):
    popen = UnfencedSender


class Shops:
    """Post orders of all pixels to random gateways; repeat 30 % of them at another gateway."""

    def __init__(self, gateways):
        self.gateways = gateways
        self.acknowledged = set()
        self.answers = {"accepted": 0, "duplicates": 0}
        self.problems = []
        # When the latest acknowledged request was sent, and when its acknowledgement arrived.
        self.latest = self.latest_answer = 0.0
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._post_on, args=(n,)) for n in range(POSTERS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _post_on(self, number):
        chance = random.Random(number)
        made, past = 0, []
        while not self._stopping.wait(REST):
            if past and chance.random() < REPEATED:
                pixel, ids = chance.choice(past[-20:])
            else:
                pixel = chance.choice(list(PIXELS))
                ids = [f"{number}-{made + n}" for n in range(EACH)]
                made += EACH
                past.append((pixel, ids))
            self._post(chance.choice(self.gateways), pixel, ids)

    def _post(self, gateway, pixel, ids):
        body = json.dumps(
            {
                "conversions": [
                    {"event": "purchase", "conversion_id": id_, "email": f"{id_}@example.com"}
                    for id_ in ids
                ]
            }
        )
        headers = {
            "Authorization": f"Bearer a-key-of-the-shop-of-{pixel}",
            "Content-Type": "application/json",
        }
        began = time.monotonic()
        try:
            with closing(
                http.client.HTTPConnection(urlsplit(gateway.url).netloc, timeout=2)
            ) as connection:
                connection.request("POST", "/v1/conversions", body=body, headers=headers)
                answer = connection.getresponse()
                reply = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return
        with self._lock:
            if answer.status == 202:
                self.latest, self.latest_answer = began, time.monotonic()
                self.acknowledged.update((pixel, id_) for id_ in ids)
                for name in self.answers:
                    self.answers[name] += reply[name]
                if reply["accepted"] + reply["duplicates"] != len(ids):
                    self.problems.append(str(reply))
            elif answer.status not in {429, 503}:
                self.problems.append(f"{answer.status}: {reply}")


class Outcome(NamedTuple):
    """The outcomes of the conversions. `late` arrived after a recorded success."""

    balance: dict[str, int]
    arrived: Collection[tuple[str, str]]
    succeeded: int
    resent: int
    late: list[tuple[str, str]]
    # The arrivals, stops and attempts of late conversions, in seconds from the recorded success.
    late_details: Collection[str]
    lost: set[tuple[str, str]]


class Trial:
    """The gateways on one database, and the final records of X and the database."""

    def __init__(self, stack, folder, make=Node):
        self.servers = PrimaryAndStandby(SEED)
        stack.callback(self.servers.remove)
        self.x = stack.enter_context(running_emulator(*SWITCHES))
        self.gateways = [
            make(folder / str(n), self.servers.url, self.x.url) for n in range(GATEWAYS)
        ]
        self.begin(stack)

    def begin(self, stack):
        """Add the pixels to X, then start the gateways."""
        self.x.add(
            pixels=[
                {"id": pixel, "account": "18ce54d4x5t", "token": f"token-of-{pixel}"}
                for pixel in PIXELS
            ],
            events=[
                {"id": event, "pixel": pixel, "name": "purchase", "type": "PURCHASE"}
                for pixel, event in PIXELS.items()
            ],
        )
        for gateway in self.gateways:
            stack.enter_context(gateway)
        wait_for(lambda: len(self.owners()) == len(PIXELS), seconds=20)
        self.shops = Shops(self.gateways)
        self.done = Counter()
        self.taken_over = []
        self.stops = []  # (gateway, when it was suspended, when it resumed) Seconds without an
        # acknowledgement after the primary was killed.
        self.stalls = []

    def psql(self, statement):
        return self.servers.psql(statement)

    def owners(self):
        """Return the live owner of each account that has one."""
        rows = self.psql(
            "SELECT account, node FROM ownership WHERE account <> '#leader' AND node IN "
            "(SELECT id FROM node)"
        )
        return dict(row.split("|") for row in rows.splitlines())

    def nodes(self):
        """Return the number of nodes that were not fenced."""
        return int(self.psql("SELECT count(*) FROM node"))

    def cut(self):
        """End half of the connections."""
        self.servers.end_half_of_the_connections()
        self.done["cuts of half of the connections"] += 1

    def kill(self, gateway):
        gateway.kill()
        self.done["kills"] += 1

    def restart_database(self, how):
        self.servers.restart(how)
        self.done["restarts"] += 1

    def promote(self):
        """Kill the primary, promote the standby, and make a new standby."""
        began = time.monotonic()
        self.servers.promote()
        wait_for(lambda: self.shops.latest > began)
        self.stalls.append(self.shops.latest_answer - began)
        self.servers.rebuild()
        self.done["promotions"] += 1

    def claimed(self, gateway):
        """Return how many deliveries a gateway has claimed and not settled."""
        return int(
            self.psql(
                "SELECT coalesce(sum(lease.open), 0) FROM lease JOIN node ON node.id = lease.node "  # noqa: S608
                f"WHERE node.name = 'gateway-{gateway.process.pid}'"
            )
        )

    def pause_with_claims(self):
        """Stop a gateway while it has claimed deliveries; return it."""
        chance = random.Random(SEED + self.done["stops"])
        end = time.monotonic() + 60
        while True:
            gateway = chance.choice(self.gateways)
            gateway.pause()
            time.sleep(0.1)  # its last write is committed
            if claimed := self.claimed(gateway):
                self.done["deliveries claimed at stops"] += claimed
                return gateway
            gateway.go_on()
            assert time.monotonic() < end, "no gateway claims anything"
            time.sleep(chance.uniform(0.1, 0.5))

    def stop_beyond_the_lease(self, meanwhile=lambda _: None):
        """Stop a gateway until others have sent what it had claimed."""
        stopped = self.pause_with_claims()
        began = time.time()
        end = time.monotonic() + STOPPED
        meanwhile(stopped)
        time.sleep(max(0.0, end - time.monotonic()))
        stopped.go_on()
        self.stops.append((self.gateways.index(stopped), began, time.time()))
        self.done["stops"] += 1

    def take_over(self, gateway):
        """Kill a gateway, and measure when all accounts have a live owner again."""
        wait_for(lambda: self.nodes() == GATEWAYS)
        self.kill(gateway)
        began = time.monotonic()
        wait_for(lambda: self.nodes() < GATEWAYS and len(self.owners()) == len(PIXELS))
        self.taken_over.append(time.monotonic() - began)
        gateway.start()

    def received(self):
        """Return when X received each (pixel, conversion id)."""
        events = {event: pixel for pixel, event in PIXELS.items()}
        arrivals = {}
        for entry in self.x.received(bodies=True)["entries"]:
            for conversion in json.loads(entry["body"] or '{"conversions": []}')["conversions"]:
                key = events[conversion["event_id"]], conversion["conversion_id"]
                arrivals.setdefault(key, []).append(entry["at"])
        return arrivals

    def succeeded(self):
        """Return when the first success of each (pixel, conversion id) was committed."""
        rows = self.psql(
            "SELECT queue.pixel, conversion.conversion_id, min(extract(epoch FROM "
            "pg_xact_commit_timestamp(attempted.xmin))) "
            "FROM attempted JOIN attempt ON attempt.id = attempted.attempt "
            "JOIN conversion ON conversion.id = attempted.delivery "
            "JOIN queue ON queue.id = conversion.queue "
            "WHERE attempt.outcome = 'delivered' GROUP BY 1, 2"
        )
        return {
            (pixel, id_): float(at)
            for pixel, id_, at in (row.split("|") for row in rows.splitlines())
        }

    def outcome(self):
        """Wait until everything is sent; return the outcomes."""
        balance = self.drained()
        arrivals, succeeded = self.received(), self.succeeded()
        resent = [key for key, times in arrivals.items() if len(times) > 1]
        late = [key for key in resent if any(at > succeeded[key] for at in arrivals[key])]
        return Outcome(
            balance=balance,
            arrived=arrivals.keys(),
            succeeded=len(succeeded),
            resent=len(resent),
            late=late,
            late_details={self._detail(key, arrivals[key], succeeded[key]) for key in late},
            lost=self.shops.acknowledged - arrivals.keys(),
        )

    def _detail(self, key, arrivals, success):
        pixel, id_ = key
        attempts = self.psql(
            "SELECT attempt.outcome, attempt.answer, attempt.at / 1000.0, "  # noqa: S608
            "extract(epoch FROM pg_xact_commit_timestamp(attempted.xmin)) "
            "FROM attempted JOIN attempt ON attempt.id = attempted.attempt "
            "JOIN conversion ON conversion.id = attempted.delivery "
            "JOIN queue ON queue.id = conversion.queue "
            f"WHERE queue.pixel = '{pixel}' AND conversion.conversion_id = '{id_}' ORDER BY 4"
        )

        def from_success(times):
            return ", ".join(f"{time - success:+.3f}" for time in times)

        reported = [f"{pixel} arrived {from_success(arrivals)}; stops"]
        reported += [
            f"{number}: {from_success(times)}"
            for number, *times in self.stops
            if abs(times[1] - success) < 30
        ]
        for line in attempts.splitlines():
            outcome, answer, at, committed = line.split("|")
            reported.append(f"{outcome} {answer!r} {from_success([float(at), float(committed)])}")
        return "; ".join(reported)

    def drained(self):
        wait_for(
            lambda: self.psql("SELECT count(*) FROM outbox") == "0",
            self.gateways[0].ended,
            seconds=120,
        )
        # Count everything for all sources at one moment.
        names = "delivered", "dead", "held", "pending"
        counts = self.psql(
            "SELECT (SELECT sum(delivered) FROM tally), "
            "count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'held'), "
            "count(*) FILTER (WHERE state IN ('queued', 'sending')) FROM outbox"
        )
        return dict(zip(names, map(int, counts.split("|")), strict=True))

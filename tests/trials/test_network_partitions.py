"""Two gateways in network namespaces, each cut off from the database but not from X.

The gateways have no route to each other, only to the database. A partition drops all packets, like
a broken switch, without an error.
"""

import os
import random
import shutil
import subprocess
import time
from contextlib import ExitStack

import pytest
from gateways_on_postgres import (
    LEASE,
    LONG,
    PIXELS,
    SEED,
    STOPPED,
    SWITCHES,
    TIMEOUT,
    Node,
    Shops,
    SlowSender,
    Trial,
)

from gateway_process import BalanceWatch, GatewayError, wait_for
from postgres_server import PostgresServer, programs
from twite_emulator.process import running_emulator

ROUNDS = int(os.environ.get("TWITE_TRIAL_ROUNDS", "10"))
# Different for each trial, so that several can run on one machine.
NAME = f"tw{os.getpid() % 10_000_000}"
SESSIONS = """
SELECT pid, client_addr, state, wait_event_type, wait_event, now() - xact_start,
  now() - state_change, pg_blocking_pids(pid), left(query, 200)
FROM pg_stat_activity WHERE backend_type = 'client backend';
SELECT id, until - clock_timestamp(), longest_request FROM node;
SELECT account, node, version FROM ownership
"""
NET = f"10.{64 + os.getpid() % 64}.0"


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)  # noqa: S607


class Namespace:
    """A network namespace with two links: one to the database, one to everything else."""

    def __init__(self, number):
        self.name = f"{NAME}{'ab'[number]}"
        self.database = f"{NET}.{8 * number}"
        self.rest = f"{NET}.{8 * number + 4}"
        self.problem = ip("netns", "add", self.name).stderr
        self.links = []
        for net, word in ((self.database, "database"), (self.rest, "rest")):
            link = f"{self.name}{word[0]}"
            self.links.append(link)
            for words in (
                ("link", "add", link, "type", "veth", "peer", "name", word, "netns", self.name),
                ("addr", "add", f"{following(net, 1)}/30", "dev", link),
                ("-n", self.name, "addr", "add", f"{following(net, 2)}/30", "dev", word),
                ("-n", self.name, "link", "set", "dev", word, "up"),
                ("link", "set", "dev", link, "up"),
            ):
                self.problem += ip(*words).stderr
        self.problem += ip("-n", self.name, "link", "set", "dev", "lo", "up").stderr

    def cut(self):
        """Drop all packets from and to the database."""
        ip("link", "set", "dev", self.links[0], "down")

    def heal(self):
        ip("link", "set", "dev", self.links[0], "up")

    def remove(self):
        ip("netns", "del", self.name)


def following(net, place):
    """Return an address of a network of four."""
    head, _, first = net.rpartition(".")
    return f"{head}.{int(first) + place}"


class TwoNetworks(Trial):
    """The gateways of a trial, one in each namespace."""

    def __init__(self, stack, folder, namespaces):
        self.namespaces = namespaces
        hosts = ",".join(following(space.database, 1) for space in namespaces)
        self.server = PostgresServer(
            programs(), track_commit_timestamp="on", listen_addresses=hosts, max_connections="100"
        )
        stack.callback(self.server.remove)
        self.server.create("ledger")
        with (self.server.folder / "data" / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {NET}.0/24 trust\n")
        self.server.psql("SELECT pg_reload_conf()")
        self.x = stack.enter_context(
            running_emulator(*SWITCHES, arguments=("--listen", "0.0.0.0:0"))
        )
        port = self.x.url.rpartition(":")[2]
        self.x.url = f"http://127.0.0.1:{port}"
        self.gateways = []
        for number, space in enumerate(namespaces):
            # Node starts it with `popen`, which runs inside the namespace.
            gateway = type("NodeInside", (Node,), {"popen": inside(space)})(
                folder / str(number),
                f"postgresql://twite@{following(space.database, 1)}/ledger",
                f"http://{following(space.rest, 1)}:{port}",
            )
            text = gateway.config.read_text()
            listen = f"{following(space.rest, 2)}:0"
            gateway.config.write_text(text.replace("127.0.0.1:0", listen))
            self.gateways.append(gateway)
        self.begin(stack)

    def psql(self, statement):
        return self.server.psql(statement, "ledger")

    def sessions(self):
        """Return the activity and locks of the sessions, and the nodes."""
        return "\n".join(map(self.psql, SESSIONS.split(";")))


def inside(space):
    class Inside(SlowSender):
        before = ("ip", "netns", "exec", space.name)

    return Inside


@pytest.mark.alone
@pytest.mark.timeout(3_600)
@pytest.mark.skipif(not LONG, reason="a trial: TWITE_TRIAL=1")
def test_gateway_cut_off_from_its_database_sends_no_conversion_of_others(tmp_path, figure):
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    chance = random.Random(SEED)
    with ExitStack() as stack:
        namespaces = []
        for number in range(2):
            namespaces.append(Namespace(number))
            stack.callback(namespaces[-1].remove)
        problem = "".join(space.problem for space in namespaces)
        if problem:
            pytest.skip(f"no network namespaces: {problem}")
        trial = TwoNetworks(stack, tmp_path, namespaces)
        watches = [stack.enter_context(BalanceWatch(gateway)) for gateway in trial.gateways]
        taken_over = []
        claimed = 0
        with Shops(trial.gateways) as trial.shops:
            for _ in range(ROUNDS):
                wait_for(lambda: trial.nodes() == len(namespaces))
                time.sleep(chance.uniform(2, 4))
                space = chance.choice(namespaces)
                space.cut()
                began = time.monotonic()
                claimed += trial.claimed(trial.gateways[namespaces.index(space)])
                try:
                    wait_for(lambda: trial.nodes() == 1 and len(trial.owners()) == len(PIXELS))
                except GatewayError as error:
                    raise AssertionError(trial.sessions()) from error
                taken_over.append(time.monotonic() - began)
                time.sleep(max(0.0, STOPPED - taken_over[-1]))
                space.heal()
        outcome = trial.outcome()

    samples = sum(watch.samples for watch in watches)
    figure(
        "gateways cut off from the database",
        f"seed {SEED}: {ROUNDS} cuts, {claimed:,} deliveries claimed at cuts; "
        f"{len(trial.shops.acknowledged):,} conversions acknowledged; "
        f"{outcome.resent:,} resent as ambiguous, {len(outcome.late)} after a recorded success, "
        f"{len(outcome.lost)} lost; balance 0 at {samples} looks; taken over in at most "
        f"{max(taken_over):.1f} s",
    )
    assert trial.shops.problems == []
    assert outcome.lost == set()
    assert outcome.late == []
    assert outcome.succeeded == len(outcome.arrived) == outcome.balance["delivered"]
    assert [residue for watch in watches for residue in watch.residues] == []
    assert samples
    assert claimed
    assert max(taken_over) <= LEASE + TIMEOUT + 1 + 4

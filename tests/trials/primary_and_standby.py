"""A PostgreSQL primary with a synchronous standby, for trials that kill and promote servers."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from postgres_server import PostgresServer, programs

PROXY = str(Path(__file__).with_name("commit_proxy.py"))
# The standby reconnects quickly after a restart of the primary.
SETTINGS = {
    "track_commit_timestamp": "on",
    "max_connections": "100",
    "wal_retrieve_retry_interval": "200ms",
}


class PrimaryAndStandby:
    """Two servers. Clients reach both through a proxy, at constant addresses."""

    def __init__(self, seed):
        # A socket's path must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="twite-pair-"))
        self._addresses = [self.folder / name for name in ("a", "b")]
        for address in self._addresses:
            address.mkdir()
        self._servers = []
        self._proxy = None
        try:
            self.primary = self._added(PostgresServer(programs(), **SETTINGS))
            self.primary.psql("CREATE DATABASE ledger")
            self._link(self._addresses[0], self.primary)
            self._add_standby(self._addresses[1])
            self._proxy = subprocess.Popen(
                [sys.executable, PROXY, str(seed), *map(str, self._addresses)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            self._proxy.stdout.readline()
        except BaseException:
            self.remove()
            raise

    @property
    def url(self):
        """The URL with both hosts, whichever is the primary."""
        hosts = ",".join(map(str, self._addresses))
        return f"postgresql://twite@/ledger?host={hosts}&target_session_attrs=read-write"

    def psql(self, statement):
        return self.primary.psql(statement, "ledger")

    def promote(self):
        """Kill the primary, and promote the standby. The standby has all acknowledged data."""
        self.primary.stop(signal.SIGQUIT)
        dead, self.primary = self.primary, self.standby
        self.primary.psql("SELECT pg_promote()")
        dead.remove()
        self._servers.remove(dead)

    def rebuild(self):
        """Create a new standby at the address of the killed server."""
        address = next(
            place
            for place in self._addresses
            if (place / "server").resolve() != self.primary.folder
        )
        self._add_standby(address)

    def restart(self, how):
        self.primary.stop(how)
        time.sleep(0.3)
        self.primary.start()

    def end_half_of_the_connections(self):
        self.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'twite' AND random() < 0.5"
        )

    def cut_commits(self, many):
        """Cut the connections of the next commits."""
        self._proxy.stdin.write("cut\n" * many)
        self._proxy.stdin.flush()

    def cuts(self):
        """Stop the proxy, and return how many connections it cut in each place."""
        said, _ = self._proxy.communicate()
        return Counter(said.split())

    def remove(self):
        if self._proxy is not None and self._proxy.poll() is None:
            self._proxy.kill()
            self._proxy.communicate()
        for server in reversed(self._servers):
            server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _added(self, server):
        self._servers.append(server)
        return server

    def _add_standby(self, address):
        """Copy the primary; return when commits wait for the copy."""
        self.standby = self._added(PostgresServer(programs(), primary=self.primary, **SETTINGS))
        self._link(address, self.standby)
        self.primary.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.psql("SELECT pg_reload_conf()")
        while self.primary.psql("SELECT sync_state FROM pg_stat_replication") != "sync":
            time.sleep(0.02)
        time.sleep(0.2)  # the checkpointer reads this setting for all processes
        self.standby.catch_up(self.primary)

    @staticmethod
    def _link(address, server):
        new = address / "new"
        new.symlink_to(server.folder)
        new.rename(address / "server")

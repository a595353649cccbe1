"""The URL of a database: its hosts, how to connect to them, and the reasons of errors."""

import errno
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg

from twite.domain.errors import LedgerUnavailable, StoreUnusable
from twite.stores.postgres.driver import arrays
from twite.stores.postgres.driver.errors import (
    DRIVER_ERRORS,
    OTHER_SCHEMA,
    READ_ONLY,
    RETRY_AFTER,
    UNKEPT,
)

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
_CHECK: Final = "Check the database, and the role's privileges"
# Encodings that can store every text. SQL_ASCII stores all bytes unchanged.
_ENCODINGS: Final = frozenset({"UTF8", "SQL_ASCII"})
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
            except DRIVER_ERRORS as error:
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
        if isinstance(error, UNKEPT):
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
        elif isinstance(error, OTHER_SCHEMA):
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


async def connected(address: Address) -> "asyncpg.Connection[Any]":
    """Connect. Raises StoreUnusable, also if the database's encoding cannot store every text."""
    try:
        driver = await address.connect()
    except (*DRIVER_ERRORS, ValueError) as error:
        raise StoreUnusable(
            address.shown,
            address.reason(error),
            "Check store.url, and that the database runs and accepts this role",
        ) from error
    encoding = driver.get_settings().server_encoding
    if encoding not in _ENCODINGS:
        driver.terminate()
        raise StoreUnusable(
            address.shown,
            f"the database has the encoding {encoding}, which lacks most characters",
            "Create the database with ENCODING 'UTF8' TEMPLATE template0",
        )
    return driver


@contextmanager
def explained(address: Address, *, fix: str, failed: str = "") -> Iterator[None]:
    """Raise StoreUnusable for an error of the database. `failed` names the failed action."""
    try:
        yield
    except DRIVER_ERRORS as error:
        reason = address.reason(error)
        raise StoreUnusable(
            address.shown, f"{failed} ({reason})" if failed else reason, fix
        ) from error


@asynccontextmanager
async def opened(
    address: Address, *, fix: str = _CHECK, failed: str = ""
) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Connect until the end of the block. Raises StoreUnusable, also for errors in the block."""
    driver = await connected(address)
    try:
        with explained(address, fix=fix, failed=failed):
            yield driver
    finally:
        await driver.close()

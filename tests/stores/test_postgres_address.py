"""The address of a PostgreSQL database: how it is reached, and its errors."""

import errno
import socket
import ssl
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import pytest

from twite.stores.postgres.database import PostgresReads
from twite.stores.postgres.driver import address as module
from twite.stores.postgres.driver.address import Address
from twite.stores.postgres.driver.errors import LOST, READ_ONLY, RETRY_AFTER

URL = "postgresql://twite@db/ledger"
SEVERAL = "postgresql://twite@a,b,c/ledger"
OTHER_SCHEMA = "the database has a different schema than this version expects"
UNDECODABLE = "'utf-8' codec can't decode byte 0x61 in position 0: int()"
STANDBY = asyncpg.exceptions.TargetServerAttributeNotMatched("a standby")


def hosts(address):
    return [urlsplit(url).hostname for url in address.urls]


@pytest.mark.parametrize(
    ("option", "statements"),
    [
        ("", 400),
        ("?statement_cache_size=0", 0),
        ("?statement_cache_size=999999", 999_999),
        ("?statement_cache_size=1000000", 400),
        ("?statement_cache_size=x1", 400),
    ],
)
def test_url_can_limit_the_prepared_statements(option, statements):
    assert Address(URL + option).statements == statements


def test_driver_gets_only_options_that_it_knows():
    names = [*module._OWN_OPTIONS, *module._OF_LIBPQ]  # noqa: SLF001
    options = "&".join(f"{name}=1" for name in names)

    (url,) = Address(f"{URL}?{options}&sslmode=require&password=&application_name=a").urls

    assert parse_qsl(urlsplit(url).query, keep_blank_values=True) == [
        ("sslmode", "require"),
        ("password", ""),
        ("application_name", "a"),
    ]


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://twite:p@db/ledger?sslmode=require", ["twite:p@db/ledger?sslmode=require"]),
        ("postgresql://db1:1,db2:2,db3/ledger", ["db1:1/ledger", "db2:2/ledger", "db3/ledger"]),
        (
            "postgresql://twite@/ledger?host=/run/a,/run/b&port=1,2",
            ["twite@/ledger?host=%2Frun%2Fa&port=1", "twite@/ledger?host=%2Frun%2Fb&port=2"],
        ),
        ("postgresql://db1,db2/ledger?port=1,2,3", ["db1,db2/ledger?port=1%2C2%2C3"]),
        ("postgresql://db1,db2/ledger?port=6432", ["db1/ledger?port=6432", "db2/ledger?port=6432"]),
    ],
)
def test_each_host_has_its_port_and_all_other_options(url, hosts):
    assert Address(url).urls == [f"postgresql://{host}" for host in hosts]


def test_url_without_a_host_names_none():
    """The driver then looks for the server's socket in the usual folders."""
    assert Address("postgresql:///ledger?user=twite").urls == ["postgresql:/ledger?user=twite"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://twite:p4ssw0rd@db:5433/ledger?sslmode=require", "twite@db:5433/ledger"),
        ("postgresql://db/ledger", "db/ledger"),
        ("postgresql://twite@/ledger?host=/run/a,/run/b", "twite@/run/a,/run/b/ledger"),
        ("postgresql:///ledger", "/ledger"),
    ],
)
def test_messages_contain_the_user_the_hosts_and_the_database(url, shown):
    address = Address(url)

    assert address.shown == f"postgresql://{shown}"
    assert repr(address) == f"Address(postgresql://{shown})"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://twite:p%40ss%2Fw0rd@db/ledger",
        "postgresql://twite@db/ledger?password=p%40ss%2Fw0rd",
    ],
)
def test_database_password_is_masked_in_all_its_spellings(url):
    said = Address(url).reason(OSError("p@ss/w0rd, p%40ss%2Fw0rd"))

    assert said == "***, ***"


@pytest.fixture
def asked(monkeypatch):
    """The calls of asyncpg: `answers` has what each does, by host."""
    found = SimpleNamespace(calls=[], answers={})

    async def connect(url, **options):
        host = urlsplit(url).hostname
        found.calls.append((host, options))
        answer = found.answers.get(host)
        if isinstance(answer, Exception):
            raise answer
        return answer or driver()

    monkeypatch.setattr(asyncpg, "connect", connect)
    return found


def driver(used=None):
    """Return a driver of a Unix or TCP socket."""
    executed, codecs = [], []

    async def execute(statement):
        executed.append(statement)

    return SimpleNamespace(
        executed=executed,
        codecs=codecs,
        execute=execute,
        get_settings=lambda: SimpleNamespace(add_python_codec=lambda *given: codecs.append(given)),
        _transport=SimpleNamespace(
            get_extra_info=lambda _: used or SimpleNamespace(family=socket.AF_UNIX)
        ),
    )


async def test_connection_has_the_options_of_its_address(asked):
    found = await Address(f"{URL}?statement_cache_size=7&target_session_attrs=any").connect()

    assert asked.calls == [
        (
            "db",
            {
                "timeout": 5.0,
                "statement_cache_size": 7,
                "max_cached_statement_lifetime": 0,
                "target_session_attrs": "any",
                "ssl": None,
                "server_settings": {"application_name": "twite"},
            },
        )
    ]
    assert len(found.codecs) == 5
    assert found.executed == []


async def test_host_that_accepts_writes_is_tried_first_from_then_on(asked):
    asked.answers = {"a": ConnectionRefusedError(), "b": STANDBY}
    address = Address(SEVERAL)
    await address.connect()
    await address.connect()

    assert [host for host, _ in asked.calls] == ["a", "b", "c", "c"]
    assert {options["timeout"] for _, options in asked.calls} == {2.0}
    assert hosts(address) == ["c", "a", "b"]


async def test_one_of_two_hosts_must_answer_soon(asked):
    await Address("postgresql://twite@a,b/ledger").connect()

    assert asked.calls[0][1]["timeout"] == 2.0


@pytest.mark.parametrize(
    ("errors", "reported"),
    [
        ((STANDBY, ConnectionRefusedError(), TimeoutError()), 1),
        ((ConnectionRefusedError(), STANDBY, TimeoutError()), 0),
        ((STANDBY, STANDBY, asyncpg.CannotConnectNowError()), 2),
    ],
)
async def test_error_of_several_hosts_is_the_first_that_is_not_of_a_standby(
    asked, errors, reported
):
    asked.answers = dict(zip("abc", errors, strict=True))

    with pytest.raises((*LOST, *READ_ONLY, asyncpg.PostgresError)) as caught:
        await Address(SEVERAL).connect()

    assert caught.value is errors[reported]


async def test_channel_binding_is_refused_only_if_it_is_required(asked):
    await Address(f"{URL}?channel_binding=prefer").connect()

    with pytest.raises(ValueError, match="channel_binding=require is not supported"):
        await Address(f"{URL}?channel_binding=require").connect()
    assert len(asked.calls) == 1


async def test_certificates_of_the_system_imply_that_the_host_is_verified(asked):
    address = Address(f"{URL}?sslmode=require&sslrootcert=system")
    await address.connect()

    context = asked.calls[0][1]["ssl"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert urlsplit(address.urls[0]).query == ""
    assert urlsplit(Address(f"{URL}?sslrootcert=ca.pem").urls[0]).query == "sslrootcert=ca.pem"


async def test_both_ends_of_a_tcp_connection_notice_a_dead_host(asked):
    with socket.socket() as used:
        asked.answers["db"] = over_tcp = driver(used)
        await Address(URL).connect()

        assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3
    assert over_tcp.executed == [module._DEAD_CLIENT]  # noqa: SLF001


async def test_connection_options_that_the_system_lacks_are_omitted(asked, monkeypatch):
    monkeypatch.setattr(module, "_DEAD_HOST", {"TCP_OF_ANOTHER_SYSTEM": 1, "TCP_KEEPCNT": 2})
    with socket.socket() as used:
        asked.answers["db"] = driver(used)
        await Address(URL).connect()

        assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 2


def refused_by_all():
    return OSError(f"Multiple exceptions: [Errno {errno.ECONNREFUSED}] a, [Errno 101] b")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (STANDBY, "the database accepts no writes: it is a standby, or read-only"),
        (TimeoutError(), "the database does not answer"),
        (socket.gaierror(8, "unknown"), "the host name does not resolve"),
        (ConnectionRefusedError(), "the server refuses connections"),
        (refused_by_all(), "the server refuses connections"),
        (OSError("closed"), "closed"),
        (OSError(), "OSError"),
        (ssl.SSLError(1, "wrong version"), "wrong version"),
        (OSError(errno.EHOSTUNREACH, "said otherwise"), "No route to host"),
        (
            asyncpg.UndefinedTableError("no x"),
            f"{OTHER_SCHEMA}: no x",
        ),
        (asyncpg.CheckViolationError("refused\nmore"), "refused"),
        (asyncpg.InterfaceError("closed\nmore"), "closed"),
        (asyncpg.PostgresError(""), "PostgresError"),
        (ValueError("invalid literal for int() with base 10"), "its port is not a number"),
        (ValueError("another"), "another"),
        (UnicodeDecodeError("utf-8", b"a", 0, 1, "int()"), UNDECODABLE),
    ],
    ids=lambda given: type(given).__name__,
)  # fmt: skip
def test_database_error_has_a_reason(error, reason):
    assert Address(URL).reason(error) in {reason, f"[Errno 1] {reason}"}


def test_error_of_the_server_has_no_details():
    error = asyncpg.UniqueViolationError("duplicate key")
    error.detail = "Key (name)=(ada) already exists."

    assert Address(URL).reason(error) == "duplicate key"


@pytest.mark.parametrize(
    ("type_", "value"),
    [("bigint", 1 << 63), ("text[]", ["ada@shop.example", "\ud800"]), ("text::int", "ada")],
)
async def test_error_of_a_value_does_not_quote_it(postgres_url, type_, value):
    reads = PostgresReads(Address(postgres_url))

    with pytest.raises(module.LedgerUnavailable) as caught:
        await reads.read(lambda view: view.execute(f"SELECT $1::{type_}", [value]))

    await reads.close()
    assert caught.value.reason in {
        "invalid input for query argument $1",
        "invalid input syntax for type integer",
    }


def test_wrong_session_attribute_in_the_url_is_named():
    reason = Address(f"{URL}?target_session_attrs=master").reason(OSError())

    assert reason.startswith("target_session_attrs must be one of read-write, primary")


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError])
def test_unreadable_file_in_the_url_is_named(tmp_path, error):
    readable = tmp_path / "ca.pem"
    readable.touch()
    address = Address(f"{URL}?sslrootcert={readable}&sslcert=/nowhere.pem")

    said = address.reason(error(errno.EACCES, "denied"))

    assert said == "sslcert: the file /nowhere.pem does not exist or cannot be read"


def test_other_file_error_has_the_message_of_the_system(tmp_path):
    (tmp_path / "ca.pem").touch()
    file = f"sslrootcert={tmp_path}/ca.pem"
    missing = FileNotFoundError(errno.ENOENT, "no socket")

    reasons = [
        Address(f"{URL}?{file}").reason(missing),
        Address(f"{URL}?sslrootcert=system").reason(missing),
        Address(f"{URL}?sslcert=/nowhere.pem").reason(OSError(errno.EPIPE, "")),
    ]

    assert reasons == ["No such file or directory"] * 2 + ["Broken pipe"]


def test_database_error_becomes_unavailable_with_its_cause():
    error = ConnectionRefusedError()

    found = Address(URL).unavailable(error)

    assert (found.reason, found.retry_after) == ("the server refuses connections", RETRY_AFTER)
    assert found.__cause__ is error


@pytest.mark.parametrize(
    "error", [asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError]
)
def test_pooler_without_prepared_statements_is_named_with_a_fix(error):
    reason = Address("postgresql://twite@db/ledger").reason(error('prepared statement "x" …'))

    assert reason.startswith(
        "the pooler does not support prepared statements: add statement_cache_size=0"
    )

"""What the errors of asyncpg mean."""

from typing import Final

import asyncpg

from twite.domain.errors import LedgerUnavailable

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
# All errors of the database and its driver.
DRIVER_ERRORS: Final = (*LOST, asyncpg.PostgresError)
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
OTHER_SCHEMA: Final = (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError)
# A pooler in transaction mode has prepared a statement on one connection and executed it on
# another.
UNKEPT: Final = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)


def is_passing(error: BaseException | None) -> bool:
    """Whether a retry may succeed later: the database is unreachable, busy or full.

    A conflict that persists after immediate retries is a fault in the database or in Twite.
    """
    busy = (asyncpg.InsufficientResourcesError, asyncpg.LockNotAvailableError, LedgerUnavailable)
    return error is None or isinstance(error, (*LOST, *READ_ONLY, *busy))


def is_lock_timeout(unavailable: LedgerUnavailable) -> bool:
    """Whether a transaction of another session kept a lock for too long."""
    return isinstance(unavailable.__cause__, asyncpg.LockNotAvailableError)

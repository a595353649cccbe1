"""Rows of the tables of users: accounts, sessions, API keys and the audit log."""

from twite.stores.sql.rows.table_row import TableRow


class UserRow(TableRow):
    name: str
    role: str
    pixels: str | None
    password: str
    created_at: int
    password_at: int
    code_since: int | None
    code_step: int
    recovery: str


class SessionRow(TableRow):
    digest: bytes
    user: str
    begun_at: int
    seen_at: int
    address: str
    agent: str


class FailedSignInRow(TableRow):
    key: bytes
    times: int
    at: int


class ApiKeyRow(TableRow):
    id: str
    name: str
    digest: bytes
    scopes: str
    pixels: str | None
    created_at: int
    made_by: str
    revoked_at: int | None = None


class AuditEventRow(TableRow):
    number: int
    at: int
    who: str
    what: str
    subject: str
    detail: str
    hash: bytes

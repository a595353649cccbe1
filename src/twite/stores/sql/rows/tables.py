"""Rows of the stores' tables: one struct per table, with its columns in the order of the schemas.

Insertions, `twite store copy`, recovery and the tests of both schemas use these structs. The
last columns have the default of the schema. Tables with one row, and tables of a single engine, are
not here. The order is that in which tables are copied.
"""

from typing import ClassVar

from twite.stores.sql.rows.table_row import OnConflict, TableRow


class QueueRow(TableRow):
    id: int
    pixel: str
    event: str


class AccountRow(TableRow):
    id: int
    source: str
    pixel: str
    received: int = 0
    delivered: int = 0
    duplicate: int = 0
    suppressed: int = 0
    rejected: int = 0
    since: int = 0


class SubmissionRow(TableRow):
    id: int
    receipt: str
    source: str
    endpoint: str
    received_at: int
    first: int
    entries: int
    body: bytes
    refusals: bytes | None = None
    unfired: bytes | None = None


class ConversionRow(TableRow):
    id: int
    submission: int
    queue: int
    conversion_id: str
    body: bytes
    checksum: int | None
    suppressed: str | None = None
    cause: str | None = None


class DedupKeyRow(TableRow):
    key: bytes
    delivery: int
    at: int  # only in PostgreSQL: in SQLite, this is when the conversion was received

    @classmethod
    def table(cls) -> str:
        return "dedup"


class SuppressionRow(TableRow):
    key_columns: ClassVar[int] = 2

    key: bytes
    delivery: int


class RepeatedRow(TableRow):
    delivery: int
    times: int


class OutboxRow(TableRow):
    id: int
    queue: int
    account: int
    received_at: int
    state: str = "queued"
    due_at: int | None = None
    attempts: int = 0
    ambiguous_since: int | None = None
    lease: int | None = None
    replayed_at: int | None = None
    rested_at: int | None = None
    reason: str | None = None
    crashes: int = 0
    cause: str | None = None

    @property
    def is_ready(self) -> bool:
        return self.state == "queued" and self.due_at is None


class LeaseRow(TableRow):
    id: int
    queue: int
    claimed_at: int
    until: int
    open: int
    deliveries: str


class AttemptRow(TableRow):
    id: int
    at: int
    queue: int
    outcome: str
    status: int | None
    answer: str
    ambiguous: bool
    size: int


class AttemptedRow(TableRow):
    key_columns: ClassVar[int] = 2

    delivery: int
    attempt: int


class DiscardedRow(TableRow):
    delivery: int
    at: int
    note: str
    ambiguous_since: int | None = None
    cause: str | None = None


class ReplacedRow(TableRow):
    delivery: int
    by: int


class DeniedRow(TableRow):
    delivery: int
    at: int
    reason: str
    cause: str | None = None


class PauseRow(TableRow):
    key_columns: ClassVar[int] = 2

    pixel: str
    event: str
    since: int
    cause: str
    reason: str


class ClosureRow(TableRow):
    pixel: str
    until: int
    reason: str


class AlertRow(TableRow):
    id: str
    kind: str
    subject: str
    reason: str
    opened_at: int
    reported_at: int
    unsent_phase: str | None = None
    resolved_at: int | None = None


class AcknowledgementRow(TableRow):
    alert: str
    at: int
    who: str


class MuteRow(TableRow):
    subject: str
    until: int
    at: int
    who: str
    note: str = ""


class TrafficRow(TableRow):
    key_columns: ClassVar[int] = 2

    source: str
    hour: int
    count: int
    first_at: int
    last_at: int
    received: int


class WebhookDeliveryRow(TableRow):
    id: str
    webhook: str
    at: int
    message: str
    verdict: str
    reason: str
    receipt: str
    times: int


class StragglerRow(TableRow):
    delivery: int


class IdempotencyKeyRow(TableRow):
    id: int
    key: bytes
    request: bytes
    at: int


class IgnoredRow(TableRow):
    key_columns: ClassVar[int] = 5

    day: int
    source: str
    endpoint: str
    name: str
    reason: str
    times: int


class SyncStateRow(TableRow):
    name: str
    state: str


class SourceKeyUseRow(TableRow):
    key_columns: ClassVar[int] = 2

    source: str
    id: str
    used_at: int


class XResultRow(TableRow):
    name: str
    state: str


class ReplayBatchRow(TableRow):
    id: str
    at: int
    who: str
    pixel: str
    event: str
    reason: str
    edit: str
    confirmed_at: int | None
    total: int
    parts: int
    done: int
    moved: int
    ended_at: int | None
    cancelled_by: str
    taken_back: int


class ReplayPartRow(TableRow):
    key_columns: ClassVar[int] = 2

    batch: str
    place: int
    cause: str | None
    reason: str
    deliveries: str
    refused: str


class VaultRow(TableRow):
    name: str
    sealed: bytes


class ConsentRow(TableRow):
    delivery: int
    evidence: bytes


class OptOutRow(TableRow):
    key: bytes
    since: int


class ConsentPolicyRow(TableRow):
    source: str
    version: str


class DedupReportRow(TableRow, kw_only=True):
    is_numbered: ClassVar[bool] = True

    id: int | None = None
    at: int
    queue: int
    path: str
    conversion_id: str
    email_mark: int | None = None
    phone_mark: int | None = None
    click_mark: int | None = None


class AmendedRow(TableRow):
    key_columns: ClassVar[int] = 2

    delivery: int
    at: int
    queue: int
    body: bytes
    note: str


class CalledRow(TableRow):
    delivery: int
    name: str


class ValueChangeRow(TableRow):
    delivery: int
    rule: str
    value_before: str | None
    currency_before: str | None
    value_after: str | None
    currency: str | None
    problem: str | None
    detail: str


class RejectionRow(TableRow):
    on_conflict: ClassVar[OnConflict] = OnConflict.REPLACE

    id: int
    at: int
    nth: int
    account: int
    details: bytes

"""The store contract as tests: subclass it with a store."""

from store_contract.alarms import AlarmLaws
from store_contract.claiming import ClaimLaws
from store_contract.copies import CopyLaws
from store_contract.copies_at_once import CopiesAtOnceLaws
from store_contract.deduplication import DedupLaws
from store_contract.directory import DirectoryLaws
from store_contract.exports import ExportLaws
from store_contract.flaws import FlawLaws
from store_contract.joined_erasure import JoinedErasureLaws
from store_contract.joined_moves import JoinedMoveLaws
from store_contract.joining import JoinLaws
from store_contract.limits import ClockLaws, CrashLaws, DoubtLaws, LimitLaws
from store_contract.listing import ListLaws
from store_contract.operations import OperationLaws
from store_contract.past_requests import PastRequestLaws
from store_contract.privacy import ConsentLaws, PrivacyLaws
from store_contract.queries import QueryLaws
from store_contract.recording import BalanceLaws, RecordingLaws
from store_contract.rejections import IgnoringLaws, RejectionLaws
from store_contract.replays import ReplayLaws
from store_contract.sealing import KeyUseLaws, SecretRecordLaws, TagPayloadLaws
from store_contract.settling import SettlingLaws, SweepLaws
from store_contract.sign_ins import SignInLaws
from store_contract.value_changes import ValueChangeLaws


class OutboxContract(
    RecordingLaws,
    IgnoringLaws,
    SecretRecordLaws,
    TagPayloadLaws,
    DirectoryLaws,
    SignInLaws,
    ClaimLaws,
    SettlingLaws,
    SweepLaws,
    LimitLaws,
    CrashLaws,
    DoubtLaws,
    ClockLaws,
    OperationLaws,
    BalanceLaws,
    AlarmLaws,
    ConsentLaws,
    CopyLaws,
    CopiesAtOnceLaws,
):
    """The contract of the in-memory store. It has no reports, console queries, edits or erasure."""


class LedgerContract(
    OutboxContract,
    RejectionLaws,
    DedupLaws,
    QueryLaws,
    FlawLaws,
    ListLaws,
    ExportLaws,
    ValueChangeLaws,
    PrivacyLaws,
    JoinLaws,
    JoinedErasureLaws,
    ReplayLaws,
    KeyUseLaws,
    JoinedMoveLaws,
    PastRequestLaws,
):
    """The whole store contract."""

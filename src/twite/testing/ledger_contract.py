"""The store contract as tests: subclass it with a store."""

from twite.testing.laws.alarms import AlarmLaws
from twite.testing.laws.claiming import ClaimLaws
from twite.testing.laws.copies import CopyLaws
from twite.testing.laws.copies_at_once import CopiesAtOnceLaws
from twite.testing.laws.directory import DirectoryLaws
from twite.testing.laws.limits import ClockLaws, CrashLaws, DoubtLaws, LimitLaws
from twite.testing.laws.operations import OperationLaws
from twite.testing.laws.privacy import ConsentLaws, PrivacyLaws
from twite.testing.laws.queries import QueryLaws
from twite.testing.laws.recording import BalanceLaws, RecordingLaws
from twite.testing.laws.rejections import IgnoringLaws, RejectionLaws
from twite.testing.laws.sealing import SecretRecordLaws, TagPayloadLaws
from twite.testing.laws.settling import SettlingLaws, SweepLaws
from twite.testing.laws.sightings import SightingLaws
from twite.testing.laws.sign_ins import SignInLaws


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


class LedgerContract(OutboxContract, RejectionLaws, SightingLaws, QueryLaws, PrivacyLaws):
    """The whole store contract."""

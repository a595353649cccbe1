"""What may be wrong with a gateway so that a person should hear of it: kinds, rules, alerts."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from twite.domain.times import DAY, MINUTE


class Kind(StrEnum):
    """The code of an alert: stable, and the name of its page in docs/how-to/alerts."""

    CREDENTIALS_REFUSED = "credentials_refused"  # of a pixel: X answers 401 or 403
    PIXEL_PAUSED = "pixel_paused"  # of a pixel: X refuses it as such, for another reason
    EVENT_PAUSED = (
        "event_paused"  # of a pixel: X refuses, or fails at, all conversions of one event
    )
    DEAD_LETTERS = "dead_letters"  # of a pixel: X refused more conversions than is usual
    CONVERSIONS_HELD = "conversions_held"  # of a pixel: a person must decide
    DEADLINE_RISK = "deadline_risk"  # of a pixel: conversions miss their 48 hours, or are about to
    SOURCE_SILENT = "source_silent"  # of a source: nothing comes where there always was something
    BALANCE_RESIDUE = "balance_residue"  # of a source and pixel: conversions are nowhere
    STORE_FAILING = "store_failing"  # commits fail: submissions are answered 503
    STORE_UNUSABLE = (
        "store_unusable"  # the database is damaged, or cannot be opened: the gateway has ended
    )
    STORE_RESTORED = "store_restored"  # the database is an older copy of itself
    DISK_NEARLY_FULL = "disk_nearly_full"  # little room is left beside the database
    TEMPLATE_HUNG = "template_hung"  # of a tag, client or variable: a run of it could not be ended
    CLOCK_WRONG = "clock_wrong"  # this machine's clock and X's differ


# Their subject is a pixel's id.
OF_A_PIXEL: Final = frozenset(
    {
        Kind.CREDENTIALS_REFUSED,
        Kind.PIXEL_PAUSED,
        Kind.EVENT_PAUSED,
        Kind.DEAD_LETTERS,
        Kind.CONVERSIONS_HELD,
        Kind.DEADLINE_RISK,
    }
)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How an alert of a kind behaves. Times are milliseconds.

    `urgent`: conversions are being refused, delayed or at risk now. It opens after `opens_after` of
    what is wrong without a break, and is over after `calm` without it.
    """

    title: str
    urgent: bool = False
    opens_after: int = 0
    calm: int = 0


RULES: Final[Mapping[Kind, Rule]] = MappingProxyType(
    {
        Kind.CREDENTIALS_REFUSED: Rule(
            title="X refuses the credentials", urgent=True, calm=5 * MINUTE
        ),
        Kind.PIXEL_PAUSED: Rule(title="the pixel is paused", urgent=True, calm=5 * MINUTE),
        Kind.EVENT_PAUSED: Rule(
            title="an event of the pixel is paused", urgent=True, calm=5 * MINUTE
        ),
        Kind.DEAD_LETTERS: Rule(title="many dead letters"),
        Kind.CONVERSIONS_HELD: Rule(title="conversions are held"),
        Kind.DEADLINE_RISK: Rule(
            title="conversions will miss the 48-hour deadline",
            urgent=True,
            opens_after=3 * MINUTE,
            calm=10 * MINUTE,
        ),
        Kind.SOURCE_SILENT: Rule(title="a source has stopped sending", urgent=True),
        Kind.BALANCE_RESIDUE: Rule(title="the balance is not 0", urgent=True, calm=5 * MINUTE),
        Kind.STORE_FAILING: Rule(title="the store cannot commit", urgent=True, calm=5 * MINUTE),
        Kind.STORE_UNUSABLE: Rule(title="the store cannot be used", urgent=True),
        Kind.STORE_RESTORED: Rule(title="the store is an older copy"),
        Kind.DISK_NEARLY_FULL: Rule(title="the disk is nearly full", urgent=True, calm=MINUTE),
        Kind.TEMPLATE_HUNG: Rule(title="a template hangs", urgent=True),
        Kind.CLOCK_WRONG: Rule(
            title="the clock differs from X's", opens_after=MINUTE, calm=10 * MINUTE
        ),
    }
)
REMIND_EVERY: Final = DAY


class Phase(StrEnum):
    OPENED = "opened"
    STILL_OPEN = "still_open"  # once a day
    RESOLVED = "resolved"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something is wrong with a subject: a pixel, a source, or the store. Times are milliseconds.

    `reason` is for a person, and holds nothing that X echoed. `said_at` is when there was news of
    it last; `news` is what the webhook has not taken yet. `resolved_at` is None while it is open.
    """

    id: str
    kind: Kind
    subject: str
    reason: str
    opened_at: int
    said_at: int
    news: Phase | None = Phase.OPENED
    resolved_at: int | None = None

    @property
    def key(self) -> tuple[Kind, str]:
        """What at most one alert is open for."""
        return self.kind, self.subject

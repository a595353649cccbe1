"""The consent verdict: decide by signals and the source's policy whether to send a conversion.

1  a conversion of a person who revoked consent is not sent
2  any denial counts, whatever the other signals say; the strictest action is used
3  an unreadable signal may be a denial
4  where consent is needed, no signal and a mere default do not count as consent
5  the remaining identifiers must still suffice for X
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final

import msgspec

from twite.consent.google import DECIDING
from twite.consent.statements import (
    KNOWN,
    ConsentStatus,
    Purpose,
    Signals,
    Statement,
    country_of,
    is_europe,
    normal,
    statements,
)
from twite.domain.cause import DeliveryCause
from twite.domain.consent import (
    PLAIN,
    REVOKED,
    ConsentAction,
    ConsentDecision,
    ConsentPolicy,
    Judge,
    policy_version,
    stripped,
)
from twite.domain.conversion import Identifiers
from twite.domain.times import DAY
from twite.redaction.scrub_text import without_persons

# Values of these signals are stored as hashes. Others have a few letters; longer ones are invalid.
HASHED: Final = frozenset({"tcf", "gpp", "ac", "vendors"})
_LONGEST_KEPT: Final = 32
_MOST_SIGNALS: Final = 32
_ENCODER: Final = msgspec.json.Encoder()
# The identifiers that each denial strips. A click id is stored on the device; email, phone number,
# address and user agent are user data.
OF_STORAGE: Final = ("click_id", "browser_id")
OF_USER_DATA: Final = ("email", "phone", "ip", "user_agent")
# Many conversions share signals, so their verdicts are cached: words, and TC strings, which are the
# same for all persons who make the same choices on the same day. Longer signals are not cached.
_LONGEST_CACHED: Final = 2_048
_STRICTER: Final = {action: rank for rank, action in enumerate(ConsentAction)}


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The stored record of a consent verdict.

    `policy` is the version that decided; `said` is the decoded meaning of the signals. An IAB
    string may identify a person: only its hash is stored.
    """

    action: str
    rule: str
    policy: str
    reason: str | None = None
    strip: tuple[str, ...] = ()
    restricted: bool = False
    signals: dict[str, str | bool] = msgspec.field(default_factory=dict)
    said: tuple[Statement, ...] = ()
    cause: DeliveryCause | None = None


def kept(signals: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """Return the signals as stored: short words unchanged, other values as a hash."""
    return {
        name if name.strip().lower() in KNOWN else _hash(name): _kept_word(name, word)
        for name, word in list(signals.items())[:_MOST_SIGNALS]
    }


def read_evidence(text: bytes) -> Evidence:
    """Read a record. Raises msgspec.DecodeError."""
    return _DECODER.decode(text)


def _kept_word(name: str, word: str | bool) -> str | bool:  # noqa: FBT001  the value of a submission
    if isinstance(word, bool):
        return word
    known = name.strip().lower()
    may_be_kept = known in KNOWN and known not in HASHED and len(word) <= _LONGEST_KEPT
    if not may_be_kept or not word.isascii() or not word.isprintable():
        # An invalid value may not even be valid UTF-8.
        return _hash(word)
    return word if without_persons(word) == word else _hash(word)


def _hash(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


_DECODER: Final = msgspec.json.Decoder(Evidence)


def verdict(
    signals: Signals | None,
    identifiers: Identifiers,
    *,
    policy: ConsentPolicy,
    now: int,
    revoked: bool = False,
) -> ConsentDecision:
    """Return the verdict.

    `revoked` is whether the person is on the opt-out list; `now` is in milliseconds.
    """
    if not signals and not policy.required and not revoked:
        return PLAIN
    given = signals or {}
    if revoked:
        no = ConsentDecision(
            action=ConsentAction.SUPPRESS,
            rule="revoked",
            cause=DeliveryCause.CONSENT_REVOKED,
            reason=REVOKED,
        )
        return _shown(no, given, policy, now)
    if _is_cached(given):
        # The date of a TC string has no time of day, so the current one does not matter.
        found = _of_many(tuple(given.items()), policy, now // DAY * DAY)
    else:
        found = _of_all(given, policy, now)
    if found.strip and not stripped(identifiers, found.strip).suffice:
        bare = not_sent(found, rule="nothing_left")
        return _shown(bare, given, policy, now)
    return found


def judging(
    *, policy: ConsentPolicy, now: int, revoked: Callable[[Identifiers, str], bool] | None = None
) -> Judge:
    """Return a verdict function for one source and time.

    `revoked` returns whether a person revoked consent at a pixel; None if nobody did.
    """

    def judge(signals: Signals | None, identifiers: Identifiers, pixel: str) -> ConsentDecision:
        no = revoked is not None and revoked(identifiers, pixel)
        return verdict(signals, identifiers, policy=policy, now=now, revoked=no)

    return judge


def is_strict(given: Signals, policy: ConsentPolicy) -> bool:
    """Whether consent is required: from everyone, or under a law that applies to the person."""
    named = normal(given)
    europe = is_europe(named)
    country = country_of(named.get("region"))
    return policy.required or europe is True or country in policy.strict_regions


def decide(stated: Sequence[Statement], policy: ConsentPolicy, *, strict: bool) -> ConsentDecision:
    found = max(_objections(stated, policy), key=lambda each: _STRICTER[each.action], default=None)
    strip = _strip(stated, policy)
    restricted = _restricted(stated, policy)
    if (found is None or found.action not in {ConsentAction.SUPPRESS, ConsentAction.HOLD}) and (
        strict and not _granted(stated)
    ):
        cause = DeliveryCause.CONSENT_MISSING
        found = ConsentDecision(
            action=policy.missing, rule="missing", cause=cause, reason=cause.value
        )
    if found is None:
        return ConsentDecision(rule="granted" if _granted(stated) else "nothing_denied")
    if found.action is ConsentAction.SUPPRESS:
        return found
    if restricted and not policy.can_restrict:
        return not_sent(found, rule="cannot_restrict")
    return msgspec.structs.replace(found, strip=strip, restricted=restricted)


def _is_cached(given: Signals) -> bool:
    return sum([len(name) + len(str(word)) for name, word in given.items()]) <= _LONGEST_CACHED


@lru_cache(maxsize=4_096)
def _of_many(
    given: tuple[tuple[str, str | bool], ...], policy: ConsentPolicy, now: int
) -> ConsentDecision:
    return _of_all(dict(given), policy, now)


def _of_all(given: Signals, policy: ConsentPolicy, now: int) -> ConsentDecision:
    stated = statements(given, policy, now=now)
    found = _decided(stated, policy, strict=is_strict(given, policy))
    return _shown(found, given, policy, now, stated)


@lru_cache(maxsize=4_096)
def _decided(
    stated: tuple[Statement, ...], policy: ConsentPolicy, *, strict: bool
) -> ConsentDecision:
    """Decide once about statements that many strings have in common."""
    return decide(stated, policy, strict=strict)


def _shown(
    decision: ConsentDecision,
    given: Signals,
    policy: ConsentPolicy,
    now: int,
    stated: Sequence[Statement] | None = None,
) -> ConsentDecision:
    """Return a verdict with its evidence."""
    signals = kept(given)
    evidence = Evidence(
        action=decision.action.value,
        rule=decision.rule,
        policy=policy_version(policy),
        reason=decision.reason,
        strip=decision.strip,
        restricted=decision.restricted,
        signals=signals,
        said=tuple(statements(given, policy, now=now) if stated is None else stated),
        cause=decision.cause,
    )
    return msgspec.structs.replace(
        decision, evidence=_ENCODER.encode(evidence), signals=signals or None
    )


def _objections(stated: Sequence[Statement], policy: ConsentPolicy) -> Iterator[ConsentDecision]:
    """Yield the action of each statement that is not a grant. The first of the strictest wins."""
    for statement in stated:
        if statement.status is ConsentStatus.DENIED:
            action = _of(statement.purpose, policy)
            if action is not ConsentAction.SEND:
                yield _objection(statement, action, rule=statement.purpose.value)
        elif statement.status is ConsentStatus.UNCLEAR and policy.unclear is not None:
            yield _objection(statement, policy.unclear, rule="unclear")


def _of(purpose: Purpose, policy: ConsentPolicy) -> ConsentAction:
    match purpose:
        case Purpose.STORAGE:
            return policy.storage_denied
        case Purpose.USER_DATA:
            return policy.user_data_denied
        case Purpose.PERSONALIZATION:
            return policy.personalization_denied
        case Purpose.SALE:
            return policy.us_opt_out
        case Purpose.ANY:
            return ConsentAction.SUPPRESS


def _objection(statement: Statement, action: ConsentAction, *, rule: str) -> ConsentDecision:
    cause = DeliveryCause.CONSENT_DENIED
    if statement.status is ConsentStatus.UNCLEAR:
        cause = DeliveryCause.CONSENT_UNCLEAR
    elif action in {ConsentAction.RESTRICT, ConsentAction.STRIP}:
        cause = DeliveryCause.CONSENT_LIMITED
    return ConsentDecision(
        action=action, rule=rule, cause=cause, reason=f"{cause.value}: {statement.by}"
    )


def not_sent(decision: ConsentDecision, *, rule: str) -> ConsentDecision:
    """Return the decision not to send what a decision would have limited."""
    return ConsentDecision(
        action=ConsentAction.SUPPRESS, rule=rule, cause=decision.cause, reason=decision.reason
    )


def _strip(stated: Sequence[Statement], policy: ConsentPolicy) -> tuple[str, ...]:
    denied = {statement.purpose for statement in stated if statement.status is ConsentStatus.DENIED}
    return tuple(
        name
        for matter, names in ((Purpose.STORAGE, OF_STORAGE), (Purpose.USER_DATA, OF_USER_DATA))
        if matter in denied and _of(matter, policy) is ConsentAction.STRIP
        for name in names
    )


def _restricted(stated: Sequence[Statement], policy: ConsentPolicy) -> bool:
    return any(
        statement.status is ConsentStatus.DENIED
        and _of(statement.purpose, policy) is ConsentAction.RESTRICT
        for statement in stated
    )


def _granted(stated: Sequence[Statement]) -> bool:
    """Whether the first signal about storage or user data is a grant by the person.

    Google's long form always covers both purposes, and both must be granted by an update, because
    `t` is only the site's default. If words only state such a default, the next signal decides. If
    a denial of one purpose only strips data, the grant of the other purpose still counts.
    """
    about = [
        statement
        for statement in stated
        if statement.purpose in {Purpose.STORAGE, Purpose.USER_DATA}
    ]
    for source, group in groupby(about, key=_source):
        words = [statement.status for statement in group]
        if source == "gcd":
            return words.count(ConsentStatus.GRANTED) == 2
        if set(words) != {ConsentStatus.BY_DEFAULT}:
            return ConsentStatus.GRANTED in words
    return False


def _source(statement: Statement) -> str:
    """Return the name of the signal, with Google's words counting as one signal."""
    return "words" if statement.signal in DECIDING else statement.signal

"""The one decision about a conversion: what is said of consent, and what the source makes of it.

1  a person who revoked is not sent
2  any denial counts, whatever else is said; of several answers the strictest holds
3  what cannot be read may be a denial
4  where consent is needed, silence and a mere default are none
5  what is left of the identifiers must still be enough for X
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final

import msgspec

from twite.consent.evidence import evidence, kept
from twite.consent.signals import DECIDING
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
from twite.domain.identifiers import Identifiers

# What each denial takes out where it strips. A click id is kept on the device; an email, a phone
# number, an address and a user agent tell of the person.
OF_STORAGE: Final = ("click_id", "browser_id")
OF_USER_DATA: Final = ("email", "phone", "ip", "user_agent")

# What many conversions share: signals of a few words. A TC string, which is judged by the moment,
# is longer.
_LONGEST_WORD: Final = 32

_STRICTER: Final = {action: rank for rank, action in enumerate(ConsentAction)}


def verdict(
    signals: Signals | None,
    identifiers: Identifiers,
    *,
    policy: ConsentPolicy,
    now: int,
    revoked: bool = False,
) -> ConsentDecision:
    """Decide. `revoked` is whether the person is on the opt-out list; `now` is in milliseconds."""
    if not signals and not policy.required and not revoked:
        return PLAIN
    given = signals or {}
    if revoked:
        no = ConsentDecision(action=ConsentAction.SUPPRESS, rule="revoked", reason=REVOKED)
        return _shown(no, given, policy, now)
    if given.keys() <= KNOWN and all(len(str(word)) <= _LONGEST_WORD for word in given.values()):
        found = _of_words(tuple(given.items()), policy)
    else:
        found = _of_all(given, policy, now)
    if found.strip and not stripped(identifiers, found.strip).suffice:
        bare = ConsentDecision(
            action=ConsentAction.SUPPRESS, rule="nothing_left", reason=found.reason
        )
        return _shown(bare, given, policy, now)
    return found


def judging(
    *, policy: ConsentPolicy, now: int, revoked: Callable[[Identifiers, str], bool] | None = None
) -> Judge:
    """Return `verdict` for one source and moment.

    `revoked` says whether a person revoked at a pixel; None where nobody did anywhere.
    """

    def judge(signals: Signals | None, identifiers: Identifiers, pixel: str) -> ConsentDecision:
        if signals is None and revoked is None and not policy.required:
            return PLAIN
        no = revoked is not None and revoked(identifiers, pixel)
        return verdict(signals, identifiers, policy=policy, now=now, revoked=no)

    return judge


def is_strict(given: Signals, policy: ConsentPolicy) -> bool:
    """Whether consent is needed: of all, or of a person under a law that says so."""
    named = normal(given)
    europe = is_europe(named)
    country = country_of(named.get("region"))
    return policy.required or europe is True or country in policy.strict_regions


def decide(said: Sequence[Statement], policy: ConsentPolicy, *, strict: bool) -> ConsentDecision:
    """Decide by what was said alone."""
    found = max(_objections(said, policy), key=_rank, default=None)
    strip = _strip(said, policy)
    restricted = _restricted(said, policy)
    if (found is None or found.action not in {ConsentAction.SUPPRESS, ConsentAction.HOLD}) and (
        strict and not _granted(said)
    ):
        found = ConsentDecision(action=policy.missing, rule="missing", reason="consent_missing")
    if found is None:
        return ConsentDecision(rule="granted" if _granted(said) else "nothing_denied")
    if found.action is ConsentAction.SUPPRESS:
        return found
    if restricted and not policy.can_restrict:
        return ConsentDecision(
            action=ConsentAction.SUPPRESS, rule="cannot_restrict", reason=found.reason
        )
    return msgspec.structs.replace(found, strip=strip, restricted=restricted)


@lru_cache(maxsize=4_096)
def _of_words(given: tuple[tuple[str, str | bool], ...], policy: ConsentPolicy) -> ConsentDecision:
    return _of_all(dict(given), policy, now=0)


def _of_all(given: Signals, policy: ConsentPolicy, now: int) -> ConsentDecision:
    said = statements(given, policy, now=now)
    found = decide(said, policy, strict=is_strict(given, policy))
    return _shown(found, given, policy, now, said)


def _shown(
    found: ConsentDecision,
    given: Signals,
    policy: ConsentPolicy,
    now: int,
    said: Sequence[Statement] | None = None,
) -> ConsentDecision:
    """Return it with its evidence."""
    said = statements(given, policy, now=now) if said is None else said
    version = policy_version(policy)
    return msgspec.structs.replace(
        found, evidence=evidence(found, given, said, version=version), signals=kept(given) or None
    )


def _objections(said: Sequence[Statement], policy: ConsentPolicy) -> Iterator[ConsentDecision]:
    """Yield what each statement that is no grant comes to; the first of the strictest holds."""
    for one in said:
        if one.word is ConsentStatus.DENIED:
            action = _of(one.matter, policy)
            if action is not ConsentAction.SEND:
                yield ConsentDecision(
                    action=action, rule=one.matter.value, reason=_reason(one, action)
                )
        elif one.word is ConsentStatus.UNCLEAR and policy.unclear is not None:
            yield ConsentDecision(
                action=policy.unclear, rule="unclear", reason=f"consent_unclear: {one.by}"
            )


def _of(matter: Purpose, policy: ConsentPolicy) -> ConsentAction:
    match matter:
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


def _reason(one: Statement, action: ConsentAction) -> str:
    code = (
        "consent_limited"
        if action in {ConsentAction.RESTRICT, ConsentAction.STRIP}
        else "consent_denied"
    )
    return f"{code}: {one.by}"


def _rank(found: ConsentDecision) -> int:
    return _STRICTER[found.action]


def _strip(said: Sequence[Statement], policy: ConsentPolicy) -> tuple[str, ...]:
    denied = {one.matter for one in said if one.word is ConsentStatus.DENIED}
    return tuple(
        name
        for matter, names in ((Purpose.STORAGE, OF_STORAGE), (Purpose.USER_DATA, OF_USER_DATA))
        if matter in denied and _of(matter, policy) is ConsentAction.STRIP
        for name in names
    )


def _restricted(said: Sequence[Statement], policy: ConsentPolicy) -> bool:
    return any(
        one.word is ConsentStatus.DENIED and _of(one.matter, policy) is ConsentAction.RESTRICT
        for one in said
    )


def _granted(said: Sequence[Statement]) -> bool:
    """Whether the first signal that speaks of storage or user data tells of a person's yes.

    Google's long form always speaks of both, and both must be granted by an act: `t` is a grant
    that a site made by default. Of words that are known to be such a grant the next signal may know
    more. A denial of one that only strips leaves the other's grant.
    """
    about = [one for one in said if one.matter in {Purpose.STORAGE, Purpose.USER_DATA}]
    for source, group in groupby(about, key=_source):
        words = [one.word for one in group]
        if source == "gcd":
            return words.count(ConsentStatus.GRANTED) == 2
        if set(words) != {ConsentStatus.BY_DEFAULT}:
            return ConsentStatus.GRANTED in words
    return False


def _source(one: Statement) -> str:
    """What is said in Google's words is one signal."""
    return "words" if one.signal in DECIDING else one.signal

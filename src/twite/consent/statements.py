"""Translate all consent signals of a conversion into statements of one vocabulary.

A statement is one status of one purpose. Signals are read in order of precedence: words from the
site, the IAB's strings, Google's long form, Google's short form.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

import msgspec

from twite.consent.google import (
    DECIDING,
    KINDS,
    OTHERS,
    GcdValue,
    decode_flag,
    decode_gcd,
    decode_gcs,
    decode_word,
)
from twite.consent.gpp import (
    EUROPE,
    Section,
    UsSection,
    decode_additional,
    decode_gpp,
    decode_names,
    decode_sid,
    decode_usp,
)
from twite.consent.tcf import CanadaString, MalformedSignal, TcString, decode_tcf, doubt
from twite.domain.consent import ConsentPolicy

Signals = Mapping[str, str | bool]

_LONGEST_NAME: Final = 24
_REGION: Final = re.compile(r"([A-Z]{2})(?:-[A-Z0-9]{1,3})?", re.ASCII)
# Codes that the European Union uses instead of those of ISO 3166.
_ALIASES: Final = MappingProxyType({"UK": "GB", "EL": "GR"})


class Purpose(StrEnum):
    STORAGE = "storage"  # storing the click id on the device
    USER_DATA = "user_data"  # sending user data to X
    PERSONALIZATION = "personalization"  # X's use beyond measurement
    SALE = "sale"  # a law of the United States
    ANY = "any"  # unknown


class ConsentStatus(StrEnum):
    GRANTED = "granted"
    BY_DEFAULT = "by_default"  # granted, but not by an action of the person
    DENIED = "denied"
    UNCLEAR = "unclear"  # possibly a denial


class Statement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`by` tells readers where the statement comes from; `signal` is the signal's name."""

    purpose: Purpose
    status: ConsentStatus
    by: str
    signal: str


def statements(given: Signals, policy: ConsentPolicy, *, now: int) -> tuple[Statement, ...]:
    """Return all statements. `now` is in milliseconds."""
    named = normal(given)
    found: list[Statement] = []
    if len(given) > len({name.strip().lower() for name in given}):
        # One of the values may be a denial.
        found.append(_unclear("", "a signal that is given twice"))
    for name, read in _READERS.items():
        if name in named:
            found += read(name, named, policy, now)
    if not named.keys() <= KNOWN:
        found.append(_unclear("", _unknown(name for name in named if name not in KNOWN)))
    return tuple(found)


def _unknown(names: Iterable[str]) -> str:
    """Report an unknown signal.

    Its name may contain anything, so it is shown only if it is a misspelt known name.
    """
    for name in names:
        near = get_close_matches(name[:_LONGEST_NAME], KNOWN, n=1, cutoff=0.75)
        if near:
            return f'unknown signal "{name[:_LONGEST_NAME]}", did you mean "{near[0]}"?'
    return "unknown signal"


def normal(given: Signals) -> dict[str, str | bool]:
    return {
        name.strip().lower(): word
        for name, word in given.items()
        if not (isinstance(word, str) and not word.strip() and name.strip().lower() in KNOWN)
    }


def is_europe(named: Signals) -> bool | None:
    """Return whether the page says that European law applies; None if the page does not say."""
    applies = named.get("gdpr_applies")
    read = None if applies is None else decode_flag(applies)
    return read if isinstance(read, bool) else None


def _words(name: str, named: Signals, _policy: ConsentPolicy, _now: int) -> Iterator[Statement]:
    granted = decode_word(named[name])
    if isinstance(granted, MalformedSignal):
        yield _unclear(name)
    elif granted and _kinds(named).get(name) is GcdValue.GRANTED_BY_DEFAULT:
        # The long form of Consent Mode contains the same data in more detail.
        yield Statement(_MATTERS[name], ConsentStatus.BY_DEFAULT, name, name)
    else:
        yield _statement(_MATTERS[name], name, name, granted=granted)


def _kinds(named: Signals) -> Mapping[str, GcdValue]:
    """Return the state of each type in Google's long form; {} if it is missing or malformed."""
    found = decode_gcd(str(named.get("gcd", "")))
    return {} if isinstance(found, MalformedSignal) else dict(zip(KINDS, found, strict=True))


def _tcf(name: str, named: Signals, policy: ConsentPolicy, now: int) -> Iterable[Statement]:
    if is_europe(named) is False:
        return ()
    return _of_tc_string(decode_tcf(str(named[name])), policy, now, "tcf")


def _of_tc_string(
    found: TcString | MalformedSignal, policy: ConsentPolicy, now: int, by: str
) -> tuple[Statement, ...]:
    if isinstance(found, MalformedSignal) or doubt(found, now=now) is not None:
        return (_unclear(by),)
    vendor = policy.tcf_vendor_id
    is_vendor_allowed = vendor is None or (
        (found.disclosed is None or vendor in found.disclosed) and vendor in found.vendors
    )
    allowed, asked_first = found.allowed(vendor), not found.purpose_one_treatment
    return _of_choices(allowed, policy, by, asked_first, is_vendor_allowed)


@lru_cache(maxsize=1_024)
def _of_choices(
    allowed: frozenset[int],
    policy: ConsentPolicy,
    by: str,
    asked_first: bool,  # noqa: FBT001  a cache is faster without names
    is_vendor_allowed: bool,  # noqa: FBT001
) -> tuple[Statement, ...]:
    """Return the statements of a TC string. Many persons make the same choices.

    `asked_first` is whether the person was asked about purpose 1.
    """
    found = [
        _statement(
            _matter(purpose, policy), f"{by} purpose {purpose}", by, granted=purpose in allowed
        )
        for purpose in (*policy.tcf_purposes, *policy.tcf_optimization_purposes)
        if purpose != 1 or asked_first
    ]
    if policy.tcf_vendor_id is not None:
        found.append(_statement(Purpose.USER_DATA, f"{by} vendor", by, granted=is_vendor_allowed))
    return tuple(found)


def _matter(purpose: int, policy: ConsentPolicy) -> Purpose:
    if purpose == 1:
        return Purpose.STORAGE
    needed = purpose in policy.tcf_purposes
    return Purpose.USER_DATA if needed else Purpose.PERSONALIZATION


def _additional(name: str, named: Signals, policy: ConsentPolicy, _now: int) -> Iterator[Statement]:
    if policy.ac_provider_id is None or is_europe(named) is False:
        return
    found = decode_additional(str(named[name]))
    if isinstance(found, MalformedSignal):
        yield _unclear(name)
    else:
        granted = policy.ac_provider_id in found.consented
        yield _statement(Purpose.USER_DATA, name, name, granted=granted)


def _own_vendors(
    name: str, named: Signals, policy: ConsentPolicy, _now: int
) -> Iterator[Statement]:
    if policy.cmp_vendor is None:
        return
    found = decode_names(str(named[name]))
    if isinstance(found, MalformedSignal):
        yield _unclear(name)
    else:
        yield _statement(Purpose.USER_DATA, name, name, granted=policy.cmp_vendor in found)


def _gpp(name: str, named: Signals, policy: ConsentPolicy, now: int) -> Iterator[Statement]:
    found = decode_gpp(str(named[name]))
    if isinstance(found, MalformedSignal):
        yield _unclear(name)
        return
    applying = decode_sid(str(named["gpp_sid"])) if "gpp_sid" in named else None
    if isinstance(applying, MalformedSignal):
        yield _unclear("gpp_sid")
        applying = None
    for id_, section in found.sections.items():
        elsewhere = id_ == EUROPE and is_europe(named) is False
        applies = not elsewhere and (applying is None or id_ in applying)
        yield from _of_section(section, policy, now, applies=applies)


def _of_section(
    section: Section, policy: ConsentPolicy, now: int, *, applies: bool
) -> Iterator[Statement]:
    """An opt-out counts in any section; a lack of consent, only if the section's law applies."""
    match section:
        case UsSection():
            if section.opt_out is not None:
                by = f"gpp {section.name} {section.opt_out}"
                yield Statement(Purpose.SALE, ConsentStatus.DENIED, by, "gpp")
        case TcString():
            if applies:
                yield from _of_tc_string(section, policy, now, "gpp tcfeu")
        case CanadaString():
            if applies:
                yield from _of_canada(section, policy)
        case MalformedSignal():
            yield _unclear("gpp")
        case True:
            yield Statement(Purpose.SALE, ConsentStatus.DENIED, "gpp uspv1 sale", "gpp")


def _of_canada(string: CanadaString, policy: ConsentPolicy) -> Iterator[Statement]:
    for purpose in (*policy.tcf_purposes, *policy.tcf_optimization_purposes):
        by = f"gpp tcfca purpose {purpose}"
        yield _statement(_matter(purpose, policy), by, "gpp", granted=string.allows(purpose))


def _usp(name: str, named: Signals, _policy: ConsentPolicy, _now: int) -> Iterator[Statement]:
    yield from _denial(Purpose.SALE, name, found=decode_usp(str(named[name])))


def _gpc(name: str, named: Signals, _policy: ConsentPolicy, _now: int) -> Iterator[Statement]:
    yield from _denial(Purpose.SALE, name, found=decode_flag(named[name]))


def _npa(name: str, named: Signals, _policy: ConsentPolicy, _now: int) -> Iterator[Statement]:
    yield from _denial(Purpose.PERSONALIZATION, name, found=decode_flag(named[name]))


def _denial(
    purpose: Purpose, name: str, *, found: MalformedSignal | bool | None
) -> Iterator[Statement]:
    if isinstance(found, MalformedSignal):
        yield _unclear(name)
    elif found:
        yield Statement(purpose, ConsentStatus.DENIED, name, name)


def _gcd(name: str, named: Signals, _policy: ConsentPolicy, _now: int) -> Iterator[Statement]:
    found = decode_gcd(str(named[name]))
    if isinstance(found, MalformedSignal):
        yield _unclear(name)
        return
    for kind, word in zip(KINDS, found, strict=True):
        if kind in _MATTERS and word is not GcdValue.UNSET:
            yield Statement(_MATTERS[kind], _OF_GCD[word], f"{name} {kind}", name)


def _gcs(name: str, named: Signals, _policy: ConsentPolicy, _now: int) -> Iterator[Statement]:
    granted = decode_gcs(str(named[name]))
    if isinstance(granted, MalformedSignal):
        yield _unclear(name)
    elif granted and _kinds(named):
        # The short form cannot distinguish an update from a default; the long form can.
        yield Statement(Purpose.STORAGE, ConsentStatus.BY_DEFAULT, name, name)
    elif granted is not None:
        yield _statement(Purpose.STORAGE, name, name, granted=granted)


def _europe(name: str, named: Signals, _policy: ConsentPolicy, _now: int) -> Iterator[Statement]:
    if isinstance(decode_flag(named[name]), MalformedSignal):
        yield _unclear(name)


def country_of(region: str | bool | None) -> str | None:  # noqa: FBT001  the value of a submission
    match = _REGION.fullmatch(str(region).strip().upper())
    return None if match is None else _ALIASES.get(match[1], match[1])


def _region(name: str, named: Signals, _policy: ConsentPolicy, _now: int) -> Iterator[Statement]:
    if country_of(named[name]) is None:
        yield _unclear(name)


def _nothing(_name: str, _named: Signals, _policy: ConsentPolicy, _now: int) -> Iterator[Statement]:
    return iter(())


def _statement(purpose: Purpose, by: str, signal: str, *, granted: bool) -> Statement:
    return Statement(
        purpose, ConsentStatus.GRANTED if granted else ConsentStatus.DENIED, by, signal
    )


def _unclear(signal: str, by: str = "") -> Statement:
    return Statement(Purpose.ANY, ConsentStatus.UNCLEAR, by or signal, signal)


_MATTERS: Final = MappingProxyType(
    {
        "ad_storage": Purpose.STORAGE,
        "ad_user_data": Purpose.USER_DATA,
        "ad_personalization": Purpose.PERSONALIZATION,
    }
)
_OF_GCD: Final = MappingProxyType(
    {
        GcdValue.DENIED: ConsentStatus.DENIED,
        GcdValue.GRANTED: ConsentStatus.GRANTED,
        GcdValue.GRANTED_BY_DEFAULT: ConsentStatus.BY_DEFAULT,
    }
)
_READERS: Final[Mapping[str, Callable[[str, Signals, ConsentPolicy, int], Iterable[Statement]]]] = (
    MappingProxyType(
        {
            **dict.fromkeys(DECIDING, _words),
            **dict.fromkeys(OTHERS, _nothing),
            "vendors": _own_vendors,
            "gpc": _gpc,
            "tcf": _tcf,
            "gdpr_applies": _europe,
            "ac": _additional,
            "gpp": _gpp,
            "gpp_sid": _nothing,
            "usp": _usp,
            "gcd": _gcd,
            "gcs": _gcs,
            "npa": _npa,
            "region": _region,
        }
    )
)
KNOWN: Final = frozenset(_READERS)

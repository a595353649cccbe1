"""The stored record of a consent verdict: `{"action", "rule", "policy", "signals"…}`.

An IAB string may identify a person: only its hash is stored, which can be recognized but not
decoded. Its decoded meaning is stored beside it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.consent.statements import KNOWN, Signals, Statement
from twite.domain.consent import ConsentDecision

# These signals have values of a few letters; a longer value is invalid.
_HASHED: Final = frozenset({"tcf", "gpp", "ac", "vendors"})
_LONGEST_WORD: Final = 32
_MOST_SIGNALS: Final = 32


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`policy` is the version that decided; `said` is the decoded meaning of the signals."""

    action: str
    rule: str
    policy: str
    reason: str | None = None
    strip: tuple[str, ...] = ()
    restricted: bool = False
    signals: dict[str, str | bool] = msgspec.field(default_factory=dict)
    said: tuple[Statement, ...] = ()


def evidence(
    verdict: ConsentDecision, signals: Signals, statements: Sequence[Statement], *, version: str
) -> bytes:
    """Return the record as JSON."""
    return _ENCODER.encode(
        Evidence(
            action=verdict.action.value,
            rule=verdict.rule,
            policy=version,
            reason=verdict.reason,
            strip=verdict.strip,
            restricted=verdict.restricted,
            signals=kept(signals),
            said=tuple(statements),
        )
    )


def kept(signals: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """Return the signals as stored: short words as they are, all else as a hash."""
    return {
        name if name.strip().lower() in KNOWN else _hash(name): _word(name, word)
        for name, word in list(signals.items())[:_MOST_SIGNALS]
    }


def read(text: bytes) -> Evidence:
    """Read a record. Raises msgspec.DecodeError."""
    return _DECODER.decode(text)


def _word(name: str, word: str | bool) -> str | bool:  # noqa: FBT001  as a submission states it
    if isinstance(word, bool):
        return word
    known = name.strip().lower()
    may_be_kept = known in KNOWN and known not in _HASHED and len(word) <= _LONGEST_WORD
    # An invalid value may not even be valid UTF-8.
    return word if may_be_kept and word.isascii() and word.isprintable() else _hash(word)


def _hash(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Evidence)

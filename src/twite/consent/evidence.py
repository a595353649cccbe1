"""What is kept of a decision, for whoever asks later: `{"action", "rule", "policy", "signals"…}`.

A string of the IAB may tell one person from others: its hash is kept, by which it can be recognized
but not read. What it said is kept beside it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from twite.consent.statements import KNOWN, Signals, Statement
from twite.domain.consent import ConsentDecision

# Names with words of a few letters; a longer word under them is none of theirs.
_HASHED: Final = frozenset({"tcf", "gpp", "ac", "vendors"})
_LONGEST_WORD: Final = 32
_MOST_SIGNALS: Final = 32


class Evidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`policy` is the version that decided; `said` is what the signals were read as."""

    action: str
    rule: str
    policy: str
    reason: str | None = None
    strip: tuple[str, ...] = ()
    restricted: bool = False
    signals: dict[str, str | bool] = msgspec.field(default_factory=dict)
    said: tuple[Statement, ...] = ()


def evidence(
    verdict: ConsentDecision, signals: Signals, said: Sequence[Statement], *, version: str
) -> bytes:
    """Return it as JSON."""
    return _ENCODER.encode(
        Evidence(
            action=verdict.action.value,
            rule=verdict.rule,
            policy=version,
            reason=verdict.reason,
            strip=verdict.strip,
            restricted=verdict.restricted,
            signals=kept(signals),
            said=tuple(said),
        )
    )


def kept(signals: Mapping[str, str | bool]) -> dict[str, str | bool]:
    """Return the signals as they are kept: short words as they are, all else as a hash."""
    return {
        name if name.strip().lower() in KNOWN else _hash(name): _word(name, word)
        for name, word in list(signals.items())[:_MOST_SIGNALS]
    }


def read(text: bytes) -> Evidence:
    """Read what was kept. Raises msgspec.DecodeError."""
    return _DECODER.decode(text)


def _word(name: str, word: str | bool) -> str | bool:  # noqa: FBT001  as a submission states it
    if isinstance(word, bool):
        return word
    known = name.strip().lower()
    may_be_kept = known in KNOWN and known not in _HASHED and len(word) <= _LONGEST_WORD
    # What is no letter of a word may not even be UTF-8.
    return word if may_be_kept and word.isascii() and word.isprintable() else _hash(word)


def _hash(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Evidence)

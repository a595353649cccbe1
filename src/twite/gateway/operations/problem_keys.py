"""Keys of problems: dead and held deliveries with one cause have the same key."""

import re
from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Final

from twite.domain.cause import DeliveryCause
from twite.domain.delivery import State
from twite.domain.history import History
from twite.gateway.ports.queries import ErrorGroup
from twite.gateway.ports.tags import PREFIX

# What X's errors echo of a conversion: quoted or bracketed values, and numbers after the status.
_VALUES: Final = re.compile(r'"[^"]*"|\([^()]*\)|(?<!^)(?<!\d)\d+')
_SEPARATOR: Final = "\0"
_DIGEST_SIZE: Final = 6
MUTED: Final = "problem/"
IS_KEY: Final = re.compile(rf"[0-9a-f]{{{2 * _DIGEST_SIZE}}}")


def key_of(group: ErrorGroup | History) -> str:
    """Return the key of the problem to which dead or held deliveries belong.

    X's refusals differ by X's words, too, without the values that X echoes.
    """
    says_x = group.cause in {None, DeliveryCause.REFUSED, DeliveryCause.REFUSED_ALIKE}
    words = _VALUES.sub("*", group.reason or "") if says_x else ""
    tag = group.pixel if group.pixel.startswith(PREFIX) else ""
    cause = "" if group.cause is None else group.cause.value
    return key_from("refused" if group.state is State.DEAD else "held", cause, words, tag)


def key_from(*parts: str) -> str:
    return blake2b(_SEPARATOR.join(parts).encode(), digest_size=_DIGEST_SIZE).hexdigest()


def mute_subject(key: str) -> str:
    """Return the subject of a problem's mute."""
    return f"{MUTED}{key}"


def muted_deliveries(
    groups: Iterable[ErrorGroup], subjects: Collection[str]
) -> dict[tuple[str, State], int]:
    """Return the number of deliveries in muted problems by pixel and state."""
    found: dict[tuple[str, State], int] = {}
    for group in groups:
        if mute_subject(key_of(group)) in subjects:
            which = group.pixel, group.state
            found[which] = found.get(which, 0) + group.deliveries
    return found

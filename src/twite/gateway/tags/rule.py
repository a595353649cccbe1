"""What a tag is to the gateway: where its deliveries go by, and how they may be repeated."""

from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.consent import Policy
from twite.domain.secret import Secret
from twite.domain.times import SECOND
from twite.sgtm.container.parts import Container

# X's ids hold no colon: no pixel is ever called so.
PREFIX: Final = "tag:"


def policy_for(policy: Policy) -> Policy:
    """Return how a source's policy is read for tags: a template is not told to use a part of it."""
    return msgspec.structs.replace(policy, can_restrict=False)


class Repeat(StrEnum):
    """What becomes of a run of which nobody knows what it has done."""

    AT_LEAST_ONCE = "at_least_once"  # it runs again
    AT_MOST_ONCE = "at_most_once"  # it is held for a person


class Persons(StrEnum):
    """How the event waits on the disk, and is given to the template."""

    HASHED = "hashed"  # emails and names as SHA-256, without phone numbers
    SEALED = "sealed"  # as it came, encrypted


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One tag. `timeout` is milliseconds for a whole run, `rate` runs in fifteen minutes.

    `sources` are those that it hears, None all; `in_flight` is how many runs there may be at once;
    `allow_hosts` names hosts, as `127.0.0.1` or `crm.internal`, that may have private addresses;
    `secrets` never show in what is logged or kept of answers.
    """

    name: str
    sources: frozenset[str] | None = None
    repeat: Repeat = Repeat.AT_LEAST_ONCE
    persons: Persons = Persons.HASHED
    timeout: int = 30 * SECOND
    rate: int = 60_000
    in_flight: int = 8
    allow_hosts: frozenset[str] = frozenset()
    secrets: tuple[Secret, ...] = ()

    @property
    def pixel(self) -> str:
        """What its deliveries have in place of a pixel."""
        return f"{PREFIX}{self.name}"

    @property
    def is_cautious(self) -> bool:
        """Whether what may have left is held for a person."""
        return self.repeat is Repeat.AT_MOST_ONCE

    def hears(self, source: str) -> bool:
        """Return whether it hears the events of a source."""
        return self.sources is None or source in self.sources


class Company(msgspec.Struct, frozen=True, kw_only=True):
    """A container, and the rules of its tags by their names.

    A tag without a rule runs beside others, and never by itself.
    """

    container: Container
    rules: dict[str, Rule]

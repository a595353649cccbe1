"""Tag ports: the rules of tags, what dispatches and runs them, and Google's access tokens."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, Protocol

import msgspec

from twite.domain.consent import ConsentPolicy
from twite.domain.destination import Source
from twite.domain.json_tree import Tree
from twite.domain.secret import Secret
from twite.domain.submission import AcceptedConversion, UnfiredTags
from twite.domain.times import SECOND
from twite.formats.parsed_request import Native
from twite.gtm.container.parts import Container
from twite.gtm.template.effects import Forget, Keep
from twite.gtm.template.sandbox import Call, EffectAnswer, Incoming, Turn
from twite.gtm.template.template import Template

# X's ids hold no colon: no pixel is ever called so.
PREFIX: Final = "tag:"


def policy_for(policy: ConsentPolicy) -> ConsentPolicy:
    """Return how a source's policy is read for tags: a template is not told to use a part of it."""
    return msgspec.structs.replace(policy, can_restrict=False)


class RepeatPolicy(StrEnum):
    """What becomes of a run of which nobody knows what it has done."""

    AT_LEAST_ONCE = "at_least_once"  # it runs again
    AT_MOST_ONCE = "at_most_once"  # it is held for a person


class PersonHandling(StrEnum):
    """How the event waits on the disk, and is given to the template."""

    HASHED = "hashed"  # emails and names as SHA-256, without phone numbers
    SEALED = "sealed"  # as it came, encrypted


class TagRule(msgspec.Struct, frozen=True, kw_only=True):
    """One tag. `timeout` is milliseconds for a whole run, `rate` runs in fifteen minutes.

    `sources` are those that it hears, None all; `in_flight` is how many runs there may be at once;
    `allow_hosts` names hosts, as `127.0.0.1` or `crm.internal`, that may have private addresses;
    `secrets` never show in what is logged or kept of answers.
    """

    name: str
    sources: frozenset[str] | None = None
    repeat: RepeatPolicy = RepeatPolicy.AT_LEAST_ONCE
    persons: PersonHandling = PersonHandling.HASHED
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
        return self.repeat is RepeatPolicy.AT_MOST_ONCE

    def hears(self, source: str) -> bool:
        """Return whether it hears the events of a source."""
        return self.sources is None or source in self.sources


class ContainerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A container, and the rules of its tags by their names.

    A tag without a rule runs beside others, and never by itself.
    """

    container: Container
    rules: dict[str, TagRule]


class TagRemark(msgspec.Struct, frozen=True, kw_only=True):
    """An event that came in. `event` is raw, `native` the same in our own words.

    `conversion_id` is that of the conversion that X is told of, where it is told of one; `repeated`
    what the client says again when it sends the event again; `index` the conversion's place in the
    submission, where it is one of its source. It holds persons: it does not print.
    """

    event: Mapping[str, object]
    native: Native
    conversion_id: str | None = None
    repeated: str | None = None
    index: int | None = None

    def __repr__(self) -> str:
        return "Said(***)"


class FiringResult(msgspec.Struct, frozen=True, kw_only=True):
    """What tags made of a submission: what fired, and what did not, with the reason."""

    fired: tuple[AcceptedConversion, ...] = ()
    unfired: tuple[UnfiredTags, ...] = ()


TagStatus = Literal["queued", "duplicate", "suppressed", "held"]


class TagOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one tag that fired, by its name: none has run yet."""

    tag: str
    status: TagStatus


class DispatchesTags(Protocol):
    """Decides which tags fire: see gateway.tags.run.dispatcher."""

    def hears(self, source: str) -> bool:
        """Return whether any tag hears a source."""

    async def heard(
        self,
        remarks: Sequence[TagRemark],
        *,
        source: Source,
        request: Incoming,
        client: str,
        now: int,
        first: int,
        held: Mapping[int, str],
    ) -> FiringResult:
        """Return an entry for each tag that fires for each event; their indexes are from `first`.

        `held` is why conversions are held, by their indexes: then so is what tags are told of them.
        Of each tag that hears the source and does not fire, why.
        """


class RunsTemplates(Protocol):
    """Runs templates, known by name, off the event loop.

    Turns are as `sgtm.sandbox` says: what they ask for has been checked against the template's
    permissions. Numbers of runs are a template's own.
    """

    async def start(self, template: str, call: Call) -> Turn:
        """Begin a run. Raises TemplatesBusy when more of that template wait than may.

        Raises TemplateRests where the template is on trial, and it is not its time.
        """

    async def resume(
        self, template: str, run: int, answers: tuple[EffectAnswer, ...], *, now: int
    ) -> Turn:
        """Go on with a run: answers, or only the time that has passed.

        A run that a limit ended meanwhile is told by the turn's error.
        """

    async def end(self, template: str, run: int) -> None:
        """Forget a run that will not be resumed."""


class KeepsItems(Protocol):
    """`templateDataStorage`: what each template keeps from run to run."""

    def of(self, template: Template) -> dict[str, Tree]:
        """Return a template's items, for one turn."""

    def change(self, template: Template, effect: Keep | Forget) -> bool:
        """Keep or forget something; return False where there is no more room for it."""


class GoogleToken(msgspec.Struct, frozen=True, kw_only=True):
    """An access token. `life` is for how many milliseconds it is good from now on."""

    text: Secret
    life: int


class NoGoogleToken(msgspec.Struct, frozen=True, kw_only=True):
    """There is none. `reason` is for a person; `refused` whether Google said no."""

    reason: str
    refused: bool = False


class GoogleTokenSource(Protocol):
    """A service account: of a key, or of the machine that the gateway runs on."""

    async def token(self, scopes: tuple[str, ...]) -> GoogleToken | NoGoogleToken:
        """Ask for a token for these scopes. Raises nothing but CancelledError."""

    async def project(self) -> str | None:
        """Return the project that is meant where none is named; None where nobody says."""

    async def stop(self) -> None:
        """Close what is open."""

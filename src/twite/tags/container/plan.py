"""Decide which tags fire for an event, with which fields, and why the others do not.

Triggers see the received event; a tag, and the variables in its fields, see the event after the
transformations: first allow, then set, then exclude.

    tags ─ paused? ─ a trigger fits? ─ an exception fits? ─ consent? ─▶ FiredTag, by priority
              └─────────────┴─────────────────┴────────────────┴─────▶ SkippedTag, with the reason
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from twite.domain.submission import NotFiredReason
from twite.domain.times import spelled
from twite.tags.container.conditions import holds
from twite.tags.container.parts import (
    ALL_EVENTS,
    Container,
    ContainerTag,
    ContainerTrigger,
    Firing,
    SequencedTag,
    Transformation,
)
from twite.tags.container.values import (
    EventContext,
    LookupNeeded,
    Unfilled,
    Values,
    Variables,
    given_fields,
    only_paths,
    value_at,
    with_value,
    without_path,
)
from twite.tags.json_tree import Tree
from twite.tags.template.fields import fill
from twite.tags.template.template import Template
from twite.tags.template.texts import DEEPEST, UNDEFINED, TooLong, text_of

# Fields of `user_data` that Google sends both raw and hashed.
_HASHED: Final = frozenset({"email_address", "phone_number", "first_name", "last_name"})
_GRANTED: Final = frozenset({"true", "granted", "1"})
# `gcs` is `G1<ad_storage><analytics_storage>`.
_IN_GCS: Final[Mapping[str, int]] = {"ad_storage": 2, "analytics_storage": 3}


class PendingTriggers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Triggers that need a value from another server: they decide later whether the tag fires.

    One of `triggers` must match, and none of `unless`. If `triggers` is empty, a trigger has
    already matched.
    """

    triggers: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


class FiredTag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag that fires. `fields` is the template's `data`, `event` the event as the tag sees it.

    `fields` may contain secrets, so they must not be stored. `trigger` is the trigger that matched,
    "" for a setup or teardown tag. `setup` runs before the tag, `teardown` after it; `tag` says
    whether a failure stops the tag that comes next. `consent` lists the required signals, all
    granted. If there are `pending` triggers, they decide later whether the tag fires.
    """

    tag: ContainerTag
    template: Template
    fields: dict[str, Tree]
    event: dict[str, Tree]
    trigger: str = ""
    setup: "FiredTag | None" = None
    teardown: "FiredTag | None" = None
    consent: tuple[str, ...] = ()
    pending: PendingTriggers | None = None

    def __repr__(self) -> str:
        return f"FiredTag({self.tag.name})"


class SkippedTag(msgspec.Struct, frozen=True):
    tag: str
    why: str
    reason: NotFiredReason


class FiringPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The decision on an event: `fired` is in the order of execution."""

    fired: tuple[FiredTag, ...] = ()
    passed: tuple[SkippedTag, ...] = ()


def plan(
    container: Container, context: EventContext, *, variables: Variables, filled: bool = True
) -> FiringPlan:
    """Decide for each tag whether it fires.

    A tag whose fields cannot be evaluated is skipped, with the reason. Unless `filled` is set,
    fields are not evaluated: `fields` and `event` are empty, and only the variables of triggers
    run. If a trigger needs a value from another server, and no other trigger decides, its tag is
    returned as fired, with `pending`.
    """
    client = client_name(container, context.client)
    if client != context.client:
        context = msgspec.structs.replace(context, client=client)
    decide = _Planner(container, context, variables, filled=filled)
    fired: list[FiredTag] = []
    passed: list[SkippedTag] = []
    for tag in sorted(container.tags, key=lambda each: -each.priority):
        try:
            fired += decide.fired(tag)
        except _NotFired as passes:
            passed.append(SkippedTag(tag.name, str(passes), passes.reason))
        except Unfilled as why:
            passed.append(SkippedTag(tag.name, str(why), NotFiredReason.UNFILLED))
        except TooLong:
            why_not = "a string in a condition becomes too long"
            passed.append(SkippedTag(tag.name, why_not, NotFiredReason.UNFILLED))
    return FiringPlan(fired=tuple(fired), passed=tuple(passed))


DECIDED: Final = PendingTriggers()


def only(container: Container, tag: str, pending: PendingTriggers = DECIDED) -> Container:
    """Return the container with one tag, and the tags that run before and after it.

    Its triggers are those of `pending`, or All Events. The other tags have none.
    """
    triggers = pending.triggers or (ALL_EVENTS,)
    tags = tuple(
        msgspec.structs.replace(
            each, triggers=triggers if each.name == tag else (), unless=pending.unless
        )
        for each in _with_sequenced(container, tag)
    )
    return msgspec.structs.replace(container, tags=tags)


def _with_sequenced(container: Container, tag: str) -> list[ContainerTag]:
    """Return a tag, its setup and teardown tags, and theirs."""
    found: list[ContainerTag] = []
    names = [tag]
    for name in names:
        for each in container.tags:
            if each.name == name:
                found.append(each)
                beside = (other.tag for other in (each.setup, each.teardown) if other is not None)
                names += [other for other in beside if other not in names]
    return found


def client_name(container: Container, client: str) -> str:
    for candidate in container.clients:
        if not candidate.template and candidate.reads == client:
            return candidate.name
    return client


class _NotFired(Exception):
    """The tag does not fire; the text says why."""

    def __init__(self, why: str, reason: NotFiredReason) -> None:
        super().__init__(why)
        self.reason = reason


class _Planner:
    def __init__(
        self, container: Container, context: EventContext, variables: Variables, *, filled: bool
    ) -> None:
        self._fills = filled
        self._container = container
        self._occasion = context
        self._variables = variables
        self._values = Values(container, context, variables)
        self._tags = {tag.name: tag for tag in container.tags}
        self._triggers = {trigger.name: trigger for trigger in container.triggers}
        self._fitting: dict[str, bool | None] = {ALL_EVENTS: True}
        self._seen: dict[tuple[str, ...], tuple[dict[str, Tree], Values]] = {}

    def fired(self, tag: ContainerTag) -> list[FiredTag]:
        """Return the tag once per firing. Raises _NotFired, Unfilled, TooLong."""
        rests = self._rests(tag)
        if rests is not None:
            raise rests
        fitting = [name for name in tag.triggers if self._fits(name) is not False]
        if not fitting:
            why = "none of its triggers matches" if tag.triggers else "it has no trigger"
            raise _NotFired(why, NotFiredReason.TRIGGER)
        blocking = next((name for name in tag.unless if self._fits(name)), None)
        if blocking is not None:
            raise _NotFired(f"the exception {blocking!r} matches", NotFiredReason.EXCEPTION)
        # Checked last: for tags that do not match the event, consent must not be the stated reason.
        lacks = self._lacks_consent(tag)
        if lacks is not None:
            raise lacks
        if tag.firing is Firing.EACH_TRIGGER:
            times: list[tuple[str, ...]] = [(name,) for name in fitting]
        else:
            decided = next((name for name in fitting if self._fits(name)), None)
            times = [tuple(fitting) if decided is None else (decided,)]
        return [
            self._filled(tag, names[0], beside=(), pending=self._pending(tag, names))
            for names in times
        ]

    def _pending(self, tag: ContainerTag, triggers: tuple[str, ...]) -> PendingTriggers | None:
        """Return the undecided triggers and exceptions; None if there are none."""
        undecided = tuple(name for name in triggers if self._fits(name) is None)
        unless = tuple(name for name in tag.unless if self._fits(name) is None)
        return PendingTriggers(triggers=undecided, unless=unless) if undecided or unless else None

    def _lacks_consent(self, tag: ContainerTag) -> _NotFired | None:
        missing = [signal for signal in tag.consent if not self._granted(signal)]
        return (
            _NotFired(f"consent {', '.join(missing)}", NotFiredReason.CONSENT) if missing else None
        )

    def _rests(self, tag: ContainerTag) -> _NotFired | None:
        if tag.paused:
            return _NotFired("it is paused", NotFiredReason.PAUSED)
        if tag.starts_at is not None and self._occasion.now < tag.starts_at:
            return _NotFired(f"it fires from {spelled(tag.starts_at)} on", NotFiredReason.PAUSED)
        if tag.ends_at is not None and self._occasion.now >= tag.ends_at:
            return _NotFired(f"it fired until {spelled(tag.ends_at)}", NotFiredReason.PAUSED)
        return None

    def _fits(self, name: str) -> bool | None:
        """Return whether a trigger matches; None if that needs a value from another server."""
        if name not in self._fitting:
            trigger = self._triggers.get(name)
            # A trigger that does not exist matches nothing.
            self._fitting[name] = trigger is not None and self._all_fit(trigger)
        return self._fitting[name]

    def _all_fit(self, trigger: ContainerTrigger) -> bool | None:
        """Return False if any part does not match, even if others are undecided."""
        fits: bool | None = True
        for name in trigger.all_of:
            found = self._fits(name)
            if found is False:
                return False
            fits = found and fits
        for condition in trigger.when:
            try:
                if not holds(condition, self._values.of):
                    return False
            except LookupNeeded:
                fits = None
        return fits

    def _filled(
        self,
        tag: ContainerTag,
        trigger: str,
        *,
        beside: tuple[str, ...],
        pending: PendingTriggers | None = None,
    ) -> FiredTag:
        template = self._container.templates.get(tag.template)
        if template is None:
            why = f"its template {tag.template!r} is not in the container"
            raise _NotFired(why, NotFiredReason.UNFILLED)
        chain = (*beside, tag.name)
        event: dict[str, Tree] = {}
        fields: dict[str, Tree] = {}
        if self._fills:
            event, values = self._as_seen_by(tag)
            given = given_fields(tag.fields, values.filled)
            fields = given
            if tag.defaults:
                fields = fill(template.fields, given, written=tag.fields)
        return FiredTag(
            tag=tag,
            template=template,
            fields=fields,
            event=event,
            trigger=trigger,
            setup=self._beside(tag.setup, chain),
            teardown=self._beside(tag.teardown, chain, stops=False),
            consent=tag.consent,
            pending=pending,
        )

    def _beside(
        self, sequenced: SequencedTag | None, chain: tuple[str, ...], *, stops: bool = True
    ) -> FiredTag | None:
        """Return a setup or teardown tag, without its own triggers and exceptions.

        If the tag is needed and does not run, the main tag does not run either, if `stops`.
        """
        if sequenced is None:
            return None
        tag = self._tags.get(sequenced.tag)
        if tag is None or sequenced.tag in chain or len(chain) > DEEPEST:
            raise _NotFired(f"the tag {sequenced.tag!r} cannot run with it", NotFiredReason.BESIDE)
        kept_back = self._rests(tag) or self._lacks_consent(tag)
        if kept_back is None:
            return self._filled(tag, "", beside=chain)
        if stops and sequenced.needed:
            why = f"the tag {sequenced.tag!r}, which it needs, does not run: {kept_back}"
            raise _NotFired(why, NotFiredReason.BESIDE)
        return None

    def _as_seen_by(self, tag: ContainerTag) -> tuple[dict[str, Tree], Values]:
        changes = [
            transformation
            for transformation in self._container.transformations
            if _is_for(transformation, tag)
            and all(holds(condition, self._values.of) for condition in transformation.when)
        ]
        key = tuple(change.name for change in changes)
        if key not in self._seen:
            event = dict(self._occasion.event)
            for change in sorted(changes, key=_order):
                event = self._changed(event, change)
            values = self._values
            if changes:
                occasion = msgspec.structs.replace(self._occasion, event=event)
                values = Values(self._container, occasion, self._variables)
            self._seen[key] = event, values
        return self._seen[key]

    def _changed(self, event: dict[str, Tree], transformation: Transformation) -> dict[str, Tree]:
        if transformation.allow:
            return only_paths(event, transformation.allow)
        for path, tree in transformation.set.items():
            value = self._values.filled(tree)
            event = (
                _without_hash(event, path) if _hash_of(path) not in transformation.set else event
            )
            event = (
                without_path(event, path) if value is UNDEFINED else with_value(event, path, value)
            )
        for path in transformation.exclude:
            event = without_path(_without_hash(event, path), path)
        return event

    def _granted(self, signal: str) -> bool:
        """Return whether a signal is granted, according to known signals, consent_state or gcs."""
        if signal in self._occasion.consent:
            return self._occasion.consent[signal]
        stated = value_at(self._occasion.event, f"consent_state.{signal}")
        if stated is not UNDEFINED:
            return text_of(stated).lower() in _GRANTED
        place = _IN_GCS.get(signal)
        gcs = text_of(value_at(self._occasion.event, "x-ga-gcs"))
        return place is not None and gcs.startswith("G1") and gcs[place : place + 1] == "1"


def _is_for(transformation: Transformation, tag: ContainerTag) -> bool:
    if not transformation.tags and not transformation.templates:
        return True
    named = tag.name in transformation.tags or tag.template in transformation.templates
    return named is not transformation.others


def _hash_of(path: str) -> str:
    before, dot, name = path.rpartition(".")
    return f"{before}{dot}sha256_{name}" if name in _HASHED else ""


def _without_hash(event: dict[str, Tree], path: str) -> dict[str, Tree]:
    """Remove the hash of a raw field, because both contain the same data."""
    hashed = _hash_of(path)
    return without_path(event, hashed) if hashed else event


def _order(transformation: Transformation) -> int:
    return 0 if transformation.allow else 1 if transformation.set else 2

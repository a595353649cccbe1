"""Tag dispatcher: for an incoming event, make a delivery for each tag that fires.

Decisions are made in memory, on the received event; the queue stores payloads (see `payload.py`).
The fields of a tag are evaluated when the tag runs. Therefore secrets in fields are never stored,
and a corrected field also applies to queued payloads.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Final, NamedTuple

from msgspec import structs

from twite.domain.consent import ConsentAction, person_keys
from twite.domain.conversion import Identifiers, dedup_key
from twite.domain.destination import Source
from twite.domain.submission import AcceptedConversion, UnfiredTags
from twite.formats.event_data.conversions import SPELLINGS
from twite.gateway.ports.events import Observer, SilentObserver
from twite.gateway.ports.privacy import Privacy
from twite.gateway.ports.secret_store import Seal
from twite.gateway.ports.tags import EventOrigin, FiringResult, TagRemark
from twite.tags.container import parts
from twite.tags.container.plan import FiredTag, FiringPlan, PendingTriggers
from twite.tags.container.values import EventContext
from twite.tags.ports.tags import (
    ContainerConfig,
    PersonHandling,
    TagCall,
    TagRule,
    call_of,
    rules_of,
)
from twite.tags.preview.trace import current
from twite.tags.run.consent_signals import granted
from twite.tags.run.first_turn import WITHIN, FirstTurns, after_first_turn
from twite.tags.run.parsed_event import OTHER, ParsedTagEvent
from twite.tags.run.payload import TagPayload, payload_persons, read, written
from twite.tags.run.preview_events import PreviewedTagEvent
from twite.tags.run.readable_request import (
    ReadableRequest,
    kept,
    may_respond,
    may_run_container,
    readable,
    readable_by_all,
)
from twite.tags.run.run_input import RunInput
from twite.tags.run.variables import IngestEvaluation, VariableCache
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage

_KNOWN: Final = frozenset(name for group in SPELLINGS for name in group)


class _FiredTagEvent(NamedTuple):
    """A tag that fired for an event; `conversion` is the index of its conversion, if any."""

    parsed: ParsedTagEvent
    fired: FiredTag
    rule: TagRule
    payload: TagPayload
    conversion: int | None


@dataclass(slots=True, eq=False, repr=False)
class TagDispatcher:
    """Decides which tags fire. `seal` protects payloads of tags that need raw identifiers.

    `known` contains the event names that are counted separately.
    """

    container_configs: Sequence[ContainerConfig]
    _: KW_ONLY
    engine_pool: EnginePool
    salt: bytes
    opt_outs: Privacy
    seal: Seal | None = None
    known: Iterable[str] = ()
    storage: TemplateStorage = field(default_factory=TemplateStorage)
    observer: Observer = field(default_factory=SilentObserver)
    first_turn_within: int = WITHIN
    _first_turns: FirstTurns = field(init=False)
    _responding: frozenset[str] = field(init=False)
    _ingest: IngestEvaluation = field(init=False)
    _known: frozenset[str] = field(init=False)
    _draws: bool = field(init=False)
    # By (pixel, whether triggers are pending).
    _readable: dict[tuple[str, bool], ReadableRequest] = field(init=False)
    _calling: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._ingest = IngestEvaluation(
            self.engine_pool,
            storage=self.storage,
            observer=self.observer,
        )
        self._known = _KNOWN | frozenset(self.known)
        self._draws = any(
            variable.type in {parts.VariableSource.RANDOM, parts.VariableSource.TEMPLATE}
            for container_config in self.container_configs
            for variable in container_config.container.variables
        ) or any(
            # The deliveries of an event recognize each other by the event's random number.
            tag.setup is not None or tag.teardown is not None
            for container_config in self.container_configs
            for tag in container_config.container.tags
        )
        containers = [each.container for each in self.container_configs]
        self._calling = self._pixels_of(may_run_container)
        whole = readable_by_all(containers)
        self._readable = {
            (rule.pixel, decides): whole
            if rule.pixel in self._calling
            else readable(container_config.container, tag, decides=decides)
            for container_config in self.container_configs
            for tag in container_config.container.tags
            if (rule := container_config.rules.get(tag.name)) is not None
            for decides in (False, True)
        }
        self._first_turns = FirstTurns(
            self.engine_pool,
            storage=self.storage,
            observer=self.observer,
            within=self.first_turn_within,
        )
        self._responding = self._pixels_of(may_respond)

    def _pixels_of(
        self, applies: Callable[[parts.Container, parts.ContainerTag], bool]
    ) -> frozenset[str]:
        return frozenset(
            rule.pixel
            for container_config in self.container_configs
            for tag in container_config.container.tags
            if (rule := container_config.rules.get(tag.name)) is not None
            and applies(container_config.container, tag)
        )

    def listens_to(self, source: str) -> bool:
        return any(rule.listens_to(source) for _, rule in rules_of(self.container_configs))

    async def dispatch(
        self,
        remarks: Sequence[TagRemark],
        *,
        source: Source,
        origin: EventOrigin,
        now: int,
        first: int,
        held: Mapping[int, AcceptedConversion],
    ) -> FiringResult:
        """Return an entry for each tag that fires for each event; indexes start at `first`.

        `held` is why conversions are held, by index: their tags are held, too. Also return the
        reason for each tag of the source that does not fire. If a browser waits, run the first
        turns of tags that can add to the response, side by side.
        """
        waits, request = origin.waits, origin.request
        trace = current()
        found: list[_FiredTagEvent] = []
        first_turns: dict[int, RunInput] = {}
        unfired: list[UnfiredTags] = []
        revoked = (
            partial(self._revoked, persons=origin.persons) if self.opt_outs.has_opt_outs() else None
        )
        for position, tag_event in enumerate(remarks):
            occasion = EventContext(
                event=tag_event.event,  # type: ignore[arg-type] # decoded JSON
                now=now,
                request=request,
                client=origin.client,
                consent=granted(tag_event.native.consent),
            )
            parsed = ParsedTagEvent(
                tag_event,
                source=source,
                occasion=occasion,
                revoked=revoked,
                salt=self.salt,
                request_id=origin.request_id,
                position=position,
            )
            if self._draws:
                draw = self._draw(parsed, call_of(origin))
                occasion = parsed.occasion = structs.replace(occasion, draw=draw)
            preview = None
            if trace is not None:
                preview = PreviewedTagEvent(
                    trace, parsed, container_configs=self.container_configs, ingest=self._ingest
                )
            for container_config in self.container_configs:
                # Payloads contain the request as received, without the headers that the settings
                # add.
                seen = structs.replace(occasion, request=container_config.completed(request))
                known = self._ingest.cache(container_config)
                planned = await self._planned(container_config, seen, source.name, known)
                if preview is not None:
                    await preview.record(container_config, planned, seen, known)
                unfired += _without_fire(
                    planned, container_config, source.name, index=tag_event.index
                )
                for fired, rule in _with_rules(planned, container_config, source.name):
                    index = first + len(found)
                    payload = self._payload(parsed, rule, fired.pending, origin)
                    may_answer = (
                        rule.pixel in self._responding
                        and tag_event.index not in held
                        and fired.pending is None
                    )
                    if waits is not None and may_answer and parsed.is_sent:
                        first_turns[index] = RunInput(
                            container_config=container_config,
                            rule=rule,
                            payload=_as_read(payload, rule, pixels=waits.pixels),
                            seed=self._seed(parsed, fired, rule),
                        )
                    found.append(_FiredTagEvent(parsed, fired, rule, payload, tag_event.index))
        responses = await self._first_turns.run_all(first_turns) if first_turns else {}
        entries: list[AcceptedConversion] = []
        for index, (parsed, fired, rule, payload, of_conversion) in enumerate(found, first):
            if index in responses:
                payload = after_first_turn(payload, first_turns[index], responses[index])  # noqa: PLW2901  # the payload of the durable run
            entry = self._entry(parsed, fired, rule, payload, index=index, call=call_of(origin))
            entries.append(_held_with(entry, held, of_conversion))
        return FiringResult(fired=tuple(entries), unfired=tuple(unfired), responses=responses)

    async def _planned(
        self,
        container_config: ContainerConfig,
        context: EventContext,
        source: str,
        variables: VariableCache,
    ) -> FiringPlan:
        if not any(rule.listens_to(source) for rule in container_config.rules.values()):
            return FiringPlan()
        return await self._ingest.planned(container_config, context, variables)

    def _entry(
        self,
        parsed: ParsedTagEvent,
        fired: FiredTag,
        rule: TagRule,
        payload: TagPayload,
        *,
        index: int,
        call: TagCall | None = None,
    ) -> AcceptedConversion:
        verdict, name = parsed.verdict, parsed.name
        event = name if name in self._known else OTHER
        identity, called = parsed.identity.id, parsed.identity.called
        # Only the dedup key is stored, so its inputs must differ between event names.
        if event == OTHER:
            identity = f"{name}/{identity}"
        if fired.tag.firing is parts.Firing.EACH_TRIGGER:
            identity = f"{identity}/{fired.trigger}"
        if call is not None:
            # Tags run for each event, as in Google's container, even if another event has the same
            # id.
            identity = f"{identity}/{call.id}"
        sent = not parsed.is_suppressed
        is_held = verdict.action is ConsentAction.HOLD
        seal = self.seal if rule.persons is PersonHandling.SEALED and sent else None
        return AcceptedConversion(
            index=index,
            key=dedup_key(rule.pixel, event, identity),
            pixel=rule.pixel,
            event=event,
            conversion_id=identity,
            body=written(payload, name=rule.pixel, seal=seal),
            suppressed=None if sent else verdict.reason,
            held=verdict.reason if is_held else None,
            cause=verdict.cause if is_held or not sent else None,
            consent=verdict.evidence,
            called=None if identity == called else called,
        )

    def _seed(self, parsed: ParsedTagEvent, fired: FiredTag, rule: TagRule) -> int:
        """Return the random seed of a run that begins before its delivery has an id."""
        seed = f"{rule.pixel}\0{fired.trigger}\0{self._draw(parsed)}"
        whole = blake2b(seed.encode("utf-8", "replace"), key=self.salt[:64], digest_size=6)
        return int.from_bytes(whole.digest()) or 1

    def _payload(
        self,
        parsed: ParsedTagEvent,
        rule: TagRule,
        pending: PendingTriggers | None,
        origin: EventOrigin,
    ) -> TagPayload:
        if parsed.is_suppressed:
            # The payload has no personal data and no event data.
            return TagPayload(pixel=parsed.source.pixel, at=0, event={"event_name": parsed.name})
        hashed = rule.persons is PersonHandling.HASHED
        occasion = parsed.occasion
        return TagPayload(
            pixel=parsed.source.pixel,
            at=occasion.now,
            identifiers=payload_persons((parsed.identifiers, *origin.persons)),
            event=parsed.hashed if hashed else dict(occasion.event),  # type: ignore[arg-type] # decoded JSON
            request=kept(
                occasion.request, self._readable[rule.pixel, pending is not None], hashed=hashed
            ),
            client=occasion.client,
            granted=dict(occasion.consent),
            draw=occasion.draw,
            source=parsed.source.name if rule.pixel in self._calling else "",
            from_page=origin.from_page and rule.pixel in self._calling,
            call=call_of(origin),
            preview="" if (trace := current()) is None else trace.id,
            pending=pending,
        )

    def _revoked(
        self, identifiers: Identifiers, pixel: str, *, persons: Iterable[Identifiers]
    ) -> bool:
        return any(
            self.opt_outs.lists(person_keys(each, pixel=pixel, salt=self.salt))
            for each in (identifiers, *persons)
        )

    def _draw(self, parsed: ParsedTagEvent, call: TagCall | None = None) -> int:
        """Return the random number of the event, which stays the same if the event is repeated."""
        identity = parsed.identity.id
        if call is not None:
            identity = f"{identity}/{call.id}"  # other events may have the same id
        seed = f"{parsed.source.name}\0{parsed.name}\0{identity}"
        whole = blake2b(seed.encode("utf-8", "replace"), key=self.salt[:64], digest_size=6)
        return int.from_bytes(whole.digest()) or 1


def _as_read(payload: TagPayload, rule: TagRule, *, pixels: bool) -> TagPayload:
    """Return the payload in the form in which the durable run will read it."""
    read_back = read(written(payload, name=rule.pixel), name=rule.pixel)
    return structs.replace(read_back, pixels=pixels)


def _held_with(
    conversion: AcceptedConversion, held: Mapping[int, AcceptedConversion], index: int | None
) -> AcceptedConversion:
    found = None if index is None else held.get(index)
    if found is None or conversion.suppressed is not None or conversion.held is not None:
        return conversion
    return structs.replace(conversion, held=found.held, cause=found.cause)


def _with_rules(
    plan: FiringPlan, container_config: ContainerConfig, source: str
) -> list[tuple[FiredTag, TagRule]]:
    found = []
    for fired in plan.fired:
        rule = container_config.rules.get(fired.tag.name)
        if rule is not None and rule.listens_to(source):
            found.append((fired, rule))
    return found


def _without_fire(
    plan: FiringPlan, container_config: ContainerConfig, source: str, *, index: int | None
) -> list[UnfiredTags]:
    found = []
    for passed in plan.passed:
        rule = container_config.rules.get(passed.tag)
        if rule is not None and rule.listens_to(source):
            found.append(
                UnfiredTags(tag=rule.pixel, reason=passed.reason, why=passed.why, index=index)
            )
    return found

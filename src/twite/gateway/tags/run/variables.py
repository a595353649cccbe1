"""Evaluate template variables: at ingest, while the client waits, and in tag runs."""

import time
from dataclasses import KW_ONLY, dataclass

import msgspec
from msgspec import structs

from twite.domain.json_tree import Tree
from twite.gateway.ports.events import Observer, TagSaid
from twite.gateway.ports.tags import ContainerConfig, KeepsItems
from twite.gateway.tags.runtime.engine_pool import EnginePool, TemplateEngines
from twite.gateway.tags.runtime.probation import Probations
from twite.gateway.tags.runtime.tag_log import ClientLines, TagLogLine
from twite.gateway.tags.runtime.thread_worker import HungTurn
from twite.gtm.container.plan import FiringPlan, plan
from twite.gtm.container.values import EventContext, Unfilled
from twite.gtm.template.allowed import lacking
from twite.gtm.template.effects import Forget, Keep, LogEffect
from twite.gtm.template.sandbox import Call, ContainerVersion, Turn
from twite.gtm.template.template import Template
from twite.gtm.template.texts import UNDEFINED, Value


class PendingVariable(Exception):
    """A variable's template must send a request before the plan is complete.

    `turn` is its first turn.
    """

    def __init__(self, template: Template, turn: Turn, *, place: bytes) -> None:
        super().__init__(template.name)
        self.template = template
        self.turn = turn
        self.place = place


class VariableCache:
    """The values of one delivery's variables, kept across plans.

    `ran` are the turns of templates without a request, in the latest plan.
    """

    def __init__(self, *, container: ContainerVersion, storage: KeepsItems) -> None:
        self._container = container
        self._storage = storage
        self._values: dict[bytes, Value] = {}
        self.ran: list[tuple[Template, Turn]] = []

    def on(self, engines: TemplateEngines) -> "_Asking":
        """Return the variables for a new plan."""
        self.ran = []
        return _Asking(self, engines)

    def put(self, awaited: PendingVariable, value: Value) -> None:
        """Store a value for later plans."""
        self._values[awaited.place] = value

    def value(
        self,
        engines: TemplateEngines,
        template: Template,
        fields: dict[str, Tree],
        occasion: EventContext,
    ) -> Value:
        """Return the value from the template. Raises PendingVariable until it is known."""
        place = b""
        if self._values:
            place = _place(template, fields, occasion)
            if place in self._values:
                return self._values[place]
        call = call_of(template, fields, occasion, about=self._container, storage=self._storage)
        turn = engines.ask(template, call)
        if not turn.done:
            raise PendingVariable(template, turn, place=place or _place(template, fields, occasion))
        self.ran.append((template, turn))
        return returned(turn)


class _Asking:
    """See sgtm.container.values.Variables: for one plan, in the thread of the engines."""

    def __init__(self, known: VariableCache, engines: TemplateEngines) -> None:
        self._known = known
        self._engines = engines

    def value(self, template: Template, fields: dict[str, Tree], occasion: EventContext) -> Value:
        return self._known.value(self._engines, template, fields, occasion)


def call_of(
    template: Template,
    fields: dict[str, Tree],
    occasion: EventContext,
    *,
    about: ContainerVersion,
    storage: KeepsItems,
) -> Call:
    """Return the call of a variable's template."""
    return Call(
        fields=fields,
        now=occasion.now,
        seed=occasion.draw,
        event=dict(occasion.event),
        request=occasion.request,
        container=about,
        client=occasion.client,
        storage=storage.of(template),
    )


def returned(turn: Turn) -> Value:
    """Return the value of a variable after its run."""
    return UNDEFINED if turn.error is not None or turn.returned is None else turn.returned


def _place(template: Template, fields: dict[str, Tree], occasion: EventContext) -> bytes:
    """Return what tells this value from others: transformations change the event for a tag."""
    return msgspec.json.encode(
        [id(template), fields, dict(occasion.event), occasion.draw], order="sorted"
    )


Ran = list[tuple[Template, Turn]]


class IngestEvaluation:
    """Plans tags without evaluating their fields.

    Stores the items of variables, and logs their lines.
    """

    def __init__(self, engine_pool: EnginePool, *, storage: KeepsItems, observer: Observer) -> None:
        self._engine_pool = engine_pool
        self._storage = storage
        self._observer = observer
        self._lines = ClientLines(self._write, elapsed=engine_pool.elapsed)

    async def planned(
        self, container_config: ContainerConfig, occasion: EventContext
    ) -> FiringPlan:
        """Return which tags fire. Template code runs in a thread, not on the event loop."""
        while True:
            ran: Ran = []
            try:
                planned = await self._planned(container_config, occasion, ran)
            except HungTurn as hung:
                # Plan again: the variable is on probation now and is skipped.
                self._engine_pool.trials.hang(name_of(hung.template), hung)
            else:
                self._log_turns(ran, container_config, occasion)
                return planned
            finally:
                self._engine_pool.trials.report()

    async def _planned(
        self, container_config: ContainerConfig, occasion: EventContext, ran: Ran
    ) -> FiringPlan:
        container = container_config.container
        about = ContainerVersion(container_id=container.public_id, version=container.version)

        def with_engines(engines: TemplateEngines) -> FiringPlan:
            variables = IngestTurn(
                engines, self._engine_pool.trials, about=about, storage=self._storage, ran=ran
            )
            return plan(container, occasion, variables=variables, filled=False)

        return await self._engine_pool.ingest_worker.do("plan", with_engines)

    def _log_turns(
        self, ran: Ran, container_config: ContainerConfig, occasion: EventContext
    ) -> None:
        for template, turn in ran:
            if turn.error is None and not turn.effects:
                continue
            secrets = [
                secret for rule in container_config.rules.values() for secret in rule.secrets
            ]
            lines = self._lines.of(name_of(template), occasion.request, secrets, occasion.event)
            policy = self._engine_pool.policy(template)
            # Check the permissions again before the effects are performed.
            allowed = tuple(effect for effect in turn.effects if lacking(effect, policy) is None)
            lines.log_turn(structs.replace(turn, effects=allowed))
            for effect in allowed:
                if isinstance(effect, LogEffect) and effect.denied is not None:
                    lines.say(f"the template lacks the permission {effect.denied}")
                elif isinstance(effect, Keep | Forget) and not self._storage.change(
                    template, effect
                ):
                    lines.say("templateDataStorage is full: nothing was stored")
            if turn.error is not None:
                kind = turn.error.partition(":")[0]
                place = "" if turn.line is None else f" in line {turn.line} of its code"
                lines.say(f"the template failed: {kind}{place}")

    def _write(self, whose: str, line: TagLogLine) -> None:
        self._observer.see(TagSaid(tag=whose, text=line.text, own=line.own))


@dataclass(slots=True, eq=False, repr=False)
class IngestTurn:
    """The variables of one event at ingest: implements gtm.container.values.Variables.

    After a template exceeded a limit, it pauses. Tags that need its value meanwhile do not fire,
    and the reason is recorded: otherwise each submission would wait for the limit. Fast templates
    are not slowed down. `ran` receives each turn.
    """

    engines: TemplateEngines
    trials: Probations
    _: KW_ONLY
    about: ContainerVersion
    storage: KeepsItems
    ran: Ran

    def value(self, template: Template, fields: dict[str, Tree], occasion: EventContext) -> Value:
        """Return the template's value. Raises Unfilled while it is on probation."""
        whose = name_of(template)
        share = self.trials.share(whose)
        if not share.is_left:
            raise Unfilled(f"the variable template {template.name!r} is paused: {_SLOW}")
        if self.trials.begin(whose):
            off = self.trials.is_off(whose)
            why = "is switched off because it hung" if off else "is paused: it exceeded a limit"
            raise Unfilled(f"the variable template {template.name!r} {why}")
        call = call_of(template, fields, occasion, about=self.about, storage=self.storage)
        began, making = time.thread_time(), self.engines.making
        self.engines.passed_a_limit()  # resets it for this run
        spent = False
        try:
            turn = evaluate_at_ingest(self.engines, template, call)
            spent = self.engines.passed_a_limit()
        finally:
            # An abandoned thread has been reported already.
            if not self.engines.is_left:
                took = time.thread_time() - began
                self.trials.end(whose, took=took if spent else 0.0, spent=spent)
                share.take(took - (self.engines.making - making))
        self.ran.append((template, turn))
        return returned(turn)


def evaluate_at_ingest(engines: TemplateEngines, template: Template, call: Call) -> Turn:
    """Run a variable's template. Raises Unfilled if the template must send a request first."""
    turn = engines.ask(template, call)
    if not turn.done:
        engines.end(template, turn.run)
        if turn.returned is None:
            raise Unfilled(f"the variable template {template.name!r} {_WAITS}")
    return turn


def name_of(template: Template | None) -> str:
    """Return the name of a variable's template in logs and alerts."""
    return f"variable {'' if template is None else template.name}"


_WAITS = "fetches its value over the network, which is too slow for intake"
_SLOW = "it was too slow for intake too often"

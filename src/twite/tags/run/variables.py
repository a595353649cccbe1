"""Evaluate template variables: at ingest, while the client waits, and in tag runs.

Planning stops when it needs a variable's value, and starts again once the value is known.
"""

from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import structs

from twite.gateway.ports.events import Observer, TagSaid
from twite.gateway.ports.request_watch import sends_nothing
from twite.tags.container.explain import Explanation, explained
from twite.tags.container.plan import FiringPlan, plan
from twite.tags.container.values import EventContext, LookupNeeded, Unfilled
from twite.tags.json_tree import Tree
from twite.tags.ports.engines import EngineLost
from twite.tags.ports.tags import ContainerConfig
from twite.tags.runtime.engine_pool import EnginePool, TemplateStorage
from twite.tags.runtime.tag_log import STORAGE_FULL, ClientLines, TagLogLine
from twite.tags.template.allowed import lacking
from twite.tags.template.effects import Forget, Keep, LogEffect
from twite.tags.template.sandbox import Call, ContainerVersion, Turn
from twite.tags.template.template import Template
from twite.tags.template.texts import UNDEFINED, Value

T = TypeVar("T")
_WAITS = "fetches its value over the network"
_SLOW = "it often took too long for intake"
_PASSED = "it exceeded a limit"


class PendingVariable(Exception):
    """The plan first needs a variable's value from its template."""

    def __init__(self, template: Template, call: Call, *, place: bytes) -> None:
        super().__init__(template.name)
        self.template = template
        self.call = call
        self.place = place


class VariableCache:
    """The values of one event's variables, kept across plans: see gtm.container.values.Variables.

    If a variable has no value, the reason is stored instead.
    """

    def __init__(self, *, container: ContainerVersion, storage: TemplateStorage) -> None:
        self._container = container
        self._storage = storage
        self._values: dict[bytes, Value] = {}
        self._unfilled: dict[bytes, Unfilled] = {}

    def put(self, pending: PendingVariable, value: Value) -> None:
        self._values[pending.place] = value

    def put_unfilled(self, pending: PendingVariable, unfilled: Unfilled) -> None:
        """Store the reason why a variable has no value, for later plans."""
        self._unfilled[pending.place] = unfilled

    def value(self, template: Template, fields: dict[str, Tree], context: EventContext) -> Value:
        """Return the value from the template. Raises PendingVariable until it is known."""
        place = _place(template, fields, context)
        if place in self._values:
            return self._values[place]
        if place in self._unfilled:
            raise self._unfilled[place]
        call = call_of(template, fields, context, version=self._container, storage=self._storage)
        raise PendingVariable(template, call, place=place)


def call_of(
    template: Template,
    fields: dict[str, Tree],
    context: EventContext,
    *,
    version: ContainerVersion,
    storage: TemplateStorage,
) -> Call:
    return Call(
        fields=fields,
        now=context.now,
        seed=context.draw,
        event=dict(context.event),
        request=context.request,
        container=version,
        client=context.client,
        storage=storage.of(template),
    )


def returned(turn: Turn) -> Value:
    return UNDEFINED if turn.error is not None or turn.returned is None else turn.returned


def _place(template: Template, fields: dict[str, Tree], context: EventContext) -> bytes:
    """Return a value's key. It includes the event, which transformations may change for a tag."""
    return msgspec.json.encode(
        [id(template), fields, dict(context.event), context.draw], order="sorted"
    )


class IngestEvaluation:
    """Decides which tags fire, without evaluating their fields or requesting values from servers.

    Stores the items of variables, and logs their lines. A template that exceeded a limit is paused
    for a while. During the pause, tags that need its value do not fire, and the reason is recorded:
    otherwise each submission would wait until the limit is reached. Fast templates are not slowed
    down.
    """

    def __init__(
        self, engine_pool: EnginePool, *, storage: TemplateStorage, observer: Observer
    ) -> None:
        self._engine_pool = engine_pool
        self._storage = storage
        self._observer = observer
        self._lines = ClientLines(self._write, elapsed=engine_pool.elapsed)

    def cache(self, container_config: ContainerConfig) -> VariableCache:
        container = container_config.container
        about = ContainerVersion(container_id=container.public_id, version=container.version)
        return VariableCache(container=about, storage=self._storage)

    async def planned(
        self, container_config: ContainerConfig, context: EventContext, variables: VariableCache
    ) -> FiringPlan:
        """Return which tags fire. The code of templates runs in an engine process."""
        container = container_config.container
        return await self._with_values(
            container_config,
            context,
            variables,
            lambda: plan(container, context, variables=variables, filled=False),
        )

    async def explained(
        self, container_config: ContainerConfig, context: EventContext, variables: VariableCache
    ) -> Explanation:
        """Return the values of all variables, and the verdicts of all triggers.

        `variables` has the values that `planned` has evaluated. The others are evaluated here,
        without storing items or logging.
        """
        container = container_config.container
        return await self._with_values(
            container_config,
            context,
            variables,
            lambda: explained(container, context, variables),
            performs=False,
        )

    async def _with_values(
        self,
        container_config: ContainerConfig,
        context: EventContext,
        variables: VariableCache,
        act: Callable[[], T],
        *,
        performs: bool = True,
    ) -> T:
        """Repeat `act` until it has all values. `performs` is whether effects are performed."""
        while True:
            try:
                return act()
            except PendingVariable as awaited:
                try:
                    turn = await self._turn(awaited)
                    value = returned_at_ingest(awaited.template, turn)
                    if performs:
                        self._perform(awaited.template, turn, container_config, context)
                    variables.put(awaited, value)
                except Unfilled as unfilled:
                    variables.put_unfilled(awaited, unfilled)

    async def _turn(self, pending: PendingVariable) -> Turn:
        """Run a variable's template. Raises Unfilled if it may not run now."""
        template, whose = pending.template, name_of(pending.template)
        trials, worker = self._engine_pool.trials, self._engine_pool.ingest_worker
        begun = False

        def gate() -> None:
            nonlocal begun
            if not trials.has_cpu_time(whose):
                raise Unfilled(f"the variable template {template.name!r} is paused: {_SLOW}")
            if trials.begin(whose):
                raise Unfilled(f"the variable template {template.name!r} is paused: {_PASSED}")
            begun = True

        took, spent = 0.0, False
        try:
            turn = await worker.start(whose, template, pending.call, gate=gate)
            took, spent = turn.took, turn.spent
        except EngineLost as lost:
            begun = False
            trials.lose(whose, lost)
            raise Unfilled(
                f"the variable template {template.name!r} is paused: {_PASSED}"
            ) from None
        finally:
            if begun:
                trials.end(whose, took=took if spent else 0.0, spent=spent)
                trials.charge(whose, took)
        if not turn.done or turn.listening:
            worker.end(turn.run)
        return turn

    def _perform(
        self,
        template: Template,
        turn: Turn,
        container_config: ContainerConfig,
        context: EventContext,
    ) -> None:
        """Log lines, and store items unless this is a preview that sends nothing."""
        if turn.error is None and not turn.effects:
            return
        secrets = [secret for rule in container_config.rules.values() for secret in rule.secrets]
        lines = self._lines.of(name_of(template), context.request, secrets, context.event)
        policy = self._engine_pool.policy(template)
        # The engine process is not trusted, so permissions for effects are checked here, too.
        allowed = tuple(effect for effect in turn.effects if lacking(effect, policy) is None)
        lines.log_turn(structs.replace(turn, effects=allowed))
        for effect in allowed:
            if isinstance(effect, LogEffect) and effect.denied is not None:
                lines.say(f"the template lacks the permission {effect.denied}")
            elif (
                isinstance(effect, Keep | Forget)
                and not sends_nothing()
                and not self._storage.change(template, effect)
            ):
                lines.say(STORAGE_FULL)
        if turn.error is not None:
            kind = turn.error.partition(":")[0]
            place = "" if turn.line is None else f" in line {turn.line} of its code"
            lines.say(f"the template failed: {kind}{place}")

    def _write(self, whose: str, line: TagLogLine) -> None:
        self._observer.see(TagSaid(tag=whose, text=line.text, own=line.own))


def returned_at_ingest(template: Template, turn: Turn) -> Value:
    """Return the value of a variable at ingest. Raises LookupNeeded if it needs a request first."""
    if not turn.done and turn.returned is None:
        raise LookupNeeded(f"the variable template {template.name!r} {_WAITS}")
    return returned(turn)


def name_of(template: Template) -> str:
    return f"variable {template.name}"

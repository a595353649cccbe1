"""Variable cache of one delivery: a value that needs a request is fetched once.

plan ─▶ Awaited: a variable's template waits ─▶ what it asks for is performed ─▶ plan again …
"""

import msgspec

from twite.domain.json_tree import Tree
from twite.gateway.ports.templates import KeepsItems
from twite.gateway.tags.runtime.engine_pool import TemplateEngines
from twite.gtm.container.values import EventContext
from twite.gtm.template.sandbox import Call, ContainerVersion, Turn
from twite.gtm.template.template import Template
from twite.gtm.template.texts import UNDEFINED, Value


class PendingVariable(Exception):
    """A variable's template needs a request before the plan can be made. `turn` is its first."""

    def __init__(self, template: Template, turn: Turn, *, place: bytes) -> None:
        super().__init__(template.name)
        self.template = template
        self.turn = turn
        self.place = place


class VariableCache:
    """The values of one delivery's variables, kept across plans.

    `ran` are the turns of templates that waited for nothing, in the plan that was made last.
    """

    def __init__(self, *, container: ContainerVersion, storage: KeepsItems) -> None:
        self._container = container
        self._storage = storage
        self._values: dict[bytes, Value] = {}
        self.ran: list[tuple[Template, Turn]] = []

    def on(self, engines: TemplateEngines) -> "_Asking":
        """Return the variables for a plan that is made from the beginning."""
        self.ran = []
        return _Asking(self, engines)

    def put(self, awaited: PendingVariable, value: Value) -> None:
        """Know a value, for the plans from here on."""
        self._values[awaited.place] = value

    def value(
        self,
        engines: TemplateEngines,
        template: Template,
        fields: dict[str, Tree],
        occasion: EventContext,
    ) -> Value:
        """Return what the template returned. Raises Awaited while that is not known."""
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
    """Return the value of a variable whose run is over."""
    return UNDEFINED if turn.error is not None or turn.returned is None else turn.returned


def _place(template: Template, fields: dict[str, Tree], occasion: EventContext) -> bytes:
    """Return what tells this value from others: transformations change the event for a tag."""
    return msgspec.json.encode(
        [id(template), fields, dict(occasion.event), occasion.draw], order="sorted"
    )

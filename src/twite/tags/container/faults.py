"""Validate a container: unknown names, reference cycles, invalid regular expressions."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from twite.tags.container.conditions import regex_error
from twite.tags.container.parts import (
    ALL_EVENTS,
    EVENT,
    Condition,
    Container,
    ContainerTag,
    ContainerUnusable,
    Operator,
    TemplatedPart,
    Transformation,
    Variable,
    VariableSource,
)
from twite.tags.json_tree import Tree
from twite.tags.template.template import TemplateKind
from twite.tags.template.texts import DEEPEST, literal, names_in, number_of

_SHOWN: Final = 20
_NEEDED: Final[Mapping[VariableSource, str]] = {
    VariableSource.EVENT_DATA: "key",
    VariableSource.REQUEST_HEADER: "key",
    VariableSource.COOKIE: "key",
    VariableSource.QUERY_PARAMETER: "key",
    VariableSource.LOOKUP: "input",
    VariableSource.REGEX_LOOKUP: "input",
    VariableSource.TEMPLATE: "template",
}


def faults(container: Container) -> Iterator[ContainerUnusable]:
    yield from _twice("tag", container.tags)
    yield from _twice("trigger", container.triggers)
    yield from _twice("variable", container.variables)
    yield from _twice("client", container.clients)
    yield from _twice("transformation", container.transformations)
    look = _FaultSearch(container)
    for at, trigger in enumerate(container.triggers):
        yield from look.at_triggers(trigger.all_of, f"trigger[{at}].all_of")
        yield from look.at_conditions(trigger.when, f"trigger[{at}].when")
    for at, variable in enumerate(container.variables):
        yield from look.at_variable(variable, f"variable[{at}]")
    for at, tag in enumerate(container.tags):
        yield from look.at_tag(tag, f"tag[{at}]")
    for at, client in enumerate(container.clients):
        if client.template:
            yield from look.at_template(client, TemplateKind.CLIENT, f"client[{at}]")
    for at, change in enumerate(container.transformations):
        yield from look.at_transformation(change, f"transformation[{at}]")
    yield from _rings(
        {variable.name: needed_by(variable) for variable in container.variables}, "variable"
    )
    yield from _rings({trigger.name: trigger.all_of for trigger in container.triggers}, "trigger")
    yield from _rings({tag.name: _beside(tag) for tag in container.tags}, "tag")


def needed_by(variable: Variable) -> tuple[str, ...]:
    form = dict(variable.format.instead) if variable.format else {}
    trees: list[Tree] = [
        variable.value if isinstance(variable.value, str) else None,
        variable.key,
        variable.input,
        variable.least,
        variable.most,
        [text for row in variable.rows for text in (row.key, row.value)],
        variable.default,
        dict(variable.fields),
        form,
    ]
    return tuple(dict.fromkeys(names_in(trees)))


def names_in_conditions(when: Iterable[Condition]) -> list[str]:
    return [name for condition in when for name in names_in([condition.left, condition.right])]


class _FaultSearch:
    def __init__(self, container: Container) -> None:
        self._variables = {EVENT, *(variable.name for variable in container.variables)}
        self._triggers = {ALL_EVENTS, *(trigger.name for trigger in container.triggers)}
        self._tags = {tag.name for tag in container.tags}
        self._kinds = {name: template.kind for name, template in container.templates.items()}

    def at_triggers(self, names: Sequence[str], place: str) -> Iterator[ContainerUnusable]:
        for at, name in enumerate(names):
            if name not in self._triggers:
                yield _nobody(f"{place}[{at}]", "trigger", name, self._triggers)

    def at_conditions(self, when: Sequence[Condition], place: str) -> Iterator[ContainerUnusable]:
        for at, condition in enumerate(when):
            yield from self._at_names(names_in_conditions([condition]), f"{place}[{at}]")
            if (
                condition.operator is Operator.MATCHES
                and literal(condition.right) == condition.right
            ):
                yield from _at_pattern(condition.right, f"{place}[{at}].right")

    def at_variable(self, variable: Variable, place: str) -> Iterator[ContainerUnusable]:
        yield from self._at_names(needed_by(variable), place)
        needed = _NEEDED.get(variable.type)
        if needed is not None and not getattr(variable, needed):
            message = f"is missing. A variable with reads = {variable.type.value!r} requires it"
            yield ContainerUnusable(f"{place}.{needed}", message)
        if variable.type is VariableSource.TEMPLATE:
            yield from self.at_template(variable, TemplateKind.VARIABLE, place)
        if variable.type is VariableSource.RANDOM:
            yield from _at_bounds(variable, place)
        if variable.type is VariableSource.REGEX_LOOKUP:
            for at, row in enumerate(variable.rows):
                if literal(row.key) == row.key:
                    yield from _at_pattern(row.key, f"{place}.rows[{at}].key")
        if variable.format is not None:
            yield from _at_format(variable.format.case, variable.format.instead, place)

    def at_tag(self, tag: ContainerTag, place: str) -> Iterator[ContainerUnusable]:
        yield from self.at_template(tag, TemplateKind.TAG, place)
        yield from self.at_triggers(tag.triggers, f"{place}.triggers")
        yield from self.at_triggers(tag.unless, f"{place}.unless")
        for key, beside in (("setup", tag.setup), ("teardown", tag.teardown)):
            if beside is not None and beside.tag not in self._tags:
                yield _nobody(f"{place}.{key}", "tag", beside.tag, self._tags)

    def at_template(
        self, part: TemplatedPart, kind: TemplateKind, place: str
    ) -> Iterator[ContainerUnusable]:
        found = self._kinds.get(part.template)
        if found is None:
            yield _nobody(f"{place}.template", "template", part.template, self._kinds)
        elif found is not kind:
            message = f"{part.template!r} is a {found} template. This part needs a {kind} template"
            yield ContainerUnusable(f"{place}.template", message)
        yield from self._at_names(names_in(dict(part.fields)), f"{place}.fields")

    def at_transformation(
        self, transformation: Transformation, place: str
    ) -> Iterator[ContainerUnusable]:
        yield from self.at_conditions(transformation.when, f"{place}.when")
        yield from self._at_names(names_in(dict(transformation.set)), f"{place}.set")
        if sum(map(bool, (transformation.exclude, transformation.allow, transformation.set))) != 1:
            yield ContainerUnusable(place, "must have exactly one of exclude, allow or set")
        for key, names, known in (
            ("tags", transformation.tags, self._tags),
            ("templates", transformation.templates, self._kinds),
        ):
            for at, name in enumerate(names):
                if name not in known:
                    yield _nobody(f"{place}.{key}[{at}]", key[:-1], name, known)

    def _at_names(self, names: Iterable[str], place: str) -> Iterator[ContainerUnusable]:
        for name in dict.fromkeys(names):
            if name not in self._variables:
                yield _nobody(place, "variable", name, self._variables)


def _twice(what: str, parts: Sequence[object]) -> Iterator[ContainerUnusable]:
    for name, times in Counter(str(getattr(part, "name", "")) for part in parts).items():
        if times > 1:
            message = f"{times} are called {name!r}. Names must be unique"
            yield ContainerUnusable(what, message)


def _nobody(
    place: str, what: str, name: str, known: Mapping[str, object] | set[str]
) -> ContainerUnusable:
    there = ", ".join(sorted(known)[:_SHOWN]) or "none"
    more = ", …" if len(known) > _SHOWN else ""
    return ContainerUnusable(place, f"there is no {what} {name!r}. Available: {there}{more}")


def _at_pattern(pattern: str, place: str) -> Iterator[ContainerUnusable]:
    wrong = regex_error(pattern)
    if wrong is not None:
        yield ContainerUnusable(place, f"not a valid RE2 expression: {wrong}")


def _at_bounds(variable: Variable, place: str) -> Iterator[ContainerUnusable]:
    for key, bound in (("least", variable.least), ("most", variable.most)):
        if isinstance(bound, str) and literal(bound) == bound and math.isnan(number_of(bound)):
            yield ContainerUnusable(f"{place}.{key}", f"{bound!r} is not a number")


def _at_format(case: str, instead: Mapping[str, Tree], place: str) -> Iterator[ContainerUnusable]:
    if case not in {"", "lower", "upper"}:
        message = f"{case!r} is not known. Write lower or upper"
        yield ContainerUnusable(f"{place}.format.case", message)
    for key in instead:
        if key not in {"null", "undefined", "true", "false"}:
            message = "is not known. Available: null, undefined, true, false"
            yield ContainerUnusable(f"{place}.format.instead.{key}", message)


def _beside(tag: ContainerTag) -> tuple[str, ...]:
    return tuple(step.tag for step in (tag.setup, tag.teardown) if step is not None)


def _rings(needs: Mapping[str, Sequence[str]], what: str) -> Iterator[ContainerUnusable]:
    """Yield a fault for each cycle (once), and for each chain that is too long."""
    depth: dict[str, int] = {}
    for first in needs:
        path: list[str] = []
        todo: list[tuple[str, Iterator[str]]] = []
        _enter(first, needs, depth, path, todo)
        while todo:
            name, rest = todo[-1]
            below = next(rest, None)
            if below is None:
                todo.pop()
                path.pop()
                depth[name] = 1 + max((depth.get(need, 0) for need in needs[name]), default=0)
                if depth[name] == DEEPEST + 1:
                    message = f"more than {DEEPEST} depend on one another, starting from {name!r}"
                    yield ContainerUnusable(what, message)
            elif below in path:
                ring = " → ".join([*path[path.index(below) :], below])
                yield ContainerUnusable(what, f"circular dependency: {ring}")
            else:
                _enter(below, needs, depth, path, todo)


def _enter(
    name: str,
    needs: Mapping[str, Sequence[str]],
    depth: dict[str, int],
    path: list[str],
    todo: list[tuple[str, Iterator[str]]],
) -> None:
    if name in needs and name not in depth:
        path.append(name)
        todo.append((name, iter(needs[name])))

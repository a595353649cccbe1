"""Evaluate the variables of a container for an event."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Final, Protocol
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import msgspec

from twite.domain.incoming_request import IncomingRequest
from twite.tags.container.conditions import Match, regex_match
from twite.tags.container.parts import EVENT, Container, ValueFormat, Variable, VariableSource
from twite.tags.json_tree import Tree
from twite.tags.template.fields import fill
from twite.tags.template.template import Template
from twite.tags.template.texts import DEEPEST, UNDEFINED, TooLong, Value, filled, number_of, text_of

_MOST_DRAWN: Final = 2_147_483_647
_SAFE: Final = 1 << 53  # above this, JavaScript's numbers lose integer precision


def value_at(event: Mapping[str, Tree], path: str) -> Value:
    if path in event:
        return event[path]
    value: Tree = dict(event)
    for step in path.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isascii() and step.isdigit():
            if len(step) > len(str(len(value))) or int(step) >= len(value):
                return UNDEFINED
            value = value[int(step)]
        else:
            return UNDEFINED
    return value


def without_path(event: Mapping[str, Tree], path: str) -> dict[str, Tree]:
    """Return the event without the value at the path; a value in a list becomes null.

    Removing it from the list would shift the indexes of later paths.
    """
    if path in event:
        return {key: value for key, value in event.items() if key != path}
    first, _, rest = path.partition(".")
    if rest and first in event:
        return {**event, first: _below(event[first], rest)}
    return dict(event)


def _below(value: Tree, path: str) -> Tree:
    if isinstance(value, dict):
        return without_path(value, path)
    first, _, rest = path.partition(".")
    if not isinstance(value, list) or not (first.isascii() and first.isdigit()):
        return value
    return [
        child if str(place) != first else _below(child, rest) if rest else None
        for place, child in enumerate(value)
    ]


def with_value(event: Mapping[str, Tree], path: str, value: Tree) -> dict[str, Tree]:
    """Return the event with the value at the path; missing objects are created."""
    first, _, rest = path.partition(".")
    if path in event or not rest:
        return {**event, path: value}
    below = event.get(first)
    return {**event, first: with_value(below if isinstance(below, dict) else {}, rest, value)}


def only_paths(event: Mapping[str, Tree], paths: Sequence[str]) -> dict[str, Tree]:
    kept: dict[str, Tree] = {}
    for path in paths:
        value = value_at(event, path)
        if value is not UNDEFINED:
            kept = {**kept, path: value} if path in event else with_value(kept, path, value)
    return kept


class EventContext(msgspec.Struct, frozen=True, kw_only=True):
    """The event for which a container runs, and its request.

    `now` is in milliseconds. `consent` has signals that override those of the event. `draw` seeds
    the event's random numbers.
    """

    event: Mapping[str, Tree]
    now: int
    request: IncomingRequest = IncomingRequest()
    client: str = ""
    debug: bool = False
    consent: Mapping[str, bool] = {}
    draw: int = 0

    def __repr__(self) -> str:
        return f"EventContext({self.client})"


class Variables(Protocol):
    def value(self, template: Template, fields: dict[str, Tree], context: EventContext) -> Value:
        """Return the template's result; UNDEFINED if it returned nothing or failed.

        `context.draw` is derived for this variable.
        """


class Unfilled(Exception):
    """A value cannot be computed; the text says why."""


class LookupNeeded(Unfilled):
    """The value must be requested from another server, which happens when the tag runs."""


class Values:
    def __init__(self, container: Container, context: EventContext, variables: Variables) -> None:
        self._container = container
        self._known = {variable.name: variable for variable in container.variables}
        self._occasion = context
        self._variables = variables
        self._had: dict[str, Value] = {}
        self._open: list[str] = []

    def filled(self, tree: Tree) -> Value:
        """Return the tree with values in place of references. Raises Unfilled."""
        try:
            return filled(tree, self.of)
        except TooLong:
            raise Unfilled("a string with variables becomes too long") from None

    def of(self, name: str) -> Value:
        """Return the variable's value; UNDEFINED for an unknown name. Raises Unfilled."""
        if name in self._had:
            return self._had[name]
        if name in self._open:
            ring = " → ".join([*self._open[self._open.index(name) :], name])
            raise Unfilled(f"circular dependency of variables: {ring}")
        if len(self._open) >= DEEPEST:
            raise Unfilled(f"more than {DEEPEST} variables depend on one another")
        self._open.append(name)
        try:
            value = self._read(name)
        finally:
            self._open.pop()
        self._had[name] = value
        return value

    def _read(self, name: str) -> Value:
        variable = self._known.get(name)
        if variable is None:
            return value_at(self._occasion.event, "event_name") if name == EVENT else UNDEFINED
        value = self._raw(variable)
        if value is UNDEFINED and variable.default is not None:
            value = self.filled(variable.default)
        return value if variable.format is None else self._formatted(variable.format, value)

    def _raw(self, variable: Variable) -> Value:
        match variable.type:
            case VariableSource.CONSTANT:
                return self._constant(variable.value)
            case (
                VariableSource.EVENT_DATA
                | VariableSource.REQUEST_HEADER
                | VariableSource.COOKIE
                | VariableSource.QUERY_PARAMETER
            ):
                return self._brought(variable, text_of(self.filled(variable.key)))
            case VariableSource.LOOKUP | VariableSource.REGEX_LOOKUP:
                is_plain = variable.type is VariableSource.LOOKUP
                return self._looked_up(variable) if is_plain else self._matched(variable)
            case VariableSource.RANDOM:
                return self._drawn(variable)
            case VariableSource.TEMPLATE:
                return self._run(variable)
        return _BUILT_IN[variable.type](self._occasion, self._container)

    def _constant(self, value: Tree) -> Value:
        if value is None:  # TOML has no null: a missing key is undefined
            return UNDEFINED
        # Only text can contain references; other values stay unchanged.
        return self.filled(value) if isinstance(value, str) else value

    def _brought(self, variable: Variable, key: str) -> Value:
        if variable.type is VariableSource.EVENT_DATA:
            return value_at(self._occasion.event, key)
        if variable.type is VariableSource.REQUEST_HEADER:
            return _header(self._occasion.request, key)
        if variable.type is VariableSource.QUERY_PARAMETER:
            return _parameter(self._occasion.request, key)
        return _cookie(self._occasion.request, key, decode=variable.decode)

    def _looked_up(self, variable: Variable) -> Value:
        sought = text_of(self.filled(variable.input))
        for row in variable.rows:
            if text_of(self.filled(row.key)) == sought:
                return self.filled(row.value)
        return UNDEFINED

    def _matched(self, variable: Variable) -> Value:
        sought = text_of(self.filled(variable.input))
        for row in variable.rows:
            found = regex_match(
                text_of(self.filled(row.key)),
                sought,
                ignore_case=variable.ignore_case,
                whole=variable.whole,
            )
            if found is not None:
                value = self.filled(row.value)
                puts = variable.captures and isinstance(value, str)
                return _put(found, text_of(value)) if puts else value
        return UNDEFINED

    def _drawn(self, variable: Variable) -> Value:
        """Return a random number like Google's: within the bounds, or in the full range."""
        least, most = (_finite(self.filled(bound)) for bound in (variable.least, variable.most))
        if least is None or most is None or least > most:
            least, most = 0, _MOST_DRAWN
        share = self._draw(variable) / (1 << 48)
        return math.floor(share * (most - least + 1) + least)

    def _draw(self, variable: Variable) -> int:
        """Derive the number from name and event, so that each evaluation gives the same number."""
        seed = f"{self._occasion.draw}\0{variable.name}".encode("utf-8", "replace")
        return int.from_bytes(blake2b(seed, digest_size=6).digest())

    def _run(self, variable: Variable) -> Value:
        template = self._container.templates.get(variable.template)
        if template is None:
            return UNDEFINED
        given = given_fields(variable.fields, self.filled)
        fields = (
            fill(template.fields, given, written=variable.fields) if variable.defaults else given
        )
        occasion = msgspec.structs.replace(self._occasion, draw=self._draw(variable))
        return self._variables.value(template, fields, occasion)

    def _formatted(self, value_format: ValueFormat, value: Value) -> Value:
        is_word = value is UNDEFINED or value is None or isinstance(value, bool)
        word = text_of(value) if is_word else ""
        if word in value_format.instead:
            return self.filled(value_format.instead[word])
        if isinstance(value, str) and value_format.case:
            return value.lower() if value_format.case == "lower" else value.upper()
        return value


def given_fields(fields: Mapping[str, Tree], fill_in: Callable[[Tree], Value]) -> dict[str, Tree]:
    values = {name: fill_in(value) for name, value in fields.items()}
    return {name: value for name, value in values.items() if value is not UNDEFINED and value != []}


def _finite(value: Value) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or value == "":
        return None
    number = number_of(value)
    return number if abs(number) <= _SAFE else None


def _header(request: IncomingRequest, name: str) -> Value:
    found = [value for key, value in request.headers if key == name.lower()]
    return ", ".join(found) if found else UNDEFINED


def _parameter(request: IncomingRequest, name: str) -> Value:
    """Return the first value, decoded, like getRequestQueryParameter."""
    pairs = parse_qsl(request.query, keep_blank_values=True, errors="replace")
    return next((value for key, value in pairs if key == name), UNDEFINED)


def _cookie(request: IncomingRequest, name: str, *, decode: bool) -> Value:
    for key, header in request.headers:
        for pair in header.split(";") if key == "cookie" else ():
            called, is_pair, value = pair.partition("=")
            if is_pair and called.strip() == name:
                text = re.sub(r'^"(.*)"$', r"\1", value.strip())
                return unquote(text) if decode else text
    return UNDEFINED


def _put(match: Match, text: str) -> str:
    groups = match.groups()

    def group(sign: re.Match[str]) -> str:
        which = int(sign[1])
        return (match.group(which) or "") if which <= len(groups) else sign[0]

    return re.sub(r"\$(\d{1,2})", group, text)


def _page(context: EventContext) -> SplitResult | None:
    url = value_at(context.event, "page_location")
    try:
        return urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        return None


def _page_path(context: EventContext, _: Container) -> Value:
    page = _page(context)
    return UNDEFINED if page is None else page.path or "/"


def _page_hostname(context: EventContext, _: Container) -> Value:
    page = _page(context)
    return UNDEFINED if page is None or page.hostname is None else page.hostname


def _region(context: EventContext, _: Container) -> Value:
    country = value_at(context.event, "event_location.country")
    region = value_at(context.event, "event_location.region")
    if not isinstance(country, str):
        return UNDEFINED
    return f"{country}-{region}" if isinstance(region, str) and region else country


def _of_event(path: str) -> Callable[[EventContext, Container], Value]:
    return lambda occasion, _: value_at(occasion.event, path)


_BUILT_IN: Final[Mapping[VariableSource, Callable[[EventContext, Container], Value]]] = {
    VariableSource.EVENT_NAME: _of_event("event_name"),
    VariableSource.CLIENT_NAME: lambda occasion, _: occasion.client,
    VariableSource.REQUEST_PATH: lambda occasion, _: occasion.request.path,
    VariableSource.REQUEST_METHOD: lambda occasion, _: occasion.request.method,
    VariableSource.QUERY_STRING: lambda occasion, _: occasion.request.query,
    VariableSource.PAGE_URL: _of_event("page_location"),
    VariableSource.PAGE_PATH: _page_path,
    VariableSource.PAGE_HOSTNAME: _page_hostname,
    VariableSource.VISITOR_REGION: _region,
    VariableSource.CLIENT_ID: _of_event("client_id"),
    VariableSource.SESSION_ID: _of_event("ga_session_id"),
    VariableSource.SESSION_NUMBER: _of_event("ga_session_number"),
    VariableSource.CONTAINER_ID: lambda _, container: container.public_id,
    VariableSource.CONTAINER_VERSION: lambda _, container: container.version,
    VariableSource.DEBUG_MODE: lambda occasion, _: occasion.debug,
}

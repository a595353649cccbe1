"""Reduce a request to the parts that a tag's templates may read. Other parts are not stored."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from twite.domain.incoming_request import IncomingRequest
from twite.redaction.scrub_text import names_a_person, scrubbed_address, without_persons
from twite.redaction.vocabulary import person_in
from twite.tags.container.parts import Container, ContainerTag, Variable, VariableSource
from twite.tags.template.allowed import matches
from twite.tags.template.permissions import ALL, EVERYTHING, PermissionPolicy, policy
from twite.tags.template.tag_response import can_respond
from twite.tags.template.template import Template
from twite.tags.template.texts import names_in

# Headers with API keys of Twite or of vendors, and headers that no template needs.
_NEVER: Final = frozenset(
    {"authorization", "proxy-authorization", "x-pixel-token", "content-length", "connection"}
)
RUN_CONTAINER: Final = "run_container"
_ANY_NAME: Final = frozenset({EVERYTHING, r"[\s\S]*"})
# Headers without personal data.
_PLAIN: Final = ("content-type", "host", "origin", "user-agent")
_SECRET_PARAMETERS: Final = frozenset({"api_secret", "x-gtm-api-key"})


class ReadableRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The readable parts of a request, as name patterns of a permission policy."""

    headers: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    parts: frozenset[str] = frozenset()

    @property
    def unnamed(self) -> tuple[str, ...]:
        """The parts that may be read whatever their names: `cookies`, `headers`."""
        granted = {"cookies": self.cookies, "headers": self.headers}
        return tuple(kind for kind, names in granted.items() if not _ANY_NAME.isdisjoint(names))


def readable(container: Container, tag: ContainerTag, *, decides: bool = False) -> ReadableRequest:
    """Return the parts that a tag, its setup and cleanup tags, and their variables may read.

    With `decides`, include the variables in the tag's own triggers, because the run evaluates them.
    """
    chain = _chain(container, tag)
    variables = list(_variables(container, chain, _read_by_triggers(container, tag, on=decides)))
    named = {tag.template for tag in chain} | {variable.template for variable in variables}
    policies = [
        policy(template.grants) for name, template in container.templates.items() if name in named
    ]
    return _joined(policies, variables)


def readable_by_all(containers: Iterable[Container]) -> ReadableRequest:
    """Return the parts that any tag, trigger or variable of the containers may read.

    A tag that runs the container passes the request to all tags of the containers.
    """
    policies: list[PermissionPolicy] = []
    variables: list[Variable] = []
    for container in containers:
        variables += container.variables
        used = {tag.template for tag in container.tags} | {each.template for each in variables}
        policies += [
            policy(template.grants)
            for name, template in container.templates.items()
            if name in used
        ]
    return _joined(policies, variables)


def may_run_container(container: Container, tag: ContainerTag) -> bool:
    """Return whether a tag, or its setup or cleanup tag, may run the container."""
    templates = (container.templates.get(item.template) for item in _chain(container, tag))
    return any(
        grant.permission == RUN_CONTAINER
        for template in templates
        if template is not None
        for grant in template.grants
    )


def may_respond(container: Container, tag: ContainerTag) -> bool:
    """Return whether a tag, or its setup or cleanup tag, may add to a response."""
    templates = (container.templates.get(item.template) for item in _chain(container, tag))
    return any(
        can_respond(policy(template.grants)) for template in templates if template is not None
    )


def templates_before_response(
    container: Container, tag: ContainerTag
) -> tuple[list[Template], list[Template]]:
    """Return the templates of a tag's first turn, and those of its triggers' variables."""
    chain = _chain(container, tag)
    names = [item.template for item in chain]
    names += [variable.template for variable in _variables(container, chain, ())]
    conditions = _variables(container, (), _read_by_triggers(container, tag, on=True))
    known = container.templates
    return (
        [known[name] for name in dict.fromkeys(names) if name in known],
        [known[name] for name in {each.template: None for each in conditions} if name in known],
    )


def kept(request: IncomingRequest, readable: ReadableRequest, *, hashed: bool) -> IncomingRequest:
    """Return the part of a request to store; with `hashed`, without personal data.

    Hashed payloads are stored unencrypted, so with `hashed` a cookie or header is stored only if a
    permission names it.
    """
    may_cookies = _named(readable.cookies) if hashed else readable.cookies
    may_headers = readable.headers
    if hashed:
        may_headers = _named(readable.headers) + (_PLAIN if "headers" in readable.unnamed else ())
    cookies = [
        cooky for cooky in _cookies(request) if matches(may_cookies, cooky.partition("=")[0])
    ]
    headers = [
        (name, value)
        for name, value in request.headers
        if name not in _NEVER and name != "cookie" and matches(may_headers, name)
    ]
    query = "&".join(
        pair
        for pair in request.query.split("&")
        if pair
        and _parameter(pair) not in _SECRET_PARAMETERS
        and matches(readable.query, _parameter(pair))
    )
    if hashed:
        cookies = [cooky for cooky in cookies if not names_a_person(cooky)]
        headers = [
            (name, without_persons(value))
            for name, value in headers
            if person_in(name.removeprefix("x-")) is None
        ]
        query = scrubbed_address(f"?{query}")[1:]
    if cookies:
        headers.append(("cookie", "; ".join(cookies)))
    path = scrubbed_address(request.path) if hashed else request.path
    return IncomingRequest(
        method=request.method,
        path=path if "path" in readable.parts else "/",
        query=query,
        headers=tuple(headers),
        # A body may contain personal data anywhere.
        body=request.body if "body" in readable.parts and not hashed else None,
        remote_address=request.remote_address if "remote_address" in readable.parts else "",
    )


def _chain(container: Container, tag: ContainerTag) -> list[ContainerTag]:
    """Return a tag, and the setup and cleanup tags that run with it."""
    tags = {item.name: item for item in container.tags}
    chain: list[ContainerTag] = []
    waiting = [tag]
    while waiting:
        next_tag = waiting.pop()
        if next_tag not in chain:
            chain.append(next_tag)
            waiting += [
                tags[beside.tag]
                for beside in (next_tag.setup, next_tag.teardown)
                if beside is not None and beside.tag in tags
            ]
    return chain


def _named(expressions: Iterable[str]) -> tuple[str, ...]:
    return tuple(expression for expression in expressions if expression not in _ANY_NAME)


def _read_by_triggers(container: Container, tag: ContainerTag, *, on: bool) -> list[str]:
    """Return the variables in a tag's triggers and exceptions if `on`, else none."""
    triggers = {trigger.name: trigger for trigger in container.triggers}
    names = [*tag.triggers, *tag.unless] if on else []
    for name in names:  # a trigger group also adds its members
        more = triggers[name].all_of if name in triggers else ()
        names += [other for other in more if other not in names]
    conditions = [cond for name in names if name in triggers for cond in triggers[name].when]
    return [name for cond in conditions for name in names_in([cond.left, cond.right])]


def _variables(
    container: Container, tags: Iterable[ContainerTag], others: Iterable[str]
) -> Iterable[Variable]:
    known = {item.name: item for item in container.variables}
    found: dict[str, Variable] = {}
    waiting = [*others, *(name for tag in tags for name in names_in(dict(tag.fields)))]
    for change in container.transformations:
        waiting += names_in(dict(change.set))
        waiting += names_in(
            [text for condition in change.when for text in (condition.left, condition.right)]
        )
    while waiting:
        variable = known.get(waiting.pop())
        if variable is not None and variable.name not in found:
            found[variable.name] = variable
            waiting += _named_in(variable)
    return found.values()


def _named_in(variable: Variable) -> list[str]:
    trees = [variable.value, variable.key, variable.input, variable.default, dict(variable.fields)]
    trees += [tree for row in variable.rows for tree in (row.key, row.value)]
    return [name for tree in trees for name in names_in(tree)]


def _joined(policies: Iterable[PermissionPolicy], variables: Iterable[Variable]) -> ReadableRequest:
    headers: list[str] = []
    cookies: list[str] = []
    query: list[str] = []
    parts: set[str] = set()
    for granted in policies:
        headers += granted.headers
        cookies += granted.read_cookies
        query += granted.query
        parts.update(granted.request)
    for variable in variables:
        # If the name is built from variables, it may be any name.
        is_plain = "{{" not in variable.key
        match variable.type:
            case VariableSource.REQUEST_HEADER:
                headers.append(re.escape(variable.key.lower()) if is_plain else ALL[0])
            case VariableSource.COOKIE:
                cookies.append(re.escape(variable.key) if is_plain else ALL[0])
            case VariableSource.QUERY_PARAMETER:
                query.append(re.escape(variable.key) if is_plain else ALL[0])
            case VariableSource.QUERY_STRING:
                query += ALL
            case VariableSource.REQUEST_PATH:
                parts.add("path")
    return ReadableRequest(
        headers=tuple(headers), cookies=tuple(cookies), query=tuple(query), parts=frozenset(parts)
    )


def _cookies(request: IncomingRequest) -> Iterable[str]:
    for name, value in request.headers:
        if name == "cookie":
            yield from (cookie.strip() for cookie in value.split(";") if "=" in cookie)


def _parameter(pair: str) -> str:
    return pair.partition("=")[0]

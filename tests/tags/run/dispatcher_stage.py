"""A dispatcher without an engine: its pool answers each variable with one turn."""

import msgspec

from builders import NOW, a_source
from twite.domain.consent import ConsentAction, ConsentPolicy
from twite.formats.parsed_request import Native
from twite.gateway.ports.tags import EventOrigin, TagRemark
from twite.tags.container.parts import (
    ALL_EVENTS,
    Container,
    ContainerTag,
)
from twite.tags.ports.tags import ContainerConfig, CreatedEventOrigin, TagCall, TagRule
from twite.tags.run.dispatcher import TagDispatcher
from twite.tags.run.payload import read
from twite.tags.template.effects import SetCookie
from twite.tags.template.permissions import Grant
from twite.tags.template.sandbox import Turn
from twite.tags.template.template import Template, TemplateKind, TemplatePart

RUNS = Grant(permission="run_container")
COOKIES = Grant(
    permission="set_cookies",
    parameters={"allowedCookies": [{"name": "*", "secure": "any", "session": "any"}]},
)
READS = Grant(permission="read_request", parameters={"requestAccess": "any"})
DENIED = {"ad_storage": "denied"}
UNCLEAR = {"ad_storage": "refused"}
HOLDS = ConsentPolicy(unclear=ConsentAction.HOLD)
COOKIE = SetCookie(name="a", value="b")
CALL = TagCall(id="call-1", root="root-1", tags=("crm",))


def template(*grants, kind=TemplateKind.TAG):
    return Template(
        kind=kind, id="", name="t", description="", fields=(), tests=None, notes="",
        code=TemplatePart(text="", line=1), grants=(READS, *grants),
    )  # fmt: skip


def a_tag(name="crm", **more):
    return ContainerTag(**{"name": name, "template": "main", "triggers": (ALL_EVENTS,)} | more)


def a_remark(event="purchase", own="A2", consent=None, email=None, **more):
    return TagRemark(
        event={"event_name": event, "value": 5},
        native=Native(event=event, conversion_id=own, consent=consent, email=email),
        **more,
    )


class Seal:
    def close(self, name, plain):
        return f"{name}:".encode() + plain

    def open(self, name, sealed):
        return sealed.removeprefix(f"{name}:".encode())


class Pool:
    """Answers the variables of a container with one turn."""

    def __init__(self, turn):
        self.turn = turn
        self.elapsed = lambda: 0
        self.trials = self
        self.ingest_worker = self
        self.calls = []

    def has_cpu_time(self, _whose):
        return True

    def charge(self, _whose, _took):
        pass

    def begin(self, _whose):
        return None

    def end(self, *_run, **_more):
        pass

    def policy(self, _template):
        return None

    async def start(self, _whose, _template, call, *, gate):
        gate()
        self.calls.append(call)
        return self.turn


class OptOuts:
    """`listed` has the pixels at which everybody opted out."""

    def __init__(self, *listed):
        self.listed = listed
        self.asked = []

    def has_opt_outs(self):
        return bool(self.listed)

    def lists(self, keys):
        self.asked.append(list(keys))
        return bool(keys)


class Stage:
    def __init__(
        self, *tags, rules=None, grants=(), opt_outs=None, turn=None, headers=(), config=(), **more
    ):
        container = Container(
            tags=tags or (a_tag(),),
            templates={"main": template(*grants), "value": template(kind=TemplateKind.VARIABLE)},
            **dict(config),
        )
        rules = {tag.name: TagRule(name=tag.name) for tag in container.tags} | (rules or {})
        self.pool = Pool(turn or Turn(run=1, returned="gold"))
        self.dispatcher = TagDispatcher(
            [
                ContainerConfig(
                    container=container,
                    rules={name: rule for name, rule in rules.items() if rule},
                    headers=headers,
                )
            ],
            engine_pool=self.pool,
            opt_outs=opt_outs or OptOuts(),
            **{"salt": b"x" * 16} | more,
        )
        self.dispatcher._first_turns = self  # noqa: SLF001 - first turns need an engine
        self.given, self.answers = {}, {}

    async def run_all(self, given):
        self.given = given
        return {index: self.answers[index] for index in given if index in self.answers}

    async def dispatch(self, *remarks, source=None, first=0, held=None, consent=None, **origin):
        source = source or a_source()
        if consent is not None:
            source = msgspec.structs.replace(source, consent=consent)
        self.result = await self.dispatcher.dispatch(
            remarks or (a_remark(),),
            source=source,
            origin=origin_of(**{"request_id": "r-1"} | origin),
            now=NOW,
            first=first,
            held=held or {},
        )
        return self.result.fired

    async def payload(self, *remarks, **more):
        [entry] = await self.dispatch(*remarks, **more)
        return read(entry.body, name=entry.pixel)


def origin_of(call=None, **origin):
    """Return the origin of events: of a native request, or created by a call."""
    origin = {"client": "native"} | origin
    return EventOrigin(**origin) if call is None else CreatedEventOrigin(call=call, **origin)

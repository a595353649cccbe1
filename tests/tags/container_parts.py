"""Short builders of containers for tests."""

from twite.domain.incoming_request import IncomingRequest
from twite.tags.container.parts import (
    Condition,
    Container,
    ContainerTag,
    ContainerTrigger,
    Operator,
)
from twite.tags.container.plan import plan
from twite.tags.container.values import EventContext
from twite.tags.template.fields import Field
from twite.tags.template.template import Template, TemplateKind, TemplatePart
from twite.tags.template.texts import UNDEFINED

EVENT = {
    "event_name": "purchase",
    "value": 49.9,
    "page_location": "https://shop.example/thanks?order=1",
    "user_data": {"address": {"city": "London"}},
    "items": [{"price": 10}, {"price": 5.5}],
    "x-ga-gcs": "G101",
}


def template(name="Poster", *, kind=TemplateKind.TAG, fields=()):
    return Template(
        kind=kind,
        id="cvt_1",
        name=name,
        description="",
        fields=tuple(fields),
        code=TemplatePart(text="data.gtmOnSuccess();", line=1),
        grants=(),
        tests=None,
        notes="",
    )


def field(name, kind="TEXT", **more):
    return Field(type=kind, name=name, **more)


def condition(left, operator, right, **more):
    return Condition(left=left, operator=Operator(operator), right=right, **more)


def tag(name="Post", **more):
    return ContainerTag(**{"name": name, "template": "Poster", "triggers": ("All Events",), **more})


def trigger(name, *when, all_of=()):
    return ContainerTrigger(name=name, when=when, all_of=all_of)


def container(*tags, variables=(), triggers=(), transformations=(), templates=None, **more):
    return Container(
        tags=tags or (tag(),),
        variables=tuple(variables),
        triggers=tuple(triggers),
        transformations=tuple(transformations),
        templates=templates or {"Poster": template()},
        **more,
    )


class Returning:
    """Runs no template: returns preset values, and records the calls."""

    def __init__(self, value=UNDEFINED):
        self.value_ = value
        self.asked = []

    def value(self, template, fields, occasion):
        self.asked.append((template.name, fields, dict(occasion.event)))
        return self.value_


def occasion(event=None, **more):
    return EventContext(event=EVENT if event is None else event, now=1_764_000_000_000, **more)


def planned(made, *, on=None, variables=None):
    return plan(made, on or occasion(), variables=variables or Returning())


def filled(text, *variables, on=None, runs=None, templates=None):
    """Return the value of a field with this text, or "absent"."""
    made = container(
        tag(fields={"field": text}, defaults=False),
        variables=variables,
        templates={"Poster": template(), **(templates or {})},
    )
    found = planned(made, on=on, variables=runs)
    return found.fired[0].fields.get("field", "absent") if found.fired else found.passed[0].why


def incoming(*headers, **more):
    return IncomingRequest(headers=headers, **more)

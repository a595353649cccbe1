"""The parts of a container: tags, triggers, variables, clients, transformations.

Texts in fields, tables and conditions may contain `{{names}}` of variables: see
`gtm.template.texts`. Two tags never have the same name, nor two triggers or two variables.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from twite.domain.errors import OperatorError
from twite.tags.json_tree import Tree
from twite.tags.template.template import Template

ALL_EVENTS: Final = "All Events"  # every container has this trigger, which always fires
EVENT: Final = "_event"  # every container has this variable: the event's name


class ContainerUnusable(OperatorError):
    """An invalid container. `place` is a path such as `tag[0].triggers[1]`, or ""."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place
        self.message = message


class ContainerPart(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The base class of all parts. It refuses unknown keys."""


class Operator(StrEnum):
    EQUALS = "equals"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    ENDS_WITH = "ends_with"
    MATCHES = "matches"  # an RE2 regular expression, which may match anywhere in the text
    GREATER = "greater"
    GREATER_OR_EQUAL = "greater_or_equal"
    LESS = "less"
    LESS_OR_EQUAL = "less_or_equal"


class Condition(ContainerPart, frozen=True, kw_only=True):
    left: str
    operator: Operator
    right: str
    negate: bool = False
    ignore_case: bool = False


class ContainerTrigger(ContainerPart, frozen=True, kw_only=True):
    """A trigger matches if all of `when` are true and all triggers of `all_of` match."""

    name: str
    all_of: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()


class Firing(StrEnum):
    ONCE = "once"
    EACH_TRIGGER = "each_trigger"


class SequencedTag(ContainerPart, frozen=True, kw_only=True):
    """A tag that runs before (setup) or after (teardown) another.

    `needed` is whether a failure prevents the tag that comes next from running.
    """

    tag: str
    needed: bool = False


class ContainerTag(ContainerPart, frozen=True, kw_only=True):
    """A template with its fields, and the rules for when it fires.

    `defaults` is whether missing fields get their defaults; it is false for imported tags, which
    have only their saved values. `secrets` maps paths in `fields`, such as `rows.0.value`, to
    storage places. `consent` lists the signals that must be granted. `starts_at` and `ends_at` are
    milliseconds since 1970; the tag fires within this period.
    """

    name: str
    template: str
    triggers: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    fields: Mapping[str, Tree] = {}
    secrets: Mapping[str, str] = {}
    defaults: bool = True
    firing: Firing = Firing.ONCE
    priority: int = 0
    paused: bool = False
    starts_at: int | None = None
    ends_at: int | None = None
    setup: SequencedTag | None = None
    teardown: SequencedTag | None = None
    consent: tuple[str, ...] = ()


class VariableSource(StrEnum):
    CONSTANT = "constant"
    EVENT_DATA = "event_data"
    REQUEST_HEADER = "request_header"
    COOKIE = "cookie"
    QUERY_PARAMETER = "query_parameter"
    LOOKUP = "lookup"
    REGEX_LOOKUP = "regex_lookup"
    RANDOM = "random"
    TEMPLATE = "template"
    EVENT_NAME = "event_name"
    CLIENT_NAME = "client_name"
    REQUEST_PATH = "request_path"
    REQUEST_METHOD = "request_method"
    QUERY_STRING = "query_string"
    PAGE_URL = "page_url"
    PAGE_PATH = "page_path"
    PAGE_HOSTNAME = "page_hostname"
    VISITOR_REGION = "visitor_region"
    CLIENT_ID = "client_id"
    SESSION_ID = "session_id"
    SESSION_NUMBER = "session_number"
    CONTAINER_ID = "container_id"
    CONTAINER_VERSION = "container_version"
    DEBUG_MODE = "debug_mode"


class LookupRow(ContainerPart, frozen=True, kw_only=True):
    """A row of a lookup table: a string or a regular expression, and its value."""

    key: str
    value: Tree = None


class ValueFormat(ContainerPart, frozen=True, kw_only=True):
    """How a variable's value is converted: its case, and replacements for some values.

    `instead` has the keys `null`, `undefined`, `true` and `false`.
    """

    case: str = ""  # "lower", "upper"
    instead: Mapping[str, Tree] = {}


class Variable(ContainerPart, frozen=True, kw_only=True):
    """A named value.

    A constant has a `value`. `key` names the event data, header, cookie or query parameter to read;
    `decode` percent-decodes the cookie. `least` and `most` are the bounds of a random number, and
    may be texts with `{{names}}`. A table has an `input` and `rows`: with `whole`, patterns must
    match the whole input, and with `captures`, `$1` … in the result are replaced. `template` and
    `fields` belong to a template variable. `default` replaces a missing value; None means no
    default. `secrets` is as in ContainerTag; the path of a secret constant is `value`.
    """

    name: str
    type: VariableSource
    value: Tree = None
    key: str = ""
    decode: bool = False
    input: str = ""
    rows: tuple[LookupRow, ...] = ()
    ignore_case: bool = False
    whole: bool = False
    captures: bool = False
    least: int | float | str | None = None
    most: int | float | str | None = None
    default: Tree = None
    template: str = ""
    fields: Mapping[str, Tree] = {}
    secrets: Mapping[str, str] = {}
    defaults: bool = True
    format: ValueFormat | None = None


class ReadFields(StrEnum):
    """The Twite format that a client without a template uses."""

    GA4 = "ga4"  # /g/collect
    MEASUREMENT_PROTOCOL = "measurement_protocol"  # /mp/collect
    DATA_TAG = "data_tag"  # /data


class ContainerClient(ContainerPart, frozen=True, kw_only=True):
    """A client that may claim requests; the client with the highest priority runs first.

    Without a template, it gives a name to one of Twite's own formats.
    """

    name: str
    template: str = ""
    reads: ReadFields = ReadFields.GA4
    fields: Mapping[str, Tree] = {}
    secrets: Mapping[str, str] = {}
    defaults: bool = True
    priority: int = 0


TemplatedPart = ContainerTag | Variable | ContainerClient


class Transformation(ContainerPart, frozen=True, kw_only=True):
    """A change of the event that tags see. Their triggers see the unchanged event.

    Exactly one of `exclude`, `allow` (dotted keys) and `set` is not empty. The change applies if
    all of `when` hold, to tags that are in `tags` or have a template in `templates`, or with
    `others` to all other tags; if both are empty, to all tags.
    """

    name: str
    when: tuple[Condition, ...] = ()
    exclude: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    set: Mapping[str, Tree] = {}
    tags: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    others: bool = False


class Container(ContainerPart, frozen=True, kw_only=True):
    name: str = ""
    public_id: str = "GTM-TWITE"
    version: str = "1"
    tags: tuple[ContainerTag, ...] = ()
    triggers: tuple[ContainerTrigger, ...] = ()
    variables: tuple[Variable, ...] = ()
    clients: tuple[ContainerClient, ...] = ()
    transformations: tuple[Transformation, ...] = ()
    templates: Mapping[str, Template] = {}

    @property
    def templated(self) -> tuple[TemplatedPart, ...]:
        """The parts that may have a template, with fields and secrets."""
        return (*self.tags, *self.variables, *self.clients)

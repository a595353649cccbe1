"""Diagnostics of hashed personal data: does a tag send the same as with raw data?

Each tag runs for sample events with one kind of personal data in them, once raw and once hashed.
Its requests are not sent.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from twite.app.compare import Comparison
from twite.app.compare_endpoints import CompareEndpoints
from twite.domain.json_tree import Tree
from twite.gateway.ports.findings import CheckFinding, amber, green
from twite.gtm.container import parts
from twite.gtm.container.values import EventContext
from twite.gtm.template.sandbox import Incoming
from twite.gtm.template.template import TemplateUnusable

_NOW: Final = 1_764_000_000_000
_AGREED: Final = {"ad_storage": True, "ad_user_data": True, "ad_personalization": True}
_SAMPLE: Final[Mapping[str, Tree]] = {
    "event_name": "purchase",
    "event_id": "sample-1",
    "transaction_id": "sample-1",
    "client_id": "1234567890.1764000000",
    "value": 49.9,
    "currency": "EUR",
    "items": [{"item_id": "sample", "item_name": "Sample", "price": 49.9, "quantity": 1}],
    "page_location": "https://shop.example/thanks",
    "ip_override": "203.0.113.7",
    "user_agent": "Mozilla/5.0",
    "x-ga-gcs": "G111",
    "consent_state": dict[str, Tree](_AGREED),
}
_EMAIL: Final = "shopper@mail.example"
_PHONE: Final = "+442079460958"
_NAMED: Final[dict[str, Tree]] = {"first_name": "erika", "last_name": "muster"}
_STREET: Final[dict[str, Tree]] = {"street": "long lane 1"}
# In each place where templates look for them.
_PERSONS: Final[Mapping[str, tuple[Mapping[str, Tree], ...]]] = {
    "email": (
        {"user_data": {"email_address": _EMAIL}},
        {"email": _EMAIL, "user_data": {"email": _EMAIL}},
    ),
    "phone number": (
        {"user_data": {"phone_number": _PHONE}},
        {"phone": _PHONE, "phone_number": _PHONE, "user_data": {"phone": _PHONE}},
    ),
    "name": (
        {"user_data": {"address": _NAMED}},
        {"user_data": {"address": [_NAMED]}},
        {**_NAMED, "user_data": _NAMED},
    ),
    "street": ({"user_data": {"address": _STREET}}, {"user_data": {"address": [_STREET]}}),
    "date of birth": ({"date_of_birth": "19800102", "user_data": {"date_of_birth": "19800102"}},),
}


def sent_otherwise(
    container: parts.Container, tag: parts.ContainerTag, *, setting: str
) -> Iterator[CheckFinding]:
    """Report values that a tag with hashed data sends differently; `setting` seals them."""
    try:
        runs = _Runs(container, tag)
        kinds = [kind for kind, samples in _PERSONS.items() if any(map(runs.differ, samples))]
    except TemplateUnusable:
        return  # reported elsewhere
    if kinds:
        yield amber(
            "tags",
            f"{tag.name}: hashed, it does not send the same {', '.join(kinds)}",
            "The tag's vendor matches fewer people than with unhashed data.",
            f"Set {setting}, which needs server.secret_key.",
        )
    elif not runs.sent:
        yield green("tags", f"{tag.name}: it sends nothing for a sample, hashed or not")


class _Runs:
    """`sent` says whether the tag has made any request."""

    def __init__(self, container: parts.Container, tag: parts.ContainerTag) -> None:
        self._tag = tag
        self._raw = Comparison(container, hashed=False, endpoints=CompareEndpoints((), {}))
        self._hashed = Comparison(container, hashed=True, endpoints=CompareEndpoints((), {}))
        self._event = {**_SAMPLE, "event_name": _event_of(container, tag)}
        self.sent = False

    def differ(self, sample: Mapping[str, Tree]) -> bool:
        occasion = EventContext(
            event={**self._event, **sample},
            now=_NOW,
            request=Incoming(method="POST", path="/data"),
            consent=_AGREED,
            draw=1,
        )
        raw = self._raw.asked_by(self._tag, occasion)
        self.sent = self.sent or bool(raw)
        return raw != self._hashed.asked_by(self._tag, occasion)


def _event_of(container: parts.Container, tag: parts.ContainerTag) -> str:
    """Return the name of an event that fires the tag, if a trigger names one."""
    for trigger in container.triggers:
        for condition in trigger.when if trigger.name in tag.triggers else ():
            is_name = condition.left == "{{" + parts.EVENT + "}}"
            if is_name and condition.operator is parts.Operator.EQUALS and not condition.negate:
                return condition.right
    return "purchase"

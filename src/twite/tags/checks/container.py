"""Diagnostics of tags, container and `[google]`: code, secrets, credentials, hashed personal data.

If personal data is hashed, each tag runs for sample events with one kind of personal data each:
once with raw and once with hashed data. The check compares the requests of the two runs.
"""

import os
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from twite.config.settings import Settings
from twite.domain.errors import NotOpened, SettingsError
from twite.domain.incoming_request import IncomingRequest
from twite.domain.plural import plural
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning
from twite.tags.app.compare import Comparison
from twite.tags.app.compare_endpoints import CompareEndpoints
from twite.tags.app.compare_settings import sealed_of, with_one_rule
from twite.tags.checks.console import host
from twite.tags.checks.stape_tag import stape_tag
from twite.tags.container.parts import EVENT, Container, ContainerTag, Operator
from twite.tags.container.secrets import places
from twite.tags.container.values import EventContext
from twite.tags.engines.process.code_check import CodeCheck
from twite.tags.google_requests.bigquery import SCOPE
from twite.tags.json_tree import Tree
from twite.tags.ports.google import NoGoogleToken
from twite.tags.ports.tags import PersonHandling, TagRule
from twite.tags.run.readable_request import (
    may_run_container,
    readable,
    readable_by_all,
)
from twite.tags.settings.containers import load_container, with_secrets
from twite.tags.settings.tag_settings import TagSettings
from twite.tags.settings.templates import placed
from twite.tags.template.form import GOOGLE_SERVICES, google_calls
from twite.tags.template.template import Template, TemplateUnusable

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
# Each kind of data is in every field where templates look for it.
_PERSONAL: Final[Mapping[str, tuple[Mapping[str, Tree], ...]]] = {
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
_STOPS: Final = "The gateway would not start."
_SEALED: Final = 'container.persons = "sealed"'
_PERSONS: Final = 'persons = "sealed"'
_LONGEST = 160


def sent_otherwise(
    container: Container, tag: ContainerTag, *, setting: str
) -> Iterator[CheckFinding]:
    """Report values that a tag sends differently if data is hashed, and the setting to change."""
    try:
        runs = _Runs(container, tag)
        kinds = [kind for kind, samples in _PERSONAL.items() if any(map(runs.differ, samples))]
    except TemplateUnusable:
        return  # reported elsewhere
    if kinds:
        yield warning(
            "tags",
            f"{tag.name}: with hashed data, the tag sends different {', '.join(kinds)}",
            "The tag's vendor matches fewer people than with unhashed data.",
            f"Set {setting}, which needs server.secret_key.",
        )
    elif not runs.sent:
        yield passed(
            "tags",
            f"{tag.name}: the tag sends no request for a sample event, with hashed or unhashed "
            "data",
        )


class _Runs:
    """Runs a tag with raw and with hashed data. `sent` is whether it made any request."""

    def __init__(self, container: Container, tag: ContainerTag) -> None:
        self._tag = tag
        self._raw, self._hashed = (
            Comparison(
                with_one_rule(container, TagRule(name="check", persons=persons)),
                endpoints=CompareEndpoints((), {}),
            )
            for persons in (PersonHandling.SEALED, PersonHandling.HASHED)
        )
        self._event = {**_SAMPLE, "event_name": _event_of(container, tag)}
        self.sent = False

    def differ(self, sample: Mapping[str, Tree]) -> bool:
        occasion = EventContext(
            event={**self._event, **sample},
            now=_NOW,
            request=IncomingRequest(method="POST", path="/data"),
            consent=_AGREED,
            draw=1,
        )
        raw = self._raw.asked_by(self._tag, occasion)
        self.sent = self.sent or bool(raw)
        return raw != self._hashed.asked_by(self._tag, occasion)


def _event_of(container: Container, tag: ContainerTag) -> str:
    """Return the name of an event that fires the tag, if a trigger names one."""
    triggers = {trigger.name: trigger for trigger in container.triggers}
    names = list(tag.triggers)
    for name in names:
        names += triggers[name].all_of if name in triggers else ()
        for condition in triggers[name].when if name in triggers else ():
            is_name = condition.left == "{{" + EVENT + "}}"
            if is_name and condition.operator is Operator.EQUALS and not condition.negate:
                return condition.right
    return "purchase"


async def container(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check the container that the settings name, if any."""
    tag_settings = settings.feature(TagSettings)
    imported = tag_settings.imported
    if imported is None:
        return
    path = imported.path
    try:
        found = load_container(path)
        _try_out(path, found.templates)
        kept = list(places(found))
        sealed = await sealed_of(settings)
        opened = with_secrets(found, path=path, environ=os.environ, sealed=sealed)
    except SettingsError as error:
        for each in error.each:
            problem, _, fix = str(each).partition(". ")
            yield failed("container", problem, _STOPS, f"{fix or 'Fix it there'}.")
        return
    except NotOpened as error:
        yield failed("container", "a secret cannot be decrypted", _STOPS, f"{error}.")
        return
    paused = [tag.name for tag in found.tags if tag.paused]
    summary = (
        f"{plural(len(found.tags) - len(paused), 'tag')} can fire, "
        f"{plural(len(kept), 'secret is', 'secrets are')} available"
    )
    yield passed("container", f"{path.name}: {summary}")
    if paused:
        yield warning(
            "container",
            f"paused: {', '.join(paused)}",
            "Paused tags do not fire.",
            f"If this is not intended, remove paused = true in {path.name}.",
        )
    if found.clients and not tag_settings.clients:
        for finding in host(settings):
            yield finding
    for finding in _of_parts(settings, imported.rule, opened):
        yield finding


def _of_parts(settings: Settings, rule: TagRule, container: Container) -> Iterator[CheckFinding]:
    for name, template in sorted(container.templates.items()):
        wanted = {
            api
            for part in container.templated
            if part.template == name
            for api in google_calls(template, part.fields, defaults=part.defaults)
        }
        yield from _without_google(settings, f"the template {name}", wanted)
    for tag in container.tags:
        yield from stape_tag(settings, container, tag)
    has_clients = any(client.template for client in container.clients)
    but = ", but not of its client templates" if has_clients else ""
    yield from _redirected(f"all tags of the container{but}", rule, "container.redirect")
    if rule.persons is PersonHandling.HASHED:
        yield from _hashed(container)


def _hashed(container: Container) -> Iterator[CheckFinding]:
    for tag in container.tags:
        yield from read_in_plain_text(container, tag, setting=_SEALED)
        if tag.triggers and not tag.paused:
            yield from sent_otherwise(container, tag, setting=_SEALED)


def _try_out(path: Path, templates: Mapping[str, Template]) -> None:
    with CodeCheck() as code_check:
        for name, template in templates.items():
            with placed(Path(f"{path}: template {name!r}")):
                code_check.check(template)


def tags(settings: Settings) -> Iterator[CheckFinding]:
    """Check each tag of the settings. Loading them has already checked templates and fields."""
    own = settings.feature(TagSettings).tags
    if own is None:
        return
    container = own.container
    for tag in container.tags:
        rule = own.rules[tag.name]
        sources = ", ".join(sorted(rule.sources)) if rule.sources is not None else "all sources"
        persons = "hashed" if rule.persons is PersonHandling.HASHED else "sealed"
        repeat = rule.repeat.value.replace("_", " ")
        yield passed("tags", f"{tag.name}: {tag.template}, {sources}, persons {persons}, {repeat}")
        yield from stape_tag(settings, container, tag)
        yield from _redirected(tag.name, rule, "redirect from its [[tag]]")
        if rule.persons is PersonHandling.HASHED:
            setting = f"{_PERSONS} in its [[tag]]"
            yield from read_in_plain_text(container, tag, setting=setting)
            yield from sent_otherwise(container, tag, setting=setting)


def _redirected(name: str, rule: TagRule, setting: str) -> Iterator[CheckFinding]:
    if rule.redirect:
        places = ", ".join(f"{host} → {url}" for host, url in sorted(rule.redirect.items()))
        yield warning(
            "tags",
            f"{name}: requests are redirected for tests: {places}",
            "The tag's requests to these hosts do not reach the vendor.",
            f"Remove {setting} before production.",
        )


def read_in_plain_text(
    container: Container, tag: ContainerTag, *, setting: str
) -> Iterator[CheckFinding]:
    """Report a tag that may read any cookie or header, although personal data is hashed."""
    calls = may_run_container(container, tag)
    unnamed = (readable_by_all([container]) if calls else readable(container, tag)).unnamed
    if unnamed:
        any_of = " and any ".join(kind.removesuffix("s") for kind in unnamed)
        yield warning(
            "tags",
            f"{tag.name}: the tag may read any {any_of}, and personal data is hashed",
            "The tag's queued events are not encrypted, so the template gets only "
            "cookies and headers that its permissions name.",
            f"List these cookies and headers in the template's permissions; or set {setting} "
            "to encrypt queued events.",
        )


async def google(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check `[google]`: request a token, which changes nothing; list the templates that need it."""
    google_settings = settings.feature(TagSettings).google
    if not google_settings.is_set:
        for finding in _unset(settings):
            yield finding
        return
    account = google_settings.account()
    if account is None:
        return
    try:
        project, token = await account.project(), await account.token((SCOPE,))
    finally:
        await account.stop()
    key = google_settings.key
    whose = "this machine's account" if key is None else f"the key of {key.email}"
    if isinstance(token, NoGoogleToken):
        yield warning(
            "google",
            f"Google issued no token for {whose}: {token.reason[:_LONGEST]}",
            "Calls to BigQuery, Firestore and getGoogleAuth fail, and Twite retries the tags' "
            "deliveries.",
            "Check that the account and its key still exist at Google, that this machine's "
            "clock is right, and that it reaches oauth2.googleapis.com.",
        )
    else:
        yield passed(
            "google", f"Google issues tokens for {whose}; the project is {project or 'unknown'}"
        )
    if project is None:
        yield warning(
            "google",
            "no Google project is configured",
            "Calls without a project fail.",
            "Set google.project.",
        )


def _without_google(
    settings: Settings, name: str, wanted: Collection[str]
) -> Iterator[CheckFinding]:
    """Report a template that calls a Google service without credentials."""
    if wanted and not settings.feature(TagSettings).google.is_set:
        called = ", ".join(api for api in GOOGLE_SERVICES if api in wanted)
        yield warning(
            "google",
            f"{name} calls {called}, but [google] is not set",
            "The template's calls fail with not_configured.",
            'Give the gateway an account: [google] with credentials = "file:service-account.json".',
        )


def _unset(settings: Settings) -> Iterator[CheckFinding]:
    tag_settings = settings.feature(TagSettings)
    if tag_settings.tags is not None:
        container = tag_settings.tags.container
        for tag in container.tags:
            wanted = google_calls(container.templates[tag.template], tag.fields)
            yield from _without_google(settings, tag.name, wanted)
    for client in tag_settings.clients:
        wanted = google_calls(client.template, client.fields)
        yield from _without_google(settings, f"the client {client.name}", wanted)

"""The tables that this package adds to `twite.toml`, such as `[[tag]]` and `[container]`."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import msgspec

from twite.config import values
from twite.config.kinds import (
    REQUIRED,
    ListOf,
    MapOf,
    Number,
    Text,
    duration,
    setting,
    size,
    table,
)
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.domain.times import MINUTE, SECOND
from twite.tags.container.parts import Operator
from twite.tags.ports.tags import PersonHandling, RepeatPolicy
from twite.tags.settings.google import GOOGLE, GoogleSettings

_IN_FLIGHT: Final = Number(1, 64)
_TIMEOUT: Final = duration(SECOND, MINUTE)
_REDIRECT_EXAMPLE: Final = {"graph.facebook.com": "http://127.0.0.1:9000"}
_HOSTS: Final = ListOf(
    Text(), lambda hosts, _: frozenset(host.strip("[]").lower() for host in hosts)
)


def local_url(text: str, place: str) -> str:
    """Read a URL of this machine without a path, such as "http://127.0.0.1:9000"."""
    scheme, _, rest = text.rstrip("/").partition("://")
    fix = 'Write the URL of a server on this machine, such as "http://127.0.0.1:9000"'
    if scheme != "http" or "/" in rest or "@" in rest:
        raise SettingsError(place, f"{text!r} is not an http URL without a path. {fix}")
    values.local_address(rest, place)
    return f"http://{rest}"


class ContainerTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[container]`."""

    file: str | None = setting(
        None, "`container.toml`, relative to the settings file", example="container.toml"
    )
    client_source: str | None = setting(
        None, "the `[[source]]` to which the events of client templates belong", example="shop"
    )
    sources: tuple[str, ...] = setting([], "sources whose events the tags receive; empty means all")
    repeat: RepeatPolicy = setting("at_least_once", "`tag[].repeat` for all tags in the container")
    persons: PersonHandling | None = setting(
        None, "`tag[].persons` for all tags in the container", example="sealed"
    )
    timeout: int = setting("30s", "`tag[].timeout` for all tags in the container", _TIMEOUT)
    in_flight: int = setting(8, "maximum number of concurrent runs of each tag", _IN_FLIGHT)
    allow_hosts: frozenset[str] = setting(
        [], "`tag[].allow_hosts` for all tags and client templates in the container", _HOSTS
    )
    redirect: Mapping[str, str] = setting(
        {},
        "`tag[].redirect` for all tags in the container, not for its client templates",
        MapOf(Text(local_url)),
        example=_REDIRECT_EXAMPLE,
    )


class WhenTable(msgspec.Struct, frozen=True, kw_only=True):
    """One condition; `field` is a path in the event data, such as `user_data.email_address`."""

    field: str = setting(REQUIRED, "path in the event data, such as `value` or `items.0.item_id`")
    value: str = setting(REQUIRED, "the text to compare the field with")
    operator: Operator = setting("equals", "")
    negate: bool = setting(default=False, meaning="whether to invert the condition")
    ignore_case: bool = setting(default=False, meaning="whether to ignore case")


class TagTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[[tag]]`. `fields` are the fields of the template: any JSON values."""

    name: str = setting(
        REQUIRED, "name of the tag", Text(partial(values.name, what="a tag")), example="crm"
    )
    template: str = setting(
        REQUIRED, "the `.tpl` file, relative to the settings file", example="crm.tpl"
    )
    fields: Mapping[str, Any] = setting(
        {},
        "the fields of the template",
        example={"accessToken": "env:CRM_TOKEN", "note": "{{event_name}}"},
    )
    sources: tuple[str, ...] = setting([], "sources whose events the tag receives; empty means all")
    events: tuple[str, ...] = setting(
        [], "event names as in the event data; empty means all", example=["purchase"]
    )
    when: tuple[WhenTable, ...] = setting(
        [],
        "conditions; all of them must be true",
        example=[
            {
                "field": "value",
                "operator": "greater",
                "value": "0",
                "negate": False,
                "ignore_case": False,
            }
        ],
    )
    consent: tuple[str, ...] = setting(
        [], "consent signals that must be granted", example=["ad_storage"]
    )
    repeat: RepeatPolicy = setting(
        "at_least_once", "whether to repeat a run with an unknown result"
    )
    persons: PersonHandling | None = setting(
        None,
        '`"sealed"` encrypts queued events (templates still see them in plain text)',
        example="sealed",
    )
    timeout: int = setting("30s", "timeout of a run; 1 s to 1 min", _TIMEOUT)
    rate: int = setting(60_000, "maximum number of runs in 15 minutes", Number(1, 10_000_000))
    in_flight: int = setting(8, "maximum number of concurrent runs", _IN_FLIGHT)
    allow_hosts: frozenset[str] = setting([], "hosts that may have private addresses", _HOSTS)
    redirect: Mapping[str, str] = setting(
        {},
        "for tests, a table from host to the URL of a server on this machine",
        MapOf(Text(local_url)),
        example=_REDIRECT_EXAMPLE,
    )


class ClientTable(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[[client]]`. `fields` are the fields of the template: any JSON values."""

    template: str = setting(
        REQUIRED, "the `.tpl` file, relative to the settings file", example="own-format.tpl"
    )
    name: str | None = setting(
        None, "name of the client in logs and for tags", example="own format"
    )
    source: str | None = setting(None, "source of the client's events", example="shop")
    priority: int = setting(
        0, "Twite runs the client with the highest priority first", Number(-1_000_000, 1_000_000)
    )
    fields: Mapping[str, Any] = setting(
        {}, "the template's fields, of any type", example={"path": "/collect"}
    )
    allow_hosts: frozenset[str] = setting([], "hosts that may have private addresses", _HOSTS)


class StapeHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[templates.stape]`: headers that Stape's hosts add to each request."""

    identifier: str | None = setting(
        None,
        "value of `x-gtm-identifier` for tags, triggers and clients, if their request has "
        "none of the three `x-gtm-…` headers",
        example="twite",
    )
    default_domain: str | None = setting(
        None,
        "value of `x-gtm-default-domain` for the same requests",
        example="stape.io",
    )
    api_key: Secret | None = setting(
        None, "value of `x-gtm-api-key` for the same requests", example="env:STAPE_API_KEY"
    )

    @property
    def headers(self) -> tuple[tuple[str, Secret], ...]:
        """Return the headers that are set, by name."""
        named = (
            ("x-gtm-identifier", self.identifier and Secret(self.identifier)),
            ("x-gtm-default-domain", self.default_domain and Secret(self.default_domain)),
            ("x-gtm-api-key", self.api_key),
        )
        return tuple((name, value) for name, value in named if value)


class TemplateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[templates]`: what tag and client templates share."""

    response_wait: int = setting(
        "50ms",
        "how long a browser waits for each tag that sets cookies or response headers",
        duration(0, 5 * SECOND),
    )
    engine_memory: int = setting(
        "4GiB", "maximum memory of all engine processes together", size(512 << 20, 1 << 40)
    )
    hmac_keys: Mapping[str, Secret] = setting(
        {}, "keys for `hmacSha256`, as a table from key id to secret"
    )
    stape: StapeHeaders = setting({}, "", table(StapeHeaders))


class TagTables(msgspec.Struct, frozen=True, kw_only=True):
    """The tables that this package adds to `twite.toml`."""

    google: GoogleSettings = setting(
        {}, "The account for templates that call BigQuery, Firestore or getGoogleAuth", GOOGLE
    )
    templates: TemplateSettings = setting(
        {}, "What tag and client templates share", table(TemplateSettings)
    )
    tag: tuple[TagTable, ...] = setting(
        [], "One table for each tag template that receives events in addition to the pixels"
    )
    client: tuple[ClientTable, ...] = setting(
        [], "One table for each client template that claims requests"
    )
    container: ContainerTable = setting(
        {}, "A server container from Google Tag Manager, or one that you wrote"
    )

"""Diagnostics of Stape's X tag in OAuth mode: Twite accepts its requests to Stape's auth proxy."""

from collections.abc import Iterator
from typing import Final

from twite.config.settings import Settings
from twite.gateway.ports.findings import CheckFinding, passed, warning
from twite.tags.container.parts import Container, ContainerTag
from twite.tags.settings.tag_settings import TagSettings
from twite.tags.template.allowed import matches
from twite.tags.template.fields import fill
from twite.tags.template.permissions import policy

_PATH: Final = "/v1/twitter/auth-proxy"
_HEADERS: Final = ("x-gtm-identifier", "x-gtm-default-domain", "x-gtm-api-key")


def stape_tag(
    settings: Settings, container: Container, tag: ContainerTag
) -> Iterator[CheckFinding]:
    template = container.templates.get(tag.template)
    if template is None or _PATH not in template.code.text:
        return
    fields = fill(template.fields, tag.fields)
    if fields.get("authMethod") == "accessToken":
        return
    stape = settings.feature(TagSettings).templates.stape
    given = {name: value.reveal() for name, value in stape.headers}
    proxied = settings.server.container_headers if settings.server.trusted_proxies else ()
    missing = [name for name in _HEADERS if name not in given and name not in proxied]
    if missing:
        yield warning(
            "tags",
            f"{tag.name}: Stape's X tag uses OAuth, but no setting provides {', '.join(missing)}",
            "The address of the tag's request is incomplete, and its deliveries fail.",
            'Set [templates.stape], or set authMethod = "accessToken" in the tag.',
        )
        return
    address = f"https://{given.get(_HEADERS[0], '')}.{given.get(_HEADERS[1], '')}/stape-api/"
    if given.keys() >= {_HEADERS[0], _HEADERS[1]} and not matches(
        policy(template.grants).urls, address
    ):
        yield warning(
            "tags",
            f"{tag.name}: the template's permissions do not allow requests to {address}",
            "The tag cannot send its request, and its deliveries fail.",
            'Set templates.stape.default_domain to a domain that they allow, such as "stape.io".',
        )
        return
    pixel = fields.get("pixelId")
    known = {destination.pixel for destination in settings.destinations()}
    if isinstance(pixel, str) and "{{" not in pixel and pixel not in known:
        yield warning(
            "tags",
            f"{tag.name}: the tag's pixel {pixel} is not in the settings",
            "Twite refuses the tag's conversions, and its deliveries fail.",
            f'Add a [[pixel]] with id = "{pixel}", or correct pixelId in the tag.',
        )
        return
    yield passed(
        "tags",
        f"{tag.name}: Stape's X tag uses OAuth; Twite queues its conversions and sends them with "
        "the pixel's own credentials",
    )

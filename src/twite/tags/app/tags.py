"""Read tags and client templates from the settings."""

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from twite.config.settings import Settings
from twite.domain.secret import Secret
from twite.gateway.ports.secret_store import SecretStore
from twite.tags.ports.tags import ContainerConfig, SuppliedHeaders
from twite.tags.settings.containers import with_those_of
from twite.tags.settings.tag_settings import TagSettings
from twite.tags.settings.tags import company_of

if TYPE_CHECKING:
    from twite.tags.clients.conversation import TemplateClient


async def companies_of(
    settings: Settings, secret_store: SecretStore | None
) -> tuple[ContainerConfig, ...]:
    """Return the tags of the settings, and of their container.

    Raises SettingsError, NotOpened.
    """
    tag_settings = settings.feature(TagSettings)
    own = tag_settings.tags
    found = [] if own is None else [own]
    if tag_settings.imported is not None:
        taken = () if own is None else own.rules
        found.append(
            await company_of(
                tag_settings.imported, environ=os.environ, secret_store=secret_store, taken=taken
            )
        )
    headers = tag_settings.templates.stape.headers
    return tuple(_with_headers(container_config, headers) for container_config in found)


def _with_headers(container_config: ContainerConfig, headers: SuppliedHeaders) -> ContainerConfig:
    rules = {
        name: msgspec.structs.replace(rule, secrets=(*rule.secrets, *_keys(headers)))
        for name, rule in container_config.rules.items()
    }
    return msgspec.structs.replace(container_config, rules=rules, headers=headers)


def clients_of(
    settings: Settings, container_configs: Iterable[ContainerConfig]
) -> "tuple[TemplateClient, ...]":
    """Return the client templates of the settings, and of their containers.

    The headers of `templates.stape` are added to requests that have none. Raises SettingsError.
    """
    tag_settings = settings.feature(TagSettings)
    headers, imported = tag_settings.templates.stape.headers, tag_settings.imported
    clients = with_those_of(
        tag_settings.clients,
        (container_config.container for container_config in container_configs),
        source=None if imported is None else imported.client_source,
        sources=settings.sources(),
        allow_hosts=frozenset() if imported is None else imported.rule.allow_hosts,
    )
    return tuple(
        msgspec.structs.replace(client, headers=headers, secrets=(*client.secrets, *_keys(headers)))
        for client in clients
    )


def _keys(headers: SuppliedHeaders) -> tuple[Secret, ...]:
    return tuple(value for name, value in headers if name.endswith("key"))

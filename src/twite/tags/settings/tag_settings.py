"""The settings of tags, client templates, containers and Google's account."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Self

import msgspec

from twite.config import values
from twite.config.collected_errors import CollectedErrors
from twite.config.feature_tables import FeatureSettings, FeatureTables, SettingsBasis
from twite.domain.errors import SettingsError
from twite.gateway.ports.tags import PREFIX
from twite.tags.ports.tags import ContainerConfig, ImportedContainer, PersonHandling
from twite.tags.settings.google import GoogleSettings
from twite.tags.settings.tables import TagTables, TemplateSettings

if TYPE_CHECKING:
    from twite.tags.clients.conversation import TemplateClient


class TagSettings(FeatureSettings, frozen=True, kw_only=True):
    """`tags` are the tags of `twite.toml`; `imported` has the settings of the container's tags."""

    google: GoogleSettings = GoogleSettings()
    templates: TemplateSettings = TemplateSettings()
    clients: "tuple[TemplateClient, ...]" = ()
    tags: ContainerConfig | None = None
    imported: ImportedContainer | None = None

    @property
    def has_templates(self) -> bool:
        """Whether there are tags or client templates."""
        return self.tags is not None or self.imported is not None or bool(self.clients)

    def destinations(self) -> tuple[str, ...]:
        """Return the tags of `twite.toml`."""
        return () if self.tags is None else tuple(rule.pixel for rule in self.tags.rules.values())

    def may_have(self, pixel: str) -> bool:
        """Return whether this may be a tag of the container, which the settings do not read."""
        return self.imported is not None and pixel.startswith(PREFIX)

    def is_cautious(self, pixel: str) -> bool:
        """Return whether ambiguous runs of a tag are held."""
        if not pixel.startswith(PREFIX):
            return False
        rule = None if self.tags is None else self.tags.rules.get(pixel.removeprefix(PREFIX))
        if rule is None and self.imported is not None:
            rule = self.imported.rule
        return rule is not None and rule.is_cautious

    def at_start(self) -> Mapping[str, object]:
        """Return `[google]` and `[templates]`, which are used as long as the gateway runs."""
        google, templates = self.google, self.templates
        own = {
            f"templates.{key}": value for key, value in msgspec.structs.asdict(templates).items()
        }
        return own | {
            "google.credentials": (google.key, google.is_machine),
            "google.project": google.project,
            "google.api_url": google.api_url,
        }

    def items(self) -> Mapping[str, Mapping[str, object]]:
        """Return the tags, clients and containers; the gateway compares a container's content."""
        imported = self.imported
        return {
            "tag": self._tags(),
            "client": {
                client.name: (
                    client.template,
                    client.source.name,
                    client.fields,
                    client.priority,
                    client.allow_hosts,
                )
                for client in self.clients
            },
            "container": {} if imported is None else {str(imported.path): imported},
        }

    def _tags(self) -> dict[str, object]:
        """Return what belongs to each `[[tag]]`, except secrets to mask, which all tags share."""
        if self.tags is None:
            return {}
        container, rules = self.tags.container, self.tags.rules
        return {
            tag.name: (
                tag,
                msgspec.structs.replace(rules[tag.name], secrets=(), field_secrets=()),
                container.templates[tag.template],
                [trigger for trigger in container.triggers if trigger.name in tag.triggers],
            )
            for tag in container.tags
        }

    def reloaded(self, written: Self) -> Self:
        """Return the written settings with the account and the shared settings in use."""
        return msgspec.structs.replace(written, google=self.google, templates=self.templates)


def tag_settings(tables: TagTables, basis: SettingsBasis) -> TagSettings:
    """Make the settings of the tables. Raises SettingsError."""
    warnings = _warnings(tables.google)
    tables = _with_persons(tables, basis)
    if not tables.tag and not tables.client and tables.container.file is None:
        return TagSettings(google=tables.google, templates=tables.templates, warnings=warnings)
    # Most gateways have neither tags nor client templates.
    from twite.tags.settings.containers import clients  # noqa: PLC0415
    from twite.tags.settings.tags import container_config, imported  # noqa: PLC0415

    reader = basis.reader
    wrong = CollectedErrors()
    claimants: tuple[TemplateClient, ...] = ()
    tags, container = None, None
    if basis.sources is not None:
        with wrong.collect():
            claimants, doubts = clients(
                tables.client, folder=reader.folder, sources=basis.sources, hidden=reader.hidden
            )
            warnings += doubts
    with wrong.collect():
        tags, doubts = container_config(
            tables.tag,
            folder=reader.folder,
            sources=basis.names,
            hidden=reader.hidden,
            whole=reader.credentials,
        )
        warnings += doubts
    with wrong.collect():
        container = imported(tables.container, folder=reader.folder, sources=basis.names)
    wrong.raise_any()
    return TagSettings(
        google=tables.google,
        templates=tables.templates,
        clients=claimants,
        tags=tags,
        imported=container,
        warnings=warnings,
    )


def _warnings(google: GoogleSettings) -> tuple[str, ...]:
    if google.api_url is not None and values.unprotected(google.api_url):
        return ("google.api_url: tokens would travel unencrypted. Use https",)
    return ()


def _with_persons(tables: TagTables, basis: SettingsBasis) -> TagTables:
    """Set the default of `persons`: "sealed" if there is a key.

    Raises SettingsError if a table asks for encryption, and there is no key.
    """
    container = tables.container
    asked = [(table.persons, f"tag[{index}]") for index, table in enumerate(tables.tag)]
    for persons, place in (*asked, (container.persons, "container")):
        if persons is PersonHandling.SEALED and not basis.has_key and basis.reader.credentials:
            from twite.config.secret_key import VARIABLE  # noqa: PLC0415  # it imports the schema

            raise SettingsError(
                f"{place}.persons",
                "personal data is stored encrypted, but there is no key. Set "
                f'server.secret_key = "env:{VARIABLE}", or persons = "hashed"',
            )
    default = PersonHandling.SEALED if basis.has_key else PersonHandling.HASHED
    return msgspec.structs.replace(
        tables,
        tag=tuple(
            msgspec.structs.replace(table, persons=table.persons or default) for table in tables.tag
        ),
        container=msgspec.structs.replace(container, persons=container.persons or default),
    )


TABLES: Final = FeatureTables(
    tables=TagTables,
    read=tag_settings,
    before={"google": "alerts", "templates": "alerts"},
    commented=frozenset({"google", "templates", "container"}),
)

"""Tags in a running gateway: what the settings ask to run, the engines, and the previews."""

from functools import partial
from typing import TYPE_CHECKING, Final, Self

from twite.app.feature import (
    FeatureBasis,
    FeaturePlan,
    FeatureRun,
    GatewayFeature,
    MakeHttpFeature,
    RunBasis,
    RunningFeature,
)
from twite.app.store_access import engine_of
from twite.config.difference import SettingsChange
from twite.config.settings import Settings
from twite.gateway.ports.secret_store import SecretStore
from twite.http.addresses import host_of
from twite.http.cookies import registrable_domain
from twite.tags.app.tags import clients_of, companies_of
from twite.tags.ports.tags import ContainerConfig
from twite.tags.preview.sessions import PreviewSessions
from twite.tags.routes.tag_requests import TagRequests
from twite.tags.settings.google import google_of
from twite.tags.settings.tag_settings import TagSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from twite.console.page import AddedPages
    from twite.domain.destination import Destination
    from twite.gateway.ingest.accept import Accept
    from twite.tags.clients.conversation import TemplateClient
    from twite.tags.engines.process.engine_server import EngineServer


class TagFeature(RunningFeature):
    """The tags of one gateway."""

    def __init__(self, basis: FeatureBasis) -> None:
        super().__init__()
        self.basis = basis
        self.google = google_of(basis.settings.feature(TagSettings).google, basis.clock)
        self.previews = PreviewSessions(
            clock=basis.clock, randomness=basis.randomness, shares_port=basis.shares_port
        )
        self._engines: EngineServer | None = None
        if basis.settings.feature(TagSettings).has_templates:
            self.engines(basis.settings)  # so that the first tags do not wait for them

    def engines(self, settings: Settings) -> "EngineServer":
        """Return the processes of all templates. The first call starts them."""
        if self._engines is None:
            # Few gateways have tags.
            from twite.tags.engines.process.engine_server import EngineServer  # noqa: PLC0415

            templates = settings.feature(TagSettings).templates
            # The signing keys for templates, by id. A template's permissions select its keys.
            keys = {id_: key.reveal() for id_, key in templates.hmac_keys.items()}
            self._engines = EngineServer(
                keys=keys, memory=templates.engine_memory, observer=self.basis.observer
            )
            self._engines.start()
        return self._engines

    async def plan(self, settings: Settings, secret_store: SecretStore | None) -> "TagPlan":
        if not settings.feature(TagSettings).has_templates:
            return TagPlan(feature=self)
        containers = await companies_of(settings, secret_store)
        return TagPlan(
            feature=self, containers=containers, clients=clients_of(settings, containers)
        )

    def pages(self, settings: Settings) -> "AddedPages":
        from twite.console.page import AddedPages  # noqa: PLC0415  # few starts need the console
        from twite.tags.pages.tag_preview import FOLDER, TagPreviewPage  # noqa: PLC0415

        host = host_of(settings.server.public_url or "")
        page = TagPreviewPage(
            previews=self.previews,
            clock=self.basis.clock,
            site=(registrable_domain(host) or "") if host else "",
            shared=engine_of(settings).is_server,
        )
        return AddedPages(pages=(page,), folders=(FOLDER,))

    async def stop(self) -> None:
        await super().stop()
        if self._engines is not None:
            await self._engines.stop()
        await self.google.stop()


class TagPlan(FeaturePlan, frozen=True, kw_only=True):
    """The containers and client templates to run. The container of a file is the last one."""

    feature: TagFeature
    containers: tuple[ContainerConfig, ...] = ()
    clients: "tuple[TemplateClient, ...]" = ()

    def changes(self, running: Self, settings: Settings) -> tuple[SettingsChange, ...]:
        """Return the container if its file has changed."""
        imported = settings.feature(TagSettings).imported
        if imported is None or self.containers[-1:] == running.containers[-1:]:
            return ()
        return (SettingsChange(table="container", name=str(imported.path), change="changed"),)

    def run(self, settings: Settings, basis: RunBasis) -> FeatureRun:
        if not self.containers and not self.clients:
            return IdleTags(self)
        from twite.tags.app.tag_runtime import TagRuntime  # noqa: PLC0415  # few gateways have tags

        feature = self.feature
        return TagRuntime(
            self,
            settings,
            containers=self.containers,
            templates=self.clients,
            basis=feature.basis,
            run_basis=basis,
            engines=feature.engines(settings),
            google=feature.google,
            previews=feature.previews,
        )


class IdleTags(FeatureRun):
    """A run without tags. Preview sessions show requests, and no tags."""

    def __init__(self, plan: TagPlan) -> None:
        super().__init__(plan)
        self._previews = plan.feature.previews

    @property
    def http(self) -> MakeHttpFeature:
        return partial(TagRequests, clients=None, previews=self._previews)

    def workers(self, accept: "Accept", destinations: "Mapping[str, Destination]") -> None:
        del accept, destinations
        self._previews.dry_run = None


GATEWAY: Final = GatewayFeature(begin=TagFeature)

"""`twite compare`: the captures, and the container or the tags of the settings that it runs."""

from collections.abc import Mapping
from pathlib import Path

from twite.app.logins import CredentialReader
from twite.app.store_access import open_records
from twite.config.secret_key import seal_of
from twite.config.settings import Settings, load
from twite.domain.errors import SettingsError
from twite.gateway.ports.secret_store import SecretStore
from twite.tags.app.compare import Comparison
from twite.tags.app.compare_endpoints import CompareEndpoints
from twite.tags.compare.capture import CapturedCase, CaptureUnusable, read_cases
from twite.tags.compare.comparison import (
    STAND_IN,
)
from twite.tags.container.parts import Container
from twite.tags.container.secrets import opened
from twite.tags.ports.tags import ContainerConfig, TagRule
from twite.tags.redaction.mask_line import texts_in
from twite.tags.settings.containers import load_container, sealed_secrets, secret_reader
from twite.tags.settings.tag_settings import TagSettings


def read_capture(path: Path) -> tuple[CapturedCase, ...]:
    """Read a capture. Raises SettingsError with file and line."""
    try:
        with path.open("rb") as file:
            return read_cases(file)
    except OSError as error:
        message = f"cannot be read ({error.strerror})"
        raise SettingsError(str(path), message) from None
    except CaptureUnusable as error:
        raise SettingsError(f"{path}, line {error.line}", error.message) from None


async def shadow_of(
    config: Path, named: Path | None, environ: Mapping[str, str], *, source: str | None = None
) -> tuple["Comparison", int]:
    """Return a runner for the container, and the number of its secrets that are missing here.

    Without a container, it runs the tags of the settings. `named` is a container file to use
    instead of the one in the settings; `source` overrides the source of all requests. Raises
    SettingsError.
    """
    settings = _settings(config, environ, needed=named is None)
    tag_settings = TagSettings() if settings is None else settings.feature(TagSettings)
    imported = tag_settings.imported
    path = named or (None if imported is None else imported.path)
    if path is None:
        tags = tag_settings.tags
        if tags is None:
            raise SettingsError(
                "container.file",
                "neither a container nor a [[tag]] is configured. Set one, or use --container",
            )
        fields = [dict(tag.fields) for tag in tags.container.tags]
        lacking_here = list(texts_in(fields)).count(STAND_IN)
        return Comparison(tags, endpoints=_endpoints(settings, source, tags.rules)), lacking_here
    container = load_container(path)
    sealed = {} if settings is None else await sealed_of(settings)
    lacking = set()

    def secret_at(kept: str) -> str:
        try:
            return secret_reader(path, environ, sealed)(kept)
        except SettingsError:
            lacking.add(kept)
            return STAND_IN

    rule = TagRule(name="compare") if imported is None else imported.rule
    made = with_one_rule(opened(container, secret_at), rule)
    return Comparison(made, endpoints=_endpoints(settings, source, made.rules)), len(lacking)


def with_one_rule(container: Container, rule: TagRule) -> ContainerConfig:
    """Return the container with the same rule for all its tags."""
    return ContainerConfig(container=container, rules={tag.name: rule for tag in container.tags})


def _endpoints(
    settings: Settings | None, source: str | None, rules: Mapping[str, TagRule]
) -> CompareEndpoints:
    sources = () if settings is None else settings.submitters
    if source is not None and source not in {known.name for known in sources}:
        there = ", ".join(known.name for known in sources) or "none"
        raise SettingsError("--source", f"no source {source!r}. Available: {there}")
    return CompareEndpoints(
        [known for known in sources if any(rule.listens_to(known.name) for rule in rules.values())],
        {} if settings is None else {pixel.pixel: pixel for pixel in settings.pixels},
        source=next((known for known in sources if known.name == source), None),
    )


def _settings(config: Path, environ: Mapping[str, str], *, needed: bool) -> Settings | None:
    if not needed and not config.exists():
        return None
    return load(config, environ, credentials=False, stand_in=STAND_IN)


async def sealed_of(settings: Settings) -> Mapping[str, str]:
    """Return the container's sealed secrets from the store; without a key, an empty dict.

    Raises NotOpened.
    """
    key = settings.server.secret_key
    seal = seal_of(key or None, settings.server.former_secret_keys)
    if seal is None or not settings.store.exists:
        return {}
    async with open_records(settings) as records:
        return await sealed_secrets(SecretStore(state=CredentialReader(records), seal=seal))

"""Load the settings: read `twite.toml` and the environment, check them, build values.

Files: `server_tables` and `schema` describe the keys, `kinds` reads their values, `values` parses
strings, `toml` reads the file and resolves `env:` and `file:`. This module applies environment
variables, which override the file. `pixels` checks rules that involve more than one key. Features
read their own tables (`feature_tables`).
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from twite.config import toml, values
from twite.config.collected_errors import CollectedErrors, combined
from twite.config.exports import ExportSettings, exports
from twite.config.feature_tables import FeatureSettings, SettingsBasis
from twite.config.kinds import Kind, ListOf, MapOf, Table
from twite.config.pixels import destinations, sources, weak_keys
from twite.config.results_table import ResultsSettings
from twite.config.schema import FEATURES, ROOT, SettingsFile
from twite.config.secret_key import (
    key_file,
    refuse_unsealed,
    with_former_key,
    with_secret_key,
)
from twite.config.server_tables import (
    AlertSettings,
    ConsoleSettings,
    LogSettings,
    ServerSettings,
    StoreSettings,
    XSettings,
)
from twite.config.store_url import refuse_shared_file
from twite.config.syncs import SyncSettings, syncs
from twite.config.toml import Reader, Tree, nearest, scalar
from twite.config.trace_table import TraceSettings
from twite.config.value_rules import value_rules, value_tables
from twite.config.webhooks import webhooks
from twite.domain.destination import Destination, Source
from twite.domain.errors import SettingsError
from twite.domain.test_mode import real_name
from twite.formats.value_rules import ValueRule
from twite.formats.webhook_kind import IncomingWebhook

FILE: Final = Path("twite.toml")
FeatureT = TypeVar("FeatureT", bound=FeatureSettings)
_VARIABLE_PREFIX: Final = "TWITE_"
_STEP: Final = "__"
_NUMBER: Final = re.compile(r"[0-9]{1,3}", re.ASCII)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings. `warnings` are sentences for the operator."""

    path: Path
    server: ServerSettings
    store: StoreSettings
    x: XSettings
    alerts: AlertSettings
    log: LogSettings
    pixels: tuple[Destination, ...]
    submitters: tuple[Source, ...]
    webhooks: tuple[IncomingWebhook[Any], ...] = ()
    syncs: tuple[SyncSettings, ...] = ()
    value_rules: tuple[ValueRule, ...] = ()
    value_tables: Mapping[str, Path] = {}
    exports: tuple[ExportSettings, ...] = ()
    console: ConsoleSettings
    traces: TraceSettings = TraceSettings()
    results: ResultsSettings = ResultsSettings()
    features: tuple[FeatureSettings, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def known_as(self) -> str:
        """The gateway's name in messages."""
        return self.server.public_url or str(self.server.listen)

    @property
    def console_url(self) -> str:
        """The console's URL for users."""
        known = self.console.url or self.server.public_url or f"http://{self.server.listen}"
        return f"{known.rstrip('/')}/console"

    def console_at(self, url: str) -> str:
        """Return the console's URL. `url` is the gateway's, whose port may be any free one."""
        has_own = self.console.url is not None or self.server.public_url is not None
        return self.console_url if has_own else f"{url}/console"

    def destinations(self) -> tuple[Destination, ...]:
        return self.pixels

    def sources(self) -> tuple[Source, ...]:
        return self.submitters

    def destination_names(self) -> tuple[str, ...]:
        """Return the names of all pixels and of the features' destinations."""
        added = (name for feature in self.features for name in feature.destinations())
        return (*(each.pixel for each in self.pixels), *added)

    def has_destination(self, name: str) -> bool:
        """Return whether a pixel, its tests, or a feature's destination has this name."""
        return real_name(name) in self.destination_names() or any(
            feature.may_have(name) for feature in self.features
        )

    def feature(self, kind: type[FeatureT]) -> FeatureT:
        """Return the settings of a feature; its defaults if it read no tables."""
        return next((found for found in self.features if isinstance(found, kind)), kind())

    def is_cautious(self, pixel: str) -> bool:
        """Return whether ambiguous deliveries of a destination are held."""
        own = (each.is_cautious for each in self.pixels if each.pixel == pixel)
        return any(own) or any(feature.is_cautious(pixel) for feature in self.features)


def load(
    path: Path, environ: Mapping[str, str], *, credentials: bool = True, stand_in: str = ""
) -> Settings:
    """Read the settings. Relative paths in the file are relative to the file.

    Without `credentials`, an unreadable secret is empty instead of an error, for commands that only
    read; in the fields of a template, it is `stand_in`. Raises SettingsError, with place and fix.
    """
    tree = toml.read(path)
    overridden = override(tree, environ)
    folder = path.resolve().parent if path.is_file() else Path.cwd()
    reader = Reader(
        environ=environ,
        folder=folder,
        overridden=frozenset(overridden),
        credentials=credentials,
        stand_in=stand_in,
    )
    try:
        kept_in = key_file(tree, folder)
        written = ROOT.read(tree, "", reader)
        assert isinstance(written, SettingsFile)  # noqa: S101  # always true: for the type checker
        written = with_former_key(with_secret_key(written, environ), kept_in)
        if credentials:
            refuse_unsealed(written)
        return _checked(written, path, reader, kept_in)
    except SettingsError as error:
        raise combined(_with_variable(each, overridden) for each in error.each) from None


def _with_variable(error: SettingsError, overridden: Mapping[str, str]) -> SettingsError:
    """Name the environment variable that set the value."""
    if error.place not in overridden:
        return error
    place = f"{error.place} (set by {overridden[error.place]})"
    return SettingsError(place, error.message)


def _checked(file: SettingsFile, path: Path, reader: Reader, kept_in: Path | None) -> Settings:
    folder = reader.folder
    server = msgspec.structs.replace(file.server, secret_key_file=kept_in)
    store = file.store.url
    refuse_shared_file(store, server.workers, "server.workers")
    local_folder = folder if store.server is None else folder / (file.store.local_folder or "")
    place = msgspec.structs.replace(store, path=Path(os.path.realpath(local_folder / store.path)))
    wrong = CollectedErrors()
    submitters = None
    hooks: tuple[IncomingWebhook[Any], ...] = ()
    synced: tuple[SyncSettings, ...] = ()
    rules: tuple[ValueRule, ...] = ()
    table_files: dict[str, Path] = {}
    with wrong.collect():
        table_files = value_tables(file.value_table)
    exported: tuple[ExportSettings, ...] = ()
    with wrong.collect():
        pixels = destinations(file.pixel, rate=file.x.rate, emulated=file.x.emulator is not None)
        events = {pixel.pixel: pixel.events for pixel in pixels}
        submitters = sources(
            file.source,
            pixels=events,
            can_restrict=file.x.restricted_data_use == "conversion",
            without_clients={webhook.source for webhook in file.webhook}
            | {sync.source for sync in file.sync},
        )
        with wrong.collect():
            hooks = webhooks(file.webhook, sources=submitters, pixels=events)
        with wrong.collect():
            synced = syncs(file.sync, sources=submitters, pixels=events)
        with wrong.collect():
            rules = value_rules(
                file.value_rule,
                tables=[table.name for table in file.value_table],
                sources=submitters,
                pixels=events,
            )
    with wrong.collect():
        exported = exports(file.export)
    basis = SettingsBasis(
        reader=reader,
        names=tuple(table.name for table in file.source),
        sources=submitters,
        has_key=server.secret_key is not None,
    )
    features = []
    for feature, tables in zip(FEATURES, file.added, strict=True):
        with wrong.collect():
            features.append(feature.read(tables, basis))
    wrong.raise_any()
    assert submitters is not None  # noqa: S101  # otherwise there are errors: for the type checker
    return Settings(
        path=path,
        server=server,
        store=msgspec.structs.replace(file.store, url=place),
        x=file.x,
        alerts=file.alerts,
        console=file.console,
        log=file.log,
        traces=file.traces,
        results=file.results,
        pixels=pixels,
        submitters=submitters,
        webhooks=hooks,
        syncs=synced,
        value_rules=rules,
        value_tables=table_files,
        exports=exported,
        features=tuple(features),
        warnings=(
            *reader.warnings,
            *_doubts(file),
            *weak_keys(submitters),
            *(warning for feature in features for warning in feature.warnings),
        ),
    )


def _doubts(file: SettingsFile) -> Iterator[str]:
    if any(network.prefixlen == 0 for network in file.server.trusted_proxies):
        yield (
            "server.trusted_proxies: Twite would trust X-Forwarded-For from every client. "
            "Write your proxy's own network"
        )
    for key in ("api_url", "oauth_url"):
        if values.unprotected(getattr(file.x, key)):
            yield f"x.{key}: credentials would travel unencrypted. Use https"
    collector = file.traces.endpoint
    if collector is not None and file.traces.headers and values.unprotected(collector):
        yield "traces.endpoint: traces.headers would travel unencrypted. Use https"
    hook = file.alerts.webhook
    if hook is not None and values.unprotected(hook.address.reveal()):
        yield "alerts.webhook: alerts would travel unencrypted. Use https"


def override(tree: Tree, environ: Mapping[str, str]) -> dict[str, str]:
    """Put the `TWITE_…__…` variables into the tree; return the changed places and the variables.

    Variables that the file refers to (`env:TWITE_…`) are ignored. Raises SettingsError for a
    variable that names no setting.
    """
    own = set(_read_by_file(tree))
    places = {}
    for name in sorted(environ):
        if (
            name.startswith(_VARIABLE_PREFIX)
            and _STEP in name[len(_VARIABLE_PREFIX) :]
            and name not in own
        ):
            steps = name[len(_VARIABLE_PREFIX) :].lower().split(_STEP)
            places[_put(tree, ROOT, steps, (name, environ[name]), "")] = name
    return places


def variable(key: str, index: str = "0") -> str:
    """Return the environment variable of a schema key; `index` replaces `[]`."""
    return _VARIABLE_PREFIX + key.replace("[]", f".{index}").replace(".", _STEP).upper()


def _put(node: object, kind: Kind, steps: list[str], given: tuple[str, str], place: str) -> str:
    """Set the key that a variable (name, text) stands for, and return the key's place."""
    name, text = given
    step = steps[0]
    below: Kind | None = None
    key: str | int | None = None
    if isinstance(kind, Table) and isinstance(node, dict) and step in kind.fields:
        below = kind.fields[step].kind
        key, place = step, f"{place}.{step}" if place else step
    elif isinstance(kind, MapOf) and isinstance(node, dict):
        below = kind.item
        key = next((old for old in node if str(old).lower() == step), step)
        place = f"{place}.{key}"
    elif isinstance(kind, ListOf) and isinstance(node, list) and _NUMBER.fullmatch(step):
        below, key, place = kind.item, _index(node, step, name), f"{place}[{int(step)}]"
    if below is None or not step:
        raise _no_setting(name)
    if len(steps) == 1:
        node[key] = text if below.is_text else scalar(text)  # type: ignore[index]  # dict by name, list by number: chosen above
        return place
    if isinstance(node, dict):
        node.setdefault(key, [] if isinstance(below, ListOf) else {})
    return _put(node[key], below, steps[1:], given, place)  # type: ignore[index]  # as above


def _index(node: list[object], step: str, name: str) -> int:
    """Return the index of a table. The index after the last one creates a new table."""
    index = int(step)
    if index > len(node):
        raise SettingsError(
            name, f"the next table has the number {len(node)}. Number tables from 0, without gaps"
        )
    if index == len(node):
        node.append({})
    return index


def _no_setting(name: str) -> SettingsError:
    digits = re.search(r"__(\d+)__", name)
    known = [variable(key, digits[1] if digits else "0") for key, _ in ROOT.settings()]
    return SettingsError(name, f"does not match a setting. {nearest(name, known)}")


def _read_by_file(node: object) -> list[str]:
    if isinstance(node, dict):
        return [name for value in node.values() for name in _read_by_file(value)]
    if isinstance(node, list):
        return [name for value in node for name in _read_by_file(value)]
    return [node[4:]] if isinstance(node, str) and node.startswith("env:") else []

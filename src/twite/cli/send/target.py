"""Where `twite send` sends to, and as whom."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
import typer

from twite.cli.options import load
from twite.config.settings import Settings
from twite.config.values import HostPort
from twite.domain.destination import Destination, Source
from twite.domain.errors import OperatorError
from twite.domain.secret import Secret

_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 — where we connect, not listen


class NoKey(OperatorError):
    """There is no key to show to the gateway."""


class SendTarget(msgspec.Struct, frozen=True, kw_only=True):
    """`source` and `destinations` are None where only an address and a key are known."""

    url: str
    key: Secret
    source: Source | None = None
    destinations: Mapping[str, Destination] | None = None

    @property
    def name(self) -> str:
        return self.source.name if self.source is not None else ""


def target(config: Path, *, to: str | None, source: str | None, key_from: str | None) -> SendTarget:
    """Decide it from the options and, unless `--to` and `--key-from` say all, the settings.

    Raises SettingsError, NoKey, and BadParameter for wrong usage.
    """
    if key_from is not None:
        if to is None or source is not None:
            raise typer.BadParameter(
                "goes with --to, and instead of --source", param_hint="--key-from"
            )
        return SendTarget(url=_url(to), key=_key_from(key_from))
    settings = load(config, credentials=False)
    found = _source(settings, source)
    if not found.key:
        raise NoKey(
            f"the key of the source {found.name!r} cannot be read here: set it as {settings.path} "
            "says, or use --to and --key-from env:NAME"
        )
    return SendTarget(
        url=_address(settings.server.listen) if to is None else _url(to),
        key=found.key,
        source=found,
        destinations={destination.pixel: destination for destination in settings.destinations()},
    )


def _source(settings: Settings, name: str | None) -> Source:
    """Return the source named, or the only one that has a key."""
    with_key = [source for source in settings.sources() if source.key is not None]
    chosen = [candidate for candidate in with_key if name in {None, candidate.name}]
    if len(chosen) == 1:
        return chosen[0]
    there = ", ".join(candidate.name for candidate in with_key) or "none"
    if name is not None:
        message = f"no source of this name has a key in {settings.path}. There is: {there}"
    else:
        message = f"which source is it? {settings.path} has: {there}"
    raise typer.BadParameter(message, param_hint="--source")


def _address(listen: HostPort) -> str:
    if listen.port == 0:
        raise typer.BadParameter(
            "the gateway listens on any free port: say which, as in --to http://127.0.0.1:8080",
            param_hint="--to",
        )
    host = _EVERYWHERE.get(listen.host, listen.host)
    return f"http://{HostPort(host=host, port=listen.port)}"


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise typer.BadParameter(
            "write it as in https://t.shop.example or http://127.0.0.1:8080", param_hint="--to"
        )
    return text.rstrip("/").removesuffix("/v1/conversions")


def _key_from(place: str) -> Secret:
    way, _, name = place.partition(":")
    try:
        if way == "env" and name:
            text = os.environ.get(name, "")
        elif way == "file" and name:
            text = Path(name).read_text("utf-8")
        else:
            raise typer.BadParameter(
                "write env:NAME or file:PATH; a key on the command line would be seen by others",
                param_hint="--key-from",
            )
    except (OSError, UnicodeDecodeError):
        text = ""
    if not text.strip() or not text.isascii():
        raise NoKey(f"there is no key in {place}: put the source's key there")
    return Secret(text.strip())

"""`[[webhook]]`: the keys of all kinds, and the webhooks made of the tables.

The keys of a kind are the fields of its `options`: see `option` in `formats/webhook_kind.py`.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Final

import msgspec

from twite.config import values
from twite.config.collected_errors import CollectedErrors
from twite.config.kinds import (
    REQUIRED,
    Choice,
    ListOf,
    SecretText,
    Setting,
    Table,
    Text,
    table,
)
from twite.config.references import checked_tables
from twite.config.toml import Reader
from twite.domain.destination import Source
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.formats.webhook_kind import IncomingWebhook, WebhookKind
from twite.formats.webhook_kinds import KINDS

_NAME: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


class WrittenWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """A table `[[webhook]]` as read. `options` has the keys of its kind."""

    name: str
    kind: str
    secrets: tuple[Secret, ...]
    source: str
    event: str
    options: Mapping[str, object]


class SecretTexts(ListOf, frozen=True):
    """A secret, or a list of secrets. A text in an environment variable is a secret, not TOML."""

    is_text: ClassVar[bool] = True

    def read(self, value: object, place: str, reader: Reader) -> object:
        if isinstance(value, str):
            return (self.item.read(value, place, reader),)
        found = super().read(value, place, reader)
        if not found:
            raise SettingsError(place, "is empty. Write the sender's secret into it")
        return found


def _name(text: str, place: str) -> str:
    if not _NAME.fullmatch(values.name(text, place, "a webhook")):
        raise SettingsError(
            place,
            f"{text!r} is not a part of a URL. Write letters, digits, hyphens, dots and "
            "underscores",
        )
    return text


def _written(
    *, name: str, kind: str, secret: tuple[Secret, ...], source: str, event: str, **options: object
) -> WrittenWebhook:
    return WrittenWebhook(
        name=name, kind=kind, secrets=secret, source=source, event=event, options=options
    )


_COMMON: Final[Mapping[str, Setting]] = {
    "name": Setting(
        REQUIRED,
        "name of the webhook, and the end of its URL: `/webhooks/NAME`",
        Text(_name),
        "shop",
    ),
    "kind": Setting(REQUIRED, "what sends the messages", Choice(tuple(KINDS)), "shopify"),
    "secret": Setting(
        REQUIRED,
        "the sender's secret, or a list of secrets while one is rotated",
        SecretTexts(SecretText()),
        "env:SHOPIFY_SECRET",
    ),
    "source": Setting(REQUIRED, "the source to which the conversions belong", Text(), "shop"),
    "event": Setting("purchase", "your name for the event", Text()),
}


def _tables() -> Mapping[str, Table]:
    return {
        name: Table(_written, {**_COMMON, **table(kind.options).fields})
        for name, kind in KINDS.items()
    }


class WebhookTable(Table, frozen=True):
    """The keys of a `[[webhook]]`: `fields` has those of all kinds, `kinds` those of each."""

    kinds: Mapping[str, Table]

    def read(self, value: object, place: str, reader: Reader) -> object:
        named = value.get("kind") if isinstance(value, dict) else None
        try:
            named = reader.resolved(named, place)
            kind = self.kinds.get(str(named))
        except SettingsError:
            kind = None
        if kind is None or not isinstance(value, dict):
            # Without a known kind, this table reports what is wrong with it.
            return super().read(value, place, reader)
        return kind.read(_joined(KINDS[str(named)].preset, value), place, reader)


def _joined(preset: Mapping[str, object], written: Mapping[str, object]) -> dict[str, object]:
    """Return a table with the preset's values where the file has none."""
    joined = {**preset, **written}
    for key, own in preset.items():
        given = written.get(key)
        if isinstance(own, Mapping) and isinstance(given, Mapping):
            joined[key] = _joined(own, given)
    return joined


_KINDS: Final = _tables()
WEBHOOK: Final = WebhookTable(
    _written,
    # In the order of the kinds. If several have a key, the first one describes it.
    {
        name: field
        for kind in (*_KINDS.values(), *reversed(tuple(_KINDS.values())))
        for name, field in kind.fields.items()
    },
    _KINDS,
)


def webhooks(
    written: tuple[WrittenWebhook, ...],
    *,
    sources: tuple[Source, ...],
    pixels: Mapping[str, Collection[str]],
) -> tuple[IncomingWebhook[Any], ...]:
    """Check every webhook against the sources and their events, and return the webhooks."""
    return checked_tables("webhook", written, _webhook, sources=sources, pixels=pixels)


def _webhook(written: WrittenWebhook, place: str, errors: CollectedErrors) -> IncomingWebhook[Any]:
    kind: WebhookKind[Any] = KINDS[written.kind]
    options = kind.options(**written.options)
    for option_fault in kind.check(options):
        with errors.collect():
            raise SettingsError(f"{place}.{option_fault.key}", option_fault.message)
    errors.raise_any()
    return IncomingWebhook(
        name=written.name,
        kind=kind,
        secrets=written.secrets,
        source=written.source,
        event=written.event,
        options=options,
    )

"""Diagnostics of the settings: file, credentials, events, sources, sealing keys."""

from collections.abc import AsyncIterator, Iterator
from itertools import chain
from typing import Final

from twite.app.sealing import still_sealed
from twite.app.store_access import open_records, read_ignored
from twite.config.secret_key import former_key_file
from twite.config.settings import Settings
from twite.domain.errors import StoreUnusable, TransientError
from twite.formats.event_data.conversions import KEY_IN_PAGE
from twite.gateway.operations.sealed_payloads import counted
from twite.gateway.ports.findings import CheckFinding, failed, passed, warning

_OTHERS: Final = 0o077
_LEAKED: Final = "A leaked former key can decrypt data until you remove it."


def configuration(settings: Settings) -> Iterator[CheckFinding]:
    """Check the file itself, and report the warnings of loading it."""
    if not settings.warnings:
        yield passed("settings", f"{settings.path} is well formed")
    for text in settings.warnings:
        found, _, fix = text.partition(". ")
        yield warning(
            "settings",
            found,
            "The gateway works, but this setting is not safe.",
            f"{fix.rstrip('.')}.",
        )
    has_secret = any("plain text" in text for text in settings.warnings)
    if has_secret and settings.path.is_file() and settings.path.stat().st_mode & _OTHERS:
        yield warning(
            "settings",
            f"{settings.path} contains secrets and is readable by other users",
            "Any account on this machine can read the settings.",
            f"Run chmod 600 {settings.path}.",
        )


def pixels(settings: Settings) -> Iterator[CheckFinding]:
    """Check that there are pixels, and the key that seals their stored credentials."""
    if not settings.pixels:
        yield failed(
            "pixels",
            "there is no [[pixel]]",
            "Conversions have no destination.",
            f"Add one to {settings.path}; twite init shows an example.",
        )
    yield from _key(settings)


def _key(settings: Settings) -> Iterator[CheckFinding]:
    server = settings.server
    if server.secret_key is None:
        yield passed(
            "key", "no secret key: Twite reads credentials only from the settings and stores none"
        )
        return
    file = server.secret_key_file
    if file is not None and file.is_file() and file.stat().st_mode & _OTHERS:
        yield warning(
            "key",
            f"{file} is readable by other users",
            "Anyone who can read the key file and the store can use the stored credentials.",
            f"Run chmod 600 {file}, and then twite rotate-key.",
        )
        return
    yield passed(
        "key", f"stored credentials are encrypted with the key in {file or 'the environment'}"
    )


def sources(settings: Settings) -> Iterator[CheckFinding]:
    """Check the sources, and report pixels without a source."""
    if not settings.submitters:
        yield warning(
            "sources",
            "there is no [[source]]",
            "The gateway accepts conversions only in X's format, with a pixel's own credentials.",
            f"Add one to {settings.path} to open /v1/conversions.",
        )
    for source in settings.submitters:
        ways = ["servers with its key"] if source.key is not None else []
        ways += [f"browsers on {', '.join(source.origins)}"] if source.origins else []
        yield passed("sources", f"{source.name}: {' and '.join(ways)} → pixel {source.pixel}")
    fed = set(chain.from_iterable(source.pixels for source in settings.submitters))
    for pixel in settings.pixels:
        if settings.submitters and pixel.pixel not in fed:
            yield warning(
                "sources",
                f"no source may submit to pixel {pixel.pixel}",
                "This pixel gets conversions only in X's format, with its own credentials.",
                f'Add the pixel to a source: pixels = ["{pixel.pixel}"].',
            )


async def source_keys(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Report sources whose secret key was in the request of a page."""
    try:
        async with open_records(settings) as reader:
            tallies = await read_ignored(reader)
    except (StoreUnusable, TransientError):
        return  # the check of the store reports why
    for name in sorted({tally.source for tally in tallies if tally.reason == KEY_IN_PAGE}):
        yield warning(
            "sources",
            f"pages sent the secret key of the source {name} within the last seven days",
            "Everyone who opens the page can read the key, and send conversions as your server.",
            "Give the source a write_key, use it in the pages, and replace the key.",
        )


async def key(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Report stored data that is not encrypted with the current key."""
    try:
        left = await still_sealed(settings)
    except (StoreUnusable, TransientError):
        return  # the check of the store reports why
    for name, many in left.missing_keys.items():
        yield failed(
            "key",
            f"encrypted with the key {name}, which is not configured: {counted(payloads=many)}",
            "Twite cannot decrypt these deliveries, and holds each when it is due.",
            "Add that key to server.former_secret_keys, run twite rotate-key, and replay the "
            "held deliveries.",
        )
    server = settings.server
    file = server.secret_key_file
    unfinished = file is not None and former_key_file(file).exists()
    if left.any:
        yield warning(
            "key",
            "still encrypted with a former key: "
            + counted(secrets=left.secrets, payloads=left.payloads),
            "Without the former key, Twite cannot decrypt this data.",
            "Keep the former key, and run twite rotate-key.",
        )
    elif unfinished:
        yield warning(
            "key",
            "a key rotation was interrupted: the former key still exists",
            _LEAKED,
            "Run twite rotate-key again.",
        )
    elif server.former_secret_keys:
        yield warning(
            "key",
            f"former keys still accepted: {len(server.former_secret_keys)}; they no longer "
            "encrypt any data",
            _LEAKED,
            "Remove server.former_secret_keys from the settings.",
        )

"""The doctor on the settings: the file, the credentials, the events, the sources."""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from twite.assembly.doctor.finding import Finding, amber, green, red
from twite.assembly.settings import Settings
from twite.domain.destination import Destination, NotSignedIn, OAuthKeys

_OTHERS: Final = 0o077
# What X's OAuth keys are never shorter than; a cut-off paste is.
_SHORTEST_PART: Final = 16


def configuration(settings: Settings) -> Iterator[Finding]:
    """Look at the file itself, and at what loading it warned of."""
    if not settings.warnings:
        yield green("settings", f"{settings.path} is well formed")
    for warning in settings.warnings:
        found, _, cure = warning.partition(". ")
        yield amber("settings", found, "It works, but it is not safe.", f"{cure.rstrip('.')}.")
    clear = any("clear text" in warning for warning in settings.warnings)
    if clear and settings.path.is_file() and settings.path.stat().st_mode & _OTHERS:
        yield amber(
            "settings",
            f"{settings.path} holds secrets and can be read by others",
            "Whoever has an account on this machine can read them.",
            f"Run chmod 600 {settings.path}.",
        )


def pixels(settings: Settings) -> Iterator[Finding]:
    """Look at each pixel's credentials and events."""
    if not settings.pixels:
        yield red(
            "pixels",
            "there is no [[pixel]]",
            "There is nothing that conversions could be sent to.",
            f"Write one into {settings.path}; twite init shows how.",
        )
    for pixel in settings.pixels:
        yield from _credentials(pixel)
        events = ", ".join(f"{name} → {event}" for name, event in pixel.events.items())
        yield green("events", f"pixel {pixel.pixel}: {events}")


def sources(settings: Settings) -> Iterator[Finding]:
    """Look at who may submit, and at pixels that nobody submits to."""
    if not settings.submitters:
        yield amber(
            "sources",
            "there is no [[source]]",
            "Only the X-shaped route takes conversions, with a pixel's own credentials.",
            f"Write one into {settings.path} to open /v1/conversions.",
        )
    for source in settings.submitters:
        ways = ["servers with its key"] if source.key is not None else []
        ways += [f"browsers on {', '.join(source.origins)}"] if source.origins else []
        yield green("sources", f"{source.name}: {' and '.join(ways)} → pixel {source.pixel}")
    fed = set(chain.from_iterable(source.pixels for source in settings.submitters))
    for pixel in settings.pixels:
        if settings.submitters and pixel.pixel not in fed:
            yield amber(
                "sources",
                f"no source may submit to pixel {pixel.pixel}",
                "Only the X-shaped route reaches it.",
                f'Add it to a source: pixels = ["{pixel.pixel}"].',
            )


def _credentials(pixel: Destination) -> Iterator[Finding]:
    """Say nothing of what could not be read: that has been said."""
    keys = pixel.credentials
    if isinstance(keys, NotSignedIn):
        # What the vault holds is looked at apart: it needs the store and the key.
        return
    if not isinstance(keys, OAuthKeys):
        if keys.token:
            yield green(
                "credentials",
                f"pixel {pixel.pixel}: a pixel token is there; only a first delivery can try it",
            )
        return
    parts = {
        "consumer_key": keys.consumer_key,
        "consumer_secret": keys.consumer_secret.reveal(),
        "token": keys.token,
        "token_secret": keys.token_secret.reveal(),
    }
    if not all(parts.values()):
        return
    short = [name for name, part in parts.items() if len(part) < _SHORTEST_PART]
    if short:
        yield amber(
            "credentials",
            f"pixel {pixel.pixel}: {' and '.join(short)} shorter than X's keys are",
            "A key that was cut off while it was copied makes X answer 401.",
            "Copy it again from X's developer portal.",
        )
    else:
        yield green(
            "credentials",
            f"pixel {pixel.pixel}: OAuth 1.0a keys are there; only a first delivery can try them",
        )

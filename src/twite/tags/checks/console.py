"""Diagnostics of the console: whether it shares its host with pages of client templates."""

from collections.abc import Iterator

from twite.config.settings import Settings
from twite.gateway.ports.findings import CheckFinding, failed, passed
from twite.http.addresses import host_of
from twite.tags.settings.tag_settings import TagSettings


def console(settings: Settings) -> Iterator[CheckFinding]:
    """Check the console's host, if there are client templates in the settings."""
    if settings.feature(TagSettings).clients:
        yield from host(settings)


def host(settings: Settings) -> Iterator[CheckFinding]:
    """Report whether templates answer at the console's public host."""
    public, own = settings.server.public_url, settings.console.url
    if public is None:
        return  # from other machines, the console cannot be opened
    if own is None or host_of(own) == host_of(public):
        yield failed(
            "console",
            f"client templates answer requests at {public}, where the console is",
            "A fault in the isolation of a template's pages would open the console to the "
            "template, with the rights of the signed-in user.",
            'Give the console its own host name: console.url = "https://console.shop.example". '
            "No template runs there.",
        )
    else:
        yield passed("console", f"no client template runs at {own}")

"""Diagnostics of browser sources: a first-party address, and the visitors' IP addresses."""

from collections.abc import Iterator

from twite.config.settings import Settings
from twite.domain.destination import Source
from twite.gateway.ports.findings import CheckFinding, amber, green
from twite.http.addresses import host_of
from twite.http.cookies import cookie_domain


def pages(settings: Settings) -> Iterator[CheckFinding]:
    """Check each source to which pages may post."""
    reached = [source for source in settings.submitters if source.origins]
    if not reached:
        return
    if not settings.server.trusted_proxies:
        yield amber(
            "pages",
            "server.trusted_proxies names no proxy",
            "Behind a proxy, every visitor has the proxy's address: it matches nobody, "
            "and all visitors share one rate limit.",
            "Name the proxy's own network, unless browsers connect to the gateway itself.",
        )
    url = settings.server.public_url
    if url is None:
        yield amber(
            "pages",
            "server.public_url is not set",
            "Behind a proxy that does not forward the Host header, clicks are not stored.",
            'Write the address that browsers see: public_url = "https://t.shop.example".',
        )
        return
    if not url.startswith("https:"):
        yield amber(
            "pages",
            f"server.public_url is {url}, without https",
            "Browsers store no secure cookie from this address, and https pages cannot load "
            "the script.",
            "Put a certificate before it.",
        )
    for source in reached:
        yield from _kept(source, url)


def _kept(source: Source, url: str) -> Iterator[CheckFinding]:
    """Report for each origin whether a click can be kept."""
    for origin in source.origins:
        ours, domain = cookie_domain((host_of(url),), origin)
        if ours:
            kept = domain or host_of(url)
            yield green("pages", f"{source.name}: clicks of {origin} are kept on {kept}")
        else:
            yield amber(
                "pages",
                f"{source.name}: {origin} is of another site than {url}",
                "Browsers store no cookie of another site, so later pages do not know the click.",
                f"Give the gateway an address on the site of {origin}, and see "
                "docs/how-to/set-up-a-first-party-domain.md.",
            )

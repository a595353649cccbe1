"""Diagnostics of `[google]`: credentials for templates that call Google's services."""

import re
from collections.abc import AsyncIterator, Iterator

from twite.config.settings import Settings
from twite.gateway.ports.findings import CheckFinding, amber, green
from twite.gateway.ports.tags import NoGoogleToken
from twite.gtm.google_requests.bigquery import SCOPE
from twite.gtm.template.template import Template

_NEEDING = ("getGoogleAuth", "BigQuery", "Firestore")
_LONGEST = 160


async def google(settings: Settings) -> AsyncIterator[CheckFinding]:
    """Check `[google]`: request a token, which changes nothing; list the templates that need it."""
    if not settings.google.is_set:
        for finding in _unset(settings):
            yield finding
        return
    account = settings.google.account()
    if account is None:
        return
    try:
        project, token = await account.project(), await account.token((SCOPE,))
    finally:
        await account.stop()
    key = settings.google.key
    whose = "the account of this machine" if key is None else f"the key of {key.email}"
    if isinstance(token, NoGoogleToken):
        yield amber(
            "google",
            f"there is no token for {whose}: {token.reason[:_LONGEST]}",
            "Calls of BigQuery, Firestore and getGoogleAuth fail; a tag's deliveries are retried.",
            (
                "Check that the account and its key still exist at Google, that this machine's "
                "clock is right, and that it reaches oauth2.googleapis.com."
            ),
        )
    else:
        yield green("google", f"{whose} gets tokens; the project is {project or 'not known'}")
    if project is None:
        yield amber(
            "google",
            "there is no project",
            "Calls that name no project fail.",
            "Set google.project.",
        )


def without_google(settings: Settings, name: str, template: Template) -> Iterator[CheckFinding]:
    """Report a template that calls a service without credentials."""
    code = template.code.text
    wanted = [api for api in _NEEDING if re.search(rf"""require\(['"]{api}['"]\)""", code)]
    if wanted and not settings.google.is_set:
        yield amber(
            "google",
            f"{name} calls {', '.join(wanted)}, and [google] is not set",
            "The template's calls fail with not_configured.",
            'Give the gateway an account: [google] with credentials = "file:service-account.json".',
        )


def _unset(settings: Settings) -> Iterator[CheckFinding]:
    if settings.tags is not None:
        container = settings.tags.container
        for tag in container.tags:
            yield from without_google(settings, tag.name, container.templates[tag.template])
    for client in settings.clients:
        yield from without_google(settings, f"the client {client.name}", client.template)

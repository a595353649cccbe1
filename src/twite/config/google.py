"""`[google]`: Google credentials for templates that call Google's services."""

from typing import TYPE_CHECKING, Final

import msgspec

from twite.config import shape, values
from twite.domain.errors import SettingsError
from twite.gateway.ports.machine import Clock
from twite.gateway.tags.google.endpoints import GoogleEndpoints
from twite.gateway.tags.google.requests import GoogleClient
from twite.senders.google_key import ServiceKey, WrongKey, read_key

if TYPE_CHECKING:
    from twite.senders.google_account import GoogleAccount

_CURE: Final = (
    'Write "file:service-account.json" with the key that Google gave out, whole; or "metadata" on '
    "a machine of Google's"
)


class GoogleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Without a `key`: the machine's service account, or none if nothing names one."""

    key: ServiceKey | None = None
    is_machine: bool = False
    project: str | None = None
    api_url: str | None = None

    @property
    def is_set(self) -> bool:
        """Whether there are credentials."""
        return self.key is not None or self.is_machine

    def account(self) -> "GoogleAccount | None":
        """Return the service account; None if nothing names one."""
        from twite.senders.google_account import GoogleAccount  # noqa: PLC0415  # few need it

        if not self.is_set:
            return None
        return GoogleAccount(self.key, project=self.project, api_url=self.api_url)


def google_settings(written: shape.GoogleTable, *, whole: bool) -> GoogleSettings:
    """Read `[google]`. Without `whole`, an unreadable key counts as none. Raises SettingsError.

    An invalid key is never shown.
    """
    api_url = None if written.api_url is None else values.url(written.api_url, "google.api_url")
    project = written.project
    if written.credentials is None:
        if project is not None:
            raise SettingsError(place="google.credentials", message=f"is missing. {_CURE}")
        return GoogleSettings(api_url=api_url)
    text = written.credentials.reveal()
    if text == shape.METADATA:
        return GoogleSettings(is_machine=True, project=project, api_url=api_url)
    if not text and not whole:
        return GoogleSettings(project=project, api_url=api_url)
    try:
        key = read_key(text)
    except WrongKey as wrong:
        raise SettingsError(place="google.credentials", message=f"{wrong}. {_CURE}") from None
    return GoogleSettings(key=key, project=project, api_url=api_url)


def google_of(settings: GoogleSettings, clock: Clock) -> GoogleClient:
    """Return the Google client for templates."""
    return GoogleClient(settings.account(), clock=clock, places=GoogleEndpoints(settings.api_url))

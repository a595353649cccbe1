"""`[google]`: Google credentials for templates that call Google's services."""

from typing import TYPE_CHECKING, Final

import msgspec

from twite.config import values
from twite.config.kinds import SecretText, Setting, Table, Text
from twite.domain.errors import SettingsError
from twite.domain.secret import Secret
from twite.gateway.ports.machine import Clock
from twite.tags.google.google_key import ServiceKey, WrongKey, read_key
from twite.tags.google.requests import GoogleClient, GoogleEndpoints

if TYPE_CHECKING:
    from twite.tags.google.google_account import GoogleAccount

METADATA: Final = "metadata"  # keyword for the machine's own service account
_FIX: Final = (
    'Write "file:service-account.json" with the complete key file from Google, or '
    '"metadata" on a Google Cloud machine'
)


class GoogleSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[google]`.

    Without a `key`, the machine's service account is used, if it has one.
    """

    key: ServiceKey | None = None
    is_machine: bool = False
    project: str | None = None
    api_url: str | None = None

    @property
    def is_set(self) -> bool:
        return self.key is not None or self.is_machine

    def account(self) -> "GoogleAccount | None":
        """Return the service account; None if the settings have none."""
        if not self.is_set:
            return None
        from twite.tags.google.google_account import GoogleAccount  # noqa: PLC0415  # few need it

        return GoogleAccount(self.key, project=self.project, api_url=self.api_url)


def _google_settings(
    *, credentials: Secret | None, project: str | None, api_url: str | None
) -> GoogleSettings:
    """Read `[google]`. An unreadable key counts as no key; an invalid key is never shown."""
    if credentials is None:
        if project is not None:
            raise SettingsError("google.credentials", f"is missing. {_FIX}")
        return GoogleSettings(api_url=api_url)
    text = credentials.reveal()
    if not text or text == METADATA:
        return GoogleSettings(is_machine=bool(text), project=project, api_url=api_url)
    try:
        key = read_key(text)
    except WrongKey as wrong:
        raise SettingsError("google.credentials", f"{wrong}. {_FIX}") from None
    return GoogleSettings(key=key, project=project, api_url=api_url)


GOOGLE: Final = Table(
    _google_settings,
    {
        "credentials": Setting(
            None,
            'the JSON key of a service account: `"file:PATH"` or `"env:NAME"`',
            SecretText(words=(METADATA,), lines=True),
            example="file:service-account.json",
        ),
        "project": Setting(
            None,
            "the project that templates use by default, which Google calls `GOOGLE_CLOUD_PROJECT`",
            Text(),
            example="shop-1",
        ),
        "api_url": Setting(
            None,
            "base URL that replaces googleapis.com, the token endpoint and the metadata server",
            Text(values.url),
            example="http://127.0.0.1:9099",
        ),
    },
)


def google_of(settings: GoogleSettings, clock: Clock) -> GoogleClient:
    return GoogleClient(
        settings.account(), clock=clock, endpoints=GoogleEndpoints(settings.api_url)
    )

"""Read a Google service account's key, and sign with it.

google-auth is imported on use, here and in `google_account`, so that other commands start fast.
"""

import json
from typing import TYPE_CHECKING

import msgspec

from twite.domain.secret import Secret

if TYPE_CHECKING:
    from google.auth.credentials import Scoped

_TEXTS = ("client_email", "private_key", "token_uri")


class WrongKey(ValueError):
    """An invalid key. The message says why, and contains no part of the key."""


class ServiceKey(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a JSON key file, and the account and project that it names."""

    email: str
    project: str | None
    text: Secret


def read_key(text: str) -> ServiceKey:
    """Read a key, and verify that it can sign. Raises WrongKey."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise WrongKey("is not JSON") from None
    if not isinstance(found, dict) or found.get("type") != "service_account":
        raise WrongKey('is not a service account key: its "type" is not "service_account"')
    for name in _TEXTS:
        if not isinstance(found.get(name), str) or not found[name]:
            raise WrongKey(f'has no "{name}"')
    project = found.get("project_id")
    key = ServiceKey(
        email=found["client_email"],
        project=project if isinstance(project, str) and project else None,
        text=Secret(text),
    )
    signer_of(key)
    return key


def signer_of(key: ServiceKey) -> "Scoped":
    """Return the key as google-auth credentials. Raises WrongKey."""
    from google.oauth2 import service_account  # noqa: PLC0415  # see above

    try:
        return service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call,no-any-return]  # it declares no types
            json.loads(key.text.reveal())
        )
    except Exception as error:  # the exception for a damaged key differs between its versions
        raise WrongKey('has a "private_key" that cannot be used') from error

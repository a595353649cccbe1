"""Look up API keys presented by clients."""

from twite.domain.people.users import ApiKey
from twite.gateway.identity.authentication import digest_of
from twite.gateway.ports.directory import DirectoryReader


class ApiKeyLookup:
    """Finds keys by digest. A revoked key is refused at the next request."""

    def __init__(self, api_keys: DirectoryReader) -> None:
        self._api_keys = api_keys

    async def find(self, text: str) -> ApiKey | None:
        """Return the key, unless it is unknown or revoked. Raises LedgerUnavailable."""
        key = await self._api_keys.api_key(digest_of(text))
        return None if key is None or key.revoked_at is not None else key

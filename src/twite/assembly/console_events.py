"""What the Events Manager of the console acts with."""

from collections.abc import Mapping

from twite.assembly.ads import ads_account
from twite.assembly.mapping import Draft
from twite.assembly.settings import Settings
from twite.domain.destination import Destination
from twite.gateway.ads_account import AdsAccount
from twite.gateway.snippets import Called, Snippet, snippets


class EventsDesk:
    """Asks X with the credentials in use, and writes into the settings file."""

    def __init__(self, settings: Settings, destinations: Mapping[str, Destination]) -> None:
        self._settings = settings
        self._destinations = destinations

    def account(self, pixel: str) -> AdsAccount:
        """Return the pixel's account. Raises SettingsError where it cannot be asked for."""
        return ads_account(self._settings, self._destinations[pixel])

    def draft(self, pixel: str, name: str, event: str) -> Draft:
        """Return the settings file with this name for the event. Raises SettingsError."""
        return Draft(self._settings.path, pixel=pixel, name=name, event=event)

    def snippets(self, pixel: str, name: str) -> tuple[Snippet, ...]:
        """Return calls for the event of that name."""
        feeds = [one for one in self._settings.sources() if pixel in one.pixels]
        first = next((one for one in feeds if one.key is not None), None)
        called = Called(
            name=name,
            event=self._destinations[pixel].events[name],
            pixel=pixel,
            url=self._settings.server.public_url or f"http://{self._settings.server.listen}",
            names_pixel=first is not None and first.pixel != pixel,
        )
        return snippets(called)
